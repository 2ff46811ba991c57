"""Features of the real images, made once and kept under a digest of their origin.

A reference is a pair of files, `<key>.npz` and `<key>.json`: arrays, and the
description that the key is a digest of. They can be copied to another machine,
and the cache may be a bucket. Files appear whole, so that two processes that
make the same reference do each other no harm. The arrays carry a digest; a file
that differs from it is made anew.
"""

import hashlib
import io
import json

import jax
import numpy as np

from sagan_jax import errors, files, progress
from sagan_jax.cluster import sharding
from sagan_jax.evaluation import features as features_lib
from sagan_jax.formats import npz_file
from sagan_jax.metrics import moments as moments_lib

FORMAT = 1
# More rows are kept only if a metric needs all: 50,000 x 2048 are 400 MB.
MAX_KEPT = 50_000


def count_images(source, num_images):
  """How many real images count.

  Args:
    source: a `data.Source`.
    num_images: as the config says; None for all.

  Raises:
    UserError: if that is more than there are, or none to speak of.
  """
  total = source.num_examples
  if num_images is None:
    num_images = total
  if not 2 <= num_images <= total:
    raise errors.UserError(
      f'{num_images} real images were asked for, {source.name} has {total}; '
      f'set --config.eval.num_reals to 2 to {total}, or to None for all'
    )
  return num_images


def describe(source, extractor, num_images, keep):
  """What a reference is of; equal descriptions mean equal features.

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
    cache_dir: of the cache, local or remote.
    say: called with the number of images done so far, or None.

  Returns:
    (`features.FeatureSet`, whether it came from the cache).

  Raises:
    UserError: if more images are asked for than there are, or the cache cannot
      be written.
  """
  num_images = count_images(source, num_images)
  keep = num_images if keep_all else min(num_images, MAX_KEPT)
  described = describe(source, extraction.extractor, num_images, keep)
  # Without the name: the same data may lie elsewhere on another machine.
  identity = {k: v for k, v in described.items() if k != 'data'}
  text = json.dumps(identity, sort_keys=True)
  key = hashlib.sha256(text.encode()).hexdigest()[:24]
  path = files.as_path(cache_dir) / f'{key}.npz'
  found = _load(path, extraction.extractor.taps, num_images, keep)
  # All processes or none, for they make it together and disks may differ.
  if sharding.gather_rows(np.array([found is not None])).all():
    return found, True
  made = extraction.collect(
    features_lib.source_batches(source, num_images, extraction.batch_size),
    num_images,
    keep=keep,
    first=features_lib.share_start(source, num_images),
    say=say,
  )
  if not files.is_remote(path) or jax.process_index() == 0:
    try:
      _save(path, made, described)
    except errors.DiskFull as e:  # The scores need it not.
      progress.say(f'the features of the real images are not kept: {e}')
  return made, False


def _save(path, found, described):
  arrays = {'count': np.array(found.count), 'labels': found.labels}
  for tap, moments in found.moments.items():
    arrays[f'{tap}/mean'] = moments.mean
    arrays[f'{tap}/cov'] = moments.cov
    arrays[f'{tap}/features'] = found.features[tap]
  arrays[npz_file.DIGEST] = npz_file.digest(arrays)
  with files.writing(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if files.is_remote(path):
      buffer = io.BytesIO()
      np.savez(buffer, **arrays)
      files.write(path, buffer.getvalue())
    else:  # Ten gigabytes, where all features of ImageNet are kept.
      with files.replacing(path) as file:
        np.savez(file, **arrays)
  files.write(path.with_suffix('.json'), f'{json.dumps(described, indent=2)}\n')


def _load(path, taps, num_images, keep):
  """Reads a reference; None if there is none or it is damaged."""
  if not path.exists():
    return None
  shapes = {'count': (), 'labels': (keep,)}
  for tap, size in taps.items():
    shapes |= {
      f'{tap}/mean': (size,),
      f'{tap}/cov': (size, size),
      f'{tap}/features': (keep, size),
    }
  try:
    found = npz_file.read(path, shapes)
    count = int(found['count'])
    if count != num_images:
      raise ValueError(f'it is of {count} images')
  except (OSError, ValueError) as e:
    progress.say(f'{path} is damaged ({e}), and is made anew')
    return None
  moments = {
    tap: moments_lib.Moments(count, found[f'{tap}/mean'], found[f'{tap}/cov'])
    for tap in taps
  }
  features = {tap: found[f'{tap}/features'] for tap in taps}
  return features_lib.FeatureSet(count, moments, features, found['labels'])
