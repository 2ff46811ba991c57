"""Memory that runs out while a run compiles or trains."""

import jax
import pytest

from sagan_jax import errors
from sagan_jax.gan import build
from sagan_jax.run import memory
from tests.support import tiny


def out_of_memory():
  return jax.errors.JaxRuntimeError(
    'RESOURCE_EXHAUSTED: Out of memory allocating 1073741824 bytes.'
  )


def test_only_memory_is_explained():
  with pytest.raises(jax.errors.JaxRuntimeError, match='^INTERNAL'):
    with memory.explained(tiny.config()):
      raise jax.errors.JaxRuntimeError('INTERNAL: failed')
  with pytest.raises(errors.UserError, match='this host has run out') as error:
    with memory.explained(tiny.config(dtype='bfloat16')):
      raise MemoryError
  assert 'use --config.dtype' not in str(error.value)


def test_the_directory_is_free_for_a_run_that_fits(tmp_path, monkeypatch):
  def fail(*_):
    raise out_of_memory()

  with tiny.small_networks():
    with monkeypatch.context() as patch:
      patch.setattr(build, 'lower_step', fail)
      match = 'a device has run out of memory: the step could not be compiled'
      with pytest.raises(errors.UserError, match=match):
        tiny.run(tmp_path)
    one = tiny.trainer(tmp_path, num_steps=2)
    lowered = one.run.step_fn

    class Step:
      memory_analysis = lowered.memory_analysis
      cost_analysis = lowered.cost_analysis
      __call__ = fail

    one.run.step_fn = Step()
    needs = r'step needs \d+\.\d MiB of each'
    with pytest.raises(errors.UserError, match=needs) as error:
      one.train()
    for key in (
      'batch_size (now 8)',
      'dtype=bfloat16',
      'num_microbatches (now',
    ):
      assert f'--config.{key}' in str(error.value)
    tiny.run(tmp_path, batch_size=4, num_steps=1)
