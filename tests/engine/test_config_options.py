"""Texts with blanks and commas, beside what MMEngine makes of a value."""

import argparse

import pytest

from paco_seg.engine.config_options import ConfigOptions


def test_a_text_is_taken_as_it_is():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    options = ['a=1,2', 'b.c==/my results, new/[x', 'd=e==f', 'g==1']
    found = parser.parse_args(['--cfg-options', *options, '--cfg-options', 'a=3']).cfg_options
    assert found == {'a': 3, 'b.c': '/my results, new/[x', 'd': 'e==f', 'g': '1'}


@pytest.mark.parametrize('option', ['model', '=1', ''])
def test_an_option_without_key_or_value_is_refused_by_name(option, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    with pytest.raises(SystemExit):
        parser.parse_args(['--cfg-options', 'a=1', option])
    expected = f'argument --cfg-options: expected KEY=VALUE, got {option!r}'
    assert expected in capsys.readouterr().err
