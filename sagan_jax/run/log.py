"""What a run shows: metrics.jsonl, TensorBoard and a line of progress."""

import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax
import numpy as np
import tqdm
from etils import epath

from sagan_jax import errors, files, progress
from sagan_jax.run import board, rows
from sagan_jax.run import room as room_lib

# All of it within 80 columns, with the losses that follow.
_BAR = '{n_fmt}/{total_fmt} |{bar}| {rate_fmt} ETA {remaining}{postfix}'


class Writer:
  """Appends rows of numbers to `metrics.jsonl` and to TensorBoard.

  Only process 0 should have one.

  Args:
    directory: that exists, local or remote.
    start_step: rows beyond it, left by a run that died, are dropped;
      None keeps all.
    tensorboard: whether to write event files too; 'auto' where the packages for
      it are installed.
    say: called with what could not be kept.
    room: of the disk; None for one that raises what the disk refuses.

  Raises:
    UserError: if the file cannot be read or written, a row in it is damaged, or
      a package for TensorBoard is missing.
  """

  def __init__(
    self,
    directory: epath.PathLike,
    start_step: int | None,
    *,
    tensorboard: bool | Literal['auto'],
    say: Callable[[str], None] = print,
    room: room_lib.Room | None = None,
  ):
    self.room = room or room_lib.Room(directory)
    self._say = say
    self._board = board.open_board(directory, tensorboard, say)
    path = epath.Path(directory) / 'metrics.jsonl'
    kind = rows.RemoteRows if files.is_remote(path) else rows.LocalRows
    self._rows = kind(path, start_step, say)

  def write(self, step: int, scalars: dict[str, float]) -> None:
    """Writes one row {'step': step, **scalars}, then the event files.

    Raises:
      UserError: if it cannot be written: a full disk.
    """
    row = json.dumps({'step': step, **scalars}).encode() + b'\n'
    self.room.write(functools.partial(self._rows.append, row), len(row))
    if self._board:
      self._board.write_scalars(step, scalars)

  def write_again(self, step: int, scalars: dict[str, float]) -> None:
    """Writes a row unless the end of the log has one with such a number."""
    if not self._rows.holds(step, next(iter(scalars))):
      self.write(step, scalars)

  def write_image(self, step: int, name: str, image: np.ndarray) -> None:
    """Shows uint8 [H, W, 3] in TensorBoard."""
    if self._board:
      self._board.write_image(step, name, image)

  def write_texts(self, step: int, texts: dict[str, str]) -> None:
    """Shows Markdown in TensorBoard, by name; what is empty is left out."""
    texts = {name: text for name, text in texts.items() if text.strip()}
    if self._board and texts:
      self._board.write_texts(step, texts)

  def flush(self) -> None:
    """Returns when everything is on the disk, to be called with a checkpoint.

    Raises:
      UserError: if it cannot be written.
    """
    if not self.room.pauses:
      self._rows.flush()
    if self._board:
      self._board.flush()

  def close(self) -> None:
    """Closes the files.

    It raises nothing, as it may be called because of an error, which is the one
    to be seen: what cannot be written now is told.
    """
    for each in (self._rows, self._board):
      try:
        if each:
          each.close()
      except errors.UserError as e:
        self._say(str(e))


def open_writer(run, start_step, say, room=None):
  """Records a run that trains, and opens its log.

  Args:
    run: a `run.Run`.
    start_step: that it goes on from.
    say: called with what could not be kept.
    room: as of `Writer`.

  Returns:
    A `Writer` on the main process, None on the others.

  Raises:
    UserError: as of `Writer`, or if the run cannot be recorded.
  """
  with contextlib.ExitStack() as stack:
    writer = None
    if run.is_main:
      writer = Writer(
        run.workdir,
        start_step,
        tensorboard=run.config.log.tensorboard,
        say=say,
        room=room,
      )
      stack.callback(writer.close)
    run.record()
    stack.pop_all()  # The caller closes it.
  return writer


class Clock:
  """Where the time goes: seconds in named sections, against all seconds."""

  def __init__(self):
    self.restart()

  def restart(self) -> None:
    """Forgets all seconds so far."""
    self._secs: dict[str, float] = {}
    self._start = time.perf_counter()

  def add(self, section: str, secs: float) -> None:
    """Counts seconds towards a section."""
    self._secs[section] = self._secs.get(section, 0.0) + secs

  def section(self, name: str) -> '_Section':
    """A context manager that counts what it encloses."""
    return _Section(self, name)

  def shares(self, sections: Iterable[str]) -> dict[str, float]:
    """The share of each section in the time since this clock was made."""
    total = self.elapsed_secs()
    return {name: self.secs(name) / total for name in sections}

  def secs(self, section: str) -> float:
    """Seconds of a section so far."""
    return self._secs.get(section, 0.0)

  def elapsed_secs(self) -> float:
    """Seconds since this clock was made."""
    return time.perf_counter() - self._start

  def other_secs(self) -> float:
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

  def __init__(self, num_steps: int, start_step: int, *, show: bool = True):
    self._num_steps = num_steps
    self._show = show
    self._bar = None
    if show and sys.stderr.isatty():
      self._bar = tqdm.tqdm(
        total=num_steps,
        initial=start_step,
        unit='step',
        dynamic_ncols=True,
        bar_format=_BAR,
      )

  def begin(self) -> None:
    """Counts time from here on: the compiler's is no sign of the rate."""
    if self._bar:
      self._bar.unpause()

  def step(self) -> None:
    """Counts a step."""
    if self._bar:
      self._bar.update()

  def report(
    self, step: int, scalars: dict[str, float], shares: dict[str, float]
  ) -> None:
    """Shows the metrics of a step: the losses on a terminal, else a line of all.

    Args:
      step: finished steps.
      scalars: the row of the log.
      shares: {section: share of the time}.
    """
    if not self._show:
      return
    losses = f'D {scalars["train/d_loss"]:.3f} G {scalars["train/g_loss"]:.3f}'
    if self._bar:
      self._bar.set_postfix_str(losses)
      return
    spent = ' '.join(f'{k} {v:.1%}' for k, v in shares.items())
    gates = ' '.join(
      f'{k.removeprefix("train/")} {v:+.3f}'
      for k, v in scalars.items()
      if '_gate_' in k
    )
    eta = scalars['perf/eta_secs']
    self.say(
      f'step {step}/{self._num_steps} {step / self._num_steps:.1%}'
      f' ETA {progress.duration(eta)}'
      f' | {scalars["perf/images_per_sec"]:.1f} images/s | {losses}'
      f' | accuracy real {scalars["train/d_real_accuracy"]:.2f}'
      f' fake {scalars["train/d_fake_accuracy"]:.2f}'
      f' | {gates}'
      f' | sigma G {scalars["train/g_sigma_max"]:.2f}'
      f' D {scalars["train/d_sigma_max"]:.2f} | time: {spent}'
    )

  def say(self, text: str) -> None:
    """Prints a line without tearing the bar."""
    if self._bar:
      self._bar.write(text)
    elif self._show:
      print(text, flush=True)

  def close(self) -> None:
    """Leaves the terminal in order."""
    if self._bar:
      self._bar.close()


def parameter_table(networks: dict[str, tuple[Any, Any]]) -> list[str]:
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
