"""The protocol of a score: everything that moves the number, beside it."""

import json
import pathlib
from typing import Any

# Two scores may differ in these and still be of one protocol: they say which
# model was scored and where, not how.
IDENTITY = (
  'weights',
  'bn_statistics',
  'truncation',
  'step',
  'versions',
  'device_kind',
)


def check_same(card_a: dict[str, Any], card_b: dict[str, Any]) -> None:
  """Refuses to compare scores of different protocols.

  Args:
    card_a: a protocol card, as `evaluate` writes it.
    card_b: another one.

  Raises:
    ValueError: listing what differs, but for `IDENTITY`.
  """
  lines = [
    f'{key}: {card_a.get(key, "nothing")!r} and {card_b.get(key, "nothing")!r}'
    for key in sorted(card_a.keys() | card_b.keys())
    if key not in IDENTITY and card_a.get(key) != card_b.get(key)
  ]
  if lines:
    raise ValueError(
      'these scores are of different protocols and cannot be compared:\n  '
      + '\n  '.join(lines)
    )


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """Reads records {'card': ..., 'scores': ...}; [] if there is no such file."""
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: pathlib.Path, records: list[dict[str, Any]]) -> None:
  """Writes records as JSON lines, all or none of them."""
  part = path.with_suffix('.part')
  part.write_text(''.join(json.dumps(record) + '\n' for record in records))
  part.replace(path)
