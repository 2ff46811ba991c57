"""Tests of what follows from an account."""

import pytest

from sagan_jax.config import schema
from sagan_jax.planning import estimate, topologies
from tests.support import tiny

V5E = topologies.find('v5e:2x2')
GIB = 2**30


def config(**changes):
  return schema.replace(tiny.config(), num_classes=10, **changes)


def account(peak=2 * GIB, **changes):
  return {
    'fits': True,
    'flops_per_image': 1e9,
    'compiler_flops': 98.5e9,  # Half a millisecond.
    'cycles': 1_503_000,  # About a millisecond.
    'hbm_bytes': 0.819e9,  # A millisecond.
    'memory': {'arguments': GIB, 'peak': peak},
    'collectives': [],
    **changes,
  }


def message(size, count=1, covered=0):
  return {
    'kind': 'all-reduce',
    'count': count,
    'bytes': size,
    'covered_cycles': covered,
  }


def test_times_and_rates():
  c = config(batch_size=256, num_steps=3600)
  found = estimate.make(c, V5E, account())
  assert found['compute_secs'] == pytest.approx(1e-3, rel=1e-3)
  assert found['hbm_bound_secs'] == pytest.approx(1e-3)
  assert found['flop_bound_secs'] == pytest.approx(0.5e-3)
  assert found['images_per_sec_per_chip'] == pytest.approx(64_000, rel=1e-3)
  assert found['effective_mfu'] == pytest.approx(64e12 / 197e12, rel=1e-3)
  assert found['hours'] == pytest.approx(1e-3, rel=1e-3)
  assert found['chip_hours'] == pytest.approx(4e-3, rel=1e-3)


def test_messages_take_their_bytes_and_a_latency():
  secs = estimate.all_reduce_secs([message(90e6, count=2)], V5E)
  assert secs == pytest.approx(2 * 3 / 4 * 1e-3 + 2 * 10e-6)
  one = topologies.find('v5e:1x1')
  assert estimate.all_reduce_secs([message(90e6)], one) == pytest.approx(10e-6)


def test_what_runs_meanwhile_covers_messages():
  covered = [message(90e6, covered=10**9), message(0)]
  assert estimate.all_reduce_secs(covered, V5E) == pytest.approx(10e-6)


def test_of_cpus_and_of_what_does_not_fit_no_time_is_known():
  assert estimate.make(config(batch_size=8), topologies.find('cpu:2'), {}) == {
    'images_per_chip': 4
  }
  assert estimate.make(config(batch_size=8), V5E, {'fits': False}) == {
    'images_per_chip': 2
  }


def row(size, peak):
  return {'batch_size': size, **account(peak)}


def test_the_largest_batch_of_one_size_counts_all_but_arguments_as_its():
  found, how = estimate.largest_batch(config(), V5E, [row(64, 2 * GIB)])
  assert found == 64 * 14.75 // 32 * 32  # A multiple of 8 on each of 4 chips.
  assert how.startswith('at least')


def test_the_largest_batch_of_two_sizes_is_on_their_line():
  rows = [row(64, 3 * GIB), row(128, 4 * GIB)]
  found, how = estimate.largest_batch(config(), V5E, rows)
  assert found == (128 + 11.75 * 64) // 32 * 32
  assert how == 'on the line through the peaks of 64 and 128'


def test_the_largest_batch_is_below_what_does_not_fit():
  rows = [row(64, 2 * GIB), {'batch_size': 128, 'fits': False}]
  assert estimate.largest_batch(config(), V5E, rows)[0] == 96
  assert estimate.largest_batch(config(), V5E, rows[1:]) is None


def test_the_largest_batch_splits_as_the_config_asks():
  c = config(generator__bn_group_size=48)
  found, _ = estimate.largest_batch(c, V5E, [row(64, 2 * GIB)])
  assert found % 48 == 0


def test_the_largest_batch_that_was_compiled_is_called_so():
  rows = [row(64, 2 * GIB), row(928, 15.7 * GIB)]
  assert estimate.largest_batch(config(), V5E, rows) == (928, 'compiled')


@pytest.mark.parametrize(
  'changes, known, topology, parts',
  [
    ({'batch_size': 256, 'dtype': 'bfloat16'}, {}, 'v5e:2x2', []),
    ({'batch_size': 256}, {}, 'v5e:2x2', ['dtype float32']),
    (
      {'batch_size': 36, 'dtype': 'bfloat16'},
      {},
      'v5e:2x2',
      ['9 images per chip at a time is no multiple', '9 images per chip: work'],
    ),
    (
      {'batch_size': 256, 'dtype': 'bfloat16'},
      {'collectives': [message(900e6)]},
      'v5e:2x2',
      ['94% of a step are messages'],
    ),
    (
      {'batch_size': 256, 'dtype': 'bfloat16'},
      {'memory': {'arguments': 0, 'peak': 15 * GIB}},
      'v5e:2x2',
      ['less than a tenth of the memory'],
    ),
    (
      {'batch_size': 256, 'dtype': 'bfloat16'},
      {'fits': False},
      'v5e:2x2',
      ['it does not fit'],
    ),
    (
      {'batch_size': 6, 'eval.batch_size': 100},
      {},
      'cpu:3',
      ['evaluation batches of 100 are filled up to 102 for 3 devices'],
    ),
  ],
)
def test_advice(changes, known, topology, parts):
  c, topology = config(**changes), topologies.find(topology)
  found = account(**known)
  advice = estimate.advice(
    c, topology, found, estimate.make(c, topology, found)
  )
  assert len(advice) == len(parts), advice
  for text, part in zip(advice, parts, strict=True):
    assert text.startswith(part)
