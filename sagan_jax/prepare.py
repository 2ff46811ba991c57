r"""Writes a data set into a directory that `array:DIR` reads without decoding.

  python -m sagan_jax.prepare --source=tfds:imagenet2012 --data_dir=DATA \
    --image_size=128 --output=imagenet128
  python -m sagan_jax.prepare --source=cifar10_binary:cifar-10-batches-bin \
    --image_size=32 --output=cifar10
  python -m sagan_jax.prepare --verify=cifar10

A preparation that was stopped, even by kill -9, goes on where it was when the
same command is given again. Until it is complete the directory has no
dataset.json, and `array:DIR` refuses it.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Sequence

import numpy as np
import tqdm

from sagan_jax import data
from sagan_jax.data import array

PROGRESS_FILE = 'progress.json'

_BATCH_SIZE = 256
# Work that may have to be done again after a kill. Each record of progress
# waits for the disk.
_RECORD_SECS = 5.0
# Room to leave on the disk, for the description and for others.
_SPARE_BYTES = 64 << 20


def main(argv: Sequence[str] | None = None) -> None:
  """Runs the command line.

  Args:
    argv: arguments; None is those of the process.
  """
  parser = argparse.ArgumentParser(
    prog='python -m sagan_jax.prepare',
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  parser.add_argument(
    '--source',
    help='shapes, tfds:NAME, folder:DIR, cifar10_binary:DIR_OR_FILE, array:DIR',
  )
  parser.add_argument('--image_size', type=int, help='pixels, of either side')
  parser.add_argument('--output', help='directory to write')
  parser.add_argument(
    '--split', default='train', help='of the source (default: train)'
  )
  parser.add_argument(
    '--data_dir', help='where TFDS data is, a path or gs:// URL'
  )
  parser.add_argument(
    '--num_examples',
    type=int,
    help='write only the first ones in stored order (default: all)',
  )
  parser.add_argument(
    '--verify',
    metavar='DIR',
    help='only compare a prepared directory with its checksums',
  )
  args = parser.parse_args(argv)
  try:
    if args.verify is not None:
      _refuse_others(parser, args)
      info = array.verify(args.verify)
      print(f'{args.verify}: {_describe(info)}; checksums match')
      return
    for key in ('source', 'image_size', 'output'):
      if getattr(args, key) is None:
        parser.error(f'--{key} is needed (or --verify=DIR)')
    source, count = _open_source(args)
    info = prepare(source, args.output, split=args.split, num_examples=count)
  except ValueError as e:
    parser.exit(1, f'prepare: {e}\n')
  print(f'{args.output}: {_describe(info)}')


def prepare(
  source: data.Source,
  output: str | os.PathLike,
  *,
  split: str,
  num_examples: int | None = None,
) -> array.Info:
  """Writes a source into a directory, or completes it.

  Args:
    source: what to write.
    output: the directory; new, empty, or left by an unfinished or finished
      preparation of the same examples.
    split: the split that `source` reads, for the description.
    num_examples: how many, in stored order; None is all.

  Returns:
    The description of the directory, which is complete.

  Raises:
    ValueError: if the directory holds something else, the disk is too small,
      or the source has too few examples.
  """
  if num_examples is None:
    num_examples = source.num_examples
  if not 1 <= num_examples <= source.num_examples:
    raise ValueError(
      f'num_examples {num_examples} must be from 1 to the '
      f'{source.num_examples} of {source.name!r}; set --num_examples'
    )
  output = pathlib.Path(output)
  request = {
    'format_version': array.FORMAT_VERSION,
    'source_fingerprint': source.fingerprint,
    'split': split,
    'num_examples': num_examples,
    'image_size': source.image_size,
  }
  info = _finished(output, request)
  if info is not None:
    return info
  done = _begin(output, request)
  _write_examples(source, output, request, done)
  return _finish(source, output, request)


def _open_source(args: argparse.Namespace) -> tuple[data.Source, int | None]:
  """Returns the source and how many of its examples to write."""
  kwargs = {'image_size': args.image_size, 'split': args.split}
  kwargs['data_dir'] = args.data_dir
  if args.source == 'shapes':
    kwargs['num_examples'] = args.num_examples
  elif args.source.startswith('folder:') and args.num_examples is not None:
    raise ValueError(
      f'--num_examples={args.num_examples} would take the first classes of '
      f'{args.source!r} only: a folder is in the order of its classes'
    )
  return data.make_source(args.source, **kwargs), args.num_examples


def _refuse_others(
  parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
  """Ends the program if `--verify` comes with arguments it does not use."""
  for key, value in vars(args).items():
    if key != 'verify' and value != parser.get_default(key):
      parser.error(f'--{key} has no effect with --verify')


def _describe(info: array.Info) -> str:
  return (
    f'{info.num_examples:,} images of {info.image_size} pixels in '
    f'{len(info.class_names)} classes, split {info.split!r}'
  )


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
  source: data.Source, output: pathlib.Path, request: dict, done: int
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
    for batch in source.examples(batch_size=_BATCH_SIZE, start=done):
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
      f'{source.name!r} ended after {done} of {count} examples; its data is '
      'incomplete'
    )


def _open_npy(path: pathlib.Path, shape: tuple[int, ...], dtype, done: int):
  """Opens a .npy file for appending after its first `done` rows.

  Appended to rather than mapped: a full disk is then an error, not a SIGBUS.
  """
  file = open(path, 'r+b' if done else 'w+b')
  fields = {
    'descr': np.lib.format.dtype_to_descr(np.dtype(dtype)),
    'fortran_order': False,
    'shape': shape,
  }
  if done:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
  else:
    np.lib.format.write_array_header_1_0(file, fields)
  row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape[1:]))
  end = file.tell() + done * row_bytes
  if path.stat().st_size < end and done:
    file.close()
    raise ValueError(
      f'{path} is shorter than {PROGRESS_FILE} says; remove the directory and '
      'prepare it again'
    )
  file.seek(end)
  file.truncate()  # What was written after the last record of progress.
  return file


def _finish(
  source: data.Source, output: pathlib.Path, request: dict
) -> array.Info:
  """Writes the description, which makes the directory complete."""
  print('computing checksums', file=sys.stderr)
  info = array.Info(
    **request,
    class_names=list(source.class_names),
    source=source.name,
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


if __name__ == '__main__':
  main()
