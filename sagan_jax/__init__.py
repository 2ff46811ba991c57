"""Self-attention GANs (arXiv:1805.08318) in JAX and Flax."""

__version__ = '0.1.0'


def open_run(workdir):
  """Opens a run to make images of it; needs neither its data nor its devices.

    run = sagan_jax.open_run('DIR')
    images = run.sample([3, 3, 5], seed=0)  # uint8 [3, H, W, 3]

  Args:
    workdir: directory of the run, a path or URL.

  Returns:
    A `run.run.Run`.

  Raises:
    errors.UserError: if there is no run in the directory.
  """
  from sagan_jax.run.run import Run  # Not at import, as it imports jax.

  return Run.open(workdir)
