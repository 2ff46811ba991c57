"""The README's table of what proves what: every test and case in it is there."""

import re

import pytest

from sagan_jax.drills import cases
from tests.conftest import ROOT

HEADING = '### What proves it'
TEST = re.compile(r'`([\w/]+_test\.py)::(test_\w+)`')


@pytest.fixture
def table():
  path = ROOT / 'README.md'
  if not path.exists():
    pytest.skip('the README is in the checkout')
  text = path.read_text()
  assert HEADING in text
  lines = text.split(HEADING)[1].split('\n#')[0].splitlines()
  return [line for line in lines if line.startswith('| ')][2:]


def test_every_named_test_is_there(table):
  for line in table:
    named = TEST.findall(line)
    assert named or 'drill `' in line or 'not tested' in line, line
    for path, name in named:
      source = (ROOT / 'tests' / path).read_text()
      assert f'\ndef {name}(' in source, f'{path}::{name}'


def test_every_case_of_the_drill_is_named_and_no_other(table):
  lists = re.findall(r'drill ((?:`[\w-]+`(?:, )?)+)', '\n'.join(table))
  named = {name for found in lists for name in re.findall('`(.+?)`', found)}
  assert named == set(cases.CASES)
