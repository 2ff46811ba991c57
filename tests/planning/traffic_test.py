"""Tests of the bytes that a program moves."""

from sagan_jax.planning import hlo, traffic
from tests.support import tpu_program

PADDED_MAP = 2 * tpu_program.MAP_BYTES
PADDED_KERNEL = 2 * tpu_program.KERNEL_BYTES
PROGRAM = hlo.parse(tpu_program.TEXT)


def test_traffic_with_memory():
  vector = 64 * 4 * 2  # Padded to 128.
  known = {
    'start.1': PADDED_KERNEL,  # Read; written to the chip's own memory.
    'conv': 2 * PADDED_MAP,  # Its kernel is on the chip.
    'copy.1': 2 * PADDED_MAP,
    'norm': PADDED_MAP + vector,
    'slice': 2 * PADDED_MAP // 16,  # Of what is read, too.
    'loss': vector + 4,
    'r.1': 2 * PADDED_KERNEL,
    'sums': 4 * vector,
    'loop_fusion': 4 * (PADDED_KERNEL + 4),
  }
  assert traffic.hbm_bytes(PROGRAM) == sum(known.values())


def test_messages():
  assert traffic.collectives(PROGRAM) == [
    {
      'kind': 'all-reduce',
      'dtype': 'f32',
      'count': 1,
      'bytes': tpu_program.KERNEL_BYTES,
      'asynchronous': True,
      'covered_cycles': 300,
    },
    {
      'kind': 'all-reduce',
      'dtype': 'f32',
      'count': 1,
      'bytes': 2 * 64 * 4,
      'asynchronous': False,
      'covered_cycles': 0,
    },
  ]


def test_messages_that_gather_have_the_bytes_of_their_results():
  text = '\n'.join(
    [
      'ENTRY %main (x: f32[8]) -> f32[32] {',
      '  %x = f32[8]{0} parameter(0)',
      '  %s = (f32[8]{0}, f32[32]{0}) all-gather-start(%x), dimensions={0}',
      '  ROOT %y = f32[32]{0} all-gather-done(%s)',
      '}',
    ]
  )
  (row,) = traffic.collectives(hlo.parse(text))
  assert (row['kind'], row['bytes']) == ('all-gather', 32 * 4)


def test_padding_of_large_arrays():
  array = 'f32[64,128,128,64]{3,2,1,0:T(8,128)}'
  text = '\n'.join(
    [
      'ENTRY %main (x: f32[]) -> f32[] {',
      '  %x = f32[] parameter(0)',
      f'  %a = {array} broadcast(%x)',
      f'  %b = {array} negate(%a)',
      '  %c = f32[64,128,128]{2,1,0:T(8,128)} broadcast(%x)',
      f'  %d = {array} bitcast(%b)',
      '}',
    ]
  )
  size = 64 * 128 * 128 * 4
  assert traffic.padding(hlo.parse(text)) == {
    'logical_bytes': 2 * 64 * size + size,
    'physical_bytes': 2 * 128 * size + size,
    'worst': [
      {
        'array': 'f32[64,128,128,64]',
        'count': 2,
        'logical_bytes': 2 * 64 * size,
        'physical_bytes': 2 * 128 * size,
      }
    ],
  }
