"""Saving and restoring a whole `GanState` with orbax, asynchronously.

A checkpoint at step N holds the state after N finished steps, so that a run
goes on with step N + 1. Beside the arrays lies a JSON table of their shapes
and dtypes: orbax itself casts to whatever dtype it is asked for.
"""

import jax
import orbax.checkpoint as ocp
from absl import logging

FORMAT = 1  # Of the tree below; raised when an older one cannot be read.


class Checkpointer:
  """The checkpoints of one run; every process calls every method.

  Args:
    directory: absolute path; made if it does not exist.
    keep_last: how many of the newest checkpoints stay.
    keep_every_steps: checkpoints at multiples of this stay too; None for none.
    writes: whether this is the one that saves. It removes what a process that
      died left half-written; a reader must not, as the writer may be at it.
  """

  def __init__(
    self, directory, *, keep_last, keep_every_steps=None, writes=True
  ):
    self._manager = ocp.CheckpointManager(
      directory,
      options=ocp.CheckpointManagerOptions(
        max_to_keep=keep_last,
        keep_period=keep_every_steps,
        cleanup_tmp_directories=writes,
        enable_async_checkpointing=True,
      ),
    )

  def steps(self):
    """The steps there are checkpoints of, ascending."""
    return sorted(self._manager.all_steps())

  def delete_after(self, step):
    """Deletes the checkpoints of later steps."""
    for later in self.steps():
      if later > step:
        self._manager.delete(later)

  def save(self, state):
    """Starts to write a state; the arrays may be donated when this returns.

    Raises:
      RuntimeError: if this or an earlier save failed.
    """
    step = int(state.step)
    with _explained(f'the checkpoint of step {step}'):
      self._manager.save(
        step,
        args=ocp.args.Composite(
          state=ocp.args.StandardSave(state),
          meta=ocp.args.JsonSave({'format': FORMAT, 'leaves': table(state)}),
        ),
      )

  def restore(self, target, step):
    """Reads the state of a step.

    Args:
      target: a `GanState` of arrays or of ShapeDtypeStructs with shardings.
      step: one of `steps()`.

    Returns:
      The state, placed as `target` says.

    Raises:
      ValueError: if the checkpoint is of another model or format.
    """
    meta = self._manager.restore(
      step, args=ocp.args.Composite(meta=ocp.args.JsonRestore())
    ).meta
    if meta['format'] != FORMAT:
      raise ValueError(
        f'the checkpoint of step {step} in {self._manager.directory} has '
        f'format {meta["format"]}, this version reads {FORMAT}'
      )
    _check_same_model(meta['leaves'], table(target), step)
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, target)
    return self._manager.restore(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)),
    ).state

  def check(self):
    """Raises RuntimeError if a save in the background has failed."""
    with _explained('a checkpoint in the background'):
      self._manager.check_for_errors()

  def wait(self):
    """Blocks until all saves are on disk; raises as `check` does."""
    with _explained('a checkpoint in the background'):
      self._manager.wait_until_finished()

  def close(self):
    """Waits, then gives up the background thread."""
    self.wait()
    self._manager.close()


def table(state):
  """{path: [shape, dtype]} of the leaves of a state."""
  return {
    jax.tree_util.keystr(path): [list(leaf.shape), str(leaf.dtype)]
    for path, leaf in jax.tree_util.tree_leaves_with_path(state)
  }


class _explained:  # noqa: N801 - reads as a verb where it is used.
  """Re-raises whatever a save raises as a RuntimeError that says what to do."""

  def __init__(self, what):
    self._what = what

  def __enter__(self):
    return self

  def __exit__(self, kind, error, traceback):
    if isinstance(error, Exception):
      logging.error('%s could not be written', self._what)
      raise RuntimeError(
        f'{self._what} could not be written ({type(error).__name__}: {error}); '
        'earlier checkpoints are intact: mend the cause and run the same '
        'command again'
      ) from error


def _check_same_model(saved, wanted, step):
  lines = [
    f'{path}: checkpoint {saved.get(path, "nothing")}, '
    f'model {wanted.get(path, "nothing")}'
    for path in sorted(saved.keys() | wanted.keys())
    if saved.get(path) != wanted.get(path)
  ]
  if lines:
    shown = '\n  '.join(lines[:5])
    more = f'\n  and {len(lines) - 5} more' if len(lines) > 5 else ''
    raise ValueError(
      f'the checkpoint of step {step} is of another model; these arrays '
      f'differ:\n  {shown}{more}\nuse the config it was trained with, or '
      'another --workdir'
    )
