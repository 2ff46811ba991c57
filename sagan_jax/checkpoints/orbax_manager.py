"""Orbax's manager of checkpoints, as this package uses it."""

import re

import orbax.checkpoint as ocp

from sagan_jax.checkpoints import alias, orbax_noise


def open_manager(directory, failed, *, keep_last, keep_every_steps, writes):
  """Opens the manager of a directory of checkpoints.

  Args:
    directory: an `epath.Path`.
    failed: called in a thread with the exception of a save.
    keep_last: how many of the newest checkpoints stay.
    keep_every_steps: checkpoints at multiples of this stay too; None for none.
    writes: whether to remove what was left half-written.
  """
  orbax_noise.silence()
  return _Manager(
    failed,
    alias.of(directory),
    options=ocp.CheckpointManagerOptions(
      max_to_keep=keep_last,
      keep_period=keep_every_steps,
      create=False,  # It is there, but for a reader who finds nothing.
      cleanup_tmp_directories=writes,
      enable_async_checkpointing=True,
      # Else processes mix up what they wait for, where the best state is
      # saved while the last one still is.
      multiprocessing_options=ocp.options.MultiprocessingOptions(
        barrier_sync_key_prefix=directory.name
      ),
      # Where a directory cannot be made, threads that wait for it would
      # keep the process alive for ten minutes.
      async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
    ),
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


def in_one_line(error):
  """Where and why something failed, without TensorStore's specifications."""
  line = f'{type(error).__name__}: {error}'.splitlines()[0]
  line = re.split(r' \[(?:tensorstore_spec|os_error_code)| See full ', line)[0]
  line = alias.undone(line)
  return line if len(line) <= 240 else f'{line[:100]} ... {line[-120:]}'
