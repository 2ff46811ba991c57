"""The card of exported weights: what they are, where and how they were made.

It is JSON, in the header of a safetensors file and in a file beside what was
exported. Nothing in it is ever taken as a path: of a config it holds no place
on the machine of whoever trained it, and none is read from it.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import sagan_jax
from sagan_jax import data, errors

FORMAT = 1  # Raised when an older version could not read it.

_LONGEST = 200  # Characters of the name of a class.
# A card may not be so large or so deep that refusing it takes long.
_CONFIG_BYTES = 2**16
_DEEPEST = 64
# Values of leaves that name places, in every card and whatever is read from one.
_PLACES = {
  'dataset.data_dir': None,
  'init.weights': None,
  'eval.inception_path': None,
  'eval.cache_dir': '~/.cache/sagan_jax',
}
_NO_PLACE = re.compile(r'shapes|tfds:[a-z]\w*(:\d+(\.\d+)*)?')
_SPLIT = re.compile(r'[\w\[\]:%+]+')
_KINDS = {
  'step': int,
  'config': dict,
  'scores': list,
  'weights_sha256': str,
}


def make(
  config: Mapping[str, Any],
  *,
  step: int,
  class_names: list[str] | None,
  facts: dict[str, Any] | None,
  scores: list[dict[str, Any]],
  origin: dict[str, Any] | None,
  digest: str,
) -> dict[str, Any]:
  """Makes the card of the weights of a run.

  Args:
    config: {'section.leaf': value} of the run.
    step: that the weights are of.
    class_names: by label; None if they are not known.
    facts: of the data, as `run.directory` records them; None if unknown.
    scores: records of the evaluations of this step.
    origin: where the run has its first weights from, if not from a seed.
    digest: `tensors.digest` of the weights.

  Returns:
    What JSON can hold.
  """
  if facts is not None:
    facts = {k: v for k, v in facts.items() if k != 'class_names'}
    facts['name'] = _without_place(facts.get('name'))
  return {
    'format': FORMAT,
    'sagan_jax': sagan_jax.__version__,
    'architecture': config['architecture'],
    'step': step,
    'class_names': class_names,
    'config': portable(config),
    'data': facts,
    'scores': scores,
    'origin': origin,
    'weights_sha256': digest,
  }


def portable(config: Mapping[str, Any]) -> dict[str, Any]:
  """A config without places: folders of data become DIR, caches the default.

  Args:
    config: {'section.leaf': value}.

  Returns:
    The same leaves.

  Raises:
    UserError: if the name of the data set is none.
  """
  name = _without_place(config.get('dataset.name'))
  if name is None:
    raise errors.UserError(
      f'{str(config.get("dataset.name"))[:40]!r} is no dataset.name'
    )
  places = {key: value for key, value in _PLACES.items() if key in config}
  return {**config, **places, 'dataset.name': name}


def check(card: Any, where: str) -> dict[str, Any]:
  """Checks a card that anybody may have written.

  Args:
    card: what JSON held.
    where: the file, for errors.

  Returns:
    The card, with a config as `portable` makes it, whose leaves are not yet
    checked.

  Raises:
    UserError: if it is of another format, or damaged.
  """
  if not isinstance(card, dict) or _is_deep(card):
    raise _damaged(where, 'it is no JSON object, or a very deep one')
  if card.get('format') != FORMAT:
    raise errors.UserError(
      f'the card of {where} has format {str(card.get("format"))[:40]!r}, this '
      f'version reads {FORMAT}; use a version of sagan_jax that wrote it'
    )
  for key, kind in _KINDS.items():
    if type(card.get(key)) is not kind:
      raise _damaged(where, f'its {key!r} is no {kind.__name__}')
  if not 0 <= card['step'] < 2**31:
    raise _damaged(where, f'its step {str(card["step"])[:40]} is none')
  config = card['config']
  if len(json.dumps(config)) > _CONFIG_BYTES:
    raise _damaged(where, f'its config has more than {_CONFIG_BYTES} bytes')
  split = config.get('dataset.split')
  if not isinstance(split, str) or not _SPLIT.fullmatch(split):
    raise _damaged(where, f'its dataset.split is {str(split)[:40]!r}')
  _check_names(card.get('class_names'), config.get('num_classes'), where)
  _check_facts(card.get('data'), where)
  optional = dict.fromkeys(('class_names', 'data', 'origin', 'sagan_jax'))
  try:
    return {**optional, **card, 'config': portable(config)}
  except errors.UserError as e:
    raise _damaged(where, str(e)) from e


def _check_names(names, count, where):
  if names is None:
    return
  if not isinstance(names, list) or len(names) != count:
    raise _damaged(where, f'it does not name the {str(count)[:40]} classes')
  for name in names:
    if (
      not isinstance(name, str)
      or not 0 < len(name) <= _LONGEST
      or not name.isprintable()
    ):
      raise _damaged(where, f'a class has the name {str(name)[:40]!r}')


def _check_facts(facts, where):
  if facts is not None and not (
    isinstance(facts, dict) and isinstance(facts.get('identity'), dict)
  ):
    raise _damaged(where, 'it does not say what the data is')


def _without_place(name):
  """The name of a data set, with DIR for a folder; None if it is none."""
  kind = str(name).partition(':')[0]
  form = next((x for x in data.KINDS if x.partition(':')[0] == kind), None)
  return name if _NO_PLACE.fullmatch(str(name)) else form


def _is_deep(value, left=_DEEPEST):
  if not isinstance(value, (dict, list)):
    return False
  inner = value.values() if isinstance(value, dict) else value
  return not left or any(_is_deep(x, left - 1) for x in inner)


def _damaged(where, why):
  return errors.UserError(
    f'the card of {where} cannot be used: {why}; export the weights again'
  )
