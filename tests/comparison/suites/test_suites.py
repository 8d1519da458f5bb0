"""What holds for every suite: names, one title each, and that listing them costs nothing."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from paco_seg.comparison.study import Study
from paco_seg.comparison.suites import SUITES


def test_suites_are_data_and_load_nothing_heavy():
    heavy = "{'torch', 'numpy', 'mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'matplotlib'}"
    program = f'import sys, paco_seg.comparison.suites; print(sorted({heavy} & set(sys.modules)))'
    result = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert result.stdout.strip() == '[]', result.stderr


@pytest.mark.parametrize('suite', SUITES.values(), ids=SUITES)
def test_names_are_hyphenated_words_and_unique(suite):
    for names in (
        [system.name for system in suite.study.systems],
        [system.title for system in suite.study.systems],
    ):
        assert len(set(names)) == len(names)
    for system in suite.study.systems:
        assert re.fullmatch(r'[a-z0-9.]+(-[a-z0-9.]+)*', system.name)
    assert list(suite.study.seeds) == list(range(len(suite.study.seeds)))


def test_one_system_has_one_name():
    """A system is called as its config; only variants of one config add to the name."""
    for suite in SUITES.values():
        if isinstance(suite.study, Study) and suite.name != 'pixel-options':
            for system in suite.study.systems:
                stem = Path(system.config.partition('::')[2]).stem
                config = re.split('-fcn_|_', stem)[0]
                assert system.name in (config, f'{config}-fixed-alpha')


@pytest.mark.parametrize('suite', SUITES.values(), ids=SUITES)
def test_report_names_its_pictures(suite):
    named = re.findall(r'\]\((.+?\.png)\)', suite.report)
    assert named == [picture.file for picture in suite.pictures]
