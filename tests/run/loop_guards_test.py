"""What a step of the loop must not do: send by accident, compile anew."""

import jax
import numpy as np
import pytest

from tests.support import tiny

NUM_STEPS = 4
COMPILED = '/jax/core/compile/backend_compile_duration'


@pytest.mark.parametrize('num_devices', [1, 2])
def test_steps_send_nothing_by_accident_and_compile_nothing(
  num_devices, tmp_path, monkeypatch
):
  with tiny.small_networks():
    trainer = tiny.trainer(
      tmp_path, num_devices=num_devices, num_steps=NUM_STEPS
    )
    trainer.loop.events = []  # Their programs are compiled when they are due.
    inner, compiled = trainer.loop.take_steps, []

    def guarded(*args):
      def count(event, _, **kwargs):
        del kwargs
        compiled.append(event)

      jax.monitoring.register_event_duration_secs_listener(count)
      # For all threads, that which makes batches too.
      jax.config.update('jax_transfer_guard', 'disallow')
      try:
        with pytest.raises(jax.errors.JaxRuntimeError, match='Disallowed'):
          jax.jit(lambda x: x)(np.ones(3))
        compiled.clear()
        return inner(*args)
      finally:
        jax.config.update('jax_transfer_guard', 'allow')
        jax.monitoring.unregister_event_duration_listener(count)

    monkeypatch.setattr(trainer.loop, 'take_steps', guarded)
    state = trainer.train()
  assert int(state.step) == NUM_STEPS
  assert COMPILED not in compiled
