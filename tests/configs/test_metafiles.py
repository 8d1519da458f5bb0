"""README and metafile of every algorithm list its configs, and nothing that does not exist."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

CONFIGS = Path(__file__).parents[2] / 'configs'
FOLDERS = sorted(path.parent.name for path in CONFIGS.glob('*/metafile.yml'))
# They evaluate a checkpoint of the config of the same name without the ending.
EVALUATION = re.compile(r'_in1k-(c|r|sketch)$')


def stems(folder):
    names = {path.stem for path in (CONFIGS / folder).glob('*.py')}
    assert names
    others = {name for name in names if EVALUATION.search(name)}
    assert {EVALUATION.sub('_in1k', name) for name in others} <= names - others
    return names - others


def test_every_algorithm_has_a_metafile_and_a_readme():
    # base models that other systems are made of, not an algorithm
    bases = {'_base_', 'quickstart', 'evidence'}
    folders = {path.parent.name for path in CONFIGS.glob('*/*.py')} - bases
    assert folders == set(FOLDERS) == {path.parent.name for path in CONFIGS.glob('*/README.md')}


@pytest.mark.parametrize('folder', FOLDERS)
def test_metafile_lists_every_config(folder):
    metafile = yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text(encoding='utf-8'))
    (collection,) = metafile['Collections']
    assert collection['README'] == f'configs/{folder}/README.md'
    models = metafile['Models']
    assert sorted(model['Name'] for model in models) == sorted(stems(folder))
    for model in models:
        assert model['In Collection'] == collection['Name']
        assert model['Config'] == f'configs/{folder}/{model["Name"]}.py'
        schedule = model['Name'].split('_')[2]
        gpus, batch = map(int, re.match(r'(\d+)xb(\d+)-', schedule).groups())
        accumulated = re.search(r'-accum(\d+)-', schedule)
        batch *= int(accumulated[1]) if accumulated else 1
        assert model['Metadata']['Batch Size'] == gpus * batch


@pytest.mark.parametrize('folder', FOLDERS)
def test_readme_mentions_every_config(folder):
    """By a link to the file, or by a pattern such as `crt_*` that stands for several."""
    text = (CONFIGS / folder / 'README.md').read_text(encoding='utf-8')
    patterns = re.findall(r'`([a-z][\w.-]*\*[\w.-]*)`', text)
    links = re.findall(r'\]\(([^/)]+)\.py\)', text)
    named = stems(folder)
    unmentioned = [
        name
        for name in sorted(named)
        if name not in links and not any(fnmatch(name, pattern) for pattern in patterns)
    ]
    assert not unmentioned
    assert set(links) <= {path.stem for path in (CONFIGS / folder).glob('*.py')}
    everywhere = {path.stem for path in CONFIGS.glob('*/*.py')}
    assert all(any(fnmatch(name, pattern) for name in everywhere) for pattern in patterns)
