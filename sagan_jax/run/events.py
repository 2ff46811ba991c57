"""What happens every so many steps, on the state after a step.

An event knows its cadence, whether its work for a step is done already, and how
to do it; the loop knows the order. After a process has died, what it left undone
at the step that it goes on from is done first.
"""

import functools
import time
from typing import Protocol

import jax
import numpy as np

from sagan_jax.cluster import agree, sharding
from sagan_jax.gan import state as state_lib
from sagan_jax.metrics import diversity
from sagan_jax.pictures import labelled_grid
from sagan_jax.run import nonfinite
from sagan_jax.run import room as room_lib


class Event(Protocol):
  """Something that is due at the multiples of a number of steps.

  Attributes:
    name: of the section of the clock that its time counts towards.
    every_steps: its cadence; every event is due at the last step too.
  """

  name: str
  every_steps: int

  def is_done(self, step) -> bool:
    """Whether the work of a step is there, for instance from before a kill."""
    ...

  def __call__(self, state) -> None:
    """Does the work for the step of a `GanState`, which stays as it is."""
    ...


def due(events, step, num_steps):
  """The events of a finished step, in order."""
  if not step:
    return []
  return [e for e in events if step == num_steps or step % e.every_steps == 0]


class Checkpoint:
  """Saves states that are finite."""

  name = 'checkpoint'

  def __init__(self, run, advice, room=None):
    self.every_steps = run.config.checkpoint.every_steps
    self._checkpointer = run.checkpointer
    self._advice = advice
    self._room = room or room_lib.Room(run.workdir)

  def is_done(self, step):
    return self._checkpointer.has_begun(step)

  def __call__(self, state):
    # A finite loss may still have sent the weights beyond float32.
    if not state_lib.all_finite(state):
      step = int(state.step)
      raise nonfinite.NotFinite(
        step,
        f'the update of step {step} left weights that are not finite; '
        f'{self._advice()}',
      )
    self._room.retry()
    if self._room.is_hopeless:
      self._room.refuse()
      return
    self._checkpointer.save(state)
    if self._room.pauses:  # Only when it is on the disk the pause is over.
      self._checkpointer.wait()
      if self.is_done(int(state.step)):
        self._room.saved(int(state.step))

  def finish(self, state):
    """Saves a state unless it is saved, and waits until it is on disk.

    Raises:
      DiskFull: if there is no room, and has been none for too long.
    """
    step = int(state.step)
    if not agree.decide(f'saved {step}', self.is_done(step)):
      self(state)
    self.settle(state)

  def settle(self, state):
    """Waits until a state, whose saving has begun, and all else is on disk.

    Raises:
      DiskFull: as `finish`.
    """
    self._checkpointer.wait()
    self._room.retry()
    while self._room.pauses:  # Nothing else is left to do.
      self._room.wait()
      if not self.is_done(int(state.step)):
        self(state)
      self._checkpointer.wait()
      self._room.retry()


class Grids:
  """Writes grids of fixed latents, of the raw and the averaged weights.

  The row `sample/diversity/...` tells how different the images of a class are.
  """

  name = 'sample'

  def __init__(self, run, writer):
    self.every_steps = run.config.sample.every_steps
    self._run = run
    self._writer = writer

  def is_done(self, step):
    return all(self._path(step, name).exists() for name in ('raw', 'ema'))

  def __call__(self, state):
    run, c = self._run, self._run.config
    mesh = sharding.local_mesh(run.mesh)
    key = jax.random.key(c.seed)
    classes = labelled_grid.shown_classes(c.num_classes, c.sample.max_classes)
    labels = np.repeat(classes, c.sample.images_per_class)
    made = {}
    for name in 'raw', 'ema':
      params, stats = state.generator_variables(name)
      stats = run.sampler.standing_stats(
        params, stats, key, c.sample.standing_batches
      )
      params, stats = sharding.localize((params, stats), mesh)
      made[name] = run.sampler.generate(params, stats, key, labels)
    if self._writer:
      names = [run.class_names[i] for i in classes]
      self._write(int(state.step), made, c.sample.images_per_class, names)

  def _write(self, step, made, per_class, names):
    if per_class > 1:  # First: with the files the work of the step is done.
      self._writer.write(
        step,
        {
          f'sample/diversity/{name}': diversity.within_class(images, per_class)
          for name, images in made.items()
        },
      )
    for name, images in made.items():
      sheet = labelled_grid.labelled(images, per_class, names)
      save = functools.partial(
        labelled_grid.save, self._path(step, name), sheet, names
      )
      self._writer.room.write(save, sheet.nbytes)
      self._writer.write_image(step, f'samples/{name}', sheet)

  def _path(self, step, name):
    return self._run.workdir / 'samples' / f'{step:08d}_{name}.png'


class Evaluation:
  """Scores states, as long as that takes no more than its share of the time.

  The first evaluation of a process waits for the compiler and for the features
  of the real images. It counts against the time that all steps will take, the
  others against the time until now.
  """

  name = 'eval'

  def __init__(self, run, scoreboard, writer, clock, say, start=0):
    self.every_steps = run.config.eval.every_steps
    self._run = run
    self._start = start
    self._first_secs = None
    self._scoreboard = scoreboard
    self._writer = writer
    self._clock = clock
    self._say = say

  def is_done(self, step):
    row = self._scoreboard.row(step)
    if self._writer and row:  # A kill may have come right after the record.
      self._writer.write_again(step, row)
      self._scoreboard.report()
    return self._scoreboard.has(step)

  def __call__(self, state):
    step, c = int(state.step), self._run.config
    allowed = c.eval.max_time_share
    share = self._share(step)
    skip = share > allowed and step != c.num_steps  # The last is always scored.
    if agree.decide(f'skip evaluation {step}', skip):  # Clocks differ.
      self._say(
        f'step {step}: no evaluation, they have had {share:.1%} of the time '
        f'({allowed:.1%} are allowed by --config.eval.max_time_share)'
      )
      return
    began = time.perf_counter()
    scalars = self._scoreboard.of_state(state)
    if self._first_secs is None:
      self._first_secs = time.perf_counter() - began
    if self._writer and scalars:
      self._writer.write(step, scalars)

  def _share(self, step):
    """The share of the time that evaluations have had, see the class."""
    spent, elapsed = self._clock.secs(self.name), self._clock.elapsed_secs()
    first = min(spent, self._first_secs or 0.0)
    done = step - self._start
    in_all = elapsed * (self._run.config.num_steps - self._start) / max(done, 1)
    return max((spent - first) / elapsed, spent / in_all)
