"""Several processes as one run, on this machine: the same, or refused."""

import shutil

import numpy as np
import pytest
from PIL import Image

from sagan_jax import prepare
from sagan_jax.run import restarts
from tests.support import damage, processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]


def test_two_processes_are_as_two_devices(tmp_path):
  workdir = shutil.copytree(processes.together(), tmp_path / 'two')
  assert processes.differences(workdir, processes.undisturbed()) == []
  scores = processes.scores(workdir)
  code, _, output = processes.run(workdir, name='evaluate')
  assert code == 0, output
  again = processes.scores(workdir)  # Of every checkpoint.
  assert {step: again[step] for step in scores} == scores


def test_two_processes_go_on_from_the_same_older_checkpoint(tmp_path):
  """One is damaged on the disk, another is read so by one process only."""
  workdir = shutil.copytree(processes.together(), tmp_path / 'two')
  saved = workdir / 'checkpoints'
  damage.cut('checkpoints/12/state')(workdir)
  code, _, output = processes.run(workdir, '1:misread:8')
  assert code == 0, output
  assert 'resuming after step 4' in output
  for step in (12, 8):
    assert (saved / f'{step}.damaged').is_dir() and (saved / str(step)).is_dir()
    assert f'the checkpoint {saved}/{step} is damaged (' in output
  assert processes.differences(workdir, processes.undisturbed()) == []


def test_four_processes_are_as_four_devices(tmp_path):
  """gloo would add in another order than XLA does within a process."""
  four, one = tmp_path / 'four', tmp_path / 'one'
  code, _, output = processes.run(four, count=4, num_steps=6)
  assert code == 0, output
  processes.run_alone(one, 4, num_steps=6)
  assert processes.differences(four, one) == []


def _write_folder(place, shade):
  rng = np.random.default_rng(0)
  for i in range(64):
    path = place / 'images' / 'train' / 'ab'[i % 2] / f'{i:02d}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 200, (32, 32, 3), np.uint8)
    pixels[0, 0] += shade * (i == 7)
    Image.fromarray(pixels).save(path, compress_level=0)
  return path


@pytest.mark.parametrize('kind', ['folder', 'array'])
def test_data_of_the_same_name_and_other_pixels_are_refused(tmp_path, kind):
  places = [tmp_path / str(i) for i in range(2)]
  sizes = {
    _write_folder(place, i).stat().st_size for i, place in enumerate(places)
  }
  assert len(sizes) == 1  # Of a pixel in a file of the same size.
  if kind == 'array':
    for place in places:
      source = f'--source=folder:{place}/images'
      target = f'--output={place}/arrays'
      prepare.main([source, '--image_size=32', target])
  name = {'folder': 'folder:images', 'array': 'array:arrays'}[kind]
  code, codes, output = processes.run(
    tmp_path / 'run',
    f'*:cd:{tmp_path}',
    '--config=quickstart',
    dataset__name=name,
    dataset__num_examples=None,
  )
  assert (code, codes) == (2, {0: 2, 1: 2}), output
  assert 'the processes of this run differ in the data:' in output
  assert 'fingerprint: ' in output


def test_processes_that_differ_are_refused(tmp_path):
  code, codes, output = processes.run(tmp_path, '1:differ')
  assert (code, codes) == (2, {0: 2, 1: 2}), output
  assert '--config.seed: 0 on process 0, 7 on process 1' in output


def test_a_run_that_never_gets_any_further_is_not_restarted(tmp_path):
  (tmp_path / 'restarts.json').write_text(
    f'{{"step": 0, "starts": {restarts.MAX_STARTS}}}'
  )
  code, codes, output = processes.run(tmp_path)
  assert (code, codes) == (77, {0: 77, 1: 77}), output
