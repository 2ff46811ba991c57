"""Orbax's manager of checkpoints, as this package uses it."""

import re

import orbax.checkpoint as ocp

from sagan_jax import files
from sagan_jax.checkpoints import alias, listing, orbax_noise


def open_manager(directory, *, failed, saved, writes):
  """Opens the manager of a directory of checkpoints.

  Args:
    directory: an `epath.Path`.
    failed: called in a thread with the exception of a save.
    saved: called in a thread when a save is complete, to delete older ones:
      orbax looks at every entry for each that it deletes, and takes a failure
      for one of the save.
    writes: whether to remove what was left half-written in a bucket.
  """
  orbax_noise.silence()
  return _Manager(
    failed,
    saved,
    alias.of(directory),
    options=ocp.CheckpointManagerOptions(
      create=False,  # It is there, but for a reader who finds nothing.
      # It looks at every entry, too; on a disk, names tell enough.
      cleanup_tmp_directories=writes and files.is_remote(directory),
      step_name_format=listing.NameFormat(),
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
    saved: called in a thread when all of this process is written.
    *arguments: of `ocp.CheckpointManager`.
    **options: of `ocp.CheckpointManager`.
  """

  def __init__(self, failed, saved, *arguments, **options):
    self._failed = failed
    self._saved = saved
    super().__init__(*arguments, **options)

  def _wait_for_checkpointers(self):
    try:
      super()._wait_for_checkpointers()
    except Exception as e:
      self._failed(e)
      raise
    self._saved()


def in_one_line(error):
  """Where and why something failed, without TensorStore's specifications."""
  line = f'{type(error).__name__}: {error}'.splitlines()[0]
  line = re.split(r' \[(?:tensorstore_spec|os_error_code)| See full ', line)[0]
  line = alias.undone(line)
  return line if len(line) <= 240 else f'{line[:100]} ... {line[-120:]}'
