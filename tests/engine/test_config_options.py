"""Texts with blanks and commas, beside what MMEngine makes of a value."""

import argparse

from paco_seg.engine.config_options import ConfigOptions


def test_a_text_is_taken_as_it_is():
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    options = ['a=1,2', 'b.c==/my results, new/[x', 'd=e==f', 'g==1']
    found = parser.parse_args(['--cfg-options', *options, '--cfg-options', 'a=3']).cfg_options
    assert found == {'a': 3, 'b.c': '/my results, new/[x', 'd': 'e==f', 'g': '1'}
