"""Files that weights are exported to, each with a card beside it."""

import hashlib
import json
from typing import Any

import jax
from etils import epath

from sagan_jax import files
from sagan_jax.formats import safetensors_file
from sagan_jax.run import exported, generator
from sagan_jax.weights import biggan, stablehlo
from sagan_jax.weights import tensors as tensors_lib


def as_safetensors(run, state) -> tuple[bytes, dict[str, Any]]:
  """The content of a safetensors file of both networks, and its card."""
  found = exported.of_state(run, state)
  metadata = {'format': 'np', 'card': json.dumps(found.card)}
  return safetensors_file.dump(found.tensors, metadata), found.card


def write(path, content: bytes, card: dict[str, Any]) -> epath.Path:
  """Writes a file, and its card beside it.

  Args:
    path: of the file; its directory is made if it is missing.
    content: of the file.
    card: of `as_safetensors` or `as_program`.

  Returns:
    The path of the card.

  Raises:
    UserError: if they cannot be written.
  """
  with files.writing(path.parent):
    path.parent.mkdir(parents=True, exist_ok=True)
  files.write(path, content)
  card = card | {
    'file': {
      'name': path.name,
      'bytes': len(content),
      'sha256': hashlib.sha256(content).hexdigest(),
    }
  }
  beside = path.with_suffix(exported.CARD)
  files.write(beside, json.dumps(card, indent=2) + '\n')
  return beside


def write_biggan(run, state, path) -> epath.Path:
  """Writes a directory that BigGAN-PyTorch's sample.py loads, and its card.

  Args:
    run: a `Run`.
    state: one of its states.
    path: of the directory.

  Returns:
    The path of the card.

  Raises:
    UserError: if there are no such networks there, or as `of_state`.
  """
  card = exported.of_state(run, state).card
  dicts = biggan.to_state_dicts(run.config, state)
  # What its conventions round is not what was trained, to the last bit.
  card['weights_sha256'] = tensors_lib.digest(
    exported.of_dicts(run.config, dicts)
  )
  biggan.write_directory(path, dicts)
  files.write(path / exported.BIGGAN_CARD, json.dumps(card, indent=2) + '\n')
  return path / exported.BIGGAN_CARD


def as_program(
  run, state, *, weights, statistics, truncation, images
) -> tuple[bytes, dict[str, Any]]:
  """The generator of a run as a StableHLO program, and the card beside it.

  Args:
    run: a `Run`.
    state: one of its states.
    weights: 'ema' or 'raw'.
    statistics: 'standing', as `Run.sample` has them, or 'running'.
    truncation: deviations, or None.
    images: 'uint8' or 'float32'.

  Returns:
    (bytes that `jax.export.deserialize` takes, card).

  Raises:
    UserError: as `of_state`.
  """
  params, stats = generator.of_state(
    run.chunk_sampler, state, run.config, run.mesh, weights, statistics
  ).variables
  program = {
    'weights': weights,
    'bn_statistics': statistics,
    'truncation': truncation,
    'images': images,
    'inputs': {
      'latents': f'float32 [n, {run.gan.latent_dim}]',
      'labels': f'int32 [n] in [0, {run.config.num_classes})',
    },
    'platforms': stablehlo.PLATFORMS,
    'jax': jax.__version__,
  }
  content = stablehlo.program(
    run.gan, params, stats, truncation=truncation, images=images
  )
  return content, exported.of_state(run, state).card | {'program': program}
