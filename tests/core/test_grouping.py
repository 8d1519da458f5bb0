"""Groups by rule: the first that fits, thresholds by option, rank as the last resort."""

import pytest

from paco_seg.core.frequency import ClassFrequency
from paco_seg.core.grouping import group_by_rule


def frequency(images, pixels=None, num_images=100):
    return ClassFrequency(None, tuple(images), pixels and tuple(pixels), num_images)


def test_thresholds_by_images_where_they_fill_head_and_tail():
    grouping = group_by_rule(frequency([50, 5, 0], [9, 9, 9]))
    assert grouping.groups == {'head': [0], 'common': [1], 'tail': [2]}
    assert grouping.rule.startswith('head: at least 10 % of the training images')


def test_by_pixels_where_every_class_is_in_most_images():
    grouping = group_by_rule(frequency([90, 80, 70], [100000, 500, 1]))
    assert grouping.groups == {'head': [0], 'common': [1], 'tail': [2]}
    assert 'pixels' in grouping.rule


def test_by_rank_where_no_threshold_leaves_a_tail():
    shares = [32, 20, 15, 10, 8, 6, 4, 2, 1.5, 1.2, 0.3]  # no class below 0.1 % of the pixels
    grouping = group_by_rule(frequency([90] * 11, [int(10 * share) for share in shares]))
    assert [len(members) for members in grouping.groups.values()] == [4, 3, 4]
    assert grouping.tail == [7, 8, 9, 10]
    assert grouping.rule == (
        'thirds by rank of the training pixels: 4 head, 3 common, 4 tail (thresholds by images or '
        'pixels leave a group empty)'
    )


@pytest.mark.parametrize('classes', range(2, 20))
def test_rank_leaves_neither_head_nor_tail_empty(classes):
    grouping = group_by_rule(frequency([7] * classes, num_images=7 * classes), 'rank')
    assert grouping.is_usable
    assert sorted(label for members in grouping.groups.values() for label in members) == list(
        range(classes)
    )


def test_shots_in_classification():
    grouping = group_by_rule(frequency([200, 100, 20, 19], num_images=339))
    assert grouping.groups == {'many': [0], 'medium': [1, 2], 'few': [3]}
    assert group_by_rule(frequency([5, 4, 3], num_images=12)).rule.startswith('thirds by rank')


def test_thresholds_by_option():
    counts = frequency([50, 5, 1], [9, 9, 9])
    assert group_by_rule(counts, 'images:0.5,0.05').groups['head'] == [0]
    assert group_by_rule(counts, 'shots:4,2').groups == {'many': [0, 1], 'medium': [], 'few': [2]}


@pytest.mark.parametrize('rule', ['size', 'rank:1,2', 'auto:1', 'images:a,b', 'shots:2,3', ''])
def test_refuses_unknown_rules(rule):
    with pytest.raises(ValueError, match='--groups: expected'):
        group_by_rule(frequency([50, 5, 0], [9, 9, 9]), rule)
