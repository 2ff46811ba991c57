"""How far long work has come."""

import io
import sys
import time

import pytest

from sagan_jax import progress


@pytest.mark.parametrize(
  'secs, text',
  [
    (0, '0s'),
    (6.2, '7s'),
    (59.5, '1m00s'),
    (306, '5m06s'),
    (3599.5, '1h00m'),
    (11045, '3h04m'),
    (86399, '23h59m'),
    (93600, '1d02h'),
    (1e6, '11d13h'),
  ],
)
def test_duration(secs, text):
  assert progress.duration(secs) == text


def test_a_count_is_told_every_ten_seconds_off_a_terminal(monkeypatch):
  now, said = 100.0, []
  monkeypatch.setattr(time, 'perf_counter', lambda: now)
  count = progress.counter('fakes', 50, said.append)
  for secs, done in ((5, 5), (11, 10), (12, 20), (24, 40)):
    now = 100.0 + secs
    count(done)
  assert said == ['fakes: 10/50, ETA 44s', 'fakes: 40/50, ETA 6s']


def test_a_count_is_a_bar_on_a_terminal(monkeypatch):
  terminal = io.StringIO()
  terminal.isatty = lambda: True
  monkeypatch.setattr(sys, 'stderr', terminal)
  count = progress.counter('fakes', 50, None)
  for done in (25, 50):
    count(done)
  assert 'fakes:   0%|' in terminal.getvalue()


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
