from collections import OrderedDict

import numpy as np
import pytest
from mmengine.dataset import BaseDataset, ClassBalancedDataset
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.registry import DATASETS

from paco_seg.cls.datasets import LongTailDataset, class_counts, long_tail_counts
from paco_seg.cls.evaluation import shot_groups


@DATASETS.register_module()
class LabelsOnly(BaseDataset):
    """Labels without images; ``position`` is the index in the original order."""

    def __init__(self, labels, **kwargs):
        self.labels = np.asarray(labels)
        super().__init__(metainfo=dict(classes=tuple('abcdefghij'[: max(labels) + 1])), **kwargs)

    def load_data_list(self):
        return [dict(gt_label=int(y), position=i) for i, y in enumerate(self.labels)]

    def get_gt_labels(self):
        return self.labels

    def get_cat_ids(self, idx):
        return [int(self.labels[idx])]


@pytest.mark.parametrize(
    ('factor', 'total', 'largest', 'smallest', 'groups', 'first', 'last'),
    [
        (1.0, 50000, 500, 500, (100, 0, 0), [500] * 5, [500] * 5),
        (0.1, 19573, 500, 50, (69, 31, 0), [500, 488, 477, 466, 455], [54, 53, 52, 51, 50]),
        (0.02, 12608, 500, 10, (41, 41, 18), [500, 480, 462, 444, 426], [11, 11, 10, 10, 10]),
        (0.01, 10847, 500, 5, (35, 35, 30), [500, 477, 455, 434, 415], [6, 5, 5, 5, 5]),
    ],
)
def test_cifar100_lt_counts(factor, total, largest, smallest, groups, first, last):
    counts = long_tail_counts(100, 500, factor)
    assert counts.sum() == total
    assert (counts.max(), counts.min()) == (largest, smallest)
    assert (counts[:5].tolist(), counts[-5:].tolist()) == (first, last)
    assert tuple(np.bincount(shot_groups(counts), minlength=3)) == groups


@pytest.mark.parametrize(('factor', 'total'), [(0.1, 20431), (0.02, 13996), (0.01, 12406)])
def test_cifar10_lt_totals(factor, total):
    assert long_tail_counts(10, 5000, factor).sum() == total


def test_step_counts():
    assert long_tail_counts(5, 100, 0.1, 'step').tolist() == [100, 100, 10, 10, 10]


def interleaved(num_classes, per_class):
    """Labels 0 1 2 0 1 2 ...: the position within class c of image i is i // num_classes."""
    return np.tile(np.arange(num_classes), per_class)


def test_published_cifar100_selection():
    # The first images of classes 0, 1 and 2 that the published CIFAR-100-LT splits keep.
    data = LongTailDataset(LabelsOnly(interleaved(3, 500)), imbalance_factor=0.9)
    labels, positions = data.get_gt_labels(), data.indices // 3
    assert positions[labels == 0][:5].tolist() == [90, 254, 283, 445, 461]
    assert positions[labels == 1][:5].tolist() == [277, 307, 436, 88, 261]
    assert positions[labels == 2][:5].tolist() == [52, 34, 347, 492, 196]


def test_subsets_are_nested_and_ordered_by_class():
    source = LabelsOnly(interleaved(4, 50))
    large = LongTailDataset(source, imbalance_factor=0.5)
    small = LongTailDataset(source, imbalance_factor=0.1)
    assert set(small.indices) < set(large.indices)
    assert (np.diff(small.get_gt_labels()) >= 0).all()
    assert class_counts(small).tolist() == long_tail_counts(4, 50, 0.1).tolist()
    other_seed = LongTailDataset(source, imbalance_factor=0.1, seed=1)
    assert class_counts(other_seed).tolist() == class_counts(small).tolist()
    assert set(other_seed.indices) != set(small.indices)


def test_it_is_a_dataset_wrapper():
    data = DATASETS.build(
        dict(
            type='LongTailDataset',
            imbalance_factor=0.2,
            dataset=dict(type='LabelsOnly', labels=interleaved(3, 10).tolist()),
        )
    )
    assert data.metainfo['classes'] == ('a', 'b', 'c')
    assert len(data) == 10 + 4 + 2
    assert data[11]['gt_label'] == 1
    assert data[11]['sample_idx'] == data[11]['position'] == data.indices[11]
    assert data.get_cat_ids(11) == [1]
    assert data.get_data_info(0)['gt_label'] == 0
    assert 'imbalance_factor=0.2' in repr(data)


def test_around_another_wrapper_it_says_where_it_goes():
    inner = DATASETS.build(dict(type='LabelsOnly', labels=interleaved(3, 10).tolist()))
    for wrapper in (
        dict(type='RepeatDataset', times=2, dataset=inner),
        dict(type='LongTailDataset', imbalance_factor=0.5, dataset=inner),
    ):
        with pytest.raises(TypeError, match=r'got the wrapper \w+\. Put LongTailDataset inside'):
            DATASETS.build(dict(type='LongTailDataset', imbalance_factor=0.2, dataset=wrapper))


def test_class_balanced_sampling_on_top(monkeypatch):
    # as in a run: MMEngine's own wrappers look up types in the default scope
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    init_default_scope('mmpretrain')
    config = dict(
        type='ClassBalancedDataset',
        oversample_thr=1 / 3,
        dataset=dict(
            type='LongTailDataset',
            imbalance_factor=0.1,
            dataset=dict(type='LabelsOnly', labels=interleaved(3, 90).tolist()),
        ),
    )
    data = DATASETS.build(config)
    assert isinstance(data, ClassBalancedDataset)
    plain, balanced = class_counts(data.dataset), class_counts(data)
    assert plain.tolist() == [90, 28, 9]
    assert balanced[0] == 90
    assert balanced[2] == 9 * 3  # ceil(sqrt((1/3) / (9/127)))


def test_lazy_init_reads_nothing_until_used():
    source = LabelsOnly(interleaved(2, 5), lazy_init=True)
    data = LongTailDataset(source, imbalance_factor=0.5, lazy_init=True)
    assert not source._fully_initialized
    assert len(data) == 7


def test_max_count_limits_the_head():
    data = LongTailDataset(LabelsOnly([0] * 9 + [1] * 7), imbalance_factor=0.5, max_count=6)
    assert class_counts(data).tolist() == [6, 3]


def test_a_sample_that_cannot_be_loaded_is_not_replaced():
    source = LabelsOnly(interleaved(2, 4), pipeline=[lambda info: None])
    data = LongTailDataset(source, imbalance_factor=0.5)
    with pytest.raises(RuntimeError, match='expected a sample, got None'):
        data[0]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            dict(imbalance_factor=100),
            r'imbalance_factor: expected a value in \(0, 1\], got 100.*0.01',
        ),
        (dict(imbalance_factor=0), r'imbalance_factor: expected a value in \(0, 1\]'),
        (dict(imbalance_factor=0.01), 'imbalance_factor: expected at least one image per class'),
        (dict(imbalance_factor=0.5, imbalance_type='linear'), "imbalance_type: .*'linear'"),
        (dict(imbalance_factor=0.5, max_count=11), r'too few images in 1 classes: 0 \(10 < 11\)'),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        LongTailDataset(LabelsOnly(interleaved(3, 10)), **settings)


def test_one_class_is_no_long_tail():
    with pytest.raises(ValueError, match='num_classes: expected >= 2, got 1'):
        long_tail_counts(1, 10, 0.5)


@pytest.mark.parametrize('factor', ['0.1', True, 0, 1.5, float('nan'), [0.1]])
def test_a_factor_is_a_number(factor):
    message = r'^imbalance_factor: expected a value in \(0, 1\], got '
    with pytest.raises(ValueError, match=message):
        LongTailDataset(None, imbalance_factor=factor)
    with pytest.raises(ValueError, match=message):
        long_tail_counts(10, 100, factor)


@pytest.mark.parametrize('seed', [-1, 2**32, 1.5, '0', True])
def test_a_seed_is_one_that_numpy_takes(seed):
    with pytest.raises(ValueError, match=r'^seed: expected a whole number in \[0, 2\*\*32\), got'):
        LongTailDataset(None, imbalance_factor=0.1, seed=seed)


@pytest.mark.parametrize('count', [0, -5, '100', float('nan'), float('inf'), 1.5, 10**300, [100]])
def test_a_largest_class_has_images(count):
    with pytest.raises(ValueError, match=r'^max_count: expected the images of the largest class'):
        LongTailDataset(None, imbalance_factor=0.1, max_count=count)
