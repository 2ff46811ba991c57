"""What can happen to the files of a run: arrangers, to be called with it."""

import json
import shutil


def write(name, content):
  """Arranges for a file of the run to have another content."""

  def arrange(workdir):
    (workdir / name).write_bytes(content)

  return arrange


def edit(name, change):
  """Arranges for a JSON file of the run to be changed."""

  def arrange(workdir):
    tree = json.loads((workdir / name).read_text())
    change(tree)
    (workdir / name).write_text(json.dumps(tree))

  return arrange


def append(name, content):
  """Arranges for a file of the run to have a further line."""

  def arrange(workdir):
    with open(workdir / name, 'ab') as file:
      file.write(content + b'\n')

  return arrange


def remove(name):
  """Arranges for a file or folder of the run to be gone."""

  def arrange(workdir):
    path = workdir / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()

  return arrange


def folder(name):
  """Arranges for a folder to be where a file of the run was."""

  def arrange(workdir):
    (workdir / name).unlink()
    (workdir / name / 'x').mkdir(parents=True)

  return arrange


def cut(name):
  """Arranges for the files of a folder to be cut in the middle."""

  def arrange(workdir):
    for path in (workdir / name).rglob('*'):
      if path.is_file():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

  return arrange


def all_of(*arrangers):
  """Arranges for several things, in turn."""

  def arrange(workdir):
    for each in arrangers:
      each(workdir)

  return arrange


def nothing(workdir):
  """The directory stays as it is."""
  del workdir
