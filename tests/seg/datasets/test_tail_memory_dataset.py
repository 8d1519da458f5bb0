"""The tail memory bank of AUCSeg around a data set of packed crops."""

import copy

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample

import paco_seg.seg  # noqa: F401
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.seg.datasets.tail_memory_dataset import Patch, _insert

CLASSES = ('sky', 'road', 'sign', 'bus')
HEIGHT, WIDTH = 20, 24


@DATASETS.register_module()
class Crops:
    """Crop 0 has a sign, crop 1 a bus, the others neither; each is its own grey."""

    metainfo = dict(classes=CLASSES)

    def __init__(self, number=4):
        self.number = number

    def full_init(self):
        pass

    def __len__(self):
        return self.number

    def get_data_info(self, index):
        return dict(index=index)

    def __getitem__(self, index):
        labels = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.long)
        labels[:, 10:] = 1
        labels[:, -1] = 255
        if index < 2:
            labels[0, 4:8, 6:12] = 2 + index
            labels[0, 5, 7] = 0  # not a full box
        image = torch.full((3, HEIGHT, WIDTH), 10 + index, dtype=torch.uint8)
        image[:, labels[0] >= 2] = 100 + index
        image[:, labels[0] == 255] = 10 + index
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        return dict(inputs=image, data_samples=sample)


@pytest.fixture(autouse=True)
def _seeded():
    np.random.seed(0)  # noqa: NPY002
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def build(**settings):
    settings = {'tail_classes': [2, 3], 'sample_share': 1.0, **settings}
    return DATASETS.build(dict(type='TailMemoryDataset', dataset=dict(type='Crops'), **settings))


def labels_of(sample):
    return sample['data_samples'].gt_sem_seg.data[0]


def same(first, second):
    return torch.equal(first['inputs'], second['inputs']) and torch.equal(
        labels_of(first), labels_of(second)
    )


def test_auc_bank_pastes_at_the_same_place_in_full_size():
    dataset = build(resize=1.0)
    stock = Crops()
    assert len(dataset) == 4
    assert dataset.metainfo['classes'] == CLASSES
    assert same(dataset[2], stock[2])  # the bank is empty
    assert same(dataset[0], stock[0])  # no bus is known, and the sign is there
    found = dataset[2]
    pasted = labels_of(stock[0]) == 2
    assert torch.equal(labels_of(found) == 2, pasted)
    assert (found['inputs'][:, pasted] == 100).all()
    assert (found['inputs'][:, ~pasted] == 12).all()
    assert torch.equal(labels_of(found)[~pasted], labels_of(stock[2])[~pasted])


def test_auc_bank_keeps_copies():
    dataset = build(resize=1.0)
    first = dataset[0]
    first['inputs'].zero_()
    labels_of(first).zero_()
    dataset[1]  # the bus is kept, and a sign pasted over it
    found = dataset[3]
    pasted = (labels_of(found) == 2) | (labels_of(found) == 3)
    assert int(pasted.sum()) == 23  # the later one covers the other
    for kept in dataset._bank.values():
        assert {int(value) for patch in kept for value in patch.image[:, patch.mask].unique()} in (
            {100},
            {101},
        )


@pytest.mark.parametrize('resize', [0.1, 0.4, 0.75])
def test_auc_bank_pastes_smaller_at_any_place(resize):
    dataset = build(resize=resize)
    dataset[0]
    stock = Crops()[2]
    places = set()
    for _ in range(30):
        found = dataset[2]
        changed = labels_of(found) != labels_of(stock)
        assert set(labels_of(found)[changed].tolist()) <= {2}
        assert int(changed.sum()) <= max(1, round(4 * resize)) * max(1, round(6 * resize))
        assert (found['inputs'][:, ~changed] == 12).all()
        places.add(tuple(changed.nonzero()[0].tolist()) if changed.any() else None)
    assert len(places) > 3


def test_auc_bank_pastes_nothing_where_no_tail_class_is_absent_or_none_is_asked_for():
    dataset = build(tail_classes=[2])
    assert same(dataset[0], Crops()[0])
    assert same(dataset[0], Crops()[0])
    dataset = build(sample_share=0.0)
    dataset[0]
    assert same(dataset[2], Crops()[2])
    assert same(build(tail_classes=[])[0], Crops()[0])


def test_auc_bank_draws_a_share_of_the_absent_classes_and_is_bounded():
    dataset = build(sample_share=0.5, resize=1.0, per_class=2)
    for _ in range(5):
        dataset[0]
        dataset[1]
    assert [len(kept) for kept in dataset._bank.values()] == [2, 2]
    found = {
        tuple(sorted({2, 3} & set(labels_of(dataset[2]).unique().tolist()))) for _ in range(20)
    }
    assert found == {(2,), (3,)}


def test_auc_bank_takes_crops_of_other_sizes():
    dataset = build(resize=1.0)
    dataset[0]
    patch = copy.deepcopy(dataset._bank[2][0])
    patch.top, patch.left, patch.size = 100, 100, (200, 200)
    dataset._bank[2] = [patch]
    assert same(dataset[2], Crops()[2])


@pytest.mark.parametrize(('rows', 'columns'), [(12, 2), (2, 12), (2, 2)])
def test_a_place_beyond_a_smaller_crop(rows, columns):
    """A patch that starts below or right of it, and is larger than the distance."""
    patch = Patch(torch.full((3, 8, 8), 7), torch.ones(8, 8, dtype=bool), 10, 10, (20, 20))
    image, labels = torch.zeros(3, rows, columns), torch.zeros(rows, columns, dtype=torch.long)
    for _ in range(20):
        _insert(patch, 5, 1.0, image, labels)
    assert not image.any()
    assert not labels.any()


def test_auc_tail_classes_come_from_the_frequencies(tmp_path):
    file = tmp_path / 'frequency.json'
    save_class_frequency(ClassFrequency(CLASSES, (9, 9, 2, 1), (900, 94, 5, 1), 9), file)
    assert build(tail_classes=None, frequency_file=str(file)).tail == [2, 3]  # 7 / 19 of four
    assert build(tail_classes=None, frequency_file=str(file), tail_share=0.005).tail == [3]
    assert build(tail_classes=None, frequency_file=str(file), tail_share=0.01).tail == [2, 3]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(tail_classes=None), r'\.frequency_file: expected the class frequencies'),
        (dict(tail_classes=[4]), r'\.tail_classes: expected labels in \[0, 4\)'),
        (dict(tail_share=0.0), r'\.tail_share: expected'),
        (dict(per_class=0), r'\.per_class: expected'),
        (dict(sample_share=1.5), r'\.sample_share: expected'),
        (dict(resize=0.0), r'\.resize: expected'),
    ],
)
def test_auc_bank_errors(settings, message):
    with pytest.raises(ValueError, match=rf'^train_dataloader\.dataset{message}'):
        build(**settings)
