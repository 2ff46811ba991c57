"""Going back to the last good checkpoint: `rollbacks.json`.

A list of {'from': the step that was not finite, 'to': that of the checkpoint}.
Data and latents of the steps that follow are drawn anew, as functions of the
number of the rollback. That in force at a step is the last in the list that
went back to this step or an earlier one; so a run that is killed goes on as it
would have.
"""

import json
from typing import NamedTuple

import jax
import numpy as np

from sagan_jax import errors, files
from sagan_jax.cluster import agree, sharding

FILE = 'rollbacks.json'


class _InForce(NamedTuple):
  number: int  # 1 for the first of the run.
  to: int


class Rollbacks:
  """Those of one run; every process calls every method.

  Args:
    workdir: of the run.
    is_main: whether this process writes.

  Raises:
    UserError: if the file is damaged.
  """

  def __init__(self, workdir, is_main):
    self._workdir = workdir
    self._is_main = is_main
    there = is_main and (workdir / FILE).exists()
    self._made = agree.decide('rollbacks', _read(workdir) if there else [])

  def __len__(self):
    return len(self._made)

  def add(self, from_step, to_step):
    """Records one more.

    Raises:
      UserError: if it cannot be written.
    """
    self._made = [*self._made, {'from': from_step, 'to': to_step}]
    if self._is_main:
      text = json.dumps(self._made, indent=2) + '\n'
      files.write(self._workdir / FILE, text)

  def data_seed(self, seed, step):
    """The seed of the data after a step.

    Args:
      seed: of the config.
      step: that training goes on from.
    """
    found = self._in_force(step)
    if not found:
      return seed
    drawn = np.random.SeedSequence([seed, found.number]).generate_state(1)
    return int(drawn[0] >> 1)  # Below 2**31, as seeds are.

  def renew(self, state, mesh):
    """A state as it was read from a checkpoint, with its latents drawn anew.

    Later checkpoints hold it so.

    Args:
      state: a `GanState`.
      mesh: that it is replicated on.

    Returns:
      The state; as it is if no rollback went back to its step.
    """
    step = int(state.step)
    found = self._in_force(step)
    if not found or found.to != step:
      return state
    fold = jax.jit(jax.random.fold_in, out_shardings=sharding.replicated(mesh))
    return state.replace(rng=fold(state.rng, found.number))

  def _in_force(self, step):
    for number in range(len(self._made), 0, -1):
      if self._made[number - 1]['to'] <= step:
        return _InForce(number, self._made[number - 1]['to'])
    return None


def _read(workdir):
  found = files.read_json(workdir / FILE)
  if isinstance(found, list) and all(
    isinstance(x, dict)
    and isinstance(x.get('from'), int)
    and isinstance(x.get('to'), int)
    for x in found
  ):
    return found
  raise errors.UserError(
    f'{workdir / FILE} is damaged: it must be a list of steps, from and to; '
    'restore it from a copy, or delete it, and data and latents are those of a '
    'run that never went back'
  )
