"""What an `Observer` sees, against networks with known maps and by hand."""

import jax
import numpy as np
import pytest

from sagan_jax.gan import attention_maps, sampling
from tests.support import known_attention, small, tiny


def _known(formula):
  settings = {'image_size': 32, 'num_classes': 10, 'attention_formula': formula}
  return small.tiny_gan(
    generator=known_attention.Generator(**settings, attention=(8, 16, 32)),
    discriminator=known_attention.Discriminator(**settings, attention=(8, 16)),
    num_classes=10,
  )


@pytest.mark.parametrize(('formula', 'pooled'), [('code', 2), ('paper', 1)])
def test_known_maps_come_back_exactly(formula, pooled):
  gan = _known(formula)
  state = small.fresh_state(gan, 32, gate=known_attention.GATE)
  observer = attention_maps.Observer(gan, 4)
  labels = np.arange(6)
  parts = list(
    observer.generator(
      *state.generator_variables('raw'), jax.random.key(0), labels
    )
  )
  assert [len(images) for images, _ in parts] == [4, 2]
  maps = attention_maps.join([blocks for _, blocks in parts])
  assert list(maps) == ['attention_8', 'attention_16', 'attention_32']
  for size in (8, 16, 32):
    keys = size // pooled
    block = maps[f'attention_{size}']
    assert block.rows.shape == (6, size, size, keys, keys)
    known = known_attention.rows(size, keys).reshape(block.rows.shape[1:])
    for rows in block.rows:
      np.testing.assert_array_equal(rows, known)
    np.testing.assert_allclose(block.share, known_attention.GATE, rtol=1e-6)
    assert block.gate == known_attention.GATE
  # Its own cell: row 3, column 6 of 8 x 8 is row 1, column 3 of 4 x 4.
  own = maps['attention_8'].rows[0, 3, 6]
  assert own[3 // pooled, 6 // pooled] == 1 and own.sum() == 1


def test_blocks_are_named_as_networks_sow_them():
  gan = _known('code')
  assert attention_maps.blocks(gan.generator) == {
    'attention_8': (8, 4),
    'attention_16': (16, 8),
    'attention_32': (32, 16),
  }


@pytest.mark.slow
def test_real_networks_are_seen_as_they_are():
  gan = small.conv_gan()
  state = small.fresh_state(gan, 32, gate=0.5)
  labels = np.array([3, 1, 4, 1, 5], np.int32)
  params, stats = state.generator_variables('raw')
  observer = attention_maps.Observer(gan, 2)
  key = jax.random.key(7)
  parts = list(observer.generator(params, stats, key, labels))
  images = np.concatenate([images for images, _ in parts])
  maps = attention_maps.join([blocks for _, blocks in parts])['attention_16']
  # The images are those of the sampler.
  sampler = sampling.Sampler(gan, 5)
  expected = sampler.generate(params, stats, key, labels).astype(int)
  shown = np.asarray(sampling.to_uint8(images)).astype(int)
  assert abs(shown - expected).max() <= 1
  for found in (maps.rows, _discriminated(observer, state, images, labels)):
    assert found.shape == (5, 16, 16, 8, 8)
    np.testing.assert_allclose(found.sum((3, 4)), 1, rtol=1e-5)
    assert np.ptp(found, axis=(1, 2)).max() > 1e-3  # Queries differ.
  assert maps.gate == 0.5 and maps.share.min() > 0


def _discriminated(observer, state, images, labels):
  variables = state.discriminator.variables()
  parts = observer.discriminator(variables, images, labels)
  return attention_maps.join(parts)['attention_16'].rows


@pytest.mark.slow
def test_bytes_are_shown_as_in_training():
  gan = small.conv_gan()
  state = small.fresh_state(gan, 32)
  observer = attention_maps.Observer(gan, 2)
  pixels = small.random_batch(gan, 2, 32)['image'][0]
  np.testing.assert_array_equal(
    _discriminated(observer, state, pixels, np.array([0, 1])),
    _discriminated(
      observer, state, pixels.astype(np.float32) / 127.5 - 1, np.array([0, 1])
    ),
  )


def test_the_batch_shrinks_with_the_map():
  large = attention_maps.Observer(
    small.tiny_gan(
      generator=tiny.Generator(128, 10, attention=(64,)),
      discriminator=tiny.Discriminator(128, 10, attention=()),
    )
  )
  assert large.batch_size == 4  # 16 MiB each.
  assert attention_maps.Observer(_known('code')).batch_size == 32
