"""The batches of the steps of a run, read ahead."""

import functools

from sagan_jax import errors
from sagan_jax.cluster import agree, sharding
from sagan_jax.data import prefetch
from sagan_jax.gan import build
from sagan_jax.run import stall, stop

# By so many steps a process can be ahead of another: it launches one when that
# before the last is finished.
_AHEAD = 2


class Batches(prefetch.Prefetcher):
  """The batches from a step on, on the devices.

  One of several processes that cannot read what comes has time to stop with the
  others: as many batches as they can be ahead are left.

  Attributes:
    unreadable: the `UserError` for which all processes were asked to stop; None
      if they were not.

  Args:
    run: a `run.Run`.
    config: its `Config`, with the seed of the data.
    start: the step that the run goes on from.
  """

  def __init__(self, run, config, start):
    self.unreadable = None
    self._run = run
    self._start = start
    super().__init__(
      build.host_batches(run.source, config, start),
      functools.partial(
        sharding.put_batch, sharding=sharding.split_batch(run.mesh, axis=1)
      ),
      depth=config.prefetch,
      reserve=_AHEAD if agree.group() else 0,
    )

  def after(self, state):
    """The batch of the step after a `GanState`.

    Raises:
      UserError: if it cannot be read.
      Stopped: if this process alone is asked to stop while it waits.
    """
    batch = self.next(stall.Stall(self._run, state))
    # After a step the others are in the loop too, where they can save.
    if (
      isinstance(self.error, errors.UserError)
      and not self.unreadable
      and agree.group()
      and int(state.step) > self._start
    ):
      self.unreadable = self.error
      stop.request_of_all()
    return batch
