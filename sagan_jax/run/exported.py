"""Weights with their card: of a state of a run, or of a file."""

import functools
import hashlib
from typing import Any, NamedTuple

import jax
import numpy as np

from sagan_jax import errors, files
from sagan_jax.config import schema
from sagan_jax.evaluation import protocol
from sagan_jax.formats import safetensors_file
from sagan_jax.gan import build
from sagan_jax.gan import state as state_lib
from sagan_jax.run import directory
from sagan_jax.weights import biggan
from sagan_jax.weights import card as card_lib
from sagan_jax.weights import tensors as tensors_lib

CARD = '.json'  # The suffix of a card beside the file that it is of.
BIGGAN_CARD = 'card.json'  # Beside the files of BigGAN-PyTorch.
_GAP = 1e-3  # Relative, between singular values; below, nobody would see it.


class Exported(NamedTuple):
  """Weights of both networks, and what they are."""

  where: str  # The file or directory.
  tensors: dict[str, np.ndarray]  # As `weights.tensors` names them.
  card: dict[str, Any]  # As `weights.card` makes it.
  note: str = ''  # What whoever reads the file should know.


def shapes(config, mesh, **changes) -> dict[str, Any]:
  """The shapes of the weights of a config, by name.

  Args:
    config: a `Config` whose `num_classes` is known.
    mesh: that a run has.
    **changes: leaves of the config that differ.
  """
  config = schema.replace(config, **changes)
  init = functools.partial(
    state_lib.init_state, build.build_gan(config, mesh), config.image_size
  )
  return tensors_lib.flatten(jax.eval_shape(init, 0).weights())


def of_state(run, state) -> Exported:
  """The weights of a state of a run.

  Args:
    run: a `Run`.
    state: a `GanState`.

  Returns:
    Its weights, on the host.

  Raises:
    UserError: if a weight is not finite, or the directory is damaged.
  """
  where, step = str(run.workdir), int(state.step)
  tensors = {
    name: np.asarray(leaf)
    for name, leaf in tensors_lib.flatten(state.weights()).items()
  }
  tensors_lib.check_finite(tensors, f'{where}, step {step}')
  records = protocol.read(run.workdir / 'evaluations.jsonl')
  facts = directory.facts(run.workdir)
  card = card_lib.make(
    schema.flatten(run.config),
    step=step,
    class_names=None if facts is None else facts['class_names'],
    facts=facts,
    scores=[
      r for r in records if r['protocol']['step'] == step and 'scores' in r
    ],
    origin=directory.origin(run.workdir),
    digest=tensors_lib.digest(tensors),
  )
  return Exported(where, tensors, card_lib.check(card, where))


def read(name, open_run, base) -> Exported:
  """Reads weights that were exported, or the last checkpoint of a run.

  Args:
    name: of a safetensors file or a directory with a single one; of a directory
      of BigGAN-PyTorch's, or G_SUFFIX.pth in it; or of a run.
    open_run: opens a `Run` by the name of its directory.
    base: returns the `Config` of what files without a card do not say.

  Returns:
    The weights; their card is checked, but for the leaves of its config.

  Raises:
    UserError: if there is nothing of this kind, or it is damaged.
  """
  path = files.as_path(name)
  if (path / directory.CONFIG).exists():
    run = open_run(path)
    try:
      return of_state(run, run.restore())
    finally:
      run.checkpointer.close()
  if path.suffix == '.pth' or (path / 'G.pth').exists():
    return _read_biggan(path, base)
  path = _file(path)
  tensors, metadata = safetensors_file.read(path)
  tensors_lib.check_finite(tensors, str(path))
  try:
    card = files.parse_json(metadata['card'].encode())
  except (KeyError, ValueError) as e:
    raise errors.UserError(
      f'{path} has no card of sagan_jax in its header, so nobody can say what '
      'networks its weights are of; write it with sagan_jax.export'
    ) from e
  found = _checked(path, tensors, card)
  _check_beside(path)
  return found


def config_of(exported: Exported, overrides=None):
  """The `Config` that weights were trained by.

  Args:
    exported: with a card.
    overrides: {'section.leaf': text} that differ.

  Raises:
    UserError: if a leaf is wrong, or the number of classes is not known.
  """
  config = schema.older(
    exported.card['config'], overrides, f'the card of {exported.where}'
  )
  if config.num_classes is None:
    raise errors.UserError(
      f'the card of {exported.where} does not say how many classes there are; '
      'set --config.num_classes'
    )
  return config


def _checked(path, tensors, card):
  """Weights that are those of their card."""
  card = card_lib.check(card, str(path))
  if card['weights_sha256'] != tensors_lib.digest(tensors):
    raise errors.UserError(
      f'{path} is damaged: its weights are not those that its card was written '
      'for; get it again'
    )
  return Exported(str(path), tensors, card)


def _read_biggan(path, base):
  """Reads what BigGAN-PyTorch, or `write_biggan`, has written."""
  suffix = None
  if path.suffix == '.pth':
    suffix = path.stem.partition('_')[2] or None
    path = path.parent
  dicts = biggan.read_directory(path, suffix)
  guessed = biggan.guess_config(dicts)
  card = None
  if (path / BIGGAN_CARD).exists():
    card = files.read_json(path / BIGGAN_CARD)
    card = card_lib.check(card, str(path / BIGGAN_CARD))
    guessed = card['config'] | guessed
  config = schema.older(schema.flatten(base()) | guessed, origin=str(path))
  tensors = of_dicts(config, dicts)
  tensors_lib.check_finite(tensors, str(path))
  note = ''
  gap = biggan.ema_sigma_gap(dicts) if 'G_ema' in dicts else 0
  if gap > _GAP:
    note = (
      'the raw weights of the generator go by the u vectors of the averaged ones,'
      f' which are exact: their singular values differ by up to {gap:.1%}'
    )
  if card is not None:
    return _checked(path, tensors, card)._replace(note=note)
  step = dicts.get('state_dict', {}).get('itr', 0)
  return Exported(
    str(path),
    tensors,
    card_lib.make(
      schema.flatten(config),
      step=step if type(step) is int and 0 <= step < 2**31 else 0,
      class_names=None,
      facts=None,
      scores=[],
      origin=None,
      digest=tensors_lib.digest(tensors),
    ),
    note,
  )


def of_dicts(config, dicts):
  """The weights of BigGAN-PyTorch's state dicts, by our names."""
  # Of two sets of vectors the average's are kept, as its images are scored.
  vectors = 'G_ema' if 'G_ema' in dicts else 'G'
  parts = biggan.from_state_dicts(config, dicts, vectors)
  networks = {
    name: {'params': parts[name]['params'], **parts[name]['stats']}
    for name in ('generator', 'discriminator')
  }
  ema = {'params': parts['ema_params'], 'batch_stats': parts['ema_batch_stats']}
  return tensors_lib.flatten(networks | {'ema': ema})


def _file(path):
  """The one file of weights that is meant."""
  if not path.exists():
    raise errors.UserError(
      f'there is no {path}; name what sagan_jax.export has written, or the '
      'directory of a run'
    )
  if not path.is_dir():
    return path
  found = files.matching(path, f'*{safetensors_file.SUFFIX}')
  if len(found) != 1:
    raise errors.UserError(
      f'{path} is no run, and holds {len(found)} files '
      f'*{safetensors_file.SUFFIX}; name one file'
    )
  return found[0]


def _check_beside(path):
  """Refuses a file that is not the one that the card beside it is of."""
  beside = path.with_suffix(CARD)
  if not beside.exists():
    return
  card = files.read_json(beside)
  file = card.get('file') if isinstance(card, dict) else None
  wanted = file.get('sha256') if isinstance(file, dict) else None
  with files.open_file(path) as content:
    digest = hashlib.file_digest(content, 'sha256').hexdigest()
  if wanted != digest:
    raise errors.UserError(
      f'{path} is not the file that {beside.name} beside it was written for: '
      'the SHA-256 differs; get both again, or move the card away'
    )
