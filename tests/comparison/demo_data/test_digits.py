"""The demo digits: counts, disjoint splits, same bytes."""

import json

import cv2
import pytest

from tests.conftest import TOOLS, load_script


@pytest.fixture
def tool():
    return load_script(TOOLS / 'make_demo_digits.py')


@pytest.fixture
def small_set(tool, tmp_path):
    tool.main(['--out', str(tmp_path / 'set')])
    return tmp_path / 'set'


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def entries(folder, split):
    lines = (folder / f'{split}.txt').read_text().splitlines()
    return [(path, int(label)) for path, label in (line.split() for line in lines)]


def test_counts_follow_the_formula(tool, small_set):
    counts = [100, 65, 42, 27, 18, 11, 7, 5, 3, 2]
    assert tool.training_counts() == counts
    assert json.loads((small_set / 'class_counts.json').read_text()) == counts
    splits = json.loads((small_set / 'statistics.json').read_text())['splits']
    for split, expected in (('training', counts), ('search', [30] * 10), ('validation', [44] * 10)):
        labels = [label for _, label in entries(small_set, split)]
        assert [labels.count(digit) for digit in range(10)] == expected
        assert splits[split]['images'] == expected


def test_lists_name_the_images_of_their_split(small_set):
    scans = []
    for split in ('training', 'search', 'validation'):
        listed = {path for path, _ in entries(small_set, split)}
        found = {f'images/{split}/{path.name}' for path in (small_set / 'images' / split).iterdir()}
        assert listed == found
        scans += [path.rsplit('_', 1)[1] for path in listed]
    assert len(scans) == len(set(scans))  # no scan serves twice
    path, _ = entries(small_set, 'training')[0]
    image = cv2.imread(str(small_set / path), cv2.IMREAD_UNCHANGED)
    assert image.shape == (16, 16)
    assert image.min() == 0
    assert image.max() > 200


def test_same_seed_same_bytes(tool, small_set, tmp_path):
    tool.main(['--out', str(tmp_path / 'again')])
    assert contents(tmp_path / 'again') == contents(small_set)
    tool.main(['--out', str(tmp_path / 'other'), '--seed', '1'])
    assert contents(tmp_path / 'other').keys() != contents(small_set).keys()


def test_other_settings_are_refused(tool, small_set, capsys):
    tool.main(['--out', str(small_set)])
    assert 'is complete, nothing to do' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'--out: expected a set with .*--force'):
        tool.main(['--out', str(small_set), '--seed', '7'])
    with pytest.raises(SystemExit):
        tool.main(['--size', '4'])
    assert '--size: expected at least 8, got 4' in capsys.readouterr().err
