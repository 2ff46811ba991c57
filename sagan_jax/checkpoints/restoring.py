"""Reads the state of a checkpoint, and compares it with what was saved."""

import functools
import re

import jax
import orbax.checkpoint as ocp

from sagan_jax.checkpoints import damage, table
from sagan_jax.gan import state as state_lib


def restore(manager, directory, target, step, log):
  """Reads the state of a step, as `checkpoint.Checkpointer.restore`.

  Args:
    manager: of orbax.
    directory: of the checkpoints.
    target: a `GanState` of arrays or of ShapeDtypeStructs with shardings.
    step: of a checkpoint.
    log: called with lines that the person who runs the command should read.
  """
  path = directory / str(step)
  saved, sums = table.read(path)
  fresh = [
    name
    for name in state_lib.FRESH
    if not any(re.match(rf'\.{name}\b', leaf) for leaf in saved)
  ]
  wanted = table.table(target.replace(**dict.fromkeys(fresh)))
  table.check_same_model(saved, wanted, path)
  wanted = jax.tree.map(
    ocp.utils.to_shape_dtype_struct,
    {k: v for k, v in vars(target).items() if k not in fresh},
  )
  try:
    found = manager.restore(
      step, args=ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
    )['state']
  except jax.errors.JaxRuntimeError:  # Of the device, not of the files.
    raise
  except Exception as e:  # Orbax has no class of its own: plain Exception.
    raise damage.refusal(path, e) from e
  state = target.replace(**dict.fromkeys(fresh), **found)
  wrong = table.difference(state, saved, sums)
  if wrong:
    raise damage.Damaged(path, f'{wrong} is not what was saved')
  if fresh:
    log(
      f'{path} was saved before the state had {", ".join(fresh)}: fresh there'
    )
    state = jax.jit(
      functools.partial(state_lib.with_fresh, names=fresh),
      donate_argnums=0,
      out_shardings=jax.tree.map(lambda x: x.sharding, target),
    )(state)
  return state
