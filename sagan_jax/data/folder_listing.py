"""The list of the files in a folder of images."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator

import numpy as np
from etils import epath

from sagan_jax import errors, files

SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp')
FLAT_CLASS_NAMES = ('images',)

_SPLIT_NAMES = ('train', 'test', 'val', 'valid', 'validation')


@dataclasses.dataclass(frozen=True)
class Listing:
  """The image files of one split."""

  name: str  # of the source, e.g. 'folder:DIR'.
  root: str  # local path or URL.
  class_names: tuple[str, ...]
  files: list[str]  # [N], relative to the root, by class and name.
  labels: np.ndarray  # int32 [N]
  num_other: int  # files with other suffixes.
  num_loose: int  # images beside class folders.

  def path(self, i: int) -> str:
    """Returns the path of file number `i`."""
    return f'{self.root}/{self.files[i]}'


def list_files(directory: str | os.PathLike, split: str) -> Listing:
  """Lists the images of a split.

  Hidden files and folders are passed over, as are macOS's `._*` and __MACOSX.

  Args:
    directory: holds the split's folder, or what that would hold.
    split: name of the split's folder.

  Returns:
    The list: one class for each folder, or one class for images in no folder.

  Raises:
    UserError: if a folder is missing or has no image.
  """
  root = _split_folder(files.as_path(directory), split)
  classes, loose, num_other = _entries(root, follow_links=True)
  if not classes and not loose:
    raise errors.UserError(
      f'{os.fspath(root)!r} has no class folders and no images; set '
      '--config.dataset.name=folder:DIR such that images are '
      'DIR/<split>/<class>/*.jpg, or DIR/<split>/*.jpg for a single class'
    )
  found: list[str] = []
  labels = []
  for label, name in enumerate(classes):
    of_class, others = _images_below(root, name)
    if not of_class:
      raise errors.UserError(
        f'class folder {os.fspath(root / name)!r} has no image '
        f'({", ".join(SUFFIXES)}); fill it or remove it'
      )
    found += of_class
    labels += [label] * len(of_class)
    num_other += others
  return Listing(
    name=f'folder:{directory}',
    root=os.fspath(root),
    class_names=tuple(classes) or FLAT_CLASS_NAMES,
    files=found or loose,
    labels=np.asarray(labels or [0] * len(loose), np.int32),
    num_other=num_other,
    num_loose=len(loose) if classes else 0,
  )


def _split_folder(directory: epath.Path, split: str) -> epath.Path:
  """Returns the folder that holds a split's images or class folders."""
  if not directory.is_dir():
    raise errors.UserError(
      f'{os.fspath(directory)!r} is not a folder; set --config.dataset.name='
      'folder:DIR'
    )
  if (directory / split).is_dir():
    return directory / split
  splits = [s for s in _SPLIT_NAMES if (directory / s).is_dir()]
  if split == 'train' and not splits:
    return directory
  found = ', '.join(splits) or "no split folders, so that all is split 'train'"
  raise errors.UserError(
    f'{os.fspath(directory)!r} has no split folder {split!r}; it has {found}; '
    'set --config.dataset.split'
  )


def _images_below(root: epath.Path, name: str) -> tuple[list[str], int]:
  """Returns a class's images, sorted, relative to `root`; and other files."""
  found, num_other, folders = [], 0, [name]
  while folders:
    here = folders.pop()
    inner, images, others = _entries(root / here, follow_links=False)
    folders += [f'{here}/{n}' for n in inner]
    found += [f'{here}/{n}' for n in images]
    num_other += others
  return sorted(found), num_other


def _entries(
  folder: epath.Path, *, follow_links: bool
) -> tuple[list[str], list[str], int]:
  """Returns a folder's (folders, images, number of other files), sorted."""
  folders, images, num_other = [], [], 0
  for name, is_folder in _scan(folder, follow_links):
    if name.startswith('.') or name == '__MACOSX':
      continue
    if name.lower().endswith(SUFFIXES) and not is_folder():
      images.append(name)
    elif is_folder():
      folders.append(name)
    else:
      num_other += 1
  return sorted(folders), sorted(images), num_other


def _scan(
  folder: epath.Path, follow_links: bool
) -> Iterator[tuple[str, Callable[[], bool]]]:
  """Yields (name, whether it is a folder) of what is in a folder."""
  try:
    if files.is_remote(folder):
      for path in folder.iterdir():
        yield path.name, path.is_dir
      return
    with os.scandir(folder) as entries:
      for entry in entries:
        yield (
          entry.name,
          functools.partial(entry.is_dir, follow_symlinks=follow_links),
        )
  except OSError as e:
    raise errors.UserError(
      f'cannot list {os.fspath(folder)!r}: {e.strerror or e}'
    ) from e
