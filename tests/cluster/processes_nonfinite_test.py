"""A batch that makes losses NaN, in the share of one of two processes."""

import re

import pytest

from tests.support import processes

pytestmark = [pytest.mark.slow, pytest.mark.processes]
SHORT = {
  'num_steps': 6,
  'checkpoint__every_steps': 2,
  'sample__every_steps': 6,
  'eval__every_steps': None,
}


@pytest.mark.parametrize(
  ('policy', 'told'),
  [
    ('skip', 'step 4: left out 1 updates of the discriminator'),
    ('rollback', r'd_loss is nan at step 4; .* Rolled back to step 2'),
  ],
)
def test_both_decide_as_a_single_process(tmp_path, policy, told):
  changes = SHORT | {'on_nonfinite': policy}
  code, _, output = processes.run(tmp_path / 'two', '0:poison:4', **changes)
  assert code == 0, output
  assert len(re.findall(told, output)) == 1, output
  processes.run_alone(tmp_path / 'one', 2, '*:poison:4', **changes)
  assert processes.differences(tmp_path / 'two', tmp_path / 'one') == []
  rows = (tmp_path / 'two' / 'metrics.jsonl').read_text()
  assert ('nonfinite/d_skipped' in rows) == (policy == 'skip')
