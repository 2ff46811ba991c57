"""Tests of the table of data sets."""

import importlib
import inspect
import subprocess
import sys

import pytest

from sagan_jax import data, errors
from sagan_jax.data import cifar10_binary


@pytest.mark.parametrize('form', data.KINDS)
def test_every_kind_takes_its_arguments(form):
  module, arguments = data.KINDS[form]
  opener = importlib.import_module(f'sagan_jax.data.{module}').open_source
  place, *rest = inspect.signature(opener).parameters.values()
  keywords = [place, *rest] if ':' not in form else rest
  assert {p.name for p in keywords} == {'image_size', 'split', *arguments}


def test_a_new_kind_is_a_file_and_an_entry(monkeypatch):
  opened = {}

  class Module:
    @staticmethod
    def open_source(place, **kwargs):
      opened.update(place=place, **kwargs)

  monkeypatch.setitem(sys.modules, 'sagan_jax.data.webdataset', Module)
  monkeypatch.setitem(data.KINDS, 'webdataset:URL', ('webdataset', ('part',)))
  data.make_source('webdataset:a:b', image_size=8, part=3, data_dir=None)
  assert opened == dict(place='a:b', image_size=8, split='train', part=3)
  with pytest.raises(errors.UserError, match="data_dir='x' has no effect on"):
    data.make_source('webdataset:a', image_size=8, data_dir='x')
  with pytest.raises(errors.UserError, match="did you mean 'webdataset:URL'"):
    data.make_source('webdataset', image_size=8)


def test_opening_the_package_reads_no_kind():
  code = """
import sys
from sagan_jax import data
modules = {f'sagan_jax.data.{module}' for module, _ in data.KINDS.values()}
assert not modules & set(sys.modules)
"""
  subprocess.run([sys.executable, '-c', code], check=True)


def test_known_numbers_of_classes_are_those_of_the_sources():
  opened = data.make_source('shapes', image_size=8, num_examples=1)
  assert data.known_num_classes('shapes') == opened.num_classes
  names = len(cifar10_binary.CLASS_NAMES)
  assert data.known_num_classes('cifar10_binary:DIR') == names
  assert data.known_num_classes('tfds:cifar10') == names
  assert data.known_num_classes('folder:DIR') is None
  assert data.known_num_classes('tfds:mnist') is None
