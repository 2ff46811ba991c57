"""Thins the log of a run of the quickstart's config, changed or not.

python -m tests.verdicts.verdict_rows.thin RUN OUTPUT.csv
"""

import csv
import json
import pathlib
import sys

from sagan_jax.config import schema

KEPT = ('train/', 'eval/', 'sample/', 'perf/data_share')


def main(run, output):
  config = schema.flatten(schema.saved(pathlib.Path(run) / 'config.json'))
  usual = schema.flatten(schema.load('quickstart'))
  flags = [
    f'--config.{key}={value}'
    for key, value in config.items()
    if value != usual[key]
  ]
  lines = (pathlib.Path(run) / 'metrics.jsonl').read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  names = {name for row in rows for name in row if name.startswith(KEPT)}
  with open(output, 'w', newline='') as file:
    command = 'python -m sagan_jax.main --config=quickstart'
    print('#', command, *flags, file=file)
    writer = csv.DictWriter(
      file, ['step', *sorted(names)], extrasaction='ignore'
    )
    writer.writeheader()
    for row in rows:
      numbers = {k: f'{v:.5g}' for k, v in row.items()}
      writer.writerow({**numbers, 'step': row['step']})


if __name__ == '__main__':
  main(*sys.argv[1:])
