"""Features of the real images, made once and kept by what they are of.

A reference is a pair of files, `<key>.npz` and `<key>.json`: arrays, and the
card that the key is a digest of. They can be copied to another machine. Files
are written under another name and renamed, so that two processes that make the
same reference do each other no harm.
"""

import hashlib
import json
import zipfile

import numpy as np

from sagan_jax.cluster import sharding
from sagan_jax.evaluation import features as features_lib
from sagan_jax.inception import weights
from sagan_jax.metrics import moments as moments_lib

FORMAT = 1
# More rows are kept only if a metric needs all: 50,000 x 2048 are 400 MB.
MAX_KEPT = 50_000


def card(source, extractor, num_images, keep):
  """What a reference is of; equal cards mean equal features.

  Args:
    source: a `data.Source`.
    extractor: an `extractors.Extractor`.
    num_images: of the source, evenly spaced.
    keep: rows of features.

  Returns:
    A JSON-serialisable dict.
  """
  return {
    'format': FORMAT,
    'data': source.name,
    'data_fingerprint': source.fingerprint,
    'image_size': source.image_size,
    'num_real': num_images,
    'kept': keep,
    'extractor': extractor.name,
    'extractor_digest': extractor.digest,
    'extractor_dtype': extractor.dtype,
    'resize': extractor.resize,
    'taps': dict(extractor.taps),
  }


def load_or_make(
  source, extraction, *, num_images, keep_all, cache_dir, say=None
):
  """The features of a data source, from the cache if they are there.

  Args:
    source: a `data.Source`.
    extraction: a `features.FeatureExtraction`.
    num_images: how many images, evenly spaced; None for all.
    keep_all: keep the features of all images, however many.
    cache_dir: pathlib.Path of the cache.
    say: called with the number of images done so far, or None.

  Returns:
    (`features.FeatureSet`, whether it came from the cache).

  Raises:
    ValueError: if more images are asked for than there are.
  """
  total = source.num_examples
  if num_images is None:
    num_images = total
  if not 2 <= num_images <= total:
    raise ValueError(
      f'{num_images} real images were asked for, {source.name} has {total}; '
      'set --config.eval.num_reals'
    )
  keep = num_images if keep_all else min(num_images, MAX_KEPT)
  described = card(source, extraction.extractor, num_images, keep)
  # Without the name: the same data may lie elsewhere on another machine.
  identity = {k: v for k, v in described.items() if k != 'data'}
  text = json.dumps(identity, sort_keys=True)
  key = hashlib.sha256(text.encode()).hexdigest()[:24]
  path = cache_dir / f'{key}.npz'
  found = _load(path, extraction.extractor.taps)
  # All processes or none, for they make it together and disks may differ.
  if sharding.gather_rows(np.array([found is not None])).all():
    return found, True
  made = extraction.collect(
    features_lib.source_batches(source, num_images, extraction.batch_size),
    num_images,
    keep,
    features_lib.share_start(source, num_images),
    say,
  )
  cache_dir.mkdir(parents=True, exist_ok=True)
  _save(path, made, described)
  return made, False


def _save(path, found, described):
  arrays = {'count': np.array(found.count), 'labels': found.labels}
  for tap, moments in found.moments.items():
    arrays[f'{tap}/mean'] = moments.mean
    arrays[f'{tap}/cov'] = moments.cov
    arrays[f'{tap}/features'] = found.features[tap]
  with weights.atomic_file(path) as file:
    np.savez(file, **arrays)
  with weights.atomic_file(path.with_suffix('.json')) as file:
    file.write(f'{json.dumps(described, indent=2)}\n'.encode())


def _load(path, taps):
  """Reads a reference; None if there is none or it is damaged."""
  if not path.exists():
    return None
  try:
    # Opened here: NumPy leaks its own handle when the archive is damaged.
    with open(path, 'rb') as opened, np.load(opened) as file:
      count = int(file['count'])
      moments = {
        tap: moments_lib.Moments(count, file[f'{tap}/mean'], file[f'{tap}/cov'])
        for tap in taps
      }
      features = {tap: file[f'{tap}/features'] for tap in taps}
      return features_lib.FeatureSet(count, moments, features, file['labels'])
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    return None  # It is made anew.
