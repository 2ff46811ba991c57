"""What a run shows: metrics.jsonl, TensorBoard and a line of progress."""

import json
import sys
import time

import jax
import tqdm

from sagan_jax import progress


class Writer:
  """Appends rows of numbers to `metrics.jsonl` and to TensorBoard.

  Only process 0 should have one.

  Args:
    directory: pathlib.Path that exists.
    start_step: rows beyond it, left by a run that died, are dropped;
      None keeps all.
    tensorboard: whether to write event files too, through clu; 'auto' where
      that is installed.
  """

  def __init__(self, directory, start_step, *, tensorboard):
    self._board = (
      _summary_writer(directory, tensorboard) if tensorboard else None
    )
    path = directory / 'metrics.jsonl'
    if start_step is not None and path.exists():
      _drop_rows_after(path, start_step)
    self._file = path.open('a')

  def write(self, step, scalars):
    """Writes one row {'step': step, **scalars}."""
    self._file.write(json.dumps({'step': step, **scalars}) + '\n')
    self._file.flush()
    if self._board:
      self._board.write_scalars(step, scalars)

  def write_image(self, step, name, image):
    """Shows uint8 [H, W, 3] in TensorBoard."""
    if self._board:
      self._board.write_images(step, {name: image[None]})

  def close(self):
    """Flushes everything."""
    self._file.close()
    if self._board:
      self._board.close()


class Clock:
  """Where the time goes: seconds in named sections, against all seconds."""

  def __init__(self):
    self.restart()

  def restart(self):
    """Forgets all seconds so far."""
    self._secs = {}
    self._start = time.perf_counter()

  def add(self, section, secs):
    """Counts seconds towards a section."""
    self._secs[section] = self._secs.get(section, 0.0) + secs

  def section(self, name):
    """A context manager that counts what it encloses."""
    return _Section(self, name)

  def shares(self, sections):
    """The share of each section in the time since this clock was made."""
    total = time.perf_counter() - self._start
    return {name: self._secs.get(name, 0.0) / total for name in sections}

  def other_secs(self):
    """Seconds in all sections together."""
    return sum(self._secs.values())


class _Section:
  def __init__(self, clock, name):
    self._clock, self._name = clock, name

  def __enter__(self):
    self._start = time.perf_counter()

  def __exit__(self, *error):
    self._clock.add(self._name, time.perf_counter() - self._start)


class Progress:
  """A bar on a terminal, plain lines elsewhere.

  Args:
    num_steps: where the run ends.
    start_step: where it (re)starts.
    show: False on all processes but the first.
  """

  def __init__(self, num_steps, start_step, *, show=True):
    self._num_steps = num_steps
    self._show = show
    self._bar = None
    if show and sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        total=num_steps, initial=start_step, unit='step', dynamic_ncols=True
      )

  def step(self):
    """Counts a step."""
    if self._bar:
      self._bar.update()

  def report(self, step, scalars, shares):
    """Shows the metrics of a step.

    Args:
      step: finished steps.
      scalars: the row of the log.
      shares: {section: share of the time}.
    """
    if not self._show:
      return
    spent = ' '.join(f'{k} {v:.1%}' for k, v in shares.items())
    gates = ' '.join(
      f'{k.removeprefix("train/")} {v:+.3f}'
      for k, v in scalars.items()
      if '_gate_' in k
    )
    body = (
      f'{scalars["perf/images_per_sec"]:.1f} images/s'
      f' | D {scalars["train/d_loss"]:.3f} G {scalars["train/g_loss"]:.3f}'
      f' | accuracy real {scalars["train/d_real_accuracy"]:.2f}'
      f' fake {scalars["train/d_fake_accuracy"]:.2f}'
      f' | {gates}'
      f' | sigma G {scalars["train/g_sigma_max"]:.2f}'
      f' D {scalars["train/d_sigma_max"]:.2f} | time: {spent}'
    )
    if self._bar:
      self._bar.set_postfix_str(body)
      return
    eta = scalars['perf/eta_secs']
    self.say(
      f'step {step}/{self._num_steps} {step / self._num_steps:.1%}'
      f' ETA {progress.duration(eta)} | {body}'
    )

  def say(self, text):
    """Prints a line without tearing the bar."""
    if self._bar:
      self._bar.write(text)
    elif self._show:
      print(text, flush=True)

  def close(self):
    """Leaves the terminal in order."""
    if self._bar:
      self._bar.close()


def parameter_table(networks):
  """Lists the blocks of networks with their numbers of parameters.

  Args:
    networks: {name: (params, spectral collection)}.

  Returns:
    Lines of text.
  """
  lines = []
  for name, (params, vectors) in networks.items():
    total = 0
    for block, tree in params.items():
      size = sum(x.size for x in jax.tree.leaves(tree))
      total += size
      lines.append(f'  {name}/{block:<16}{size:>12,}')
    paths = jax.tree_util.tree_leaves_with_path(vectors)
    normalized = sum(path[-1].key == 'u' for path, _ in paths)
    lines.append(
      f'{name}: {total:,} parameters, {normalized} normalised weights'
    )
  return lines


def _drop_rows_after(path, step):
  """Rewrites a log without rows after a step, nor a row cut short."""
  rows = []
  for line in path.read_text().splitlines():
    try:
      row = json.loads(line)
    except json.JSONDecodeError:  # The last line of a process that was killed.
      continue
    if row['step'] <= step:
      rows.append(line + '\n')
  part = path.with_suffix('.part')
  part.write_text(''.join(rows))
  part.replace(path)


def _summary_writer(directory, tensorboard):
  try:
    from clu import metric_writers  # Imports TensorFlow, some 10 s.
  except ImportError as e:
    if tensorboard == 'auto':
      return None
    raise ValueError(
      f'TensorBoard logs need clu, tensorflow and tensorboard ({e}); install '
      'them or set --config.log.tensorboard=False'
    ) from e
  return metric_writers.SummaryWriter(str(directory))
