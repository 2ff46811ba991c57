"""Tests of reading pickles as data: what they build, and what is refused."""

import collections
import io
import pickle
import struct

import pytest

from sagan_jax.formats import pickle_data


def _load(data, on_name=None):
  return pickle_data.load(io.BytesIO(data), on_name)


@pytest.mark.parametrize(
  'value',
  [
    None,
    True,
    -1,
    255,
    65535,
    2**31 - 1,
    2**70,
    1.5,
    'é\n',
    (),
    (1,),
    (1, 'a'),
    (1, 2, 3),
    (1, 2, 3, 4),
    [[], ['a'], [1, 2, 3]],
    {'a': {1: 'b'}, 'c': (None, False)},
    collections.OrderedDict(a=1, b=2),
  ],
)
def test_plain_values_are_what_they_were(value):
  assert _load(pickle.dumps(value, 2)) == value


def test_values_that_are_there_twice_stay_one():
  row = [1]
  found = _load(pickle.dumps([row, row], 2))
  assert found == [[1], [1]] and found[0] is found[1]


def test_pickles_follow_each_other():
  stream = io.BytesIO(pickle.dumps(1, 2) + pickle.dumps('b', 2) + b'rest')
  assert pickle_data.load(stream) == 1
  assert pickle_data.load(stream) == 'b'
  assert stream.read() == b'rest'


class _Thing:
  """Of no module that could be imported where it is read."""

  def __init__(self):
    self.secret = 1


def test_objects_are_noted_and_not_made():
  names = []
  found = _load(pickle.dumps({'thing': _Thing()}, 2), names.append)
  thing = pickle_data.Call(pickle_data.Name(f'{__name__}._Thing'), ())
  assert found == {'thing': thing}
  assert names == [f'{__name__}._Thing']


def test_a_name_can_be_refused():
  def refuse(name):
    raise ValueError(f'no {name}')

  with pytest.raises(ValueError, match=r'no posix\.system'):
    _load(b'cposix\nsystem\n(tR.', refuse)


def _deep_key():
  """A tuple so deep that to hash it would overflow the stack."""
  return b'})' + b'\x85' * 100_000 + b'Ns.'


@pytest.mark.parametrize(
  'data, match',
  [
    (b'', 'exhausted'),
    (b'N', 'exhausted'),
    (b'.', 'empty stack'),
    (b'0.', 'POP, which is not of protocol 2'),
    (b'(.', 'empty stack'),
    (b't.', 'without the mark'),
    (b'h\x00.', 'never stored its value 0'),
    (b'}(NNu.', 'keys are not all text'),
    (b'}(Nu.', 'keys are not all text'),
    (_deep_key(), 'keys are not all text'),
    # What an unpickler sets memory aside for, though none of it is there.
    (b'Nr\xff\xff\xff\xffs.', 'empty stack'),
    (b'\x96' + struct.pack('<Q', 2**40) + b'.', 'expected 1099511627776 bytes'),
    (b'X' + struct.pack('<I', 2**31) + b'a.', 'expected 2147483648 bytes'),
    (b'}' * (pickle_data.MAX_OPCODES + 1), 'more than 262,144 opcodes'),
    (b'\x80\x04\x95' + b'\0' * 8 + b'N.', 'FRAME, which is not of protocol 2'),
    (b'\x82\x01.', 'EXT1, which is not of protocol 2'),
    (b'iposix\nsystem\n.', 'INST, which is not of protocol 2'),
  ],
)
def test_what_is_no_pickle_of_plain_data_is_refused(data, match):
  with pytest.raises(ValueError, match=match):
    _load(data)
