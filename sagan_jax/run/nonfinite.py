"""What a run does about losses and weights that are not finite."""

from collections.abc import Callable

from sagan_jax import errors


class NotFinite(errors.UserError):
  """A loss, or weights, that are not finite.

  Args:
    step: of it.
    text: which, and what to do about it.
  """

  def __init__(self, step: int, text: str):
    super().__init__(text)
    self.step = step


class Skips:
  """Counts steps with updates that the device has left out.

  Args:
    most: steps in a row; one more is one too many.
    write: called with a step and its row.
    say: called with lines of text: of the first, second, fourth, ... step.
    advice: what to do about numbers that are not finite.
  """

  def __init__(
    self,
    most: int,
    write: Callable[[int, dict[str, float]], None],
    say: Callable[[str], None],
    advice: Callable[[], str],
  ):
    self._most = most
    self._write = write
    self._say = say
    self._advice = advice
    self._in_a_row = 0
    self._total = 0

  def look(self, step: int, d_skipped: float, g_skipped: float) -> bool:
    """Takes how many updates of each network a step has left out.

    Returns:
      Whether there were any.

    Raises:
      UserError: if it is so for too many steps in a row.
    """
    if not d_skipped and not g_skipped:
      self._in_a_row = 0
      return False
    self._in_a_row += 1
    self._total += 1
    row = {'d_skipped': d_skipped, 'g_skipped': g_skipped}
    self._write(step, {f'nonfinite/{k}': v for k, v in row.items()})
    if self._total & (self._total - 1) == 0:
      self._say(
        f'step {step}: left out {d_skipped:.0f} updates of the discriminator '
        f'and {g_skipped:.0f} of the generator, which were not finite '
        f'(step {self._total:,} of this kind since the start)'
      )
    if self._in_a_row > self._most:
      raise errors.UserError(
        f'updates of {self._in_a_row} steps in a row, the last of them {step}, '
        f'were not finite, more than --config.max_nonfinite={self._most}; '
        f'{self._advice()}'
      )
    return True
