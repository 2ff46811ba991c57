"""Memory that runs out: what a step needs, and what shrinks it."""

import contextlib

import jax

from sagan_jax import errors
from sagan_jax.gan import build

# In the messages of the devices and of the allocators of their hosts.
_SIGNS = ('RESOURCE_EXHAUSTED', 'out of memory', 'Out of memory')


@contextlib.contextmanager
def explained(config, step_fn=None):
  """Turns memory that runs out into a `UserError` that says what shrinks it.

  Args:
    config: a `Config`.
    step_fn: the compiled step, if there is one.

  Raises:
    UserError: if the block runs out of memory of a device or of the host.
  """
  try:
    yield
  except MemoryError as e:
    raise errors.UserError(_text(config, step_fn, 'this host')) from e
  except jax.errors.JaxRuntimeError as e:
    if not any(sign in str(e) for sign in _SIGNS):
      raise
    raise errors.UserError(_text(config, step_fn, 'a device')) from e


def _text(config, step_fn, where):
  needs = 'the step could not be compiled for its memory'
  if step_fn:
    needs = f'a step needs {build.step_bytes(step_fn) / 2**20:,.1f} MiB of each'
  lowered = [
    f'--config.batch_size (now {config.batch_size})',
    '--config.generator.ch and --config.discriminator.ch',
  ]
  if config.dtype == 'float32':
    lowered.insert(1, 'or use --config.dtype=bfloat16, or lower')
  more = (
    f'raise --config.num_microbatches (now {config.num_microbatches}), or set '
    '--config.generator.remat and --config.discriminator.remat'
  )
  return (
    f'{where} has run out of memory: {needs}. The same batch in less: '
    f'{more}. Else lower {", ".join(lowered)}; or free what other programs hold'
  )
