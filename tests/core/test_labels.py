"""Labels of every integer type give what int64 gives, whatever they are compared with."""

import pytest
import torch
from torch.testing import assert_close

from paco_seg.core import compared as b
from paco_seg.core import sampling
from paco_seg.core.compared.pixel_contrast import choose_anchors
from paco_seg.core.compared.seesaw import image_counts, label_counts
from paco_seg.core.diagnostics import class_sums, pair_counts
from paco_seg.core.labels import class_index
from paco_seg.core.region_keys import region_keys

NARROW = [torch.uint8, torch.int16, torch.int32]
CLASSES = 256  # as a uint8 that is 0, and -100 is 156
LABELS = torch.tensor([156, 3, 3, 156, 255, 255, 0, 200])
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(8, CLASSES, generator=GENERATOR)
ROWS = torch.nn.functional.normalize(torch.randn(8, 4, generator=GENERATOR), dim=1)
MASKS = torch.rand(3, CLASSES, generator=GENERATOR) < 0.5

# Anything that is compared: labels -> tensors.
CASES = {
    'auc': lambda y: b.square_auc_loss(LOGITS, y),
    'dice': lambda y: b.dice_loss(LOGITS, y, ignore_index=-100),
    'region means': lambda y: b.region_means(
        ROWS.t().reshape(1, 4, 2, 4), y.view(1, 2, 4), CLASSES, ignore_index=-100
    ),
    'upsampled region means': lambda y: b.upsampled_region_means(
        ROWS[:2].t().reshape(1, 4, 1, 2), y.view(1, 2, 4), CLASSES, ignore_index=-100
    ),
    'classes in image': lambda y: b.classes_in_image(y.view(1, 2, 4), CLASSES, ignore_index=-100),
    'reslt': lambda y: b.reslt_loss(LOGITS.expand(3, -1, -1), y, MASKS, alpha=0.5, ignore_index=-9),
    'seesaw': lambda y: (label_counts(y, CLASSES), image_counts(y.view(2, 4), CLASSES)),
    'supcon': lambda y: b.supcon_loss(ROWS, y, temperature=0.2, keys=ROWS, key_labels=y),
    'anchors': lambda y: choose_anchors(
        y.view(2, 4),
        torch.zeros(2, 4, dtype=torch.bool),
        CLASSES,
        max_samples=8,
        max_views=4,
        generator=torch.Generator().manual_seed(0),
    ),
    'balance weights': lambda y: sampling.class_balance_weights(y.view(2, 4), CLASSES),
    'importance weights': lambda y: sampling.importance_weights(
        y.view(1, 8), y.view(1, 8)[:, ::2], CLASSES
    ),
    'hardness': lambda y: sampling.hardness_weights(LOGITS.view(2, 4, -1), y.view(2, 4)),
    'per class': lambda y: sampling.per_class_mask(
        y.view(2, 4), CLASSES, 1, generator=torch.Generator().manual_seed(0)
    ),
    'region keys': lambda y: region_keys(ROWS.view(2, 4, 4), y.view(2, 4), CLASSES),
    'pairs': lambda y: pair_counts(y.view(2, 4), CLASSES, ignore_index=-100, key_labels=y),
    'class sums': lambda y: class_sums([ROWS[:, 0]], y, CLASSES),
}


@pytest.mark.parametrize('dtype', NARROW)
@pytest.mark.parametrize('name', CASES)
def test_narrow_labels_give_what_int64_gives(name, dtype):
    assert_close(CASES[name](LABELS.to(dtype)), CASES[name](LABELS))


@pytest.mark.parametrize('dtype', [torch.uint8, torch.int16, torch.int64])
def test_what_is_no_class_gets_the_index_after_the_last_one(dtype):
    labels = torch.tensor([[0, 4], [5, 255]]).to(dtype)
    assert class_index(labels, 5).tolist() == [[0, 4], [5, 5]]
    assert class_index(labels, 256).tolist() == [[0, 4], [5, 255]]
    assert class_index(labels, 256, 255).tolist() == [[0, 4], [5, 256]]
    assert class_index(labels, 5, 0).tolist() == [[5, 4], [5, 5]]
    assert class_index(torch.tensor([-1, -100, 1]), 5).tolist() == [5, 5, 1]
