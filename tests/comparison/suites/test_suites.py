"""What holds for every suite: names, one title each, and that listing them costs nothing."""

import re
import subprocess
import sys

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
    """A system is called as in the registry; only variants of one system add to the name."""
    known: dict = {}
    for suite in SUITES.values():
        if isinstance(suite.study, Study) and suite.name != 'pixel-options':
            for system in suite.study.systems:
                name = re.sub('log-prior(-test)?', 'logit-adjusted-ce', system.registered or 'ce')
                name = name.replace('+', '-')
                assert system.name in (name, f'{name}-fixed-alpha')
                what = (system.registered, system.settings, system.overrides)
                assert known.setdefault((system.config, system.name), what) == what


@pytest.mark.parametrize('suite', SUITES.values(), ids=SUITES)
def test_report_names_its_pictures(suite):
    named = re.findall(r'\]\((.+?\.png)\)', suite.report)
    assert named == [picture.file for picture in suite.pictures]
