"""What all commands share: one boundary for errors, and how they stop."""

import io
import os
import sys
import traceback

from sagan_jax import errors
from sagan_jax.cluster import agree, distributed, exit_codes
from sagan_jax.run import (
  allocator,
  ledger,
  program_cache,
  pulse,
  restarts,
  stop,
  supervisor,
)

_MAX_LETTERS, _MAX_LINES = 2000, 200  # Of an error.
_owns_process = False
_neighbors = None


def run(main):
  """Runs a command and ends the process with its exit code.

  The codes are those of `cluster.exit_codes`: what the user can mend is told on
  stderr without a traceback, a fault of this package with one.

  Args:
    main: takes the arguments (None for those of the process), returns an exit
      code or None, and raises `errors.UserError` or `stop.Stopped`.
  """
  global _owns_process
  _owns_process = True
  if isinstance(sys.stdout, io.TextIOWrapper):
    # Names of files may be no text: that ends nothing.
    sys.stdout.reconfigure(errors='backslashreplace')
  ledger.begin_process()
  if distributed.has_flags(sys.argv):
    stop.await_others()  # Before one can know more.
  stop.install()
  code = exit_code(main)
  if _neighbors:
    _neighbors.finish(code)
  sys.exit(code)


def add_arguments(parser):
  """Adds the flags of commands that compile, maybe as several processes."""
  parser.add_argument(
    '--compilation_cache',
    metavar='DIR',
    help='where compiled programs are kept for the next start, or '
    f'{program_cache.OFF} (default: in ~/.cache/sagan_jax)',
  )
  distributed.add_arguments(parser)
  parser.add_argument(
    '--watchdog_secs',
    type=int,
    metavar='N',
    help='end the process with code 76 when no step was finished for N seconds,'
    ' or for 6 N in other phases; 0 for never (default: '
    f'{supervisor.DEFAULT_SECS} with several processes, else 0)',
  )


def join(args):
  """Joins the other processes of a run; to be called before jax is imported.

  With several processes, or if asked for, the command goes on in a child of
  this process, which becomes its watchdog.

  Args:
    args: parsed, with the flags of `add_arguments`.

  Raises:
    UserError: if flags or variables contradict each other.
  """
  global _neighbors
  if _owns_process:
    allocator.keep_freed_memory()
    program_cache.use(args.compilation_cache)
  member = distributed.membership(args)
  secs = args.watchdog_secs
  if secs is None:
    secs = supervisor.DEFAULT_SECS if member else 0
  if secs < 0:
    raise errors.UserError(f'--watchdog_secs={secs} must be at least 0')
  forwarded = supervisor.adopted()
  # Several processes always have one: it tells why they did not meet.
  if forwarded is None and _owns_process and (member or secs):
    why = distributed.failure(member, args.join_secs) if member else ''
    asked = stop.stop_awaiting()
    os._exit(supervisor.supervise(secs, bool(member), why, asked))
  if forwarded is not None:
    stop.listen(forwarded)
  if member is None:
    if stop.stop_awaiting():
      stop.check()
    return
  from sagan_jax.cluster import coordination, neighbors

  stop.await_others()
  pulse.phase(supervisor.JOINING)
  index, count = distributed.initialize(member, args.join_secs)
  program_cache.keep_in_all_processes()
  pulse.phase('start')
  stop.take_signals()
  group = agree.Group(
    coordination.Store(), index, count, _failed_in_thread, _find_culprit
  )
  _neighbors = neighbors.Neighbors(group, stop.can_be_later, pulse.alive)
  agree.start(group)
  _neighbors.start()
  stop.join(_neighbors)


def exit_code(main, argv=None):
  """Runs a command; returns its exit code, as `run` tells."""
  try:
    return main(argv) or 0
  except errors.UserError as e:
    text = f'error: {_printable(e)}'
    print(text, file=sys.stderr, flush=True)
    return _failed(exit_codes.REFUSED, text)
  except restarts.NoProgress as e:
    print(f'error: {e}', file=sys.stderr)
    return _failed(exit_codes.NO_PROGRESS, f'error: {e}')
  except stop.Stopped as e:
    print(f'{e}; run the same command again to go on', file=sys.stderr)
    return stop.EXIT_CODE
  except BrokenPipeError:  # Whoever read our output has gone, as `head` does.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _failed(exit_codes.FAILED, 'the reader of its output has gone')
  except Exception as e:
    if not _neighbors:
      raise
    traceback.print_exc()
    return _failed(exit_codes.FAILED, f'{type(e).__name__}: {e}')


def _printable(error):
  """A text for a terminal, whatever of a hostile file is in it."""
  lines = str(error).split('\n')
  if len(lines) > _MAX_LINES:
    lines[_MAX_LINES:] = [f'and {len(lines) - _MAX_LINES:,} lines more']
  return '\n'.join(map(_printable_line, lines))


def _printable_line(line):
  if len(line) > _MAX_LETTERS:
    half = _MAX_LETTERS // 2
    line = f'{line[:half]} ... {line[-half:]}'
  return ''.join(
    x if x.isprintable() else x.encode('unicode_escape').decode() for x in line
  )


def _failed_in_thread(error):
  text = f'error: {_printable(error)}'
  print(text, file=sys.stderr, flush=True)
  _failed(exit_codes.REFUSED, text)


def _find_culprit():
  if _neighbors:
    _neighbors.find_culprit()


def _failed(code, text):
  """Returns an exit code; with several processes it ends all of them."""
  if _neighbors:
    _neighbors.find_culprit()
    _neighbors.fail(code, text)
  return code
