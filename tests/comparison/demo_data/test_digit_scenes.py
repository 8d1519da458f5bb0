"""The demo data: counts, disjoint sources, same bytes, nothing half-written."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_digits

from paco_seg.comparison.demo_data import digit_scenes
from paco_seg.comparison.demo_data.digit_scenes import SceneSettings, write_scenes
from paco_seg.comparison.demo_data.writing import write_image
from paco_seg.core.frequency import load_class_frequency
from paco_seg.seg.datasets import DigitScenesDataset

SMALL = SceneSettings(max_instances=100, balanced_instances=2, size=48)


@pytest.fixture
def small_set(tmp_path):
    write_scenes(tmp_path / 'set', SMALL)
    return tmp_path / 'set'


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def statistics(folder):
    return json.loads((folder / 'statistics.json').read_text())


def test_training_counts_follow_the_formula():
    counts = digit_scenes.long_tailed_counts(1500)
    assert counts == [1500, 899, 539, 323, 194, 116, 70, 42, 25, 15]
    assert counts[0] == 100 * counts[-1]


def test_instances_are_exact(small_set):
    splits = statistics(small_set)['splits']
    assert splits['training']['instances'] == digit_scenes.long_tailed_counts(100)
    assert splits['search']['instances'] == splits['validation']['instances'] == [2] * 10


def test_statistics_equal_the_files(small_set):
    for split, stats in statistics(small_set)['splits'].items():
        files = sorted((small_set / 'annotations' / split).iterdir())
        names = {path.stem for path in (small_set / 'images' / split).glob('*.jpg')}
        assert names == {path.stem for path in files}
        assert len(files) == stats['num_images']
        labels = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in files]
        counts = np.stack([np.bincount(label.ravel(), minlength=11) for label in labels])
        assert counts.shape[1] == 11  # no label beyond the classes
        assert counts.sum(axis=0).tolist() == stats['pixels']
        assert (counts > 0).sum(axis=0).tolist() == stats['images']
        assert cv2.imread(str(small_set / 'images' / split / '00000.jpg')).shape == (48, 48, 3)


def test_frequency_file_is_that_of_the_training_split(small_set):
    frequency = load_class_frequency(
        small_set / 'class_frequency.json', classes=DigitScenesDataset.METAINFO['classes']
    )
    training = statistics(small_set)['splits']['training']
    assert list(frequency.pixels) == training['pixels']
    assert list(frequency.images) == training['images']
    assert frequency.num_images == training['num_images']


def test_sources_of_splits_are_disjoint():
    digits = load_digits().target
    sources = digit_scenes.split_sources(digits, seed=0)
    for digit in range(10):
        parts = [set(split[digit].tolist()) for split in sources.values()]
        assert sum(map(len, parts)) == len(set.union(*parts)) == (digits == digit).sum()


def test_recorded_sources_are_disjoint(small_set):
    parts = [set(stats['sources']) for stats in statistics(small_set)['splits'].values()]
    assert all(parts)
    assert sum(map(len, parts)) == len(set.union(*parts))


def test_same_seed_same_bytes(small_set, tmp_path):
    write_scenes(tmp_path / 'again', SMALL)
    assert contents(tmp_path / 'again') == contents(small_set)
    write_scenes(tmp_path / 'other', replace(SMALL, seed=1))
    other = contents(tmp_path / 'other')
    assert other['images/training/00000.jpg'] != contents(small_set)['images/training/00000.jpg']


def test_interrupted_writing_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def fail_late(path, image):
        calls.append(path)
        if len(calls) == 9:
            raise KeyboardInterrupt
        write_image(path, image)

    monkeypatch.setattr(digit_scenes, 'write_image', fail_late)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / 'set', SMALL)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    write_scenes(tmp_path / 'set', SMALL)
    assert (tmp_path / 'set' / 'statistics.json').exists()


def test_interrupted_replacement_keeps_the_old_set(small_set, monkeypatch):
    before = contents(small_set)
    monkeypatch.setattr(digit_scenes, 'write_image', lambda path, image: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_scenes(small_set, SMALL, force=True)
    assert contents(small_set) == before


def test_finished_set_is_not_written_again(small_set, capsys, monkeypatch):
    monkeypatch.setattr(digit_scenes, 'write_dataset', lambda *args: 1 / 0)
    write_scenes(small_set, SMALL)
    assert 'is complete, nothing to do' in capsys.readouterr().out


def test_other_settings_and_other_folders_are_refused(small_set, tmp_path):
    with pytest.raises(ValueError, match=r'--out: expected a set with .*--force'):
        write_scenes(small_set, replace(SMALL, seed=7))
    (tmp_path / 'mine').mkdir()
    for force in (False, True):
        with pytest.raises(ValueError, match='--out: expected a new folder or an earlier demo set'):
            write_scenes(tmp_path / 'mine', SMALL, force=force)


def test_failed_image_is_an_error(tmp_path):
    with pytest.raises(OSError, match=r'no/such/folder.*Check disk and rights'):
        write_image(tmp_path / 'no/such/folder/x.png', np.zeros((4, 4), 'u1'))
