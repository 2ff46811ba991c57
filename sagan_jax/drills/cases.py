"""The cases by name, in the order in which they are tried."""

from collections.abc import Callable

from sagan_jax import errors
from sagan_jax.drills import (
  damage,
  drill,
  hangs,
  kills,
  numbers,
  refusals,
  stops,
  two_processes,
)

CASES: dict[str, Callable[[drill.Trial], str]] = {
  'two-processes': two_processes.deaths,  # The longest.
  'kill': kills.at_random,
  'kill-at-saves': kills.at_saves,
  'signals': stops.signals,
  'flips': damage.flips,
  'stray': damage.stray,
  'full-disk': damage.full_disk,
  'vanished': damage.vanished,
  'nan-stop': numbers.stop,
  'nan-skip': numbers.skip,
  'nan-rollback': numbers.roll_back,
  'stalled-data': hangs.stalled_data,
  'unreadable-data': hangs.unreadable_data,
  'crashes': hangs.crashes,
  'hangs': hangs.hangs,
  'second-writer': refusals.second_writer,
  'changed-config': refusals.changed_config,
  'damaged-files': refusals.damaged_files,
  'read-only': refusals.read_only,
}


def chosen(text: str | None) -> list[str]:
  """The names in a list of cases, in the order of `CASES`.

  Args:
    text: 'NAME,...'; None for all.

  Raises:
    UserError: if there is no such case.
  """
  if text is None:
    return list(CASES)
  names = text.split(',')
  for name in names:
    if name not in CASES:
      raise errors.UserError(
        f'there is no case {name!r}; set --cases to some of {",".join(CASES)}'
      )
  return [name for name in CASES if name in names]
