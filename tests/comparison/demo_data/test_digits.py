"""The demo digits: counts, disjoint splits, same bytes."""

import json

import cv2
import pytest

from paco_seg.comparison.demo_data.digits import DigitSettings, training_counts, write_digits


@pytest.fixture
def small_set(tmp_path):
    write_digits(tmp_path / 'set', DigitSettings())
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


def test_counts_follow_the_formula(small_set):
    counts = [100, 65, 42, 27, 18, 11, 7, 5, 3, 2]
    assert training_counts() == counts
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


def test_same_seed_same_bytes(small_set, tmp_path):
    write_digits(tmp_path / 'again', DigitSettings())
    assert contents(tmp_path / 'again') == contents(small_set)
    write_digits(tmp_path / 'other', DigitSettings(seed=1))
    assert contents(tmp_path / 'other').keys() != contents(small_set).keys()


def test_other_settings_are_refused(small_set, capsys):
    write_digits(small_set, DigitSettings())
    assert 'is complete, nothing to do' in capsys.readouterr().out
    with pytest.raises(ValueError, match=r'--out: expected a set with .*--force'):
        write_digits(small_set, DigitSettings(seed=7))
