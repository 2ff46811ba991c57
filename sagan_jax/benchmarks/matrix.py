"""All figures of a machine in one table, within a time and resumable.

A cell is a dict that says what is measured. Each is measured by a process of its
own; see `children`.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import time
from collections.abc import Callable

from sagan_jax import __version__, errors, files
from sagan_jax.benchmarks import children, record, tables

_MACHINE_SECS = 300  # For a device to answer.
BIGGAN = pathlib.Path(__file__).with_name('biggan_step.py')


@dataclasses.dataclass(frozen=True)
class Plan:
  """What a matrix measures."""

  config: str  # name or path
  overrides: dict[str, str]
  forms: list[str]
  dtypes: list[str]
  batch_sizes: list[int]
  flags: list[str]  # of XLA, '' for none
  steps: int
  warmup: int
  programs: str  # directory of what was compiled, so that it is compiled once
  biggan: str | None  # directory of BigGAN-PyTorch
  biggan_python: str
  peer_settings: str  # JSON of what `biggan_step` needs to know

  def cells(self):
    """All cells but the last, in order of worth."""
    yield {'measured': 'ceilings'}
    steps = [
      {
        'measured': 'step',
        'resample': form,
        'dtype': dtype,
        'batch_size': batch_size,
        'flags': flags,
      }
      for flags, batch_size, dtype, form in itertools.product(
        self.flags, self.batch_sizes, self.dtypes, self.forms
      )
    ]
    few = len(self.dtypes) * len(self.forms)
    yield from steps[:few]  # Of one batch size: does it work?
    yield {'measured': 'evaluation'}
    yield {'measured': 'determinism', 'flags': ''}
    yield from steps[few:]
    if self.biggan:
      for batch_size, dtype in itertools.product(
        self.batch_sizes, ('bfloat16', 'float32')
      ):
        yield {
          'measured': 'BigGAN-PyTorch',
          'dtype': dtype,
          'batch_size': batch_size,
        }
    yield {
      'measured': 'determinism',
      'flags': '--xla_gpu_deterministic_ops=true',
    }

  def command(self, cell):
    """The command that measures a cell."""
    if cell['measured'] == 'BigGAN-PyTorch':
      return [
        self.biggan_python,
        str(BIGGAN),
        *(self.biggan, str(cell['batch_size']), cell['dtype']),
        *(str(self.steps), str(self.warmup), children.FIGURES),
        self.peer_settings,
      ]
    flags = [f'--part={cell["measured"]}']
    for key, flag in (
      ('resample', 'forms'),
      ('dtype', 'dtypes'),
      ('batch_size', 'batch_sizes'),
    ):
      if key in cell:
        flags.append(f'--{flag}={cell[key]}')
    flags += [
      f'--steps={self.steps}',
      f'--warmup={self.warmup}',
      f'--compilation_cache={self.programs}',
    ]
    return children.this_package(self.config, self.overrides, *flags)


@dataclasses.dataclass
class _Budget:
  secs: float

  def __post_init__(self):
    self._end = time.monotonic() + self.secs

  def left(self):
    return self._end - time.monotonic()


def peer_settings(c):
  """The sizes of a config, as flags of BigGAN-PyTorch.

  Args:
    c: a `Config` whose `num_classes` is known.
  """
  flags = {'dim_z': c.latent_dim, 'num_D_steps': c.n_dis}
  for letter, network in ('G', c.generator), ('D', c.discriminator):
    flags[f'{letter}_ch'] = network.ch
    flags[f'{letter}_attn'] = '_'.join(map(str, network.attention)) or '0'
  return {
    'image_size': c.image_size,
    'num_classes': c.num_classes,
    'flags': flags,
  }


def run(plan: Plan, c, output, budget_secs: float, say: Callable):
  """Measures the cells that are missing, and writes tables after each.

  Args:
    plan: a `Plan`.
    c: its `Config` as a dict; with the machine all that figures depend on.
    output: directory, local; it has `cells.jsonl`, `matrix.md`, `matrix.json`.
    budget_secs: after which no cell begins, and one that runs is ended.
    say: called with lines of progress.

  Raises:
    UserError: if the directory has figures of another setting, or cannot be
      written.
  """
  budget = _Budget(budget_secs)
  with files.writing(output):
    output.mkdir(parents=True, exist_ok=True)
  setting = _setting(plan, c)
  known = record.Record(output / 'cells.jsonl', setting)
  cells = list(plan.cells())
  if found := len(known.rows):
    say(f'{found} cells are there already, in {output}')
  for cell in cells:
    _measure(plan, known, cell, budget, say)
    _write(output, setting, known, cells)
  if best := _best(known):
    cell = best['cell'] | {'measured': 'kernels'}
    cells.append(cell)
    _measure(plan, known, cell, budget, say)
    _write(output, setting, known, cells)
  say((output / 'matrix.md').read_text())


def _setting(plan, c):
  """What figures are of. Cells may be added later, with other flags."""
  machine = children.measure(
    plan.command({'measured': 'machine'}), _MACHINE_SECS
  )
  if machine is None or 'error' in machine:
    raise errors.UserError(
      f'no device to measure: {(machine or {}).get("error", "no answer")}'
    )
  digest = hashlib.sha256(json.dumps(c, sort_keys=True).encode()).hexdigest()
  return {
    'sagan_jax': __version__,
    **machine,
    'config': plan.config,
    'overrides': plan.overrides,
    'config_digest': digest[:16],
    'steps': plan.steps,
    'warmup': plan.warmup,
  }


def _measure(plan, known, cell, budget, say):
  if known.get(cell) is not None:
    return
  name = ' '.join(str(v) for v in cell.values() if v != '')
  if budget.left() <= 0:
    say(f'{name}: not run, the time is over')
    return
  say(f'{name} ...')
  environment = {}
  if cell.get('flags'):
    flags = os.environ.get('XLA_FLAGS', '')
    environment['XLA_FLAGS'] = f'{flags} {cell["flags"]}'.strip()
  found = children.measure(plan.command(cell), budget.left(), environment)
  if found is None:
    say(f'{name}: ended, the time is over')
    return
  known.add({'cell': cell} | found)
  say(f'{name}: {_short(found)}')


def _short(found):
  if 'error' in found:
    return found['error']
  rate = found.get('images_per_sec')
  return 'done' if rate is None else f'{rate:.1f} images/s'


def _best(known):
  steps = [
    r for r in known.rows if r['cell']['measured'] == 'step' and _rate(r)
  ]
  return max(steps, key=_rate, default=None)


def _rate(row):
  return row.get('images_per_sec')


def _write(output, setting, known, cells):
  """Writes the table and the JSON, with the cells that were not run."""
  ceilings = known.get({'measured': 'ceilings'}) or {}
  rows = []
  for cell in cells:
    found = known.get(cell)
    row = cell | ({'note': 'not run'} if found is None else found)
    peak = ceilings.get(f'{cell.get("dtype")}_tflops')
    if peak and _rate(row) and row.get('gflop_per_image'):
      row['effective_mfu'] = _rate(row) * row['gflop_per_image'] / peak / 1000
    rows.append(row | {'note': row.get('note') or _note(row)})
    rows[-1].pop('cell', None)
  text = '\n'.join(f'- {key}: {value}' for key, value in setting.items())
  table = tables.table(rows, tables.MATRIX_COLUMNS)
  files.write(output / 'matrix.md', f'{text}\n\n{table}\n')
  report = {'setting': setting, 'rows': rows}
  files.write(output / 'matrix.json', json.dumps(report, indent=2) + '\n')


def _note(row):
  """What a row says beside its numbers."""
  if 'error' in row:
    return row['error']
  if row['measured'] == 'ceilings':
    return (
      f'{row["bfloat16_tflops"]:.3g} TFLOP/s in bfloat16, '
      f'{row["float32_tflops"]:.3g} in float32, '
      f'copy {row["copy_gb_per_sec"]:.3g} GB/s'
    )
  if row['measured'] == 'evaluation':
    return (
      f'{row["extractor"]}; {row["secs_for_50000"]:.0f} s for 50,000 images'
    )
  if row['measured'] == 'determinism':
    if row['same_bits']:
      return f'the same bits twice, after {row["steps"]} steps'
    return f'differs by {row["largest_difference"]:.2g} the second time'
  if row['measured'] == 'kernels':
    return '; '.join(f'{name} {share:.1%}' for name, share in row['kernels'])
  if row.get('finite') is False:
    return 'the state is not finite'
  return row.get('note')
