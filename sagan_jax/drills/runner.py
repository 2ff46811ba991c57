"""Tries cases, several at a time, and tells how each has ended."""

import concurrent.futures
import json
import resource
import shutil
import time
from collections.abc import Callable
from typing import NamedTuple

from sagan_jax import errors, files, progress
from sagan_jax.drills import cases, drill
from sagan_jax.drills.outcomes import Failed, Skipped

PASSED, FAILED, SKIPPED = 'passed', 'FAILED', 'skipped'


class Result(NamedTuple):
  """How a case has ended."""

  case: str
  outcome: str  # One of those above.
  secs: float
  text: str  # What was shown, what was wrong, or why it was skipped.


def run(
  the_drill: drill.Drill,
  names: list[str],
  jobs: int,
  say: Callable[[str], None],
) -> list[Result]:
  """Tries cases.

  Args:
    the_drill: whose undisturbed run is there.
    names: of `cases.CASES`.
    jobs: cases at a time.
    say: called with a line for each that has ended.

  Returns:
    Their results, in the order of the names.
  """
  results = []
  with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
    try:
      futures = [pool.submit(_try, the_drill, name) for name in names]
      for future in concurrent.futures.as_completed(futures):
        results.append(future.result())
        if not the_drill.ended:
          say(_line(results[-1]))
    except BaseException:
      pool.shutdown(wait=False, cancel_futures=True)
      the_drill.kill_all()
      raise
  return sorted(results, key=lambda result: names.index(result.case))


def _try(the_drill, name):
  trial, began = drill.Trial(the_drill, name), time.monotonic()
  try:
    outcome, text = PASSED, cases.CASES[name](trial)
  except (Failed, errors.UserError) as e:
    outcome, text = FAILED, str(e)
  except Skipped as e:
    outcome, text = SKIPPED, str(e)
  if outcome != FAILED:  # Else it is there to be looked at.
    shutil.rmtree(trial.folder, ignore_errors=True)
  return Result(name, outcome, time.monotonic() - began, text)


def _line(result):
  return (
    f'{result.case:<16} {result.outcome:<7} {result.secs:6.1f} s  {result.text}'
  )


def summary(results: list[Result], secs: float) -> str:
  """The last line of a card.

  Args:
    results: of all cases.
    secs: that all of it took.
  """
  counts = [
    f'{count} {outcome}'
    for outcome in (PASSED, FAILED, SKIPPED)
    if (count := sum(r.outcome == outcome for r in results))
  ]
  return (
    f'{", ".join(counts)} in {progress.duration(secs)}, '
    f'{progress.duration(_cpu_secs())} of CPU time'
  )


def _cpu_secs():
  both = (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)
  used = [resource.getrusage(who) for who in both]
  return sum(each.ru_utime + each.ru_stime for each in used)


def save(path, settings: dict, results: list[Result], secs: float) -> None:
  """Writes a card as JSON.

  Args:
    path: of the file.
    settings: what was drilled: a dict for JSON.
    results: of all cases.
    secs: that all of it took.

  Raises:
    UserError: if it cannot be written.
  """
  content = settings | {
    'passed': all(r.outcome != FAILED for r in results),
    'secs': secs,
    'cpu_secs': _cpu_secs(),
    'cases': [r._asdict() for r in results],
  }
  files.write(files.as_path(path), json.dumps(content, indent=2) + '\n')
