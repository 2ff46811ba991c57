"""Tests of what a sweep changes, from flags and from files."""

import pytest

from sagan_jax import errors
from sagan_jax.sweeps import definition, names

RATE = 'optim.generator.learning_rate'


def members(*args, **kwargs):
  return definition.members(
    definition.from_flags('quickstart', {}, *args, **kwargs)
  )


@pytest.mark.parametrize(
  'text, parts',
  [
    ('1e-4,2e-4', ['1e-4', '2e-4']),
    ('(8,),(8,16),()', ['(8,)', '(8,16)', '()']),
    ("'a,b',c", ["'a,b'", 'c']),
    ('one', ['one']),
  ],
)
def test_split(text, parts):
  assert definition.split(text) == parts


def test_a_grid_is_a_product_in_order_with_the_seed_last():
  found = members([f'{RATE}=1e-4,2e-4', 'n_dis=1,2'], seeds=2)
  assert [m.name for m in found] == [
    f'{RATE}={rate},n_dis={n},seed={seed}'
    for rate in ('0.0001', '0.0002')
    for n in (1, 2)
    for seed in (0, 1)
  ]
  last = found[-1]
  assert last.config.optim.generator.learning_rate == 2e-4
  assert (last.config.n_dis, last.config.seed) == (2, 1)
  assert last.setting == f'{RATE}=0.0002,n_dis=2'
  assert last.changes == {RATE: 2e-4, 'n_dis': 2, 'seed': 1}


def test_the_seed_may_be_a_grid_too():
  assert [m.config.seed for m in members(['seed=5,3', 'n_dis=1'])] == [5, 3]
  assert members(['seed=5', 'n_dis=1'])[0].name == 'n_dis=1,seed=5'


def test_without_changes_there_is_the_base():
  [base] = members()
  assert (base.name, base.setting, base.changes) == ('base', '', {})


def test_a_list_is_combined_with_a_grid(tmp_path):
  path = tmp_path / 'list.txt'
  path.write_text(
    '# two settings\n'
    'generator.attention=(8,) generator.ch=16\n'
    '\n'
    "dataset.name='shapes' generator.ch=8  # quoted\n"
  )
  found = members(['n_dis=1,2'], path)
  assert [m.name for m in found] == [
    'generator.attention=8,generator.ch=16,n_dis=1',
    'generator.attention=8,generator.ch=16,n_dis=2',
    'dataset.name=shapes,generator.ch=8,n_dis=1',
    'dataset.name=shapes,generator.ch=8,n_dis=2',
  ]
  assert found[0].config.generator.attention == (8,)


def test_overrides_hold_for_all():
  given = definition.from_flags('quickstart', {'n_dis': '3'}, ['seed=0,1'])
  assert [m.config.n_dis for m in definition.members(given)] == [3, 3]


def test_every_mistake_is_told_once():
  with pytest.raises(errors.UserError) as caught:
    members([f'{RATE}=1e-4,2e-4', 'batch_size=0,8', 'loss=hinge,hing'])
  lines = str(caught.value).splitlines()
  assert len(lines) == 2
  assert lines[0].startswith('batch_size=0 must be an integer from 1')
  assert lines[1].startswith("loss='hing' must be one of")
  assert "did you mean 'hinge'" in lines[1]


@pytest.mark.parametrize(
  'grid, message',
  [
    (['generator.attention=(64,)'], 'names the resolution 64'),
    ([f'{RATE[:-1]}=1'], f'did you mean {RATE!r}'),
    (['n_dis'], "--grid='n_dis' must be KEY=VALUE,VALUE"),
    (['n_dis='], "--grid='n_dis=' must be KEY=VALUE,VALUE"),
    (['n_dis=1', 'n_dis=2'], '--grid names n_dis twice'),
    (['n_dis=1,1'], 'n_dis=1 is given twice'),
    ([f'{RATE}=1e-4,0.0001'], f'{RATE}=0.0001 is given twice'),
    (['num_steps=3,4'], 'num_steps=3 and num_steps=4 compute the same'),
  ],
)
def test_grids_that_are_refused(grid, message):
  with pytest.raises(errors.UserError) as caught:
    members(grid)
  assert message in str(caught.value)


def test_seeds_that_are_refused():
  with pytest.raises(errors.UserError, match='the seeds are given twice'):
    members(['seed=0,1'], seeds=2)
  with pytest.raises(errors.UserError, match='--seeds=0 must be a number of'):
    members(seeds=0)


@pytest.mark.parametrize(
  'text, message',
  [
    ('n_dis=1 ch', r"list.txt:1: 'n_dis=1 ch' must be KEY=VALUE KEY=VALUE"),
    ("n_dis='1", 'list.txt:1: No closing quotation'),
    ('# nothing', 'has no settings'),
    ('n_dis=1', 'n_dis is in the list and in the grid'),
  ],
)
def test_lists_that_are_refused(tmp_path, text, message):
  (tmp_path / 'list.txt').write_text(text)
  with pytest.raises(errors.UserError, match=message):
    members(['n_dis=1'], tmp_path / 'list.txt')
  with pytest.raises(errors.UserError, match='cannot read --list=.*none.txt'):
    members([], tmp_path / 'none.txt')


def from_file(tmp_path, content, **overrides):
  path = tmp_path / 'mine.py'
  path.write_text(f'def get_sweep():\n  return {content}\n')
  given = definition.from_file(str(path), overrides)
  return definition.members(given)


def test_a_sweep_file(tmp_path):
  found = from_file(
    tmp_path,
    {
      'config': 'quickstart',
      'grid': {'generator.attention': [(8,), ()], 'loss': ['hinge']},
      'seeds': [4, 7],
    },
    n_dis='2',
  )
  assert [m.name for m in found] == [
    f'generator.attention={places},loss=hinge,seed={seed}'
    for places in ('8', 'none')
    for seed in (4, 7)
  ]
  assert found[3].config.generator.attention == ()
  assert found[3].config.n_dis == 2


def test_the_example_differs_in_blocks_only():
  found = definition.members(definition.from_file('attention', {}))
  assert len(found) == 8
  for member in found:
    c = member.config
    for network in (c.generator, c.discriminator):
      assert len(network.attention) + len(network.residual) == 1


@pytest.mark.parametrize(
  'content, message',
  [
    ({'config': 'quickstart', 'gird': {}}, "unknown key 'gird'.*mean 'grid'"),
    ({'grid': {}}, 'config=None must be the name or the path'),
    ({'config': 'quickstart', 'grid': {'n_dis': 1}}, 'must be a dict of key'),
    ({'config': 'quickstart', 'grid': {'n_dis': []}}, 'must be a dict of key'),
    ({'config': 'quickstart', 'list': {'n_dis': 1}}, 'must be a list of dicts'),
    ({'config': 'quickstart', 'seeds': 'two'}, "'two' must be.* or a list of"),
    ({'config': 'quickstart', 'seeds': []}, r'seeds=\[\] must be a number'),
    ({'config': 'quickstart', 'grid': {'n_dis': [1.5]}}, 'n_dis=1.5 must be'),
    ({'config': 'quickstrat'}, "did you mean 'quickstart'"),
    ('3', 'get_sweep.. returns 3'),
    ('1 / 0', 'mine.py:2: ZeroDivisionError'),
  ],
)
def test_sweep_files_that_are_refused(tmp_path, content, message):
  with pytest.raises(errors.UserError, match=message):
    from_file(tmp_path, content)


def test_a_file_without_the_function(tmp_path):
  (tmp_path / 'mine.py').write_text('x = 1\n')
  with pytest.raises(errors.UserError, match='has no function get_sweep'):
    definition.from_file(str(tmp_path / 'mine.py'), {})
  with pytest.raises(errors.UserError, match='cannot read the sweep file'):
    definition.from_file(str(tmp_path / 'none.py'), {})


@pytest.mark.parametrize(
  'changes, name',
  [
    ({'a.b': 1e-5, 'seed': 1}, 'a.b=1e-05,seed=1'),
    ({'a': (8, 16), 'b': (), 'c': None}, 'a=8+16,b=none,c=None'),
    ({'a': True, 'b': 'hinge'}, 'a=True,b=hinge'),
  ],
)
def test_names(changes, name):
  assert names.directory(changes) == name


@pytest.mark.parametrize(
  'value',
  ['folder:/a/b', 'train[:90%]', '*?\\', 'ü', 'a+b', '', 'x' * 300, 'None'],
)
def test_names_are_safe_short_and_told_apart(value):
  others = ['folder:/a:b', 'folder:-a-b', 'train[:9%]', 'x' * 299, 'a-b']
  name = names.directory({'dataset.name': value})
  assert not set(name) & set('[]*?\\:/ %\'"')
  assert name.isascii()
  assert len(name) <= 130
  rest = {names.directory({'dataset.name': v}) for v in [*others, None]}
  assert name not in rest
  assert len(rest) == 6
  assert name == names.directory({'dataset.name': value})
