import numpy as np
import pytest
from mmengine.dataset import ConcatDataset

from paco_seg.cls.datasets import class_counts


class Labels:
    def __init__(self, labels, classes=('a', 'b', 'c')):
        self.labels = labels
        self.metainfo = dict(classes=classes) if classes else {}

    def get_gt_labels(self):
        return np.array(self.labels)


class CatIds(Labels):
    get_gt_labels = None

    def __getattribute__(self, name):
        if name == 'get_gt_labels':
            raise AttributeError(name)
        return super().__getattribute__(name)

    def get_cat_ids(self, idx):
        return [self.labels[idx]]

    def __len__(self):
        return len(self.labels)


@pytest.mark.parametrize('kind', [Labels, CatIds])
def test_counts_of_all_classes(kind):
    assert class_counts(kind([0, 2, 2])).tolist() == [1, 0, 2]
    assert class_counts(kind([0, 2, 2]), num_classes=4).tolist() == [1, 0, 2, 0]


def test_concatenation_is_the_sum():
    both = ConcatDataset.__new__(ConcatDataset)
    both.datasets = [Labels([0, 1]), Labels([1, 2])]
    assert class_counts(both).tolist() == [1, 2, 1]


def test_labels_outside_the_classes():
    with pytest.raises(ValueError, match=r'labels in \[0, 3\), got \[3, 7\] in Labels'):
        class_counts(Labels([0, 7, 3]))


def test_unknown_number_of_classes():
    with pytest.raises(ValueError, match=r"metainfo\['classes'\].*pass num_classes"):
        class_counts(Labels([0], classes=None))


def test_a_dataset_without_labels():
    with pytest.raises(TypeError, match='got list with neither'):
        class_counts([1, 2])
