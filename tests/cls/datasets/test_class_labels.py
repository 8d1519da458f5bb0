import numpy as np
import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmpretrain.datasets import CustomDataset

from paco_seg.cls.datasets import class_counts, class_labels, image_counts
from paco_seg.cls.datasets.class_labels import SeveralLabelsError


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


def test_repeated_images_count_once_where_groups_are_made_of_them():
    def around(kind, inner, **settings):
        dataset = kind.__new__(kind)
        vars(dataset).update(dataset=inner, **settings)
        return dataset

    repeated = around(RepeatDataset, Labels([0, 2, 2]), times=3, _metainfo={}, _ori_len=3)
    both = ConcatDataset.__new__(ConcatDataset)
    both.datasets = [repeated, around(ClassBalancedDataset, Labels([0, 1]))]
    assert image_counts(both).tolist() == [2, 1, 2]


class RaggedLabels(Labels):
    def get_gt_labels(self):
        return np.array([list(range(label)) for label in self.labels])


def test_lists_of_one_label_are_labels():
    assert class_counts(Labels([[0], [2]])).tolist() == [1, 0, 1]


@pytest.mark.parametrize('kind', [RaggedLabels, Labels])
def test_several_labels_per_image_are_refused(kind):
    labels = [1, 2] if kind is RaggedLabels else [[0, 1], [1, 2]]
    with pytest.raises(
        SeveralLabelsError, match=rf'^train_dataloader\.dataset: .* several .* of {kind.__name__} '
    ):
        class_counts(kind(labels))


def test_concatenation_is_the_sum():
    both = ConcatDataset.__new__(ConcatDataset)
    both.datasets = [Labels([0, 1]), Labels([1, 2])]
    assert class_counts(both).tolist() == [1, 2, 1]


@pytest.fixture
def dataset(tmp_path):
    """``dataset(labels)``: an MMPretrain dataset with these labels and no images."""

    def build(labels):
        path = tmp_path / f'{len(list(tmp_path.iterdir()))}.txt'
        path.write_text('\n'.join(f'{i}.png {label}' for i, label in enumerate(labels)))
        return CustomDataset(
            data_root='', ann_file=str(path), metainfo=dict(classes=list('abc')), pipeline=[]
        )

    return build


class TestWrappers:
    """Labels in the order of the samples, which samplers index."""

    def check(self, wrapper, labels):
        assert class_labels(wrapper).tolist() == labels
        assert [wrapper.get_data_info(i)['gt_label'] for i in range(len(wrapper))] == labels
        assert class_counts(wrapper).tolist() == np.bincount(labels, minlength=3).tolist()

    def test_repetition(self, dataset):
        self.check(RepeatDataset(dataset([0, 2, 2]), times=3), [0, 2, 2] * 3)

    def test_concatenation(self, dataset):
        self.check(ConcatDataset([dataset([0, 2]), dataset([1, 0])]), [0, 2, 1, 0])

    def test_a_wrapper_of_a_wrapper(self, dataset):
        repeated = RepeatDataset(dataset([1, 2]), times=2)
        both = ConcatDataset.__new__(ConcatDataset)  # its constructor takes base datasets alone
        both.datasets = [repeated, dataset([0])]
        assert class_labels(both).tolist() == [1, 2, 1, 2, 0]
        assert class_counts(both).tolist() == [1, 2, 2]

    def test_repetition_of_rare_classes(self, dataset):
        self.check(ClassBalancedDataset(dataset([0, 0, 0, 1]), oversample_thr=0.5), [0, 0, 0, 1, 1])


def test_labels_outside_the_classes():
    with pytest.raises(ValueError, match=r'labels in \[0, 3\), got \[3, 7\] in Labels'):
        class_counts(Labels([0, 7, 3]))


def test_unknown_number_of_classes():
    with pytest.raises(ValueError, match=r"metainfo\['classes'\].*pass num_classes"):
        class_counts(Labels([0], classes=None))


def test_a_dataset_without_labels():
    with pytest.raises(TypeError, match='got list with neither'):
        class_counts([1, 2])
