"""What an account of a step means: time, rates, memory left, money, advice."""

import math

from sagan_jax import errors
from sagan_jax.config import compatibility, schema

_MESSAGE_SECS = 10e-6  # That every message takes at least; a guess.
_FEW_IMAGES = 64  # Per chip, below which the work on weights dominates.
_SUBLANES = 8


def make(c, topology, account) -> dict:
  """Adds to an account what follows from it.

  Args:
    c: the `Config` that was compiled.
    topology: the `topologies.Topology`.
    account: what `account.make` returned.

  Returns:
    {name: number}; times in seconds, rates per chip and second. What is not
    known of a CPU, or of what does not fit, is absent.
  """
  per_chip = c.batch_size / topology.num_devices
  found = {'images_per_chip': per_chip}
  chip = topology.chip
  if chip is None or not account['fits']:
    return found
  compute = account['cycles'] / chip.clock_hz
  reduces = all_reduce_secs(account['collectives'], topology)
  secs = compute + reduces
  hbm = account['hbm_bytes'] / chip.hbm_bytes_per_sec
  products = account['compiler_flops'] / chip.peak_flops
  return found | {
    'compute_secs': compute,
    'all_reduce_secs': reduces,
    'step_secs': secs,
    'images_per_sec_per_chip': per_chip / secs,
    'images_per_sec_per_chip_without_all_reduces': per_chip / compute,
    'effective_mfu': (
      per_chip / secs * account['flops_per_image'] / chip.peak_flops
    ),
    'hbm_bound_secs': hbm,
    'flop_bound_secs': products,
    'hours': secs * c.num_steps / 3600,
    'chip_hours': secs * c.num_steps / 3600 * topology.num_devices,
  }


def all_reduce_secs(collectives, topology) -> float:
  """How long all devices wait for each other's messages.

  A ring's 2 (n - 1) / n times the bytes at the chip's rate, and a latency for
  every message. What asynchronous ones have to do meanwhile is subtracted.

  Args:
    collectives: what `traffic.collectives` returned.
    topology: a `Topology` of TPUs.
  """
  num = topology.num_devices
  total = 0.0
  for row in collectives:
    secs = row['count'] * _MESSAGE_SECS + (
      2 * (num - 1) / num * row['bytes'] / topology.chip.link_bytes_per_sec
    )
    covered = row['covered_cycles'] / topology.chip.clock_hz
    total += max(0.0, secs - covered)
  return total


def largest_batch(c, topology, rows) -> tuple[int, str] | None:
  """The largest batch that should fit, without compiling it.

  Args:
    c: a `Config`.
    topology: of TPUs.
    rows: accounts with their 'batch_size'.

  Returns:
    (images per step, how it was found), or None if nothing can be said.
  """
  accounts = {row['batch_size']: row for row in rows}
  peaks = {
    size: account['memory']['peak']
    for size, account in sorted(accounts.items())
    if account['fits']
  }
  if not peaks:
    return None
  limit = topology.chip.hbm_bytes
  if len(peaks) > 1:
    (small, low), (large, high) = list(peaks.items())[-2:]
    slope = (high - low) / (large - small)
    images = large + (limit - high) / slope if slope > 0 else large
    how = f'on the line through the peaks of {small} and {large}'
  else:
    ((size, peak),) = peaks.items()
    fixed = accounts[size]['memory']['arguments']
    images = size * (limit - fixed) / (peak - fixed)
    how = (
      f'at least: as if all but the arguments of {size} grew with the batch; '
      'give two --batch_sizes for a better one'
    )
  refused = [size for size, x in accounts.items() if not x['fits']]
  images = min([images, *(size - 1 for size in refused)])
  found = _round_down(c, topology, images)
  if found in peaks:
    how = 'compiled'
  return (found, how) if found else None


def _round_down(c, topology, images):
  """The largest batch up to `images` that the config and mesh allow."""
  unit = c.num_microbatches * topology.num_devices
  if c.generator.bn_group_size:
    unit = math.lcm(unit, c.num_microbatches * c.generator.bn_group_size)
  for step in (unit * _SUBLANES, unit):
    size = int(images) // step * step
    while size > 0:
      try:
        compatibility.check(
          schema.replace(c, batch_size=size), topology.num_devices
        )
        return size
      except errors.UserError:
        size -= step
  return None


def advice(c, topology, account, estimate) -> list[str]:
  """What to change, a sentence each.

  Args:
    c: a `Config`.
    topology: a `Topology`.
    account: what `account.make` returned.
    estimate: what `make` returned.
  """
  found = []
  per_chip = c.batch_size // topology.num_devices
  share = -(-c.eval.batch_size // topology.num_devices)
  if c.eval.batch_size % topology.num_devices:
    found.append(
      f'evaluation batches of {c.eval.batch_size} are filled up to '
      f'{share * topology.num_devices} for {topology.num_devices} devices: set '
      '--config.eval.batch_size to a multiple'
    )
  if topology.chip is None:
    return found
  part = per_chip // c.num_microbatches
  if part % _SUBLANES:
    found.append(
      f'{part} images per chip at a time is no multiple of {_SUBLANES}, so '
      'tiles are partly empty'
    )
  if per_chip < _FEW_IMAGES:
    found.append(
      f'{per_chip} images per chip: work on weights, the same for any batch, '
      f'weighs most below {_FEW_IMAGES}; take fewer chips or a larger batch'
    )
  if c.dtype == 'float32':
    found.append(
      'dtype float32: products are rounded to bfloat16 all the same, and '
      'activations take twice the bytes; set --config.dtype=bfloat16'
    )
  if not account['fits']:
    found.append(
      'it does not fit: set --config.num_microbatches, take more chips, or a '
      'smaller batch'
    )
    return found
  if account['memory']['peak'] > 0.9 * topology.chip.hbm_bytes:
    found.append('less than a tenth of the memory is left')
  if estimate['all_reduce_secs'] > 0.2 * estimate['step_secs']:
    found.append(
      f'{estimate["all_reduce_secs"] / estimate["step_secs"]:.0%} of a step are '
      'messages: take fewer chips or a larger batch'
    )
  return found
