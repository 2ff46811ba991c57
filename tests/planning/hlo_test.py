"""Tests of reading a compiled program's text."""

import pytest

from sagan_jax.planning import hlo
from tests.support import tpu_program


@pytest.mark.parametrize(
  'text, logical, physical, space',
  [
    ('f32[3,3,64]{2,1,0:T(4,128)S(1)}', 3 * 3 * 64 * 4, 3 * 4 * 128 * 4, 1),
    ('bf16[16,64]{1,0:T(8,128)(2,1)}', 16 * 64 * 2, 16 * 128 * 2, 0),
    # The axis that varies fastest is the first here.
    ('bf16[256,20]{0,1:T(8,128)(2,1)}', 256 * 20 * 2, 256 * 24 * 2, 0),
    ('f32[100]{0:T(1024)}', 400, 4096, 0),
    ('f32[]{:T(128)}', 4, 4, 0),
    ('pred[5,7]{1,0}', 35, 35, 0),
    ('u32[2]', 8, 8, 0),
  ],
)
def test_bytes_of_arrays(text, logical, physical, space):
  (array,) = hlo.arrays(text)
  assert array.logical_bytes == logical
  assert array.physical_bytes == physical
  assert array.space == space


def test_a_tuple_has_the_arrays_of_its_leaves():
  found = hlo.arrays('((f32[2,3]{1,0}), /*index=1*/bf16[4]{0}, s32[]{:S(2)})')
  assert [str(x) for x in found] == ['f32[2,3]', 'bf16[4]', 's32[]']


def test_instructions_of_a_program():
  program = hlo.parse(tpu_program.TEXT)
  assert program.entry == 'main'
  conv = program.computations['main']['conv']
  assert conv.opcode == 'fusion'
  assert conv.operands == ('x', 'k.1')
  assert conv.cycles == 1000
  assert conv.op_name.endswith('norm1._moments/mul')
  assert [x.opcode for x in program.inside(conv)] == [
    'parameter',
    'parameter',
    'convolution',
    'add',
  ]
  assert program.computations['main']['k'].parameter == 1
  start = program.computations['main']['start.1']
  assert [x.space for x in start.results] == [1, 0, 2]


def test_bodies_of_loops_run_as_often_as_is_known():
  program = hlo.parse(tpu_program.TEXT)
  times = {x.name: times for _, x, times in program.executed()}
  assert times['loop_fusion'] == 4
  assert times['conv'] == 1
  assert 'convolution.1' not in times  # Part of its fusion.
