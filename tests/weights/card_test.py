"""The cards of exported weights, ours and those that others may have written."""

import copy
import json

import pytest

import sagan_jax
from sagan_jax import errors
from sagan_jax.config import schema
from sagan_jax.weights import card
from tests.support import exports


def test_a_card_says_what_the_weights_are():
  found = exports.export()
  made = json.loads(json.dumps(found.card))
  assert made['format'] == 1
  assert made['sagan_jax'] == sagan_jax.__version__
  assert made['architecture'] == 'sagan' and made['step'] == 7
  assert made['class_names'] == list(exports.NAMES)
  assert made['data']['identity'] == {'name': 'folder'}
  assert set(made['config']) == set(schema.KEYS)
  assert made['config']['generator.ch'] == 4
  assert card.check(made, 'FILE') == made


def test_what_a_card_need_not_say_is_none():
  made = exports.export().card
  for key in 'class_names', 'data', 'origin', 'sagan_jax':
    del made[key]
    assert card.check(made, 'FILE')[key] is None


def test_no_place_of_a_machine_is_in_it():
  assert 'somebody' not in json.dumps(exports.export().card)


@pytest.mark.parametrize(
  'name, kept',
  [
    ('shapes', 'shapes'),
    ('tfds:imagenet2012:5.1.0', 'tfds:imagenet2012:5.1.0'),
    ('tfds:../../etc', 'tfds:NAME'),
    ('folder:/etc', 'folder:DIR'),
    ('array:~/x', 'array:DIR'),
  ],
)
def test_places_that_a_card_names_are_not_taken(name, kept):
  """Whoever wrote it: the config is made portable when it is read, too."""
  made = exports.export().card
  made['config'] |= {
    'dataset.name': name,
    'dataset.data_dir': '/etc',
    'eval.cache_dir': '/home/victim/.ssh',
    'eval.inception_path': '/etc/passwd',
    'init.weights': '/etc/passwd',
  }
  config = card.check(made, 'FILE')['config']
  assert config['dataset.name'] == kept
  assert config['eval.cache_dir'] == '~/.cache/sagan_jax'
  for key in 'dataset.data_dir', 'eval.inception_path', 'init.weights':
    assert config[key] is None


def _deep(levels):
  return [_deep(levels - 1)] if levels else 0


def test_a_card_that_is_a_list_is_refused():
  with pytest.raises(errors.UserError, match='it is no JSON object'):
    card.check([exports.export().card], 'FILE')


def test_an_origin_may_have_an_origin():
  made = exports.export().card | {'origin': _deep(60)}
  assert card.check(made, 'FILE')['origin'] == _deep(60)


@pytest.mark.parametrize(
  'path, value, told',
  [
    ('format', 2, "has format '2', this version reads 1"),
    ('format', None, "has format 'None'"),
    ('step', True, "its 'step' is no int"),
    ('step', -1, 'its step -1 is none'),
    ('step', 2**31, 'its step 2147483648 is none'),
    ('config', [], "its 'config' is no dict"),
    ('scores', None, "its 'scores' is no list"),
    ('weights_sha256', 3, "its 'weights_sha256' is no str"),
    ('class_names', ['a'], 'does not name the 3 classes'),
    ('class_names', ['a', 'b', ''], "a class has the name ''"),
    ('class_names', ['a', 'b', '\x1b[2J'], 'a class has the name'),
    ('class_names', ['a', 'b', 'c' * 201], 'a class has the name'),
    ('class_names', ['a', 'b', 3], "a class has the name '3'"),
    ('data', {'identity': 3}, 'does not say what the data is'),
    ('origin', _deep(65), 'it is no JSON object, or a very deep one'),
    ('config.generator.ch', 'x' * 2**16, 'config has more than 65536 bytes'),
    ('config.dataset.name', 'x:y', "'x:y' is no dataset.name"),
    ('config.dataset.name', 7, "'7' is no dataset.name"),
    ('config.dataset.split', '../../etc', "its dataset.split is '../../etc'"),
  ],
)
def test_a_card_that_cannot_be_is_refused(path, value, told):
  made = copy.deepcopy(exports.export().card)
  key, _, leaf = path.partition('.')
  if leaf:
    made[key][leaf] = value
  else:
    made[key] = value
  with pytest.raises(errors.UserError) as e:
    card.check(made, 'FILE')
  assert str(e.value).startswith('the card of FILE ') and told in str(e.value)
