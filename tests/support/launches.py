"""Launches on every back end, from the smallest to the largest, for tests."""

from sagan_jax.cluster import launchers

RUN = 'gs://bucket/runs/1'
TRAIN = [
  *('python', '-m', 'sagan_jax.main', '--config=experiments/imagenet.py'),
  *(f'--workdir={RUN}', '--config.seed=1'),
]
# What a shell, YAML or Kubernetes could take for something else.
NASTY = [
  'two words',
  "it's",
  '"quoted"',
  '$HOME ${HOME} $(id) $$ `id`',
  'new\nline\n',
  '\ttab \\t \\\\ \x7f \x85 \u2028 \ufeff',
  "all 'of'\n\"them\" $'x' \\",
  '*',
  '',
  '~',
  '#',
  '-n',
  '!x',
  '{a,b}',
  '%s',
  'naïve ☃ 😀',
  'END_OF_FILE',
]

SMALLEST = {
  'tpu-vm': {'tpu_type': 'v5litepod-16', 'zone': 'us-west4-a'},
  'xpk': {'cluster': 'pods', 'tpu_type': 'v6e-64', 'image': 'images/sagan:1'},
  'gke': {'tpu_type': 'v5litepod-16', 'image': 'images/sagan:1'},
  'slurm': {},
  'skypilot': {'accelerators': 'tpu-v5litepod-16'},
}
LARGEST = {
  'tpu-vm': {
    **{'tpu_type': 'v4-32', 'zone': 'us-central2-b', 'project': 'gans'},
    **{'runtime_version': 'tpu-vm-base', 'service_account': 'a@b.c'},
    **{'spot': True, 'setup': 'cd sagan\npip install .', 'restarts': 3},
    **{'poll_secs': 5},
  },
  'xpk': {
    **{'cluster': 'pods', 'tpu_type': 'v5p-64', 'image': 'images/sagan:1'},
    **{'zone': 'us-east5-a', 'project': 'gans', 'spot': True},
    **{'restarts': 3, 'stop_secs': 25},
  },
  'gke': {
    **{'tpu_type': 'v5litepod-8', 'image': 'images/sagan:1'},
    **{'chips_per_host': 4, 'spot': True, 'cluster': 'pods'},
    **{'location': 'us-west4', 'project': 'gans', 'namespace': 'research'},
    **{'service_account': 'writer', 'queue': 'night', 'restarts': 3},
    **{'stop_secs': 25},
  },
  'slurm': {
    **{'nodes': 4, 'gpus_per_node': 8, 'cpus_per_process': 16},
    **{'time': '24:00:00', 'partition': 'gpu', 'account': 'gans'},
    **{'sbatch': "--mem=0 --comment='two words'", 'restarts': 3},
    **{'setup': 'module load cuda\nsource venv/bin/activate', 'parallel': 2},
  },
  'skypilot': {
    **{'accelerators': 'H100:8', 'nodes': 4, 'infra': 'gcp/us-central1'},
    **{'image': 'docker:images/sagan:1', 'spot': True, 'upload': '.'},
    **{'setup': 'sudo apt-get update\n\npip install .'},
  },
}
# {name of the copy: (back end, options, commands)}
CASES = {
  f'{backend}-{name}': (backend, options[backend], commands)
  for backend in launchers.BACKENDS
  for name, options, commands in (
    ('smallest', SMALLEST, [TRAIN]),
    ('largest', LARGEST, [[*TRAIN, *NASTY]]),
    ('several', LARGEST, [[*TRAIN[:-1], f'--config.seed={i}'] for i in (1, 2)]),
  )
}


def render(backend, commands, **options):
  """What a back end makes of commands and options."""
  options = launchers.load(backend).Options(**options)
  return launchers.render(backend, 'sagan', commands, options)


def smallest(backend, commands=(TRAIN,), **options):
  """The same, with whatever else the back end needs."""
  return render(backend, commands, **(SMALLEST[backend] | options))
