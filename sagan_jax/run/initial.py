"""Runs whose first weights are given: to train anew, or made of a file."""

import os

import jax
import jax.numpy as jnp
import numpy as np

from sagan_jax import errors, files
from sagan_jax.checkpoints import checkpoint
from sagan_jax.cluster import sharding
from sagan_jax.config import compatibility
from sagan_jax.gan import state as state_lib
from sagan_jax.run import agreement, directory, exported, lease
from sagan_jax.weights import classes as classes_lib
from sagan_jax.weights import tensors as tensors_lib

_SHOWN = 10  # Pairs of names that a line tells.


class Initial:
  """The weights that `config.init` names, read and found to fit.

  Args:
    run: a `Run` that is about to begin.
    say: called with lines that the person who runs the command should read.

  Raises:
    UserError: if there are none, they are damaged, of other networks, or have
      no names for `init.classes=names` to go by.
  """

  def __init__(self, run, say):
    config = run.config
    found = exported.read(config.init.weights, type(run).open, lambda: config)
    agreement.check_weights(found.card['weights_sha256'])
    known = found.card['class_names']
    count = exported.config_of(found).num_classes
    wanted = exported.shapes(config, run.mesh, num_classes=count)
    tensors_lib.check_shapes(found.tensors, wanted, found.where)
    names = run.source.class_names
    same = tuple(known) == names if known else count == len(names)
    self._run = run
    self._tensors = found.tensors
    self._rows = None if same else self._choose(config, known, names, found)
    self._tables = (
      set()
      if same
      else classes_lib.tables(
        exported.shapes(config, run.mesh, num_classes=1),
        exported.shapes(config, run.mesh, num_classes=2),
      )
    )
    self.origin = _origin(found, 'init') | {
      'classes': 'the same' if same else config.init.classes,
      'of_classes': self._rows and _by_name(self._rows, names, known),
    }
    say(
      f'begins with the weights of {found.where}, step {found.card["step"]}; '
      + _describe(self._rows, same, config, known, names)
    )
    if config.ema.start_step:
      say(
        f'until step {config.ema.start_step} the averaged weights are a copy '
        'of the raw ones: set --config.ema.start_step=0 to keep those given'
      )

  def state(self, fresh):
    """The `GanState` to begin with.

    Args:
      fresh: a `GanState` as the seed gives it; for the rows of new classes.

    Returns:
      Another one, placed as `fresh` is.
    """
    fresh = tensors_lib.flatten(fresh.weights())
    made = classes_lib.transfer(
      self._tensors,
      {name: np.asarray(fresh[name]) for name in self._tables & set(fresh)},
      self._tables,
      self._rows,
    )
    kept = {k: v for k, v in self._tensors.items() if k not in self._tables}
    return _placed(self._run, kept | made, 0)

  def _choose(self, config, known, names, found):
    """By new label, the old one; None for the mean; None for fresh rows."""
    if config.init.classes == 'fresh':
      return None
    if config.init.classes == 'mean':
      return [None] * len(names)
    if not known:
      raise errors.UserError(
        f'{found.where} has no names of classes to compare; set '
        '--config.init.classes=fresh or mean'
      )
    return classes_lib.nearest(names, known)


def make_run(found, open_run, workdir, overrides=None):
  """Makes the directory of a run of weights.

  Its checkpoint has the step of the weights, and fresh moments of the
  optimisers.

  Args:
    found: `exported.Exported` weights.
    open_run: opens a `Run` by the name of its directory.
    workdir: of the run, a path or URL.
    overrides: {'section.leaf': text} of its config.

  Returns:
    The `Run`.

  Raises:
    UserError: if there is a run already, another process writes to the
      directory, or the weights are not those of the networks of the config.
  """
  workdir = files.as_path(workdir)
  _refuse_a_run(workdir)
  config = exported.config_of(found, overrides)
  compatibility.check_model(config)
  wanted = exported.shapes(config, sharding.make_mesh(1))
  tensors_lib.check_shapes(found.tensors, wanted, found.where)
  names = found.card['class_names']
  facts = {'identity': {}} | (found.card['data'] or {})
  with lease.Lease(workdir) as held:
    with files.writing(workdir):
      workdir.mkdir(parents=True, exist_ok=True)
    held.take()
    _refuse_a_run(workdir)  # One may have been begun meanwhile.
    directory.record(
      workdir,
      config,
      {} if names is None else facts | {'class_names': names},
      _origin(found, 'import'),
    )
    run = open_run(workdir)
    saver = checkpoint.Checkpointer(
      workdir / directory.CHECKPOINTS, keep_last=config.checkpoint.keep_last
    )
    try:
      saver.save(_placed(run, found.tensors, found.card['step']))
    finally:
      saver.close()
  return run


def _refuse_a_run(workdir):
  if directory.has_states(workdir):
    raise errors.UserError(
      f'{workdir} already holds a run; choose another --workdir'
    )


def _placed(run, tensors, step):
  """The state of weights by name, replicated on the mesh of a run."""
  whole = sharding.replicated(run.mesh)

  def make(weights, seed, step):
    # The state will be donated: its arrays are its own.
    weights = jax.tree.map(jnp.copy, weights)
    return state_lib.from_weights(run.gan, weights, seed, step)

  weights = sharding.put_batch(tensors_lib.unflatten(tensors), whole)
  return jax.jit(make, out_shardings=whole)(weights, run.config.seed, step)


def _origin(found, how):
  """What `origin.json` tells of weights."""
  card = found.card
  return {
    'how': how,
    'name': os.path.basename(found.where),
    'weights_sha256': card['weights_sha256'],
    'step': card['step'],
    'architecture': card['config'].get('architecture'),
    'num_classes': card['config'].get('num_classes'),
    'sagan_jax': card.get('sagan_jax'),
    'scores': card['scores'],
    'origin': card.get('origin'),
  }


def _by_name(rows, names, known):
  return {
    name: 'the mean' if row is None else known[row]
    for name, row in zip(names, rows, strict=True)
  }


def _describe(rows, same, config, known, names):
  """Tells of the rows of the classes."""
  if same:
    return f'its {len(names)} classes are the same'
  if rows is None:
    return f'the rows of {len(names)} classes are fresh'
  if config.init.classes == 'mean':
    return f'the rows of {len(names)} classes are the mean of all'
  pairs = [f'{k} <- {v}' for k, v in _by_name(rows, names, known).items()]
  more = f' and {len(pairs) - _SHOWN} more' if pairs[_SHOWN:] else ''
  return f'rows by the nearest name: {", ".join(pairs[:_SHOWN])}{more}'
