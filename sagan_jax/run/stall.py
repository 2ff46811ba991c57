"""What a run does while it waits for a batch."""

import jax

from sagan_jax.run import stop


class Stall:
  """Names data that gives no batch, in a line per interval; can be stopped.

  Args:
    run: a `run.Run`.
    state: a `GanState`, after the step that comes before the batch.
  """

  def __init__(self, run, state):
    self._run = run
    self._state = state
    self._told = 0

  def __call__(self, secs: float) -> None:
    """Looks after so many seconds of waiting; raises `Stopped` if asked to."""
    stop.check()
    every = self._run.config.stall_secs
    if secs < every * (self._told + 1):
      return
    self._told = int(secs // every)
    who = ''
    if jax.process_count() > 1:  # Others may have their data.
      who = f'process {jax.process_index()}: '
    print(
      f'{who}no batch from {self._run.source.name} for {secs:.0f} s, after '
      f'step {int(self._state.step)}: it is slow, or it hangs; look at its disk or network',
      flush=True,
    )
