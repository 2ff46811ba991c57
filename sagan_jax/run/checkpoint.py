"""Saving and restoring a whole `GanState` with orbax, asynchronously.

A checkpoint at step N holds the state after N finished steps, so that a run
goes on with step N + 1. Beside the arrays lies a JSON table of their shapes
and dtypes: orbax itself casts to whatever dtype it is asked for.
"""

import contextlib
import functools
import re

import jax
import orbax.checkpoint as ocp
from absl import logging

from sagan_jax import errors, files
from sagan_jax.cluster import agree
from sagan_jax.gan import state as state_lib
from sagan_jax.run import orbax_noise

FORMAT = 1  # Of the tree below; raised when an older one cannot be read.


class Checkpointer:
  """The checkpoints of one run; every process calls every method.

  Args:
    directory: path or URL; made if it does not exist.
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
    orbax_noise.silence()
    with files.writing(self.directory):
      self._manager = _Manager(
        self._end_others,
        self.directory,
        options=ocp.CheckpointManagerOptions(
          max_to_keep=keep_last,
          keep_period=keep_every_steps,
          cleanup_tmp_directories=writes,
          enable_async_checkpointing=True,
          # Else processes mix up what they wait for, where the best state is
          # saved while the last one still is.
          multiprocessing_options=ocp.options.MultiprocessingOptions(
            barrier_sync_key_prefix=self.directory.name
          ),
          # Where a directory cannot be made, threads that wait for it would
          # keep the process alive for ten minutes.
          async_options=ocp.AsyncOptions(
            create_directories_asynchronously=False
          ),
        ),
      )
    if not self.directory.is_dir():
      raise errors.UserError(
        f'{self.directory} must be a directory, for checkpoints; move what is '
        'there away, or choose another --workdir'
      )

  def steps(self):
    """The steps there are checkpoints of, ascending."""
    return sorted(self._manager.all_steps())

  def last_step(self):
    """The step of the newest checkpoint, int; None if there is none."""
    return max(self.steps(), default=None)

  def delete_after(self, step):
    """Deletes the checkpoints of later steps."""
    for later in self.steps():
      if later > step:
        with files.writing(self.directory / str(later)):
          self._manager.delete(later)

  def save(self, state):
    """Starts to write a state; the arrays may be donated when this returns.

    Raises:
      UserError: if this or an earlier save failed, or the directory has an
        entry of this step or a later one.
    """
    step = int(state.step)
    with self._writing(f'the checkpoint of step {step}'):
      saved = self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          meta=ocp.args.JsonSave({'format': FORMAT, 'leaves': table(state)}),
        ),
      )
    if not saved:
      raise errors.UserError(
        f'the checkpoint of step {step} was not written: {self.directory} '
        f'already has one of step {self.last_step()}; move that away, if this '
        'run did not make it, and run the same command again'
      )

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
      UserError: if the checkpoint is of another model or format, or damaged.
    """
    path = self.directory / str(step)
    saved = self._read_table(path, step)
    fresh = [
      name
      for name in state_lib.FRESH
      if not any(re.match(rf'\.{name}\b', leaf) for leaf in saved)
    ]
    _check_same_model(
      saved, table(target.replace(**dict.fromkeys(fresh))), path
    )
    wanted = jax.tree.map(
      ocp.utils.to_shape_dtype_struct,
      {k: v for k, v in vars(target).items() if k not in fresh},
    )
    try:
      found = self._manager.restore(
        step, args=ocp.args.Composite(state=ocp.args.StandardRestore(wanted))
      )['state']
    except jax.errors.JaxRuntimeError:  # Of the device, not of the files.
      raise
    except Exception as e:  # Orbax has no class of its own: plain Exception.
      raise self._damaged(path, step, e) from e
    state = target.replace(**dict.fromkeys(fresh), **found)
    if fresh:
      self._log(
        f'{path} was saved before the state had {", ".join(fresh)}: fresh there'
      )
      state = jax.jit(
        functools.partial(state_lib.with_fresh, names=fresh),
        donate_argnums=0,
        out_shardings=jax.tree.map(lambda x: x.sharding, target),
      )(state)
    return state

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
    with self._writing():
      try:
        self._manager.wait_until_finished()
      finally:
        self._manager.close()

  def _end_others(self, error):
    """Tells other processes of a failed save: their part would wait for it."""
    try:
      with self._writing():
        raise error
    except (jax.errors.JaxRuntimeError, errors.UserError) as e:
      if isinstance(e, errors.UserError) and not isinstance(
        error,
        TimeoutError,  # Of such a wait, for another that has failed.
      ):
        agree.fail(e)

  @contextlib.contextmanager
  def _writing(self, what='a checkpoint'):
    """Turns whatever a save raises into a UserError that says what to do."""
    try:
      yield
    except jax.errors.JaxRuntimeError:  # Of the device, not of the files.
      raise
    except Exception as e:  # Orbax has no class of its own: plain Exception.
      last = self.last_step()
      earlier = (
        'there is no earlier one'
        if last is None
        else f'that of step {last} is intact'
      )
      raise errors.UserError(
        f'{what} could not be written to {self.directory} '
        f'({_in_one_line(e)}); {earlier}: free space there or mend its '
        'permissions, and run the same command again'
      ) from e

  def _read_table(self, path, step):
    """The table that was saved beside the arrays of a checkpoint."""
    try:
      meta = files.read_json(path / 'meta' / 'metadata')
      version, leaves = meta['format'], dict(meta['leaves'])
    except (ValueError, KeyError, TypeError) as e:  # A UserError too.
      raise self._damaged(path, step, e) from e
    if version != FORMAT:
      raise errors.UserError(
        f'the checkpoint {path} has format {version}, this version reads '
        f'{FORMAT}; use the version that it was trained with, or another '
        '--workdir'
      )
    return leaves

  def _damaged(self, path, step, error):
    """The refusal of a checkpoint that cannot be read because of an error."""
    earlier = max((s for s in self.steps() if s < step), default=None)
    advice = (
      f'to go on from step {earlier}'
      if earlier is not None
      else 'to begin anew, as no earlier one is there'
    )
    return errors.UserError(
      f'the checkpoint {path} is damaged ({_in_one_line(error)}); restore its '
      f'files from a copy, or move it away {advice}'
    )


class _Manager(ocp.CheckpointManager):
  """One that tells at once when the part of a save of this process has failed.

  Orbax raises what has happened only after it has waited for all processes.

  Args:
    failed: called with the exception, in a thread.
    *arguments: of `ocp.CheckpointManager`.
    **options: of `ocp.CheckpointManager`.
  """

  def __init__(self, failed, *arguments, **options):
    self._failed = failed
    super().__init__(*arguments, **options)

  def _wait_for_checkpointers(self):
    try:
      super()._wait_for_checkpointers()
    except Exception as e:
      self._failed(e)
      raise


def table(state):
  """{path: [shape, dtype]} of the leaves of a state."""
  return {
    jax.tree_util.keystr(path): [list(leaf.shape), str(leaf.dtype)]
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }


def _in_one_line(error):
  """Where and why something failed, without TensorStore's specifications."""
  line = f'{type(error).__name__}: {error}'.splitlines()[0]
  line = re.split(r' \[(?:tensorstore_spec|os_error_code)| See full ', line)[0]
  return line if len(line) <= 240 else f'{line[:100]} ... {line[-120:]}'


def _check_same_model(saved, wanted, path):
  lines = [
    f'{leaf}: checkpoint {saved.get(leaf, "nothing")}, '
    f'model {wanted.get(leaf, "nothing")}'
    for leaf in sorted(saved.keys() | wanted.keys())
    if saved.get(leaf) != wanted.get(leaf)
  ]
  if lines:
    shown = '\n  '.join(lines[:5])
    more = f'\n  and {len(lines) - 5} more' if len(lines) > 5 else ''
    raise errors.UserError(
      f'the checkpoint {path} is of another model: use the config it was '
      'trained with, or another --workdir; these arrays differ:\n  '
      f'{shown}{more}'
    )
