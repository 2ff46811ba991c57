"""Stands in for the command-line tools of clouds and clusters.

A stub is an executable in a directory that comes first on the PATH. It records
how it was called, and does what its script says.
"""

import json
import os
import sys

# Appends {name, arguments, files: {argument: text}} to a log, as one line.
# The files are those that a scheduler would read.
_RECORD = """
import json, os, pathlib, sys
arguments = sys.argv[2:]
paths = [a for a in arguments if a.endswith(('.yaml', '.sbatch', '.sh'))]
read = {path: pathlib.Path(path).read_text() for path in paths}
call = {'name': sys.argv[1], 'arguments': arguments, 'files': read}
with open(os.environ['STUB_LOG'], 'a') as file:
  file.write(json.dumps(call) + '\\n')
"""

# Runs a command in as many tasks as NUM_TASKS says; returns the largest code.
SRUN = """
while [[ $1 == --* ]]; do shift; done
largest=0
for ((i = 0; i < NUM_TASKS; i++)); do
  SLURM_PROCID=$i "$@"
  code=$?
  ((code > largest)) && largest=$code
done
exit $largest
"""

# Tells the states in the file STATES, one per call, and the last one for ever;
# BROKEN fails. `ssh` runs its command as NUM_TASKS workers do, and returns the
# first exit code that is not 0, or SSH_CODE.
GCLOUD = """
case "$*" in
  *" list "*)
    state=$(head -n 1 "$STATES")
    if (($(wc -l < "$STATES") > 1)); then sed -i 1d "$STATES"; fi
    [[ $state == BROKEN ]] && exit 1
    printf 'other\\tACTIVE\\n'
    [[ $state == ABSENT ]] || printf 'sagan\\t%s\\n' "$state"
    ;;
  *" ssh "*)
    command=${!#}
    first=0
    for ((i = 0; i < NUM_TASKS; i++)); do
      WORKER=$i bash -c "${command#--command=}"
      code=$?
      ((first == 0)) && first=$code
    done
    exit "${SSH_CODE:-$first}"
    ;;
esac
"""


class Stubs:
  """A directory of stubs, and the log of their calls."""

  def __init__(self, directory, **scripts):
    self._log = directory / 'calls.jsonl'
    self._bin = directory / 'bin'
    self._bin.mkdir()
    record = directory / 'record.py'
    record.write_text(_RECORD)
    for name, script in scripts.items():
      path = self._bin / name
      path.write_text(
        f'#!/bin/bash\n{sys.executable} -I {record} {name} "$@" || exit 99\n'
        f'{script}'
      )
      path.chmod(0o755)

  def environment(self, **settings):
    """Of processes that find the stubs."""
    return os.environ | {
      'PATH': f'{self._bin}:{os.environ["PATH"]}',
      'STUB_LOG': str(self._log),
      **{name: str(value) for name, value in settings.items()},
    }

  def calls(self, *names):
    """The recorded calls, in order: {name, arguments, files}; of some names."""
    if not self._log.exists():
      return []
    calls = map(json.loads, self._log.read_text().splitlines())
    return [call for call in calls if not names or call['name'] in names]
