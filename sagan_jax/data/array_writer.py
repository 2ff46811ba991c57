"""Writes the directories that `array` reads.

The examples are appended to the .npy files, and how many of them are safely on
the disk is recorded in progress.json now and then: a later call with the same
source goes on from there. dataset.json comes last, by a rename.
"""

import dataclasses
import io
import json
import os
import pathlib
import shutil
import sys
import time

import numpy as np
import tqdm

from sagan_jax.data import array, source

PROGRESS_FILE = 'progress.json'

_BATCH_SIZE = 256
# Work that may have to be done again after a kill. Each record of progress
# waits for the disk.
_RECORD_SECS = 5.0
# Room to leave on the disk, for the description and for others.
_SPARE_BYTES = 64 << 20


def write(
  src: source.Source,
  output: str | os.PathLike,
  *,
  split: str,
  num_examples: int | None = None,
) -> array.Info:
  """Writes a source into a directory, or completes it.

  Args:
    src: what to write.
    output: the directory; new, empty, or left by an unfinished or finished
      preparation of the same examples.
    split: the split that `src` reads, for the description.
    num_examples: how many, in stored order; None is all.

  Returns:
    The description of the directory, which is complete.

  Raises:
    ValueError: if the directory holds something else, the disk is too small,
      or the source has too few examples.
  """
  if num_examples is None:
    num_examples = src.num_examples
  if not 1 <= num_examples <= src.num_examples:
    raise ValueError(
      f'num_examples {num_examples} must be from 1 to the '
      f'{src.num_examples} of {src.name!r}; set --num_examples'
    )
  output = pathlib.Path(output)
  request = {
    'format_version': array.FORMAT_VERSION,
    'source_fingerprint': src.fingerprint,
    'split': split,
    'num_examples': num_examples,
    'image_size': src.image_size,
  }
  info = _finished(output, request)
  if info is not None:
    return info
  done = _begin(output, request)
  _write_examples(src, output, request, done)
  return _finish(src, output, request)


def _finished(output: pathlib.Path, request: dict) -> array.Info | None:
  """Returns the description if the directory is complete already."""
  if not (output / array.INFO_FILE).exists():
    return None
  info = array.read_info(output)
  there = {key: getattr(info, key) for key in request}
  if there != request:
    raise ValueError(_other(output, 'a data set', there, request))
  (output / PROGRESS_FILE).unlink(missing_ok=True)
  return info


def _begin(output: pathlib.Path, request: dict) -> int:
  """Makes the directory ready; returns how many examples it holds."""
  output.mkdir(parents=True, exist_ok=True)
  path = output / PROGRESS_FILE
  there = _read_progress(path)
  if there is None:
    # A kill before the first rename leaves the temporary file.
    others = [p.name for p in output.iterdir() if p.name != f'{path.name}.tmp']
    if others:
      raise ValueError(
        f'{str(output)!r} holds {min(others)!r}, which is not of a '
        'preparation; set --output to a new or empty directory'
      )
    there = {**request, 'done': 0}
  done = there.pop('done')
  if there != request:
    raise ValueError(
      _other(output, 'an unfinished preparation', there, request)
    )
  row_bytes = request['image_size'] ** 2 * 3 + 4
  needed = (request['num_examples'] - done) * row_bytes + _SPARE_BYTES
  free = shutil.disk_usage(output).free
  if free < needed:
    raise ValueError(
      f'{str(output)!r} needs {needed:,} bytes more, its disk has {free:,} '
      'free; set --output to another disk, or --num_examples'
    )
  _write_json(path, {**request, 'done': done})
  return done


def _read_progress(path: pathlib.Path) -> dict | None:
  """Returns the record of progress, None if there is none of ours."""
  try:
    progress = json.loads(path.read_text())
  except (FileNotFoundError, ValueError):
    return None
  ours = isinstance(progress, dict) and isinstance(progress.get('done'), int)
  return progress if ours else None


def _other(output, what: str, there: dict, request: dict) -> str:
  differences = ', '.join(
    f'{key} {there.get(key)!r} instead of {request[key]!r}'
    for key in request
    if there.get(key) != request[key]
  )
  return (
    f'{str(output)!r} holds {what} with {differences}; set --output to a new '
    'directory, or remove this one'
  )


def _write_examples(
  src: source.Source, output: pathlib.Path, request: dict, done: int
) -> None:
  """Appends the examples from number `done` on, recording progress."""
  count, size = request['num_examples'], request['image_size']
  with (
    _open_npy(
      output / array.IMAGES_FILE, (count, size, size, 3), np.uint8, done
    ) as images,
    _open_npy(output / array.LABELS_FILE, (count,), np.int32, done) as labels,
    tqdm.tqdm(total=count, initial=done, unit='img', desc='prepare') as bar,
  ):

    def record():
      for file in (images, labels):
        file.flush()
        os.fsync(file.fileno())
      _write_json(output / PROGRESS_FILE, {**request, 'done': done})

    last = time.monotonic()
    for batch in src.examples(batch_size=_BATCH_SIZE, start=done):
      take = min(count - done, len(batch['label']))
      if not take:
        break
      images.write(np.ascontiguousarray(batch['image'][:take]))
      labels.write(np.ascontiguousarray(batch['label'][:take]))
      done += take
      bar.update(take)
      if time.monotonic() - last >= _RECORD_SECS:
        record()
        last = time.monotonic()
    record()
  if done < count:
    raise ValueError(
      f'{src.name!r} ended after {done} of {count} examples; its data is '
      'incomplete'
    )


def _open_npy(path: pathlib.Path, shape: tuple[int, ...], dtype, done: int):
  """Opens a .npy file for appending after its first `done` rows.

  Appended to rather than mapped: a full disk is then an error, not a SIGBUS.
  """
  header = io.BytesIO()
  np.lib.format.write_array_header_1_0(
    header,
    {
      'descr': np.lib.format.dtype_to_descr(np.dtype(dtype)),
      'fortran_order': False,
      'shape': shape,
    },
  )
  row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape[1:]))
  end = header.tell() + done * row_bytes
  if not done:
    file = open(path, 'wb')
    file.write(header.getvalue())
    return file
  if not path.exists() or path.stat().st_size < end:
    raise ValueError(
      f'{path} is missing or shorter than {PROGRESS_FILE} says; remove the '
      'directory and prepare it again'
    )
  file = open(path, 'r+b')
  file.seek(end)  # What follows the last record of progress is written anew.
  return file


def _finish(
  src: source.Source, output: pathlib.Path, request: dict
) -> array.Info:
  """Writes the description, which makes the directory complete."""
  print('computing checksums', file=sys.stderr)
  info = array.Info(
    **request,
    class_names=list(src.class_names),
    source=src.name,
    images_sha256=array.sha256(output / array.IMAGES_FILE),
    labels_sha256=array.sha256(output / array.LABELS_FILE),
  )
  _write_json(output / array.INFO_FILE, dataclasses.asdict(info))
  (output / PROGRESS_FILE).unlink()
  return info


def _write_json(path: pathlib.Path, value: dict) -> None:
  """Writes a file that is either the old or the new one, never a part."""
  temporary = path.with_name(f'{path.name}.tmp')
  with open(temporary, 'w') as f:
    json.dump(value, f, indent=2)
    f.flush()
    os.fsync(f.fileno())
  os.replace(temporary, path)
