"""The command that exports weights and imports them."""

import json

import jax
import numpy as np
import pytest

import sagan_jax
from sagan_jax import errors, export
from sagan_jax.run import command, exported, initial
from sagan_jax.run.run import Run
from sagan_jax.weights import biggan
from tests.support import biggan as biggan_support
from tests.support import exports, tiny


@pytest.fixture(autouse=True)
def small(request):
  if 'biggan' in request.node.name:  # It has none like these.
    yield
    return
  with tiny.small_networks():
    yield


@pytest.fixture(scope='module')
def workdir(tmp_path_factory):
  """A run of three classes, at step 7."""
  workdir = tmp_path_factory.mktemp('runs') / 'run'
  with tiny.small_networks():
    run = initial.make_run(exports.export(), Run.open, workdir)
    run.checkpointer.close()
  return workdir


def _main(*argv):
  """Runs the command in this process; returns its exit code."""
  return command.exit_code(export.main, list(argv))


def test_out_and_in_again(workdir, tmp_path, capsys):
  out, again = tmp_path / 'out', tmp_path / 'again'
  assert _main(f'--workdir={workdir}', f'--output={out}') == 0
  path = out / 'weights.safetensors'
  assert f'{path}: step 7; {out}/weights.json' in capsys.readouterr().out
  assert sorted(p.name for p in out.iterdir()) == [
    'weights.json',
    'weights.safetensors',
  ]
  assert _main(f'--import={out}', f'--workdir={again}') == 0
  assert f'{again} is now a run of {path} at step 7' in capsys.readouterr().out
  labels = ['ring', 0, 2, 'Tabby_cat']
  images = [sagan_jax.open_run(x).sample(labels) for x in (workdir, again)]
  np.testing.assert_array_equal(*images)
  # A second time, to a file by its name: the same weights.
  other = tmp_path / 'other.safetensors'
  assert _main(f'--workdir={again}', f'--output={other}') == 0
  card = json.loads((tmp_path / 'other.json').read_text())
  wanted = exports.export().card['weights_sha256']
  assert card['weights_sha256'] == wanted
  assert card['origin']['weights_sha256'] == wanted


@pytest.mark.parametrize('weights', ['ema', 'raw'])
def test_a_program_makes_the_images_of_a_run(workdir, tmp_path, weights):
  path = tmp_path / 'generator.stablehlo'
  flags = [f'--workdir={workdir}', '--format=stablehlo', '--step=7']
  assert _main(*flags, f'--output={tmp_path}', f'--weights={weights}') == 0
  card = json.loads((tmp_path / 'generator.json').read_text())
  assert card['program']['weights'] == weights
  assert card['program']['bn_statistics'] == 'standing'
  assert card['program']['inputs']['latents'] == 'float32 [n, 128]'
  labels = np.array([0, 2, 1, 1], np.int32)
  live = sagan_jax.open_run(workdir).sample(labels, seed=3, weights=weights)
  key = jax.random.key(3)
  latents = np.stack(
    [jax.random.normal(jax.random.fold_in(key, i), (128,)) for i in range(4)]
  )
  program = jax.export.deserialize(path.read_bytes())
  np.testing.assert_array_equal(program.call(latents, labels), live)


def test_a_program_of_other_choices(workdir, tmp_path):
  flags = [f'--workdir={workdir}', '--format=stablehlo', '--truncation=0.5']
  path = tmp_path / 'g.stablehlo'
  flags += [f'--output={path}', '--images=float32', '--statistics=running']
  assert _main(*flags) == 0
  card = json.loads((tmp_path / 'g.json').read_text())['program']
  assert (card['truncation'], card['bn_statistics']) == (0.5, 'running')
  run = Run.open(workdir)
  params, stats = run.restore().generator_variables('ema')
  latents = np.full((2, 128), 40, np.float32)
  labels = np.array([0, 1], np.int32)
  live = run.gan.generator.apply(
    {'params': params, **stats}, np.full_like(latents, 0.5), labels, train=False
  )
  program = jax.export.deserialize(path.read_bytes())
  np.testing.assert_allclose(program.call(latents, labels), live, atol=1e-5)


@pytest.mark.slow
def test_what_biggan_has_written_goes_through_a_run(tmp_path, capsys):
  c = biggan_support.config()
  theirs = biggan_support.checkpoint(c) | {'state_dict': {'itr': 31}}
  biggan.write_directory(tmp_path / 'theirs', theirs, 'best0')
  run, out = tmp_path / 'run', tmp_path / 'out'
  source = f'--import={tmp_path}/theirs/G_best0.pth'
  assert _main(source, f'--workdir={run}', '--config=quickstart') == 0
  # Theirs has u vectors of its own for the averaged weights.
  assert 'singular values differ by up to' in capsys.readouterr().out
  assert Run.open(run).config.generator.ch == c.generator.ch
  flags = [f'--workdir={run}', f'--output={out}', '--format=biggan']
  assert _main(*flags) == 0
  ours = biggan.read_directory(out)
  assert ours['state_dict']['itr'] == 31
  for file in 'G', 'G_ema', 'D':
    assert ours[file].keys() == theirs[file].keys()
    for name, array in theirs[file].items():
      if file != 'G' or not name.endswith(('u0', 'sv0')):
        np.testing.assert_allclose(
          ours[file][name], array, rtol=1e-6, atol=1e-6, err_msg=name
        )
  found = exported.read(out, None, tiny.config)
  assert found.card['step'] == 31 and not found.note
  (out / 'G.pth').write_bytes(
    (tmp_path / 'theirs/G_ema_best0.pth').read_bytes()
  )
  with pytest.raises(errors.UserError, match=f'{out} is damaged: its weights'):
    exported.read(out, None, tiny.config)


RUN = '--workdir=RUN'
OUT = '--output=PLACE/out'
IMPORT = '--import=PLACE/x.safetensors'
REFUSED = {
  'no run': ([], 'set --workdir'),
  'no output': ([RUN], 'set --output'),
  'an export by a config': (
    [RUN, OUT, '--config=quickstart'],
    '--config has no effect on an export',
  ),
  'a key': (
    [RUN, OUT, '--config.seed=1'],
    '--config.seed has no effect on an export',
  ),
  'an import to a file': (
    [IMPORT, '--workdir=PLACE/new', OUT],
    '--output has no effect on an import',
  ),
  'an import of a step': (
    [IMPORT, '--workdir=PLACE/new', '--step=0'],
    '--step has no effect on an import',
  ),
  'an import by a config': (
    [IMPORT, '--workdir=PLACE/new', '--config=quickstart'],
    'has a config of its own: leave --config out',
  ),
  'an import over a run': ([IMPORT, RUN], 'already holds a run'),
  'a truncation of weights': (
    [RUN, OUT, '--truncation=1'],
    '--truncation is for --format=stablehlo only',
  ),
  'no truncation': ([RUN, OUT, '--truncation=0'], "'0' is no number above 0"),
  'endless': ([RUN, OUT, '--truncation=inf'], "'inf' is no number above 0"),
  'a word': ([RUN, OUT, '--truncation=x'], "'x' is no number above 0"),
  'a step that is none': ([RUN, OUT, '--step=last'], "'last' is no step"),
  'a step that is not there': ([RUN, OUT, '--step=3'], 'only of [7]'),
  'none is best': ([RUN, OUT, '--step=best'], 'best holds no checkpoint'),
  'a format of nobody': ([RUN, OUT, '--format=onnx'], "'safetensors'"),
  'a file of another format': (
    [RUN, '--output=PLACE/x.pth'],
    'is neither a directory nor a file named *.safetensors',
  ),
  'a directory in a file': ([RUN, '--output=PLACE/file/x'], 'PLACE/file/x'),
}


@pytest.mark.parametrize('argv, told', REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused(workdir, tmp_path, capsys, argv, told):
  (tmp_path / 'file').touch()
  exports.write(tmp_path / 'x.safetensors', exports.export())

  def named(text):
    return text.replace('PLACE', str(tmp_path)).replace('RUN', str(workdir))

  assert _main(*map(named, argv)) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('error: ') and named(told) in line
  assert {p.name for p in tmp_path.iterdir()} == {'file', 'x.safetensors'}
