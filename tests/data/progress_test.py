"""Tests of what long work tells."""

import sys

import pytest

from sagan_jax.data import progress


def work(**kwargs):
  with progress.Progress('reading', 2000, unit='files', **kwargs) as shown:
    for _ in range(4):
      shown.update(500)


def test_short_work_is_silent(capsys):
  work()
  assert capsys.readouterr().err == ''


def test_long_work_is_told_in_lines(capsys, monkeypatch):
  seconds = iter([0, 1, 3, 4, 5, 6, 40, 41])
  monkeypatch.setattr(progress.time, 'monotonic', lambda: next(seconds))
  work()
  assert capsys.readouterr().err.splitlines() == [
    'reading: 500 of 2,000 files',
    'reading: 2,000 of 2,000 files',
  ]


def test_what_was_done_before_is_told(capsys):
  work(done=7, quiet_secs=0)
  assert capsys.readouterr().err == 'reading: 7 of 2,000 files\n'


@pytest.mark.parametrize(
  ('unit', 'text'), [('files', '2000/2000'), ('B', '2.00k/2.00k')]
)
def test_a_terminal_shows_a_bar(capsys, monkeypatch, unit, text):
  monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
  with progress.Progress('reading', 2000, unit=unit, quiet_secs=0) as shown:
    shown.update(2000)
  text_shown = capsys.readouterr().err
  assert 'reading: 100%' in text_shown
  assert text in text_shown
