"""Stops of two processes at random moments, again and again.

  python -m tests.cluster.random_stops --repetitions=20 --seed=0

Each repetition signals one process or both of a small run, and repeats the
command until the run is finished; its state must be that of an undisturbed run.
Takes minutes, so it is no test.
"""

import argparse
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

from tests.support import processes

STOP_SECS = 30
NUM_STEPS = 60


def main():
  """Prints a line per repetition; ends with 1 if any was wrong."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--repetitions', type=int, default=20)
  parser.add_argument('--seed', type=int, default=0)
  args = parser.parse_args()
  draw = random.Random(args.seed)
  wrong = 0
  with tempfile.TemporaryDirectory() as wanted:
    processes.run_alone(wanted, 2, num_steps=NUM_STEPS)
    for i in range(args.repetitions):
      with tempfile.TemporaryDirectory() as directory:
        faults = _repetition(pathlib.Path(directory), draw, wanted, i)
      wrong += bool(faults)
  print(f'{wrong} of {args.repetitions} were wrong')
  sys.exit(bool(wrong))


def _repetition(workdir, draw, wanted, i):
  """Returns what was wrong, a list of lines."""
  faults = []
  launcher = processes.start(workdir, num_steps=NUM_STEPS)
  number = draw.choice([signal.SIGTERM, signal.SIGTERM, signal.SIGINT])
  whom = draw.choice([[0], [1], [0, 1], [0, 1, 'apart'], [1, 0, 'apart']])
  delay = draw.uniform(2, 12)
  time.sleep(delay)
  began = time.monotonic()
  for index in whom:
    if index == 'apart' or launcher.poll() is not None:
      continue
    try:
      processes.terminate(launcher, index, number)
    except (AssertionError, FileNotFoundError):
      continue  # It has ended.
    if 'apart' in whom:
      time.sleep(1)
  code, codes, output = processes.end(launcher)
  secs = time.monotonic() - began
  steps = set(re.findall(r'stopped after step (\d+)', output))
  # What was signalled before Python had come so far is killed by it.
  unborn = {128 + number} if delay < 4 else set()
  if code not in {0, 75} | unborn or set(codes.values()) - {75} - unborn:
    faults.append(f'codes {code} {codes}')
  if code == 75 and secs > STOP_SECS:
    faults.append(f'{secs:.0f} s')
  if len(steps) > 1:
    faults.append(f'steps {sorted(steps)}')
  again, _, told = processes.run(workdir, num_steps=NUM_STEPS)
  if again != 0:
    faults.append(f'then code {again}: {told[-500:]}')
  else:
    faults += processes.differences(workdir, pathlib.Path(wanted))
  print(
    f'{i}: {number.name} to {whom} after {delay:.1f} s: {code} in {secs:.1f} s,'
    f' step {sorted(steps)}: {faults or "right"}',
    flush=True,
  )
  if faults:
    print(output[-3000:])
  return faults


if __name__ == '__main__':
  main()
