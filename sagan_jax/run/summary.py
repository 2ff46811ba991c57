"""What a run tells at its beginning and at its end, in lines of text."""

import math

import jax

from sagan_jax.gan import build
from sagan_jax.run import log


def beginning(run, state):
  """What is going to be trained, on what, where.

  Args:
    run: a `run.Run`.
    state: the `GanState` that it starts from.

  Returns:
    Lines of text.
  """
  networks = {
    'generator': state.generator,
    'discriminator': state.discriminator,
  }
  lines = [
    *log.parameter_table(
      {
        name: (net.params, net.stats['spectral'])
        for name, net in networks.items()
      }
    ),
    f'data: {run.source.name}, {run.source.num_examples:,} images, '
    f'{run.source.num_classes} classes',
    f'mesh: {run.mesh.size} x {run.mesh.devices.flat[0].device_kind}, '
    f'{jax.process_count()} processes; workdir: {run.workdir}',
  ]
  if int(state.step):
    lines.append(f'resuming after step {int(state.step)}')
  return lines


def compiled(step_fn, secs):
  """Tells how long compiling took and what a device needs."""
  gflop = step_fn.cost_analysis().get('flops', math.nan) / 1e9
  return (
    f'compiled in {secs:.0f}s: {gflop:.1f} GFLOP per step and '
    f'{build.step_bytes(step_fn) / 2**20:.0f} MiB, on each device'
  )


def end(run, scoreboard, made=None):
  """What there is now, and which command comes next.

  Args:
    run: a `run.Run` that has reached its last step.
    scoreboard: of its evaluations, or None.
    made: the `reporting.Made` of its page; None if there is none.

  Returns:
    Lines of text.
  """
  steps = run.config.num_steps
  lines = [
    f'finished: {steps:,} steps in {run.workdir}',
    f'  images: {run.workdir / "samples" / f"{steps:08d}_ema.png"}',
  ]
  if made:
    lines += [f'  {line}' for line in made.lines()]
    lines.append(f'  report: {made.page}')
  evaluate = f'python -m sagan_jax.evaluate --workdir={run.workdir}'
  best = scoreboard.best() if scoreboard else None
  if best is None:
    return [*lines, f'  next: score it with {evaluate}']
  return [
    *lines,
    f'  scores: {run.workdir / "scores" / "scores.md"}',
    f'  best: {best.metric} {best.value:.4g} at step {best.step}, kept in '
    f'{run.workdir / "best"}',
    f'  next: score more of it with {evaluate} --step=best',
  ]
