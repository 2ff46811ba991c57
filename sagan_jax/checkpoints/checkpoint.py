"""Saving and restoring a whole `GanState` with orbax, asynchronously.

A checkpoint at step N holds the state after N finished steps, so that a run
goes on with step N + 1. Beside the arrays lies a JSON table of their shapes,
dtypes and checksums: orbax itself casts to whatever dtype it is asked for, and
restores what a bad disk has made of the rest.
"""

import contextlib
import os
from typing import Any

import jax
import orbax.checkpoint as ocp
from absl import logging

from sagan_jax import errors, files
from sagan_jax.checkpoints import damage as checkpoint_damage
from sagan_jax.checkpoints import (
  failures,
  leaf_sums,
  listing,
  orbax_manager,
  restoring,
  retention,
)
from sagan_jax.checkpoints import table as checkpoint_table
from sagan_jax.cluster import agree


class Checkpointer:
  """The checkpoints of one run; every process calls every method.

  Args:
    directory: path or URL; the one that saves makes it if need be.
    keep_last: how many of the newest checkpoints stay.
    keep_every_steps: checkpoints at multiples of this stay too; None for none.
    writes: whether this is the one that saves. It removes what a process that
      died left half-written; a reader must not, as the writer may be at it.
    log: called with lines that the person who runs the command should read.

  Raises:
    UserError: if the directory cannot be made or read.
  """

  def __init__(
    self,
    directory,
    *,
    keep_last,
    keep_every_steps=None,
    writes=True,
    log=logging.info,
  ):
    self.directory = files.as_path(directory)
    self._log = log
    self._writes = writes
    self._keep = keep_last, keep_every_steps
    self._undeleted = set()
    self._on_full = None
    self._begun = None
    self._searches = 0
    if self.directory.exists() and not self.directory.is_dir():
      raise errors.UserError(
        f'{self.directory} must be a directory, for checkpoints; move what is '
        'there away, or choose another --workdir'
      )
    with files.writing(self.directory):
      if writes:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._clean()
      self._manager = self._open_manager()
    for line in listing.complaints(
      self.directory, listing.read(self.directory)
    ):
      log(line)

  def _open_manager(self):
    return orbax_manager.open_manager(
      self.directory,
      failed=self._end_others,
      saved=self._delete_old,
      writes=self._writes,
    )

  def steps(self):
    """The steps there are checkpoints of on the disk, ascending."""
    return listing.read(self.directory).steps

  def last_step(self):
    """The step of the newest checkpoint, int; None if there is none."""
    return max(self.steps(), default=None)

  def delete_after(self, step):
    """Deletes the checkpoints of later steps."""
    later = [each for each in self.steps() if each > step]
    if jax.process_index() == 0:
      for each in later:
        retention.delete(self.directory, each)
    agree.decide(f'deleted after {step} in {self.directory.name}', True)
    self._manager.reload()

  def save(self, state):
    """Starts to write a state; the arrays may be donated when this returns.

    Raises:
      UserError: if this or an earlier save failed, or the directory has an
        entry of this step or a later one.
    """
    step, saved = int(state.step), None
    with self._writing(f'the checkpoint of step {step}'):
      self._make_room(step)
      self._begun = step
      saved = self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          meta=ocp.args.JsonSave(
            {
              'format': checkpoint_table.FORMAT,
              'leaves': checkpoint_table.table(state),
              'sums': leaf_sums.of(state),
            }
          ),
        ),
      )
    if saved is None:  # The disk is full.
      return
    if not saved:
      raise errors.UserError(
        f'the checkpoint of step {step} was not written: {self.directory} '
        f'already has one of step {self.last_step()}; move that away, if this '
        'run did not make it, and run the same command again'
      )

  def survive_full_disk(self, on_full):
    """From now on a full disk loses a state and raises nothing here.

    Only for a process that saves alone.

    Args:
      on_full: called with a `DiskFull`, which it may raise.
    """
    self._on_full = on_full

  def has_begun(self, step):
    """Whether a step is saved, or is being saved and has not failed yet."""
    return step == self._begun or step in self.steps()

  def restore(self, target, step):
    """Reads the state of a step.

    Fields in `state.FRESH` that the checkpoint is too old to have are made from
    the others, and logged.

    Args:
      target: a `GanState` of arrays or of ShapeDtypeStructs with shardings.
      step: one of `steps()`.

    Returns:
      The state, placed as `target` says.

    Raises:
      checkpoint_damage.Damaged: if it is incomplete, or differs from what was saved.
      UserError: if the checkpoint is of another model or format.
    """
    return restoring.restore(
      self._manager, self.directory, target, step, self._log
    )

  def restore_newest(self, target) -> Any:
    """Reads the newest state that is as it was saved.

    The one that saves renames those that are not to N.damaged.

    Args:
      target: as of `restore`.

    Returns:
      The state.

    Raises:
      checkpoint_damage.Damaged: if all are damaged.
      UserError: if there is none, or as `restore`.
    """
    damage = None
    self._searches += 1
    name = f'{self.directory.name}, search {self._searches}'
    steps = agree.decide(f'checkpoints in {name}', self.steps())
    for step in reversed(steps):
      try:
        state, damage = self.restore(target, step), None
      except checkpoint_damage.Damaged as e:
        state, damage = None, e
      if _everywhere(f'restored {step} of {name}', state):
        return state
      damage = damage or checkpoint_damage.Damaged(
        self.directory / str(step), 'on another process'
      )
      if step != steps[0]:
        self._log(f'{damage}; going back to the checkpoint before it')
        if self._writes:
          self._set_aside(step)
    raise damage or errors.UserError(
      f'{self.directory} holds no checkpoint yet; train first, or set --workdir'
    )

  def _set_aside(self, step):
    """Renames a checkpoint, so that its step can be saved again."""
    if jax.process_index() == 0:
      retention.move(self.directory / str(step), listing.DAMAGED)
    agree.decide(f'set aside {step}', True)
    self._manager.reload()

  def _make_room(self, step):
    """Renames what has the name of a checkpoint and is none."""
    path = self.directory / str(step)
    if jax.process_index() == 0 and not files.is_remote(path):
      if os.path.lexists(path) and step not in self.steps():
        aside = retention.move(path, listing.STRAY)
        self._log(f'{path} is no checkpoint, and is {aside.name} from now on')

  def _clean(self):
    """Deletes what a process has left that died."""
    leftovers = listing.read(self.directory).leftovers
    if jax.process_index() == 0:
      retention.delete_leftovers(self.directory, leftovers)

  def _delete_old(self):
    """Deletes what need not stay; called in a thread when a state is saved."""
    if jax.process_index() == 0:
      to_keep = *self._keep, self._log, self._undeleted
      retention.delete_old(self.directory, *to_keep)

  def check(self):
    """Raises UserError if a save in the background has failed."""
    with self._writing():
      # Orbax's own check misses what fails in its second thread; waiting for
      # one that is done takes no time.
      if not self._manager.is_saving_in_progress():
        self._manager.wait_until_finished()

  def wait(self):
    """Blocks until all saves are on disk; raises as `check` does."""
    with self._writing():
      self._manager.wait_until_finished()

  def close(self):
    """Waits, then gives up the background threads; raises as `check` does."""
    self._on_full = None  # Nobody would save the state again.
    with self._writing():
      try:
        self._manager.wait_until_finished()
      finally:
        self._manager.close()

  def _end_others(self, error):
    """Tells other processes of a failed save: their part would wait for it."""
    if self._on_full:  # There are none; who trains finds out by `check`.
      return
    try:
      with self._writing():
        raise error
    except jax.errors.JaxRuntimeError:
      return
    except errors.UserError as e:
      # A timeout is of such a wait, for another that has failed.
      if not isinstance(error, TimeoutError):
        agree.fail(e)

  @contextlib.contextmanager
  def _writing(self, what='a checkpoint'):
    """Turns whatever a save raises into a UserError that says what to do."""
    try:
      yield
    except jax.errors.JaxRuntimeError:  # Of the device, not of the files.
      raise
    except Exception as e:  # Orbax has no class of its own: plain Exception.
      failure = failures.of_save(what, self.directory, self.last_step(), e)
      if not isinstance(failure, errors.DiskFull) or not self._on_full:
        raise failure from e
      self._begin_anew()
      self._on_full(failure)

  def _begin_anew(self):
    """Gives up what a failed save has left, in memory and on the disk."""
    self._begun = None
    with contextlib.suppress(Exception):  # It raises what it has raised.
      self._manager.close()
    with contextlib.suppress(errors.UserError):  # A thread may still be at it.
      self._clean()
    self._manager = self._open_manager()


def _everywhere(name, found):
  """Whether all processes have found something; `name` is never used twice."""
  group = agree.group()
  if group is None:
    return found is not None
  return all(group.gather(name, found is not None))
