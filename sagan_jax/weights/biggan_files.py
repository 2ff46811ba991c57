"""The files in which BigGAN-PyTorch keeps a checkpoint.

A directory, weights_root/EXPERIMENT there, holds G.pth, D.pth, G_ema.pth with
--ema, and state_dict.pth; copies beside them have a suffix, as G_best0.pth.
"""

from sagan_jax import errors, files
from sagan_jax.formats import torch_file, torch_writer

_NETWORKS = ('G', 'D', 'G_ema')
_OPTIONAL = ('G_ema',)
_SETTINGS = 'state_dict'


def read_directory(path, suffix=None):
  """Reads a checkpoint; nothing in it is run.

  Args:
    path: of the directory, local or a URL.
    suffix: of the files, 'best0' or 'copy1'; None for those without.

  Returns:
    {'G', 'D', 'G_ema': {name: array}, 'state_dict': settings}, as
    `biggan.from_state_dicts` takes it; the last two only if they are there. Of
    objects in settings, such as modules, only the names are read.

  Raises:
    UserError: if a file is missing, damaged or not what its name says.
  """
  path = files.as_path(path)
  dicts = {}
  for name in _NETWORKS:
    file = path / _filename(name, suffix)
    if file.exists():
      dicts[name] = torch_file.read_state_dict(file)
    elif name not in _OPTIONAL:
      raise errors.UserError(
        f'{file} does not exist, but a checkpoint of BigGAN-PyTorch has it'
        f'{_others(path, name)}'
      )
  settings = path / _filename(_SETTINGS, suffix)
  if settings.exists():
    dicts[_SETTINGS] = torch_file.read_values(settings)
  return dicts


def write_directory(path, dicts, suffix=None):
  """Writes a checkpoint that sample.py there loads; replaces files.

  Args:
    path: of the directory, which is made if it is missing.
    dicts: as `biggan.to_state_dicts` returns.
    suffix: of the files, as in `read_directory`.

  Raises:
    UserError: if it cannot be written.
  """
  path = files.as_path(path)
  with files.writing(path):
    path.mkdir(parents=True, exist_ok=True)
  for name, content in dicts.items():
    torch_writer.write(path / _filename(name, suffix), content)


def _filename(name, suffix):
  return f'{name}_{suffix}.pth' if suffix else f'{name}.pth'


def _others(path, name):
  """What a person may have meant, for the error of a missing file."""
  if not path.is_dir():
    return '; give the directory that its files are in'
  names = [file.name for file in files.matching(path, f'{name}_*.pth')]
  suffixes = [
    other.removeprefix(f'{name}_').removesuffix('.pth')
    for other in names
    if not other.startswith((f'{name}_ema', f'{name}_optim'))
  ]
  return f'; there are the suffixes {", ".join(suffixes)}' if suffixes else ''
