"""Photographs in the form of the configs, from made-up files in the form of the originals."""

import json
import pickle
import sys

import cv2
import numpy as np
import pytest
from helpers.file_names import NOT_UTF8, ends_well

from paco_seg import cli
from paco_seg.comparison.demo_data.photographs import profile, write_camvid, write_cifar100

CLASSES = ('apple', 'bear', 'cup')


def labels_of(path):
    lines = path.read_text().splitlines()
    return [int(line.rsplit(' ', 1)[1]) for line in lines]


@pytest.fixture
def camvid(tmp_path):
    rng = np.random.default_rng(0)
    for part, number in (('train', 3), ('val', 1), ('test', 2)):
        for ending, shape in (('', (12, 16, 3)), ('annot', (12, 16))):
            folder = tmp_path / 'CamVid' / f'{part}{ending}'
            folder.mkdir(parents=True)
            for index in range(number):
                values = rng.integers(0, 12, shape, dtype=np.uint8)
                cv2.imwrite(str(folder / f'{part}{index}.png'), values)
    return tmp_path / 'CamVid'


@pytest.fixture
def cifar(tmp_path):
    """Three classes; a training image has its number as its colour (red, 0, 0)."""
    source = tmp_path / 'cifar-100-python'
    source.mkdir()
    (source / 'meta').write_bytes(pickle.dumps(dict(fine_label_names=list(CLASSES))))
    for part, number in (('train', 30), ('test', 12)):
        images = np.zeros((number * 3, 3, 32, 32), dtype=np.uint8)
        images[:, 0] = np.arange(number * 3)[:, None, None]
        content = dict(
            data=images.reshape(number * 3, -1),
            fine_labels=[index % 3 for index in range(number * 3)],
            filenames=[f'{part}_{index:03d}.png' for index in range(number * 3)],
        )
        (source / part).write_bytes(pickle.dumps(content))
    return source


@pytest.mark.skipif(sys.platform != 'linux', reason='file names are text on other systems')
def test_camvid_of_names_that_are_not_utf8(camvid, tmp_path):
    for ending in ('', 'annot'):
        (camvid / f'val{ending}/val0.png').rename(camvid / f'val{ending}/{NOT_UTF8}.png')
    assert ends_well(write_camvid, camvid, tmp_path / 'out')
    assert (tmp_path / f'out/images/val/{NOT_UTF8}.jpg').is_file()


def test_camvid_keeps_labels_and_split(camvid, tmp_path):
    out = tmp_path / 'data' / 'camvid'
    cli.run(['demo-data', 'camvid', '--source', str(camvid), '--out', str(out)])
    counts = json.loads((out / 'statistics.json').read_text())['images']
    assert counts == dict(train=3, val=1, test=2)
    for part, number in counts.items():
        assert len(list((out / 'images' / part).glob('*.jpg'))) == number
    before, after = (
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in (camvid / 'testannot' / 'test1.png', out / 'masks' / 'test' / 'test1.png')
    )
    np.testing.assert_array_equal(before, after)


def test_an_image_without_labels_leaves_nothing_half_written(camvid, tmp_path):
    (camvid / 'valannot' / 'val0.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'--source: expected the labels.*val0\.png'):
        write_camvid(camvid, tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
    with pytest.raises(FileNotFoundError, match=r'expected the folder CamVid.*absent'):
        write_camvid(tmp_path / 'absent', tmp_path / 'out')


def test_cifar_is_long_tailed_and_its_test_is_divided(cifar, tmp_path):
    out = tmp_path / 'cifar100_lt'
    cli.run(['demo-data', 'cifar100-lt', '--source', str(cifar), '--out', str(out)])
    assert (out / 'classes.txt').read_text().split() == list(CLASSES)
    # profile(0..2): 500, 50, 5, of the 30 that are there
    assert labels_of(out / 'train_ir100.txt') == [0] * 30 + [1] * 30 + [2] * 5
    searched, tested = (
        (out / f'{name}.txt').read_text().splitlines() for name in ('search', 'test')
    )
    assert len(searched) == 3 * 6
    assert len(tested) == 3 * 6
    assert not set(searched) & set(tested)
    first = (out / 'train_ir100.txt').read_text().split(' ')[0]
    pixel = cv2.imread(str(out / first))[0, 0]
    assert pixel.tolist() == [0, 0, int(first[-7:-4])]
    assert sum(1 for _ in (out / 'train').rglob('*.png')) == 65
    again = tmp_path / 'again'
    write_cifar100(cifar, again)
    for name in ('train_ir100.txt', 'search.txt'):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_parts_have_their_ratio(tmp_path):
    """A hundred classes of the profile of ratio 100, by lists alone."""
    (tmp_path / 'classes.txt').write_text('\n'.join(f'c{i}' for i in range(100)))
    counts = [profile(label, 100, 100) for label in range(100)]
    assert (sum(counts), counts[0], counts[-1]) == (10847, 500, 5)
    for name, numbers in (('train_ir100', counts), ('search', [10] * 100), ('test', [90] * 100)):
        lines = [f'{c}/{i}.png {c}' for c, number in enumerate(numbers) for i in range(number)]
        (tmp_path / f'{name}.txt').write_text('\n'.join(lines))
    cli.run(['demo-data', 'cifar100-lt-subsets', '--out', str(tmp_path)])
    for ending, number, ratio, most in (
        ('c10-ir100', 10, 100, 500),
        ('c30-ir100', 30, 100, 500),
        ('c10-ir10', 10, 10, 500),
        ('c30-ir10', 30, 10, 500),
        ('c100-ir10', 100, 10, 50),
    ):
        found = np.bincount(labels_of(tmp_path / f'train_{ending}.txt'), minlength=number)
        expected = [profile(label, number, ratio, most) for label in range(number)]
        assert found.tolist() == expected
        assert (found[0], found[-1]) == (most, most // ratio)
        assert np.bincount(labels_of(tmp_path / f'search_{ending}.txt')).tolist() == [10] * number
        assert np.bincount(labels_of(tmp_path / f'test_{ending}.txt')).tolist() == [90] * number
        assert len((tmp_path / f'classes_{ending}.txt').read_text().split()) == number
