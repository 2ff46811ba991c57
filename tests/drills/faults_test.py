"""Where faults come, and to whom."""

import itertools
import os

import pytest

from sagan_jax.drills import damage, faults
from sagan_jax.drills.poison import whiten
from sagan_jax.evaluation import protocol


@pytest.mark.parametrize(
  ('fault', 'found'),
  [
    ('1:kill:5', (True, 'kill:5')),
    ('0:save-terminate', (False, 'save-terminate')),
    ('*:stall:5', (True, 'stall:5')),
    ('saving-kill:2', (True, 'saving-kill:2')),
    ('kill:5', (True, 'kill:5')),
  ],
)
def test_a_fault_is_of_one_process_or_of_all(fault, found):
  argv = ['--workdir=x', '--process_id=1', '--num_processes=2']
  assert faults.addressed(fault, argv) == found


@pytest.mark.parametrize('point', ['record', 'recorded'])
def test_a_fault_comes_at_its_point_at_its_time(monkeypatch, capfd, point):
  happened = []
  monkeypatch.setattr(protocol, 'append', lambda x: happened.append(x))
  monkeypatch.setitem(faults.ACTIONS, 'mark', lambda: happened.append('mark'))
  faults.install(f'{point}-mark:2')
  for i in range(3):
    protocol.append(i)
  wanted = {'record': [0, 'mark', 1, 2], 'recorded': [0, 1, 'mark', 2]}
  assert happened == wanted[point]
  assert capfd.readouterr().err.count(faults.MARK) == 1


def test_every_point_is_there():
  for point in faults.POINTS:
    module, name, _ = faults.POINTS[point]
    holder, function = faults.owner(module, name)
    assert callable(getattr(holder, function))


def test_poison_is_of_one_batch_in_one_order():
  class Source:
    def batches(self, *, start=0, seed):
      del seed
      for _ in itertools.count(start):
        yield {'image': bytearray(2)}

  source = Source()
  whiten(source, number=2, seed=5)
  for start, seed, wanted in ((0, 5, 2), (1, 5, 1), (0, 6, None)):
    made = itertools.islice(source.batches(start=start, seed=seed), 4)
    white = [i for i, batch in enumerate(made) if batch['image'][0] == 255]
    assert white == ([] if wanted is None else [wanted])


def test_one_bit_is_flipped():
  content = os.urandom(64)
  for position in (0, 77, 511):
    changed = damage.flipped(content, position)
    differing = [a ^ b for a, b in zip(content, changed, strict=True)]
    assert sum(x.bit_count() for x in differing) == 1
    assert damage.flipped(changed, position) == content
