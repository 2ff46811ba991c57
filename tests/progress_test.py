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
