"""A program as the compiler for TPUs writes it, small enough to know by heart."""


def _line(text, op_name='', cycles=None, more=''):
  metadata = f', metadata={{op_name="jit(train_step)/{op_name}"}}'
  config = f'"window_config":{{"estimated_cycles":"{cycles}"}}'
  return (
    f'  {text}'
    + (metadata if op_name else '')
    + f', backend_config={{{config if cycles is not None else ""}{more}}}'
  )


_BLOCK = 'jvp(Generator)/block1'
MAP = 'bf16[16,8,8,64]{3,2,1,0:T(8,128)(2,1)}'  # Twice its size in tiles.
MAP_BYTES = 16 * 8 * 8 * 64 * 2
KERNEL = 'f32[3,3,64,64]{3,2,1,0:T(8,128)}'
KERNEL_BYTES = 9 * 64 * 64 * 4

# Names tell the origins that the parts should have.
TEXT = '\n'.join(
  [
    'HloModule jit_train_step, is_scheduled=true',
    '',
    '%fused_convolution (a: bf16[16,8,8,64], b: f32[3,3,64,64]) -> bf16[] {',
    f'  %a = {MAP} parameter(0)',
    f'  %b = {KERNEL} parameter(1)',
    _line(
      f'%convolution.1 = {MAP} convolution(%a, %b), window={{size=3x3}}',
      f'{_BLOCK}/conv1/conv_general_dilated',
    ),
    _line(
      f'ROOT %add.1 = {MAP} add(%convolution.1, %a)',
      f'{_BLOCK}/norm1/norm1._moments/mul',
    ),
    '}',
    '',
    '%fused_norm (c: bf16[16,8,8,64]) -> f32[64] {',
    f'  %c = {MAP} parameter(0)',
    _line(f'%multiply.1 = {MAP} multiply(%c, %c)', f'{_BLOCK}/norm2/mul'),
    _line(
      'ROOT %max.1 = f32[64]{0:T(128)} maximum(%multiply.1, %c)',
      f'{_BLOCK}/jit(relu)/max',
    ),
    '}',
    '',
    '%fused_slice (d: bf16[16,8,8,64]) -> bf16[1,8,8,64] {',
    f'  %d = {MAP} parameter(0)',
    '  ROOT %slice.1 = bf16[1,8,8,64]{3,2,1,0:T(8,128)(2,1)} slice(%d)',
    '}',
    '',
    '%body (e: (s32[])) -> (s32[]) {',
    '  %e = (s32[]) parameter(0)',
    _line(f'%loop_fusion = {KERNEL} broadcast(%e)', 'optimizer/add', cycles=10),
    '  ROOT %f = (s32[]) tuple(%e)',
    '}',
    '',
    'ENTRY %main (x: bf16[16,8,8,64], k: f32[3,3,64,64]) -> f32[64] {',
    f'  %x = {MAP} parameter(0)',
    f'  %k = {KERNEL} parameter(1)',
    f'  %start.1 = ({KERNEL[:-1]}S(1)}}, {KERNEL}, u32[]{{:S(2)}}) '
    'copy-start(%k)',
    f'  %k.1 = {KERNEL[:-1]}S(1)}} copy-done(%start.1)',
    _line(
      f'%conv = {MAP} fusion(%x, %k.1), calls=%fused_convolution',
      f'{_BLOCK}/norm1/norm1._moments/mul',
      cycles=1000,
    ),
    _line(f'%copy.1 = {MAP} copy(%conv)', cycles=200),
    f'  %r.1 = {KERNEL} all-reduce-start(%k), to_apply=%add',
    _line(
      '%norm = f32[64]{0:T(128)} fusion(%copy.1), calls=%fused_norm',
      f'{_BLOCK}/jit(relu)/max',
      cycles=300,
    ),
    f'  %r.2 = {KERNEL} all-reduce-done(%r.1)',
    _line(
      '%slice = bf16[1,8,8,64]{3,2,1,0:T(8,128)(2,1)} fusion(%copy.1), '
      'calls=%fused_slice',
      f'{_BLOCK}/jit(relu)/max',
      cycles=5,
    ),
    '  %sums = (f32[64]{0:T(128)}, f32[64]{0:T(128)}) '
    'all-reduce(%norm, %norm), to_apply=%add',
    '  %g = (s32[]) tuple()',
    _line(
      '%while.1 = (s32[]) while(%g), condition=%cond, body=%body',
      more='"known_trip_count":{"n":"4"}',
    ),
    _line('%loss = f32[]{:T(128)} negate(%norm)', 'jvp()/neg', cycles=7),
    '  ROOT %out = (f32[64]{0:T(128)}) tuple(%norm)',
    '}',
  ]
)
