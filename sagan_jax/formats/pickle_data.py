"""Reads a pickle as data: no name is looked up, nothing is called.

A pickle is a program for a stack machine that may import and call anything.
Here that machine only builds values. Where it would call something, it notes
what and with which arguments; where it would set an object's state, it does
nothing. It knows the opcodes of protocol 2, in which `torch.save` writes.
"""

import pickletools
from typing import Any, NamedTuple

# 25 or so are needed for a tensor. Each may cost a hundred bytes of memory.
MAX_OPCODES = 2**18

ORDERED_DICT = 'collections.OrderedDict'

_VALUES = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False}
_EMPTY = {'EMPTY_TUPLE': tuple, 'EMPTY_LIST': list, 'EMPTY_DICT': dict}
_TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}
_ARGUMENTS = {
  *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT'),
  *('BINUNICODE', 'BINSTRING', 'SHORT_BINSTRING'),  # Strings of Python 2.
}
_MARK = object()


class Name(NamedTuple):
  """What the pickle would have imported, 'module.attribute'."""

  text: str


class Call(NamedTuple):
  """What the pickle would have called."""

  function: Any
  arguments: Any


class Reference(NamedTuple):
  """A persistent id: something that is stored outside of the pickle."""

  id: Any


def load(stream, on_name=None):
  """Reads one pickle and leaves the stream behind it.

  An `OrderedDict`, which torch makes empty and then fills, becomes a dict.
  Values may contain themselves.

  Args:
    stream: io.BytesIO; a file would set memory aside for sizes that a pickle
      only claims.
    on_name: called with the text of every `Name`, so that it may refuse; None
      accepts them all.

  Returns:
    None, a bool, int, float, str, `Name`, `Call` or `Reference`, or a tuple,
    list or dict of such; the keys of dicts are int and str.

  Raises:
    ValueError: if the bytes are no pickle of protocol 2, or one of more than
      `MAX_OPCODES`.
  """
  machine = _Machine(on_name)
  for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
    if count == MAX_OPCODES:
      break
    if opcode.name == 'STOP':
      return machine.pop()
    machine.run(opcode.name, argument)
  raise ValueError(f'a pickle of more than {MAX_OPCODES:,} opcodes')


class _Machine:
  """The stack and the memo of a pickle that is being read."""

  def __init__(self, on_name):
    self._on_name = on_name
    self._stack = []
    self._memo = {}

  def pop(self):
    """Takes the value on top."""
    value = self._top()
    self._stack.pop()
    return value

  def _top(self):
    if not self._stack or self._stack[-1] is _MARK:
      raise ValueError('a pickle that takes from an empty stack')
    return self._stack[-1]

  def _pop_to_mark(self):
    values = []
    while self._stack and self._stack[-1] is not _MARK:
      values.append(self._stack.pop())
    if not self._stack:
      raise ValueError('a pickle without the mark that it refers to')
    self._stack.pop()
    return values[::-1]

  def run(self, name, argument):
    """Does what an opcode says."""
    push = self._stack.append
    if name in _VALUES:
      push(_VALUES[name])
    elif name in _EMPTY:
      push(_EMPTY[name]())
    elif name in _ARGUMENTS:
      push(argument)
    elif name in _TUPLES:
      values = [self.pop() for _ in range(_TUPLES[name])]
      push(tuple(values[::-1]))
    elif name == 'TUPLE':
      push(tuple(self._pop_to_mark()))
    elif name == 'MARK':
      push(_MARK)
    elif name in ('BINPUT', 'LONG_BINPUT'):
      self._memo[argument] = self._top()
    elif name in ('BINGET', 'LONG_BINGET'):
      if argument not in self._memo:
        raise ValueError(f'a pickle that never stored its value {argument}')
      push(self._memo[argument])
    elif name != 'PROTO':
      self._build(name, argument)

  def _build(self, name, argument):
    """Does the opcodes that fill containers, import or call."""
    push = self._stack.append
    if name in ('APPEND', 'APPENDS'):
      values = [self.pop()] if name == 'APPEND' else self._pop_to_mark()
      if isinstance(self._top(), list):
        self._top().extend(values)
    elif name in ('SETITEM', 'SETITEMS'):
      values = self._pop_to_mark() if name == 'SETITEMS' else self._pop_pair()
      self._set_items(values)
    elif name == 'GLOBAL':
      text = argument.replace(' ', '.')
      if self._on_name:
        self._on_name(text)
      push(Name(text))
    elif name == 'BINPERSID':
      push(Reference(self.pop()))
    elif name in ('REDUCE', 'NEWOBJ'):
      arguments, function = self.pop(), self.pop()
      if isinstance(function, Name) and function.text == ORDERED_DICT:
        push({})
      else:
        push(Call(function, arguments))
    elif name == 'BUILD':
      self.pop()
      self._top()
    else:
      raise ValueError(f'a pickle with {name}, which is not of protocol 2')

  def _pop_pair(self):
    value, key = self.pop(), self.pop()
    return [key, value]

  def _set_items(self, values):
    target = self._top()
    if not isinstance(target, dict):
      return  # A `Call` that would have made some kind of dict.
    keys = values[::2]
    # To hash a deep tuple could overflow the stack.
    if len(values) % 2 or not all(isinstance(key, (int, str)) for key in keys):
      raise ValueError('a pickle of a dict whose keys are not all text')
    target.update(zip(keys, values[1::2], strict=True))
