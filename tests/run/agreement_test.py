"""What processes must have in common; here they are threads."""

import threading

import jax

from sagan_jax import errors
from sagan_jax.cluster import agree
from sagan_jax.run import agreement
from tests.support import fake_store


def _check(monkeypatch, functions):
  """Lets each process compile its own; returns what each has raised."""
  store, own = fake_store.Store(), threading.local()
  groups = [
    agree.Group(store, i, len(functions)) for i in range(len(functions))
  ]
  monkeypatch.setattr(
    agree, 'same', lambda what, facts: groups[own.index].same(what, facts())
  )

  def check(i):
    own.index = i
    agreement.check_program(jax.jit(functions[i]).lower(1.0))

  return fake_store.together(len(functions), check)


def test_hosts_that_compiled_different_programs_are_refused(monkeypatch):
  def add(x):
    return x + 1

  found = _check(monkeypatch, [add, add, lambda x: x + 2])
  assert all(isinstance(error, errors.UserError) for error in found)
  first, second = str(found[0]).splitlines()[:2]
  assert first == 'the processes of this run differ in the program:'
  assert second.startswith('  step: ') and 'on process 2' in second
  assert _check(monkeypatch, [add, add]) == [None, None]
