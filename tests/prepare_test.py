"""Tests of the command that prepares data sets."""

import lzma
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from sagan_jax import data, prepare
from sagan_jax.data import array
from sagan_jax.run import command

COUNT = 1000  # Four batches.


def run(*args):
  prepare.main([str(a) for a in args])


def shapes(output, *args):
  run(
    '--source=shapes',
    '--image_size=8',
    f'--num_examples={COUNT}',
    f'--output={output}',
    *args,
  )


def contents(directory):
  return {p.name: p.read_bytes() for p in directory.iterdir()}


def assert_same_examples(a, b):
  for x, y in zip(
    a.examples(batch_size=100), b.examples(batch_size=100), strict=True
  ):
    np.testing.assert_array_equal(x['image'], y['image'])
    np.testing.assert_array_equal(x['label'], y['label'])


def test_writes_what_the_source_has(tmp_path, capsys):
  shapes(tmp_path / 'out')
  assert '1,000 images of 8 pixels in 10 classes' in capsys.readouterr().out
  drawn = data.make_source('shapes', image_size=8, num_examples=COUNT)
  written = data.make_source(f'array:{tmp_path}/out', image_size=8)
  assert written.class_names == drawn.class_names
  assert_same_examples(written, drawn)
  assert set(contents(tmp_path / 'out')) == {
    'images.npy',
    'labels.npy',
    'dataset.json',
  }
  run(f'--verify={tmp_path}/out')
  assert 'checksums match' in capsys.readouterr().out


def test_of_an_array_is_the_array(tmp_path):
  shapes(tmp_path / 'a', '--split=test')
  run(
    f'--source=array:{tmp_path}/a',
    '--split=test',
    '--image_size=8',
    '--num_examples=300',
    f'--output={tmp_path}/b',
  )
  b = data.make_source(f'array:{tmp_path}/b', image_size=8, split='test')
  drawn = data.make_source(
    'shapes', image_size=8, split='test', num_examples=300
  )
  assert_same_examples(b, drawn)


def test_of_a_folder(tmp_path):
  for name, value in (('a', 10), ('b', 20)):
    (tmp_path / 'in' / name).mkdir(parents=True)
    image = Image.new('RGB', (20, 10), (value, 0, 0))
    image.save(tmp_path / 'in' / name / 'x.png')
  folder = f'--source=folder:{tmp_path}/in'
  output = f'--output={tmp_path}/out'
  run(folder, '--image_size=4', output)
  src = data.make_source(f'array:{tmp_path}/out', image_size=4)
  (batch,) = src.examples(batch_size=9)
  np.testing.assert_array_equal(batch['image'][:, 1, 1, 0], [10, 20])
  assert src.class_names == ('a', 'b')


def test_of_cifar10(shared_data, tmp_path):
  packed = shared_data / 'cifar10' / 'data_batch_1_first4000.bin.xz'
  with lzma.open(packed) as f:
    (tmp_path / 'data_batch_1.bin').write_bytes(f.read(300 * 3073))
  name = f'cifar10_binary:{tmp_path}'
  run(f'--source={name}', '--image_size=32', f'--output={tmp_path}/out')
  assert_same_examples(
    data.make_source(f'array:{tmp_path}/out', image_size=32),
    data.make_source(name, image_size=32),
  )


def refused(capsys, *args):
  """Returns the error text of a run that must fail."""
  assert command.exit_code(prepare.main, [str(a) for a in args]) == 2
  return capsys.readouterr().err


def photos(folder, count=3):
  (folder / 'a').mkdir(parents=True)
  for i in range(count):
    noise = np.random.default_rng(i).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(noise).save(folder / 'a' / f'{i}.jpg')


def truncate(path):
  path.write_bytes(path.read_bytes()[:-200])


def test_every_image_of_a_folder_is_verified_on_request(tmp_path, capsys):
  photos(tmp_path / 'in' / 'val')
  verify = f'--verify=folder:{tmp_path}/in', '--split=val'
  run(*verify)
  assert capsys.readouterr().out == (
    f"folder:{tmp_path}/in: all 3 images in 1 classes, split 'val', can be "
    'decoded\n'
  )
  for i in (0, 2):
    truncate(tmp_path / 'in' / 'val' / 'a' / f'{i}.jpg')
  lines = refused(capsys, *verify).splitlines()
  assert lines[0].startswith('error: 2 of 3 files in ')
  assert [line.split(':')[0] for line in lines[1:]] == [
    '  a/0.jpg',
    '  a/2.jpg',
  ]


def test_damaged_images_are_listed_before_anything_is_written(tmp_path, capsys):
  photos(tmp_path / 'in')
  for i in (0, 2):
    truncate(tmp_path / 'in' / 'a' / f'{i}.jpg')
  args = (
    f'--source=folder:{tmp_path}/in',
    '--image_size=8',
    f'--output={tmp_path}/out',
  )
  text = refused(capsys, *args)
  assert 'error: 2 of 3 files in ' in text
  assert '  a/0.jpg: ' in text and '  a/2.jpg: ' in text
  assert contents(tmp_path / 'out') == {}
  for i in (0, 2):
    (tmp_path / 'in' / 'a' / f'{i}.jpg').unlink()
  run(*args)
  assert array.read_info(tmp_path / 'out').num_examples == 1


def test_help_loads_nothing_heavy():
  code = """
import sys
from sagan_jax import prepare
try:
  prepare.main(['--help'])
except SystemExit as e:
  assert e.code == 0
heavy = {'numpy', 'PIL', 'jax', 'tensorflow'}
assert not heavy & set(sys.modules)
"""
  subprocess.run([sys.executable, '-c', code], check=True)


def test_verify_reports_damage(tmp_path, capsys):
  shapes(tmp_path / 'out')
  path = tmp_path / 'out' / 'labels.npy'
  path.write_bytes(path.read_bytes()[:-1] + b'\x07')
  text = refused(capsys, f'--verify={tmp_path}/out')
  assert 'labels.npy has changed since it was prepared' in text


@pytest.mark.parametrize(
  ('args', 'text'),
  [
    (['--source=shapes', '--image_size=8'], '--output is needed'),
    (['--source=shapes', '--output=x'], '--image_size is needed'),
    (['--image_size=8', '--output=x'], '--source is needed'),
    (['--verify=x', '--image_size=8'], '--image_size has no effect with'),
    (['--verify=folder:x', '--output=x'], '--output has no effect with'),
    (['--verify=x', '--split=test'], '--split has no effect with'),
    (['--verify=x'], "error: 'x' is not a prepared data set"),
    (['--verify=folder:x'], "x' is not a folder"),
    (['--sourc=shapes'], 'unknown flag --sourc; did you mean --source?'),
    (
      ['--source=shape', '--image_size=8', '--output=x'],
      "did you mean 'shapes'",
    ),
    (
      ['--source=shapes', '--image_size=8', '--output=x', '--data_dir=y'],
      "data_dir='y' has no effect on dataset 'shapes'",
    ),
    (
      [
        '--source=folder:x',
        '--image_size=8',
        '--output=x',
        '--num_examples=3',
      ],
      '--num_examples=3 would take the first classes',
    ),
  ],
)
def test_wrong_command_lines_are_refused(args, text, capsys):
  assert text in refused(capsys, *args)


def test_needs_no_tensorflow(tmp_path):
  code = f"""
import sys
from sagan_jax import prepare
prepare.main(['--source=shapes', '--image_size=8', '--num_examples=9',
              '--output={tmp_path}/out'])
assert not {{'tensorflow', 'jax'}} & set(sys.modules)
"""
  subprocess.run([sys.executable, '-c', code], check=True)
  assert array.verify(tmp_path / 'out').num_examples == 9
