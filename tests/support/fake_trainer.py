"""Stands in for `sagan_jax.main` in a sweep: trains nothing, in no time.

It writes the files of a run as that does, goes on from its checkpoints, and
stops on SIGTERM. How it behaves is told by the environment: `FAKE_STEP_SECS`,
and `FAKE_EXITS`, JSON of {part of a directory's name: [exit codes of the first
processes that train there, at half their steps]}. Every process adds a line
(first step, last step, exit code) to NAME/history.
"""

import json
import os
import pathlib
import signal
import sys
import time


def score(config, step):
  """What an evaluation gives: a number that can be computed by hand."""
  return (
    config['optim.generator.learning_rate'] * 1e4
    + config['seed'] * 10
    + 1000 / (step + 1)
  )


def main():
  workdir = pathlib.Path(sys.argv[1].removeprefix('--workdir='))
  config = json.loads((workdir / 'config.json').read_text())
  stopped = []
  signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
  num_steps = config['num_steps']
  first = max(
    (int(p.name) for p in (workdir / 'checkpoints').glob('*')), default=0
  )
  code, fails_at = planned(workdir), (first + num_steps) // 2
  step = first
  while step < num_steps:
    step += 1
    time.sleep(float(os.environ.get('FAKE_STEP_SECS', '0')))
    log(workdir / 'metrics.jsonl', {'step': step, 'perf/images_per_sec': 8.5})
    if step % config['eval.every_steps'] == 0 or step == num_steps:
      evaluate(workdir, config, step)
    if step % config['checkpoint.every_steps'] == 0:
      save(workdir, step)
    if code is not None and step == fails_at:
      print('error: the disk of step', step, 'is full', flush=True)
      end(workdir, first, step, code)
    if stopped:
      end(workdir, first, step, 75)
  (workdir / 'samples').mkdir(exist_ok=True)
  for weights in ('raw', 'ema'):
    (workdir / 'samples' / f'{step:08d}_{weights}.png').touch()
  end(workdir, first, step, 0)


def planned(workdir):
  """The exit code that this process is to have, or None."""
  history = workdir / 'history'
  count = len(history.read_text().splitlines()) if history.exists() else 0
  for part, codes in json.loads(os.environ.get('FAKE_EXITS', '{}')).items():
    if part in workdir.name and count < len(codes):
      return codes[count]
  return None


def evaluate(workdir, config, step):
  protocol = {
    'extractor': 'random',
    'num_fake': config['eval.num_fakes'],
    'step': step,
    'weights': 'ema',
    'bn_statistics': 'standing',
    'truncation': None,
    'device_kind': 'none',
  }
  scores = {'fid_random': score(config, step)}
  log(workdir / 'evaluations.jsonl', {'card': protocol, 'scores': scores})


def log(path, row):
  with path.open('a') as file:
    file.write(json.dumps(row) + '\n')


def save(workdir, step):
  (workdir / 'checkpoints' / f'{step}' / 'state').mkdir(
    parents=True, exist_ok=True
  )


def end(workdir, first, step, code):
  if code in (0, 75, 76):
    save(workdir, step)
  with (workdir / 'history').open('a') as file:
    file.write(f'{first} {step} {code}\n')
  if code < 0:
    os.kill(os.getpid(), -code)
  sys.exit(code)


if __name__ == '__main__':
  main()
