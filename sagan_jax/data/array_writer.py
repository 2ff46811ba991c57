"""Writes the directories that `array` reads.

The examples are appended to the .npy files, and how many of them are safely on
the disk is recorded in progress.json now and then: a later call with the same
source goes on from there. dataset.json comes last.
"""

import dataclasses
import io
import json
import os
import shutil
import time

import numpy as np
from etils import epath

from sagan_jax import errors, files, progress
from sagan_jax.data import array, checksums, source

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

  All examples are checked before anything is written, with `src.verify`.

  Args:
    src: what to write.
    output: the local directory; new, empty, or left by an unfinished or finished
      preparation of the same examples.
    split: the split that `src` reads, for the description.
    num_examples: how many, in stored order; None is all.

  Returns:
    The description of the directory, which is complete.

  Raises:
    UserError: if the directory holds something else, the disk is too small,
      the source has too few examples, or examples cannot be read.
  """
  if num_examples is None:
    num_examples = src.num_examples
  if not 1 <= num_examples <= src.num_examples:
    raise errors.UserError(
      f'num_examples {num_examples} must be from 1 to the '
      f'{src.num_examples} of {src.name!r}; set --num_examples'
    )
  output = files.as_path(output)
  if files.is_remote(output):
    raise errors.UserError(
      f'{os.fspath(output)} is remote; set --output to a local directory and '
      'copy it there when it is complete'
    )
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
  done = _begin(src, output, request)
  _write_examples(src, output, request, done)
  return _finish(src, output, request)


def _finished(output: epath.Path, request: dict) -> array.Info | None:
  """Returns the description if the directory is complete already."""
  if not (output / array.INFO_FILE).exists():
    return None
  info = array.read_info(output)
  there = {key: getattr(info, key) for key in request}
  if there != request:
    raise errors.UserError(_other(output, 'a data set', there, request))
  (output / PROGRESS_FILE).unlink(missing_ok=True)
  return info


def _begin(src: source.Source, output: epath.Path, request: dict) -> int:
  """Makes the directory ready; returns how many examples it holds."""
  with files.writing(output):
    output.mkdir(parents=True, exist_ok=True)
    for name in (PROGRESS_FILE, array.INFO_FILE):
      for part in files.matching(
        output, f'.{name}.*.part'
      ):  # Of a process that died.
        part.unlink()
  path = output / PROGRESS_FILE
  there = _read_progress(path)
  if there is None:
    others = os.listdir(output)
    if others:
      raise errors.UserError(
        f'{os.fspath(output)!r} holds {min(others)!r}, which is not of a '
        'preparation; set --output to a new or empty directory'
      )
    src.verify()
    there = {**request, 'done': 0}
  done = there.pop('done')
  if there != request:
    raise errors.UserError(
      _other(output, 'an unfinished preparation', there, request)
    )
  if done > request['num_examples']:
    raise errors.UserError(
      f'{path} is damaged: it says that {done:,} of {request["num_examples"]:,} '
      'examples are done; remove the directory and prepare it again'
    )
  row_bytes = request['image_size'] ** 2 * 3 + 4
  needed = (request['num_examples'] - done) * row_bytes + _SPARE_BYTES
  free = shutil.disk_usage(output).free
  if free < needed:
    raise errors.UserError(
      f'{os.fspath(output)!r} needs {needed:,} bytes more, its disk has {free:,} '
      'free; set --output to another disk, or --num_examples'
    )
  _write_json(path, {**request, 'done': done})
  return done


def _read_progress(path: epath.Path) -> dict | None:
  """Returns the record of progress, None if there is none of ours."""
  if not path.exists():
    return None
  try:
    record = files.read_json(path)
  except errors.UserError:
    return None
  done = record.get('done') if isinstance(record, dict) else None
  return record if type(done) is int and done >= 0 else None


def _other(output, what: str, there: dict, request: dict) -> str:
  differences = ', '.join(
    f'{key} {there.get(key)!r} instead of {request[key]!r}'
    for key in request
    if there.get(key) != request[key]
  )
  return (
    f'{os.fspath(output)!r} holds {what} with {differences}; set --output to a new '
    'directory, or remove this one'
  )


def _write_examples(
  src: source.Source, output: epath.Path, request: dict, done: int
) -> None:
  """Appends the examples from number `done` on, recording progress."""
  count, size = request['num_examples'], request['image_size']
  with (
    _open_npy(
      output / array.IMAGES_FILE, (count, size, size, 3), np.uint8, done
    ) as images,
    _open_npy(output / array.LABELS_FILE, (count,), np.int32, done) as labels,
    progress.Progress(
      'prepare', count, unit='images', done=done, quiet_secs=0
    ) as shown,
  ):

    def record():
      with files.writing(output):
        for file in (images, labels):
          os.fsync(file.fileno())
      _write_json(output / PROGRESS_FILE, {**request, 'done': done})

    last = time.monotonic()
    for batch in src.examples(batch_size=_BATCH_SIZE, start=done):
      take = min(count - done, len(batch['label']))
      if not take:
        break
      with files.writing(output):
        _append(images, batch['image'][:take])
        _append(labels, batch['label'][:take])
      done += take
      shown.update(take)
      if time.monotonic() - last >= _RECORD_SECS:
        record()
        last = time.monotonic()
    record()
  if done < count:
    raise errors.UserError(
      f'{src.name!r} ended after {done} of {count} examples; its data is '
      'incomplete'
    )


def _open_npy(path: epath.Path, shape: tuple[int, ...], dtype, done: int):
  """Opens a .npy file for appending after its first `done` rows.

  Appended to rather than mapped: a full disk is then an error, not a SIGBUS.
  Without a buffer, which would be written once more when the file is closed.
  """
  with files.writing(path):
    files.check_own(path)
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
    with files.writing(path):
      file = open(path, 'wb', buffering=0)
      file.write(header.getvalue())
    return file
  if not path.exists() or path.stat().length < end:
    raise errors.UserError(
      f'{path} is missing or shorter than {PROGRESS_FILE} says; remove the '
      'directory and prepare it again'
    )
  with files.writing(path):
    file = open(path, 'r+b', buffering=0)
  file.seek(end)  # What follows the last record of progress is written anew.
  return file


def _append(file, rows: np.ndarray) -> None:
  """Writes rows whole: a file without a buffer may take a part."""
  rest = np.ascontiguousarray(rows).data.cast('B')
  while rest:
    rest = rest[file.write(rest) :]


def _finish(
  src: source.Source, output: epath.Path, request: dict
) -> array.Info:
  """Writes the description, which makes the directory complete."""
  progress.say('computing checksums')
  info = array.Info(
    **request,
    class_names=list(src.class_names),
    source=src.name,
    images_sha256=checksums.of_unchanged(output / array.IMAGES_FILE),
    labels_sha256=checksums.of_unchanged(output / array.LABELS_FILE),
  )
  _write_json(output / array.INFO_FILE, dataclasses.asdict(info))
  (output / PROGRESS_FILE).unlink()
  return info


def _write_json(path: epath.Path, value: dict) -> None:
  files.write(path, json.dumps(value, indent=2))
