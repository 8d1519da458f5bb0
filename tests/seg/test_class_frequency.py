"""Class frequencies: groups, prior, the file and its errors."""

import json

import numpy as np
import pytest

from paco_seg.seg.class_frequency import (
    ClassFrequency,
    check_thresholds,
    load_class_frequency,
    save_class_frequency,
)

FREQUENCY = ClassFrequency(
    classes=('a', 'b', 'c', 'd'), images=(5, 100, 1, 10), pixels=(60, 900, 0, 40), num_images=100
)


def test_groups_by_images():
    # shares 5 %, 100 %, 1 % and 10 %: bounds belong to the upper group
    assert FREQUENCY.groups() == {'head': [1, 3], 'common': [0, 2], 'tail': []}


def test_groups_by_pixels_with_own_thresholds():
    assert FREQUENCY.groups('pixels', (0.5, 0.05)) == {'head': [1], 'common': [0], 'tail': [3, 2]}


def test_ties_keep_the_order_of_the_labels():
    equal = ClassFrequency(('a', 'b', 'c'), (7, 7, 7), None, 10)
    assert equal.groups()['head'] == [0, 1, 2]


def test_prior_is_the_share_of_the_pixels():
    frequency = ClassFrequency(('a', 'b'), (1, 1), (30, 10), 1)
    np.testing.assert_allclose(frequency.prior(), [0.75, 0.25])


def test_prior_refuses_absent_classes_and_missing_pixels():
    with pytest.raises(ValueError, match=r"my\.key: expected training pixels .* none of \['c'\]"):
        FREQUENCY.prior('my.key')
    with pytest.raises(ValueError, match=r"my\.key: expected 'pixels' counts.*class_statistics"):
        ClassFrequency(('a',), (1,), None, 1).prior('my.key')


def test_unknown_counts():
    with pytest.raises(ValueError, match=r"expected counts of \('images', 'pixels'\), got 'area'"):
        FREQUENCY.groups('area')


@pytest.mark.parametrize('thresholds', [(0.1,), (0.1, 0.2), (2, 0.1), (0.1, 0)])
def test_bad_thresholds(thresholds):
    with pytest.raises(ValueError, match=r'my key: expected .* 1 >= head >= tail > 0'):
        check_thresholds(thresholds, 'my key')


@pytest.mark.parametrize('pixels', [FREQUENCY.pixels, None])
def test_file_round_trip(tmp_path, pixels):
    frequency = ClassFrequency(FREQUENCY.classes, FREQUENCY.images, pixels, 100)
    path = tmp_path / 'new' / 'f.json'
    save_class_frequency(frequency, path)
    assert load_class_frequency(path, classes=['a', 'b', 'c', 'd']) == frequency
    assert [file.name for file in path.parent.iterdir()] == ['f.json']


def test_missing_file_names_key_and_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'Metric\.file: .*python tools/class_statistics'):
        load_class_frequency(tmp_path / 'none.json', 'Metric.file')


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'images': [1, 2]}, "expected 4 'images' counts, one per class, got 2"),
        ({'pixels': [1, 2, 3, 4, 5]}, "expected 4 'pixels' counts, one per class, got 5"),
        ({'images': [1, -2, 3, 4]}, 'counts are integers >= 0'),
        ({'images': [1, 0.5, 3, 4]}, 'counts are integers >= 0'),
        ({'images': None}, 'expected JSON with "classes"'),
        ({'num_images': 99}, 'expected "num_images" of at least 100'),
        ({'pixels': [0, 0, 0, 0]}, 'expected some labelled pixels'),
    ],
)
def test_bad_content(tmp_path, change, message):
    content = dict(
        classes=FREQUENCY.classes, images=FREQUENCY.images, pixels=FREQUENCY.pixels, num_images=100
    )
    path = tmp_path / 'f.json'
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=message):
        load_class_frequency(path)


@pytest.mark.parametrize('text', ['', '[1]', '{"classes": ["a"]}'])
def test_not_a_frequency_file(tmp_path, text):
    path = tmp_path / 'f.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'expected JSON with "classes".*class_statistics'):
        load_class_frequency(path)


def test_file_of_another_dataset(tmp_path):
    path = tmp_path / 'f.json'
    save_class_frequency(FREQUENCY, path)
    with pytest.raises(ValueError, match='expected 2 classes as in the dataset, got 4'):
        load_class_frequency(path, classes=['a', 'b'])
    with pytest.raises(ValueError, match="expected class 2 to be 'x' as in the dataset, got 'c'"):
        load_class_frequency(path, classes=['a', 'b', 'x', 'd'])
