"""Tests of `python -m sagan_jax.report`."""

import pytest

from sagan_jax import errors, report
from tests.support import damage, histories


def test_the_page_of_a_run_goes_into_it(tmp_path, capsys):
  workdir = histories.write(tmp_path / 'run')
  damage.append('metrics.jsonl', b'x')(workdir)
  report.main([str(workdir)])
  output = capsys.readouterr()
  assert output.out == f'{workdir}/report.html\n'
  assert output.err == (
    'warning: metrics.jsonl, line 7: it is no row of a log; it is left out\n'
  )
  assert 'a run of sagan_jax' in (workdir / 'report.html').read_text()


def test_the_page_of_several_goes_where_one_works(
  tmp_path, monkeypatch, capsys
):
  monkeypatch.chdir(tmp_path)
  for name in ('one/x', 'two/x'):
    histories.write(tmp_path / name)
  report.main(['one/x', 'two/x'])
  assert capsys.readouterr().out == f'{tmp_path}/report.html\n'
  assert '2 runs of sagan_jax' in (tmp_path / 'report.html').read_text()
  assert not (tmp_path / 'one/x/report.html').exists()


def test_the_page_goes_where_it_is_wanted(tmp_path, capsys):
  workdir = histories.write(tmp_path / 'run')
  report.main([str(workdir), f'--output={tmp_path}/page.html'])
  assert capsys.readouterr().out == f'{tmp_path}/page.html\n'
  assert not (workdir / 'report.html').exists()
  assert not (workdir / 'scores').exists()


@pytest.mark.parametrize(
  'argv, match',
  [
    ([], 'no run was named; give the directory of one'),
    (['none'], 'there is no run in .*none'),
    (['run', 'run/'], 'run is given twice; name each run once'),
    (['run', '--output=none/page.html'], 'cannot write .*none/page.html'),
    (['run', '--output='], "'' is no path"),
    (['run', '--otput=x'], 'unknown flag --otput; did you mean --output'),
  ],
)
def test_what_cannot_be_is_refused(tmp_path, monkeypatch, argv, match):
  monkeypatch.chdir(tmp_path)
  histories.write(tmp_path / 'run')
  with pytest.raises(errors.UserError, match=match):
    report.main(argv)
  assert [p.name for p in tmp_path.iterdir()] == ['run']
