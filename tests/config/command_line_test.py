"""Tests of command lines."""

import argparse
import re
import subprocess
import sys

import pytest

from sagan_jax import errors
from sagan_jax.config import command_line
from tests.conftest import ROOT


def _parse(*argv, with_config=True):
  parser = command_line.make_parser('thing', 'Does 100% of it.\n\n  python x')
  if with_config:
    command_line.add_config(parser)
  parser.add_argument('--workdir')
  parser.add_argument('--steps', type=int, default=3)
  return command_line.parse(parser, argv)


@pytest.mark.parametrize(
  'argv, overrides',
  [
    ((), {}),
    (('--config.a.b=1',), {'a.b': '1'}),
    (('--config.a.b', '1'), {'a.b': '1'}),
    (('--config.seed', '-1'), {'seed': '-1'}),
    (('--config.a=b=c',), {'a': 'b=c'}),
    (('--config.a=',), {'a': ''}),
    (('--config.a=1', '--workdir=x', '--config.b=2'), {'a': '1', 'b': '2'}),
    (('--config.a=--x',), {'a': '--x'}),
  ],
)
def test_overrides_are_taken_out(argv, overrides):
  args = _parse(*argv)
  assert args.overrides == overrides
  assert args.config is None and args.steps == 3


@pytest.mark.parametrize('argv', [('--config=x.py:1',), ('--config', 'x.py:1')])
def test_other_flags_are_those_of_argparse(argv):
  args = _parse(*argv, '--steps=4', '--config.a=1', '--workdir', 'w')
  assert (args.config, args.steps, args.workdir) == ('x.py:1', 4, 'w')


def test_the_command_line_of_the_process_is_the_default(monkeypatch):
  monkeypatch.setattr(sys, 'argv', ['program', '--workdir=w', '--config.a=1'])
  parser = command_line.make_parser('thing', '')
  command_line.add_config(parser, required=False)
  parser.add_argument('--workdir')
  args = command_line.parse(parser)
  assert (args.workdir, args.overrides) == ('w', {'a': '1'})


@pytest.mark.parametrize(
  'argv, message',
  [
    (('--workdr=x',), 'unknown flag --workdr; did you mean --workdir?; see'),
    (('--workdr', 'x'), 'unknown flag --workdr; did you mean --workdir?; see'),
    (('--confg.seed=1',), 'unknown flag --confg.seed; did you mean --config?'),
    (('--zzzz',), 'unknown flag --zzzz; see python -m sagan_jax.thing --help'),
    (('--work=x',), 'unknown flag --work'),  # No abbreviations.
    (('--batch_size=8',), 'did you mean --config.batch_size?'),
    (('--generator.ch=8',), 'did you mean --config.generator.ch?'),
    (('x',), "unexpected argument 'x'; see"),
    (('--config.a',), '--config.a needs a value; set --config.a=VALUE'),
    (('--config.a', '--workdir=w'), '--config.a needs a value'),
    (('--steps=x',), "argument --steps: invalid int value: 'x'; see"),
    (('--workdir',), 'argument --workdir: expected one argument; see'),
  ],
)
def test_mistakes_are_named(argv, message):
  with pytest.raises(errors.UserError, match=re.escape(message)) as e:
    _parse(*argv)
  assert '\n' not in str(e.value)


def test_a_command_without_configs_takes_no_keys():
  with pytest.raises(errors.UserError, match='unknown flag --config.a'):
    _parse('--config.a=1', with_config=False)
  assert _parse('--workdir=w', with_config=False).overrides == {}


def test_help_lists_the_flags_and_nothing_else(capsys):
  with pytest.raises(SystemExit, match='^0$'):
    _parse('--help')
  text = capsys.readouterr().out
  assert text.startswith('usage: python -m sagan_jax.thing')
  assert 'Does 100% of it.\n\n  python x' in text
  assert '--config.KEY=VALUE' in text
  flags = set(re.findall(r'^ +(?:-h, )?(--\w+)', text, re.MULTILINE))
  assert flags == {'--help', '--config', '--workdir', '--steps'}


def test_nothing_heavy_is_imported():
  """Else `--help` would take seconds."""
  script = (
    'import sys, sagan_jax.config.command_line\n'
    'print({"jax", "flax", "numpy", "ml_collections", "etils"} & {*sys.modules})'
  )
  output = subprocess.run(
    [sys.executable, '-c', script],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  ).stdout
  assert output.strip() == 'set()'


def test_of_what_is_given_twice_the_last_counts():
  """So that a command can be extended, by a person or by a script."""
  parser = command_line.make_parser('main', 'x')
  command_line.add_config(parser)
  args = command_line.parse(
    parser,
    ['--config=a', '--config.seed=1', '--config=b', '--config.seed', '2'],
  )
  assert args.config == 'b'
  assert args.overrides == {'seed': '2'}


@pytest.mark.parametrize(
  'kind, text, value',
  [
    (command_line.step('best'), 'best', 'best'),
    (command_line.step('best', 'all'), '12', 12),
    (command_line.above_zero, '0.5', 0.5),
  ],
)
def test_types_of_arguments(kind, text, value):
  assert kind(text) == value


@pytest.mark.parametrize(
  'kind, text, message',
  [
    (command_line.step('best'), 'last', "'last' is no step, nor best"),
    (command_line.step(), '-1', "'-1' is no step"),
    (command_line.step('a', 'b'), '9' * 5000, 'is no step, nor a, nor b'),
    (command_line.above_zero, 'inf', "'inf' is no number above 0"),
    (command_line.above_zero, '-1', "'-1' is no number above 0"),
    (command_line.above_zero, 'x', "'x' is no number above 0"),
  ],
)
def test_values_that_are_refused(kind, text, message):
  with pytest.raises(argparse.ArgumentTypeError, match=message):
    kind(text)
