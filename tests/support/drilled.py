"""Stands in for `sagan_jax.main` in a drill: trains nothing, in no time.

  python drilled.py DEFECT [none|FAULT] --workdir=DIR ...

Goes on from its checkpoints, stops on SIGTERM, and writes rows, checkpoints and
pictures as a run does, each step in its own time. DEFECT says how it breaks the
promises of the package: `rows` loses those before a restart, `pictures` those
that were due, `state` counts wrong, `deaf` ends by SIGTERM unsaved, `noisy`
shows a traceback, `differs` is never the same twice; `none` breaks none.
"""

import json
import pathlib
import signal
import sys
import time

NUM_STEPS = 12
SAVE_EVERY = 3
STEP_SECS = 0.03


def main():
  defect, flags = (
    sys.argv[1],
    dict(x.split('=', 1) for x in sys.argv[2:] if x.startswith('--')),
  )
  workdir = pathlib.Path(flags['--workdir'])
  (workdir / 'samples').mkdir(parents=True, exist_ok=True)
  (workdir / 'checkpoints').mkdir(exist_ok=True)
  asked = []
  if defect != 'deaf':
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
  saved = [int(p.name) for p in (workdir / 'checkpoints').iterdir()]
  first = max(saved, default=0)
  log = workdir / 'metrics.jsonl'
  lines = log.read_text().splitlines() if log.exists() else []
  if first and defect == 'noisy':
    print('Traceback (most recent call last):')
  if first and defect == 'rows':
    lines = []
  kept = [x for x in lines if json.loads(x)['step'] <= first]
  log.write_text(''.join(f'{x}\n' for x in kept))
  for step in range(first + 1, NUM_STEPS + 1):
    time.sleep(STEP_SECS)
    row = {'step': step, 'train/d_loss': step / 7, 'perf/x': time.time()}
    if defect == 'differs':
      row['train/d_loss'] = time.time()
    with log.open('a') as file:
      file.write(json.dumps(row) + '\n')
    if step % 4 == 0 and not (first and defect == 'pictures'):
      (workdir / 'samples' / f'{step:08d}_raw.png').write_text(str(step))
    if step % SAVE_EVERY == 0 or asked:
      save(workdir, step, first if defect == 'state' else 0)
    if asked and step < NUM_STEPS:
      print(f'stopped after step {step}, which is saved', flush=True)
      sys.exit(75)


def save(workdir, step, error):
  part = workdir / f'{step}.part'
  part.write_text(str(step + error))
  part.rename(workdir / 'checkpoints' / str(step))


if __name__ == '__main__':
  main()
