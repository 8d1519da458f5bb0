from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope, init_default_scope
from mmpretrain.registry import DATASETS
from torch.utils.data import ConcatDataset, DataLoader

from paco_seg.cls.datasets import class_counts
from paco_seg.engine.rng import seed_generators


@pytest.fixture(autouse=True)
def scope_of_a_run(monkeypatch):
    """MultiView looks up its transforms in the default scope."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    init_default_scope('mmpretrain')


pytestmark = pytest.mark.hybrid
LABELS = np.repeat(np.arange(5), (60, 20, 10, 6, 4))
PACK = dict(type='PackInputs')


@DATASETS.register_module()
class NumberedImages:
    """Image i holds the value i everywhere."""

    metainfo = dict(classes=tuple('abcde'))

    def __init__(self, pipeline):
        self.pipeline = Compose(pipeline)

    def full_init(self):
        pass

    def get_gt_labels(self):
        return LABELS

    def get_data_info(self, idx):
        return dict(img=np.full((4, 4, 3), idx, np.uint8), gt_label=int(LABELS[idx]))

    def __getitem__(self, idx):
        return self.pipeline(self.get_data_info(idx))

    def __len__(self):
        return len(LABELS)


def build(views=2):
    flip = [dict(type='RandomFlip', prob=0.5)]
    return DATASETS.build(
        dict(
            type='DualSamplingDataset',
            dataset=dict(
                type='NumberedImages',
                pipeline=[dict(type='MultiView', num_views=[views], transforms=[flip]), PACK]
                if views
                else [PACK],
            ),
            balanced_pipeline=[PACK],
        )
    )


@pytest.mark.parametrize('views', [0, 1, 2])
def test_hybrid_sample_holds_the_views_and_a_class_balanced_image(views):
    data = build(views)
    sample = data[70]
    *own, balanced = sample['inputs']
    assert len(own) == max(views, 1)
    assert all(torch.equal(view, torch.full((3, 4, 4), 70, dtype=torch.uint8)) for view in own)
    drawn = int(balanced[0, 0, 0])
    assert sample['data_samples'].gt_label.tolist() == [LABELS[70]]
    assert sample['data_samples'].balanced_label.tolist() == [LABELS[drawn]]
    assert len(data) == 100


def chi_square(counts):
    """Probability of counts at least as uneven under a uniform distribution."""
    expected = counts.mean()
    statistic = ((counts - expected) ** 2 / expected).sum()
    half = torch.tensor([(len(counts) - 1) / 2, statistic / 2], dtype=torch.float64)
    return torch.special.gammaincc(*half).item()


def test_hybrid_check_6_classes_are_uniform_and_images_within_them():
    data = build()
    seed_generators(0)
    drawn = np.array([data.draw() for _ in range(5000)])
    assert chi_square(np.bincount(LABELS[drawn])) > 0.01
    assert chi_square(np.bincount(LABELS)) < 1e-9  # the measure would notice
    for label in range(5):
        members = np.bincount(drawn, minlength=len(LABELS))[LABELS == label]
        assert chi_square(members) > 0.01
    assert class_counts(data).tolist() == [60, 20, 10, 6, 4]


def test_hybrid_check_6_of_an_epoch_with_workers():
    """The instance half is the training set once; the balanced half has no regard for it."""
    torch.manual_seed(0)
    loader = DataLoader(
        ConcatDataset([build()] * 10),
        batch_size=50,
        shuffle=True,
        num_workers=2,
        collate_fn=pseudo_collate,
        worker_init_fn=seed_generators,
    )
    samples = [sample for batch in loader for sample in batch['data_samples']]
    assert len(samples) == 1000
    instance = np.array([int(sample.gt_label) for sample in samples])
    assert np.bincount(instance).tolist() == [600, 200, 100, 60, 40]
    assert (np.diff(instance[:100]) < 0).any()  # shuffled
    balanced = np.array([int(sample.balanced_label) for sample in samples])
    assert chi_square(np.bincount(balanced, minlength=5)) > 0.01
    # nor do the classes of the two halves depend on each other
    assert chi_square(np.bincount(balanced[instance == 0], minlength=5)) > 0.01


def test_hybrid_draw_follows_the_seed_that_workers_and_resume_set():
    data = build()
    draws = []
    for _ in range(2):
        seed_generators(3)
        draws.append([data.draw() for _ in range(20)])
    assert draws[0] == draws[1]


def test_a_pipeline_without_result_is_refused():
    data = build()
    data.balanced_pipeline = lambda info: None
    with pytest.raises(RuntimeError, match='balanced_pipeline: expected a sample, got None'):
        data[0]


def test_it_has_the_classes_of_the_instance_balanced_images():
    data = DATASETS.build(
        dict(
            type='DualSamplingDataset',
            dataset=dict(type='NumberedImages', pipeline=[PACK]),
            balanced_pipeline=[PACK],
        )
    )
    assert [data.get_cat_ids(index) for index in (0, 60, 99)] == [[0], [1], [4]]
