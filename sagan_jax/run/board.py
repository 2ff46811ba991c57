"""TensorBoard event files, through clu and TensorFlow where they are."""

import concurrent.futures
import importlib.util
import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from etils import epath

from sagan_jax import errors

_PACKAGES = ('clu', 'tensorflow', 'tensorboard')
_ADVICE = "pip install 'sagan_jax[tfds]', or set --config.log.tensorboard=False"


def open_board(
  directory: epath.PathLike,
  wanted: bool | Literal['auto'],
  say: Callable[[str], None] = print,
) -> 'Board | None':
  """A writer of event files, or None if there is to be none.

  Args:
    directory: where the files go, local or remote.
    wanted: True, False, or 'auto' for where the packages are installed.
    say: told if they are, and do not work.

  Raises:
    UserError: if True and a package is missing.
  """
  if not wanted:
    return None
  missing = [p for p in _PACKAGES if importlib.util.find_spec(p) is None]
  if not missing:
    return Board(directory, say if wanted == 'auto' else None)
  if wanted == 'auto':
    return None
  raise errors.UserError(
    f'TensorBoard logs need {" and ".join(missing)}: {_ADVICE}'
  )


class Board:
  """Event files of one run.

  TensorFlow takes seconds to import: it does so in the background, while the
  first step is compiled.

  Args:
    directory: where the files go.
    on_missing: told, once, if the packages cannot be imported, and nothing is
      written; None for an error.
  """

  def __init__(
    self,
    directory: epath.PathLike,
    on_missing: Callable[[str], None] | None = None,
  ):
    self._directory = os.fspath(directory)
    self._on_missing = on_missing
    executor = concurrent.futures.ThreadPoolExecutor(1)
    self._opened = executor.submit(_open, self._directory)
    executor.shutdown(wait=False)

  def write_scalars(self, step: int, scalars: dict[str, float]) -> None:
    """Writes numbers; raises UserError if they cannot be written."""
    self._do('write_scalars', step, scalars)

  def write_image(self, step: int, name: str, image: np.ndarray) -> None:
    """Writes uint8 [H, W, 3]; raises UserError if it cannot be written."""
    self._do('write_images', step, {name: image[None]})

  def write_texts(self, step: int, texts: dict[str, str]) -> None:
    """Writes Markdown by name; raises UserError if it cannot be written."""
    self._do('write_texts', step, texts)

  def flush(self) -> None:
    """Returns when all is written; raises UserError if it cannot be."""
    self._do('flush')

  def close(self) -> None:
    """Closes the file; raises UserError if it cannot be written."""
    self._do('close')

  def _do(self, method, *args):
    try:
      writer, failure = self._opened.result()
    except ImportError as e:
      text = f'the packages for TensorBoard cannot be imported ({e})'
      if self._on_missing is None:
        raise errors.UserError(f'{text}; {_ADVICE}') from e
      self._on_missing(f'{text}: no event files')
      self._on_missing = lambda _: None
      return
    try:
      getattr(writer, method)(*args)
    except failure as e:
      raise errors.UserError(
        f'cannot write TensorBoard events to {self._directory}: {e}; free '
        'space there, or set --config.log.tensorboard=False'
      ) from e


def _open(directory) -> tuple[Any, type[Exception]]:
  """Returns a writer, and what it raises when it cannot write."""
  # No banners; of oneDNN's not even the level silences it, and it has no part
  # in writing numbers.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '0')
  import tensorflow as tf
  from clu import metric_writers

  # TensorFlow would take all memory of the accelerators that JAX uses.
  tf.config.set_visible_devices([], 'GPU')
  return metric_writers.SummaryWriter(directory), tf.errors.OpError
