"""Which networks can be exchanged with BigGAN-PyTorch, as each side says it."""

import numpy as np
import pytest

from sagan_jax import errors
from sagan_jax.config import schema
from sagan_jax.weights import biggan, biggan_config
from tests.support import biggan as support
from tests.support import tiny

CONFIGS = [
  {},
  {'generator__attention': (), 'discriminator__attention': (16,)},
  {'generator__bn_eps': 1e-3, 'latent_dim': 20, 'num_classes': 2},
  {
    'image_size': 128,
    'generator__attention': (8, 64),
    'discriminator__ch': 8,
    'discriminator__attention': (4, 32, 64),
  },
  {'image_size': 256, 'generator__ch': 8, 'generator__attention': (256,)},
]


@pytest.mark.parametrize('changes', CONFIGS)
def test_the_config_of_a_checkpoint_is_found_again(changes):
  c = support.config(**changes)
  dicts = support.checkpoint(c)
  dicts['state_dict'] = {'config': biggan_config.flags(c)}
  # What it does not know of is as in another config.
  found = schema.replace(tiny.config(), biggan.guess_config(dicts))
  assert found == c


@pytest.mark.parametrize('changes', CONFIGS)
def test_the_flags_are_those_of_the_arrays(changes):
  c = support.config(**changes)
  flags = biggan_config.flags(c)
  names = biggan.to_state_dicts(c, support.random_state(c))
  assert names['state_dict']['config'] == flags
  first = names['D']['blocks.0.0.conv1.weight']
  assert len(first) == flags['D_ch'] * (4 if c.image_size == 32 else 1)
  attention = flags['D_attn'].split('_')
  gates = sum(name.endswith('.gamma') for name in names['D'])
  # Their tables have the label 16 four times at 32 pixels, else 4 twice.
  times = {32: {'16': 4}}.get(c.image_size, {'4': 2})
  assert gates == sum(times.get(a, 1) for a in attention if a != '0')


def test_without_settings_the_eps_is_the_default_there():
  dicts = support.checkpoint(support.config(generator__bn_eps=1e-3))
  assert biggan.guess_config(dicts)['generator.bn_eps'] == 1e-5
  dicts['state_dict'] = {'config': {'BN_eps': 'x', 'G_nl': 'ir'}}
  assert biggan.guess_config(dicts)['generator.bn_eps'] == 1e-5


@pytest.mark.parametrize(
  'changes, match',
  [
    ({'image_size': 64}, 'image_size 64; weights for 32, 128, 256 can be'),
    ({'num_classes': 1}, 'no networks with num_classes 1'),
    ({'attention_formula': 'paper'}, "attention_formula 'paper'"),
    ({'generator__residual': (8,)}, 'generator.residual'),
    ({'discriminator__residual': (8,)}, 'discriminator.residual'),
    ({'discriminator__ch': 5}, r'discriminator.ch 5, which is odd'),
  ],
)
def test_networks_of_ours_that_are_not_theirs_are_refused(changes, match):
  c = support.config(**changes)
  with pytest.raises(errors.UserError, match=match):
    biggan.to_state_dicts(c, None)
  with pytest.raises(errors.UserError, match=match):
    biggan.from_state_dicts(c, {})


@pytest.mark.parametrize(
  'file, name, match',
  [
    ('G', 'shared.weight', 'G is not .* shared class embedding'),
    ('D', 'linear.u1', 'D is not .* several singular values'),
    ('G', 'output_layer.0.bn.accumulation_counter', 'sums of moments'),
    ('G', 'blocks.0.0.conv3.weight', 'BigGAN-deep'),
  ],
)
def test_options_that_ours_have_not_are_named(file, name, match):
  c = support.config()
  dicts = support.checkpoint(c)
  dicts[file][name] = np.ones((1,), np.float32)
  with pytest.raises(errors.UserError, match=match):
    biggan.guess_config(dicts)
  with pytest.raises(errors.UserError, match=match):
    biggan.from_state_dicts(c, dicts)


@pytest.mark.parametrize(
  'flag, value', [('norm_style', 'in'), ('D_nl', 'leaky_relu')]
)
def test_flags_without_a_trace_in_the_arrays_are_obeyed(flag, value):
  dicts = support.checkpoint(support.config())
  dicts['state_dict'] = {'config': {flag: value}}
  with pytest.raises(errors.UserError, match=f"--{flag} '{value}'; only"):
    biggan.guess_config(dicts)


def _without(file, name):
  def change(dicts):
    del dicts[file][name]

  return change


def _with(file, name, shape):
  def change(dicts):
    dicts[file][name] = np.ones(shape, np.float32)

  return change


@pytest.mark.parametrize(
  'change, match',
  [
    (_without('G', 'linear.weight'), r'no linear\.weight of 2 axes'),
    (_with('G', 'linear.weight', (5,)), r'no linear\.weight of 2 axes'),
    (_without('D', 'blocks.0.0.conv1.weight'), 'D is not .*of 4 axes'),
    (_without('G', 'blocks.1.0.conv1.weight'), 'image_size 16; weights for'),
  ],
)
def test_arrays_of_no_sagan_have_no_config(change, match):
  dicts = support.checkpoint(support.config())
  change(dicts)
  with pytest.raises(errors.UserError, match=match):
    biggan.guess_config(dicts)


@pytest.mark.parametrize(
  'change, match',
  [
    (_without('G_ema', 'linear.bias'), r'G_ema is not .*no linear\.bias'),
    (_with('D', 'more', ()), "D is not .*'more', which ours has not"),
    (
      _with('D', 'linear.bias', (2,)),
      r'linear\.bias of shape \(2,\), not \(1,\)',
    ),
    (
      _with('D', 'blocks.3.1.gamma', ()),
      r'an attention block, blocks\.3\.1\.gamma, which ours has not',
    ),
  ],
)
def test_arrays_that_are_not_those_of_the_config_are_refused(change, match):
  c = support.config(discriminator__attention=(16,))
  dicts = support.checkpoint(c)
  change(dicts)
  with pytest.raises(errors.UserError, match=match):
    biggan.from_state_dicts(c, dicts)
