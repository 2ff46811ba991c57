"""Command lines that nobody can mean: one error, code 2, nothing written."""

import importlib

import hypothesis
import pytest
from hypothesis import strategies as st

from sagan_jax.config import schema
from sagan_jax.run import command
from tests.support import hostile, mistakes

TEXTS = st.one_of(
  st.sampled_from(
    ['', ' ', '0', '-1', 'nan', 'inf', '1e999', '9' * 5000, str(2**64), '1.5']
    + ['\0', 'a\0b', '\ud800', '\udcff', '{"a": 1}', '[' * 3000, '(', 'None']
    + ['True', '../..', '~nobody/x', 'gs:/x', 'ftp://x/y', '/dev/null/x', '*']
    + ['--', '-', '=', ',', ',,', '¼', '٣', '__import__("os")', 'x' * 10**5]
  ),
  st.text(max_size=20),
)
# {command: (flags that make it go as far as it can without work, its flags)}.
COMMANDS = {
  'main': (
    ['--config=quickstart', '--config.dataset.name=folder:/nowhere'],
    ['--workdir', '--allow_changes', '--init_from', '--watchdog_secs']
    + ['--coordinator_address', '--num_processes', '--process_id'],
  ),
  'evaluate': (
    ['--config=quickstart'],
    ['--workdir', '--step', '--real', '--fake'],
  ),
  'sample': (
    ['--workdir=/nowhere', '--output=/nowhere/x'],
    ['--step', '--classes', '--num', '--seed', '--truncation', '--weights']
    + ['--frames', '--interpolate', '--nearest', '--as'],
  ),
  'attention': (
    ['--workdir=/nowhere', '--output=/nowhere/x'],
    ['--steps', '--points', '--measure', '--classes'],
  ),
  'report': ([], ['--output']),
  'verify': ([], ['--workdir']),
  'export': (
    ['--workdir=/nowhere'],
    ['--output', '--format', '--step', '--import', '--truncation', '--images'],
  ),
  'sweep': (
    ['--config=quickstart', '--output=/dev/null/x'],
    ['--grid', '--list', '--seeds', '--jobs', '--restarts', '--halving']
    + ['--backend', '--sweep'],
  ),
  'plan': (
    ['--config=quickstart', '--topology=v5e:3x3x3'],
    ['--topology', '--batch_sizes', '--price_per_chip_hour', '--compare'],
  ),
  'prepare': (
    ['--source=folder:/nowhere', '--image_size=8', '--output=/dev/null/x'],
    ['--source', '--image_size', '--num_examples', '--split', '--verify'],
  ),
  'benchmark': (
    ['--config=nothing', '--no-input'],
    ['--steps', '--warmup', '--batch_sizes', '--dtypes', '--forms', '--config'],
  ),
}


@st.composite
def arguments(draw, name):
  """Draws a command line that is refused, whatever it says."""
  base, flags = COMMANDS[name]
  keys = st.one_of(st.sampled_from(schema.KEYS), TEXTS)
  one = st.one_of(
    st.tuples(st.sampled_from(flags), TEXTS).map('='.join),
    st.tuples(keys, TEXTS).map(lambda x: f'--config.{x[0]}={x[1]}'),
    TEXTS.map(lambda x: f'--{x}'),
    TEXTS,
  )
  drawn = draw(st.lists(one, min_size=1, max_size=4))
  return [*base, *drawn, *draw(st.sampled_from([[], drawn]))]


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  path = tmp_path_factory.mktemp('hostile') / 'here'
  path.mkdir()
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(path)
    yield path


@pytest.mark.parametrize('name', COMMANDS)
@hostile.inputs
@hypothesis.given(data=st.data())
def test_command_lines(place, told, name, data):
  argv = data.draw(arguments(name))
  main = importlib.import_module(f'sagan_jax.{name}').main
  hypothesis.assume(not {'-h', '--help'} & set(argv))
  told()
  with hostile.guarded(place), mistakes.nothing_compiled():
    code = command.exit_code(main, argv)
  error = told()
  assert code == 2, (code, error)
  assert error.startswith('error: ') and error.count('error: ') == 1, error
  assert 'Traceback' not in error and len(error) < 2**17
  assert all(len(line) < 2100 for line in error.splitlines())
  assert not list(place.iterdir())


@pytest.fixture
def told(capsys):
  """What was written to stderr since it was asked before."""
  return lambda: capsys.readouterr().err
