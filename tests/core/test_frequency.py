"""Class frequencies: groups, prior, the file and its errors."""

import json
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.frequency import (
    SHOT_GROUPS,
    ClassFrequency,
    check_classes,
    check_num_classes,
    check_thresholds,
    class_frequency,
    effective_numbers,
    group_classes,
    grouping_warning,
    load_class_frequency,
    log_class_prior,
    read_prior,
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


def test_both_fields_group_alike():
    counts = [500, 101, 100, 20, 19]
    shots = group_classes(counts, 101, 20, SHOT_GROUPS)
    assert shots == {'many': [0, 1], 'medium': [2, 3], 'few': [4]}
    assert list(group_classes(counts, 101, 20).values()) == list(shots.values())


def test_unsigned_counts_are_ordered_by_value():
    counts = np.array([500, 5, 0, 40], dtype=np.uint32)
    assert group_classes(counts, 100, 20) == {'head': [0], 'common': [3], 'tail': [1, 2]}


def test_empty_groups_are_said_in_words():
    assert grouping_warning({'head': [0], 'common': [1], 'tail': [2]}, 'key', 'Do') is None
    some = grouping_warning({'head': [0], 'common': [1, 2], 'tail': []}, 'my.key', 'Do this')
    assert some.startswith('my.key: expected classes in every group, got head 1, common 2, tail 0')
    assert "no class is 'tail'" in some
    assert some.endswith('. Do this')
    every = grouping_warning({'head': [0, 1, 2], 'common': [], 'tail': []}, 'my.key', 'Do this')
    assert "all classes are 'head', whose mean is the mean over all classes" in every


def test_ties_keep_the_order_of_the_labels():
    equal = ClassFrequency(('a', 'b', 'c'), (7, 7, 7), None, 10)
    assert equal.groups()['head'] == [0, 1, 2]


def test_prior_is_the_share_of_the_pixels():
    frequency = ClassFrequency(('a', 'b'), (1, 1), (30, 10), 1)
    np.testing.assert_allclose(frequency.prior(), [0.75, 0.25])


def test_prior_refuses_absent_classes_and_missing_pixels():
    with pytest.raises(ValueError, match=r"my\.key: expected training pixels .* none of \['c'\]"):
        FREQUENCY.prior(key='my.key')
    with pytest.raises(ValueError, match=r"my\.key: expected 'pixels' counts.*paco-seg statistics"):
        ClassFrequency(('a',), (1,), None, 1).prior(key='my.key')


def test_unknown_counts():
    with pytest.raises(ValueError, match=r"expected counts of \('images', 'pixels'\), got 'area'"):
        FREQUENCY.groups('area')


@pytest.mark.parametrize('thresholds', [(0.1,), (0.1, 0.2), (2, 0.1), (0.1, 0)])
def test_bad_thresholds(thresholds):
    with pytest.raises(ValueError, match=r'my key: expected .* 1 >= head >= tail > 0'):
        check_thresholds(thresholds, 'my key')


@pytest.mark.parametrize('text', ['[[1]]', '["a"]', '[1.5]', '[true, 2]', '[-1]', '[1e400]'])
def test_not_a_list_of_counts(tmp_path, text):
    path = tmp_path / 'f.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'^key \(.*f\.json\): expected a flat list of non-neg'):
        load_class_frequency(path, 'key')


def test_a_flat_list_of_image_counts_is_the_older_form_of_classification(tmp_path):
    path = tmp_path / 'f.json'
    path.write_text('[30, 10]')
    frequency = load_class_frequency(path)
    assert frequency == ClassFrequency(None, (30, 10), None, 40)
    assert frequency == class_frequency(np.array([30, 10]), 'key')
    save_class_frequency(frequency, path)
    assert load_class_frequency(path, classes=['any', 'name']) == frequency
    with pytest.raises(ValueError, match='expected 3 classes as in the dataset, got 2'):
        load_class_frequency(path, classes=['a', 'b', 'c'])


class TestReadPrior:
    def test_sources(self, tmp_path):
        path = tmp_path / 'f.json'
        wanted = torch.tensor([3.0, 0.5]).double()
        for source in ([3, 0.5], (3, 0.5), np.array([3, 0.5]), wanted.float()):
            values, names = read_prior(source, 'key')
            assert torch.equal(values, wanted)
            assert names is None
        for text in ('[3, 1]', '[3.0, 1]', '[0.75, 0.25]', '[1, 0.25]'):
            path.write_text(text)
            values, names = read_prior(str(path), 'key')
            assert values.tolist() == json.loads(text)
            assert names is None
        save_class_frequency(FREQUENCY, path)
        values, names = read_prior(str(path), 'key')
        assert values.tolist() == list(FREQUENCY.images)
        assert names == FREQUENCY.classes

    @pytest.mark.parametrize(
        'source', [[True, 2], ['a'], [[1, 2], [3]], {'a': 1}, 3, [], [10**400]]
    )
    def test_what_is_no_list_of_numbers(self, source):
        with pytest.raises(ValueError, match=r'^key: expected a flat list with one positive'):
            read_prior(source, 'key')

    @pytest.mark.parametrize('text', ['[1, 2, 3, 0.5]', '[4, 2, 3, 1.5]', '[9, 1, 1, 1e-9]'])
    def test_fractions_of_counts_in_a_file(self, tmp_path, text):
        path = tmp_path / 'f.json'
        path.write_text(text)
        value = json.loads(text)[3]
        message = rf'^key \(.*f\.json\): expected whole numbers, or .*, got {value} for class 3 '
        with pytest.raises(ValueError, match=message):
            read_prior(str(path), 'key')

    def test_a_file_nested_without_end(self, tmp_path):
        path = tmp_path / 'f.json'
        path.write_text('[' * 100_000)
        with pytest.raises(
            ValueError, match=r'^key \(.*f\.json\): expected JSON with a list of co'
        ):
            read_prior(str(path), 'key')


@pytest.mark.parametrize('pixels', [FREQUENCY.pixels, None])
def test_file_round_trip(tmp_path, pixels):
    frequency = ClassFrequency(FREQUENCY.classes, FREQUENCY.images, pixels, 100)
    path = tmp_path / 'new' / 'f.json'
    save_class_frequency(frequency, path)
    assert load_class_frequency(path, classes=['a', 'b', 'c', 'd']) == frequency
    assert [file.name for file in path.parent.iterdir()] == ['f.json']


def test_missing_file_names_key_and_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'Metric\.file: .*paco-seg statistics'):
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
        (
            {'images': [True, 2, 3, 4]},
            "'images' whose counts are integers >= 0, got True .*class 0",
        ),
        (
            {'images': [1, '2', 3, 4]},
            "'images' whose counts are integers >= 0, got '2' for class 1",
        ),
        ({'pixels': [1, math.inf, 3, 4]}, "'pixels' whose counts are integers >= 0, got inf"),
        ({'pixels': [1, math.nan, 3, 4]}, "'pixels' whose counts are integers >= 0, got nan"),
        ({'pixels': [[1], 2, 3, 4]}, "'pixels' whose counts are integers >= 0, got \\[1\\] for"),
        (
            {'pixels': [2**62] * 4},
            "'pixels' whose sum is at most 9223372036854775807, got a larger",
        ),
        ({'pixels': [10**30, 1, 1, 1]}, "'pixels' whose sum is at most"),
        ({'pixels': 'abcd'}, 'expected JSON with "classes".*expected a list, got .abcd'),
        ({'num_images': True}, "'num_images' whose counts are integers"),
        ({'num_images': 10**400}, "'num_images' whose sum is at most"),
        ({'num_images': '100'}, "'num_images' whose counts are integers"),
        ({'classes': 'abcd'}, 'expected JSON with "classes".*expected a list, got .abcd'),
        ({'classes': [1, 2, 3, 4]}, "expected 'classes' to be a list of names"),
    ],
)
def test_bad_content(tmp_path, change, message):
    content = dict(
        classes=FREQUENCY.classes, images=FREQUENCY.images, pixels=FREQUENCY.pixels, num_images=100
    )
    path = tmp_path / 'f.json'
    path.write_text(json.dumps({**content, **change}))
    with pytest.raises(ValueError, match=message) as raised:
        load_class_frequency(path, 'my.key')
    assert str(raised.value).startswith('my.key')
    assert str(path) in str(raised.value)


def test_a_file_nested_without_end(tmp_path):
    path = tmp_path / 'f.json'
    path.write_text('{"classes": ' + '[' * 100_000)
    with pytest.raises(ValueError, match=r'^key \(.*f\.json\): expected JSON with "classes"'):
        load_class_frequency(path, 'key')


def test_whole_numbers_written_with_a_point_are_counts(tmp_path):
    path = tmp_path / 'f.json'
    path.write_text('{"classes": ["a"], "images": [3.0], "pixels": null, "num_images": 4}')
    assert load_class_frequency(path).images == (3,)


@pytest.mark.parametrize(
    'text',
    ['', '3', '"a"', '{"classes": ["a"]}', '{"classes": ["a"], "images": null, "num_images": 1}'],
)
def test_not_a_frequency_file(tmp_path, text):
    path = tmp_path / 'f.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'expected JSON with "classes".*paco-seg statistics'):
        load_class_frequency(path)


def test_file_of_another_dataset(tmp_path):
    path = tmp_path / 'f.json'
    save_class_frequency(FREQUENCY, path)
    with pytest.raises(ValueError, match='expected 2 classes as in the dataset, got 4'):
        load_class_frequency(path, classes=['a', 'b'])
    with pytest.raises(ValueError, match="expected class 2 to be 'x' as in the dataset, got 'c'"):
        load_class_frequency(path, classes=['a', 'b', 'x', 'd'])


def test_names_are_compared_in_their_order():
    check_classes(FREQUENCY, ['a', 'b', 'c', 'd'], 'key')
    with pytest.raises(
        ValueError, match=r"^key: expected class 0 to be 'b' as in the dataset, got 'a'"
    ):
        check_classes(FREQUENCY, ['b', 'a', 'c', 'd'], 'key')
    with pytest.raises(
        ValueError, match=r'^key: expected 3 classes as num_classes of the head, got 4'
    ):
        check_num_classes(FREQUENCY, 3, 'key')


def test_log_prior_is_the_logarithm_of_the_frequencies():
    prior = log_class_prior(torch.tensor([6, 3, 1]))
    assert prior.dtype == torch.float32
    assert_close(prior.exp(), torch.tensor([0.6, 0.3, 0.1]))
    assert log_class_prior(torch.ones(2, dtype=torch.float64)).dtype == torch.float64


def test_log_prior_of_cifar100_lt_at_imbalance_100():
    counts = [int(500 * 0.01 ** (index / 99)) for index in range(100)]
    prior = log_class_prior(torch.tensor(counts))
    assert_close(prior[0].item(), -3.077, atol=5e-4, rtol=0)
    assert_close(prior[99].item(), -7.682, atol=5e-4, rtol=0)


@pytest.mark.parametrize('function', [log_class_prior, lambda n: effective_numbers(n, 0.9)])
def test_a_class_without_samples_is_refused_by_name(function):
    with pytest.raises(ValueError, match=r'class_counts: expected positive.* classes \[1, 3\]'):
        function(torch.tensor([5, 0, 2, 0]))
    with pytest.raises(ShapeError, match='class_counts'):
        function(torch.ones(2, 2))


def test_effective_numbers_by_hand_and_at_the_limits():
    counts = torch.tensor([1, 2, 7])
    assert_close(effective_numbers(counts, 0.5)[:2], torch.tensor([1.0, 1.5]).double())
    assert_close(effective_numbers(counts, 0.0), torch.ones(3).double())
    assert_close(effective_numbers(counts, 1 - 1e-9), counts.double(), rtol=1e-6, atol=0)
    huge = effective_numbers(torch.tensor([10**9]), 0.999).item()
    assert math.isclose(huge, 1000.0, rel_tol=1e-12)
    with pytest.raises(ValueError, match='beta'):
        effective_numbers(counts, 1.0)
