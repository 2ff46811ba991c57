"""How the processes of a run decide together, through the coordination service.

Every process does the same operations across processes in the same order:
steps, joins of rows, decisions. Each calls `enter` before one, which counts
them. When a process is asked to stop, a thread in each process holds its next
`enter` and tells how far it has come; all go on to the furthest of these counts
and stop there. So nobody waits in an operation that another never enters, and a
step costs no message.

In a single process there is no group: nothing here does anything.
"""

import threading
import time

from sagan_jax import errors

_group = None
_LOOK_SECS = 0.2


class Stopped(BaseException):
  """The process was asked to stop and may end now.

  Like `KeyboardInterrupt` no `Exception`: what survives failures, such as the
  guard around evaluations, does not survive this.
  """


class LeftOut(Exception):
  """Others wait in an operation that this process has left out."""


class Group:
  """This process among the others.

  Args:
    store: a `coordination.Store`, or what has its methods.
    index: of this process.
    count: of processes.
    on_failure: called with an exception of a thread; it ends the process.
    on_error: called where the main thread has an exception; it ends the process
      if another one is to blame.
  """

  def __init__(self, store, index, count, on_failure=None, on_error=None):
    self.store = store
    self.index = index
    self.count = count
    self.on_failure = on_failure
    self.on_error = on_error
    self._changed = threading.Condition()
    self._entered = 0
    self._held = False
    self._limit = None
    self._stopping = False
    self._round = ''  # Of the names of what is agreed on.
    self._num_rounds = 0

  def next_round(self):
    """Lets all names be used once more; to be called by all processes."""
    self._num_rounds += 1
    self._round = f'round {self._num_rounds}/'

  def enter(self):
    """To be called before every operation across processes.

    Raises:
      Stopped: if all processes stop here; once.
    """
    with self._changed:
      while self._held and self._limit is None:
        self._changed.wait()
      self._raise_at_limit()
      self._entered += 1

  def check(self):
    """Raises `Stopped`, between two operations, if all stop before the next."""
    with self._changed:
      self._raise_at_limit()

  def hold(self):
    """Holds the next `enter`; returns how many there have been."""
    with self._changed:
      self._held = True
      return self._entered

  def release(self, limit):
    """Lets operations go on, up to a number of them."""
    with self._changed:
      self._limit = limit
      self._changed.notify_all()

  def decide(self, name, value):
    """Returns the value that process 0 gives, on all processes.

    Args:
      name: of the decision; never used twice.
      value: anything that JSON can hold.

    Raises:
      Stopped: as `enter`.
    """
    self.enter()
    key = f'decisions/{self._round}{name}'
    if self.index == 0:
      self.store.set(key, value)
      return value
    return self.store.wait_for(key)

  def gather(self, what, value, *, early=False):
    """Returns the values of all processes, in their order.

    Args:
      what: the values are; never used twice.
      value: of this process, anything that JSON can hold.
      early: whether this process may have left out operations on its way here,
        for instance because of an exception.

    Raises:
      LeftOut: if it has, and others wait there.
    """
    prefix = f'values/{self._round}{what}/'
    self.store.set(f'{prefix}{self.index}', value)
    while early and len(self.store.entries(prefix)) < self.count:
      if any(entered > self._entered for _, entered in self.signs().values()):
        raise LeftOut(what)
      time.sleep(_LOOK_SECS)
    return [self.store.wait_for(f'{prefix}{i}') for i in range(self.count)]

  def show(self, rounds):
    """Shows the others a sign of life, and how far this process has come.

    Args:
      rounds: how many signs there were before.
    """
    self.store.set(f'alive/{self.index}', [rounds, self._entered])

  def signs(self):
    """Returns {process: (rounds, operations entered)} as all have shown it."""
    shown = self.store.entries('alive/')
    return {int(i): tuple(sign) for i, sign in shown.items()}

  def same(self, what, facts, secs=None):
    """Refuses facts that are not the same on all processes.

    Args:
      what: the facts are of; never used twice.
      facts: {name: value that JSON can hold}.
      secs: how long to wait for the others; None for as long as it takes.

    Raises:
      UserError: on all processes, with what differs where.
    """
    self.store.set(f'facts/{what}/{self.index}', facts)
    if self.index == 0:
      self.store.set(f'verdicts/{what}', self._verdict(what, secs))
    # Process 0 waits first, and then has a message to send.
    wait = None if secs is None else secs + 10
    try:
      lines = self.store.wait_for(f'verdicts/{what}', wait)
    except TimeoutError as e:
      raise errors.UserError(
        f'process 0 has not told its {what} within {wait:.0f} s; run the same '
        'command in all processes'
      ) from e
    if lines:
      raise errors.UserError(
        f'the processes of this run differ in the {what}:\n  '
        + '\n  '.join(lines)
        + '\nrun the same command in all of them, on the same code and data'
      )

  def _verdict(self, what, secs):
    """What differs from the facts of process 0, line by line."""
    first = self.store.wait_for(f'facts/{what}/0')
    lines = []
    for i in range(1, self.count):
      try:
        other = self.store.wait_for(f'facts/{what}/{i}', secs)
      except TimeoutError:
        lines.append(f'process {i} has not told its {what} in {secs:.0f} s')
        continue
      lines += [
        f'{name}: {first.get(name)!r} on process 0, {other.get(name)!r} on '
        f'process {i}'
        for name in sorted(first.keys() | other.keys())
        if first.get(name) != other.get(name)
      ]
    return lines

  def _raise_at_limit(self):
    # What saves the state after a stop enters operations of its own.
    if self._stopping or self._limit is None or self._entered < self._limit:
      return
    self._stopping = True
    raise Stopped('stopped')


def start(group):
  """Makes a `Group` that of this process; None ends it."""
  global _group
  _group = group


def group():
  """The `Group` of this process; None if it is alone."""
  return _group


def fail(error):
  """Ends all processes because of an exception that the main thread waits for.

  In a single process nothing happens: there the wait ends with the exception.
  """
  if _group and _group.on_failure:
    _group.on_failure(error)


def find_culprit():
  """Ends this process if another one can be to blame for an exception.

  To be called before what waits for other processes because of it.
  """
  if _group and _group.on_error:
    _group.on_error()


def enter():
  """`Group.enter`; nothing in a single process."""
  if _group:
    _group.enter()


def is_first():
  """Whether this is process 0, or the only one."""
  return _group is None or _group.index == 0


def next_round():
  """`Group.next_round`; nothing in a single process."""
  if _group:
    _group.next_round()


def decide(name, value):
  """`Group.decide`; in a single process the value."""
  return _group.decide(name, value) if _group else value


def same(what, facts, secs=None):
  """`Group.same`; nothing in a single process.

  Args:
    what: the facts are of.
    facts: {name: value}, or a function that makes them.
    secs: how long to wait for the others.
  """
  if _group:
    _group.same(what, facts() if callable(facts) else facts, secs)
