"""A run whose data gives no more batches."""

import threading
import types

import pytest

from sagan_jax.data import prefetch
from sagan_jax.gan import state as state_lib
from sagan_jax.run import stall, stop
from tests.support import tiny


def test_a_line_per_interval_names_the_data(capsys):
  run = types.SimpleNamespace(
    source=types.SimpleNamespace(name='tfds:x'),
    config=types.SimpleNamespace(stall_secs=60),
  )
  waiting = stall.Stall(run, types.SimpleNamespace(step=7))
  for secs in (1, 59, 60, 61, 119, 121, 300, 301):
    waiting(secs)
  lines = capsys.readouterr().out.splitlines()
  assert [line.split(',')[0] for line in lines] == [
    f'no batch from tfds:x for {secs} s' for secs in (60, 121, 300)
  ]
  assert 'after step 7: it is slow, or it hangs' in lines[0]


def test_a_stalled_run_stops_where_it_is_saved(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(prefetch, '_CLOSE_SECS', 0.1)  # Of a thread that hangs.
  release = threading.Event()
  with tiny.small_networks():
    straight = tiny.run(tmp_path / 'a', num_steps=4)
    one = tiny.trainer(tmp_path / 'b', num_steps=4, stall_secs=1)
    batches = one.run.source.batches

    def stalled(**options):
      for i, batch in enumerate(batches(**options)):
        if i == 2:
          release.wait()
        yield batch

    one.run.source.batches = stalled
    look = stall.Stall.__call__

    def look_and_stop(self, secs):
      look(self, secs)
      if self._told:
        stop.request()

    monkeypatch.setattr(stall.Stall, '__call__', look_and_stop)
    try:
      with pytest.raises(stop.Stopped, match='after step 2, which is saved'):
        one.train()
    finally:
      stop.withdraw()
      release.set()
    assert 'no batch from shapes for 1 s, after step 2' in (
      capsys.readouterr().out
    )
    resumed = tiny.run(tmp_path / 'b', num_steps=4)
  assert state_lib.digest(resumed) == state_lib.digest(straight)
