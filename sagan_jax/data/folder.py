"""Image files in one folder per class; needs no TensorFlow.

The layout is that of TFDS's ImageFolder and of torchvision's:

  DIR/<split>/<class>/*.jpg

where DIR/<class>/*.jpg is read too, as the split 'train', and files may lie in
sub-folders of a class. Classes are numbered in the order of their names. Images
in no class folder, DIR/<split>/*.jpg or DIR/*.jpg, are a single class.

An image is turned upright, reduced to its centre square and resized with an
antialiased bilinear filter, as the 'tfds' source does it; the decoders differ
by a few grey levels. Decoding takes some 2 ms of a core for a photo of 500 x 375
pixels: for long runs prepare an array directory.
"""

import io
import os

import numpy as np

from sagan_jax import errors, files, progress
from sagan_jax.data import (
  decoding,
  folder_listing,
  folder_scan,
  image_file,
  indexed,
)


def open_source(
  directory: str | os.PathLike,
  *,
  image_size: int,
  split: str,
  max_bad_images: int = 0,
) -> indexed.IndexedSource:
  """Lists the files of a folder and reads their headers.

  None is decoded, unless some may be bad: only then one knows which.

  Args:
    directory: holds the split's folder, or the class folders, or images; a
      local path or URL.
    image_size: height and width to resize to, pixels.
    split: name of the split's folder.
    max_bad_images: files that may be left out, as they cannot be decoded.

  Returns:
    The source. Its identity covers the names and sizes of the files and the
    first 4 KB of each.

  Raises:
    UserError: if a folder is missing, a class has no image, or more files cannot
      be read as images than may be: these are listed.
  """
  listing = folder_listing.list_files(directory, split)
  if max_bad_images:
    listing = folder_scan.leave_out(
      listing, _reasons(listing, image_size=1), max_bad_images
    )
  headers = folder_scan.read_headers(listing)
  _tell(listing, headers, image_size)

  def load(i):
    return load_image(listing.path(i), image_size), int(listing.labels[i])

  return indexed.IndexedSource(
    decoding.Decoder(load),
    name=listing.name,
    num_examples=len(listing.files),
    class_names=listing.class_names,
    image_size=image_size,
    identity={
      'name': 'folder',
      'classes': folder_scan.class_digests(listing, headers),
      'image_size': image_size,
      'preprocessing': image_file.PREPROCESSING,
    },
    verify=lambda: _decode_all(listing, image_size),
  )


def verify(directory: str | os.PathLike, *, split: str) -> tuple[int, int]:
  """Decodes every image of a folder.

  Args:
    directory: as for `open_source`.
    split: name of the split's folder.

  Returns:
    (number of images, number of classes).

  Raises:
    UserError: as for `open_source`; if any image cannot be decoded, with all
      their names.
  """
  listing = folder_listing.list_files(directory, split)
  _decode_all(listing, image_size=1)
  return len(listing.files), len(listing.class_names)


def load_image(path: str | os.PathLike, image_size: int) -> np.ndarray:
  """Reads the centre square of an image file; see `image_file.decode_square`.

  Args:
    path: of the file, local or a URL; its suffix may lie.
    image_size: height and width to resize to, pixels.

  Returns:
    uint8 [image_size, image_size, 3].

  Raises:
    UserError: if the file cannot be decoded.
  """
  path = os.fspath(path)
  try:
    return _load(path, image_size)
  except image_file.UnreadableError as e:
    raise errors.UserError(
      f'{path} cannot be read as an image: {e}; repair it or remove it'
    ) from e


def _load(path: str, image_size: int) -> np.ndarray:
  try:
    if not files.is_remote(path):
      with files.open_file(path) as file:
        return image_file.decode_square(file, image_size)
    content = files.read(path, image_file.MAX_BYTES)
  except OSError as e:
    raise image_file.UnreadableError(e.strerror or str(e)) from e
  except errors.UserError as e:
    raise image_file.UnreadableError(str(e)) from e
  return image_file.decode_square(io.BytesIO(content), image_size)


def _decode_all(listing: folder_listing.Listing, image_size: int) -> None:
  """Decodes every file; raises a `UserError` that lists what cannot be."""
  folder_scan.refuse_unreadable(listing, _reasons(listing, image_size))


def _reasons(
  listing: folder_listing.Listing, image_size: int
) -> list[str | None]:
  """Decodes every file; says why it cannot be, or None."""

  def reason(path):
    try:
      _load(path, image_size)
    except image_file.UnreadableError as e:
      return str(e)
    return None

  return folder_scan.for_each(
    listing,
    reason,
    what='decoding images',
    num_threads=os.cpu_count() or 1,  # Pillow releases Python's lock.
  )


def _tell(
  listing: folder_listing.Listing, headers: folder_scan.Headers, image_size: int
) -> None:
  """Says what one might not expect of a folder."""
  skipped = [
    f'{count:,} {what}'
    for count, what in (
      (listing.num_other, 'files with other suffixes'),
      (listing.num_loose, 'images in no class folder'),
    )
    if count
  ]
  if skipped:
    progress.say(f'{listing.name}: skipped {" and ".join(skipped)}')
  small = int((headers.sides < image_size).sum())
  if small:
    progress.say(
      f'{listing.name}: {small:,} of {len(listing.files):,} images are smaller '
      f'than image_size {image_size} and are enlarged'
    )
