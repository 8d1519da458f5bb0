import math

import pytest
import torch
from references.pixel_contrast import contrast_loss
from torch.testing import assert_close

from paco_seg.core.compared.pixel_contrast import choose_anchors, pixel_contrast_loss

pytestmark = pytest.mark.contrastive_seg
LABELS = torch.tensor([0, 0, 1, 2, 1, 0, 1, 3])


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(8, 5, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(values, dim=1)


@pytest.fixture
def memory():
    generator = torch.Generator().manual_seed(1)
    keys = torch.nn.functional.normalize(
        torch.randn(40, 5, generator=generator, dtype=torch.float64), dim=1
    )
    labels = torch.randint(-1, 4, (40,), generator=generator)
    keys[labels < 0] = 50.0  # an empty slot may hold anything
    return keys, labels


@pytest.mark.parametrize('with_memory', [False, True])
@pytest.mark.parametrize(
    'settings',
    [
        {},
        dict(mining='hardest', num_negatives=3, num_positives=2),
        dict(mining='semi-hard', hard_share=0.3),
    ],
)
def test_contrastive_seg_equals_the_reference(rows, memory, with_memory, settings):
    keys, key_labels = memory if with_memory else (None, None)
    found = pixel_contrast_loss(
        rows, LABELS, temperature=0.1, base_temperature=0.07, keys=keys, key_labels=key_labels,
        **settings,
    )  # fmt: skip
    given = {
        dict(num_negatives='negatives', num_positives='positives', hard_share='share').get(k, k): v
        for k, v in settings.items()
    }
    more = (keys.tolist(), key_labels.tolist()) if with_memory else ((), ())
    wanted = contrast_loss(rows.tolist(), LABELS.tolist(), 0.1, 0.07, *more, **given)
    assert found.item() == pytest.approx(wanted, rel=1e-9)


def test_contrastive_seg_equal_embeddings_give_the_logarithm_of_the_negatives(rows):
    same = rows[:1].expand(8, -1)
    labels = torch.tensor([0] * 3 + [1] * 5)
    found = pixel_contrast_loss(same, labels, temperature=0.1, base_temperature=0.07)
    wanted = (3 * math.log(1 + 5) + 5 * math.log(1 + 3)) / 8 * 0.1 / 0.07
    assert found.item() == pytest.approx(wanted)


def test_rows_that_are_no_anchors_have_no_influence(rows, memory):
    valid = torch.tensor([True] * 5 + [False] * 3)
    broken = rows.clone()
    broken[5:] = torch.nan
    found = pixel_contrast_loss(broken, LABELS, temperature=0.1, valid=valid)
    assert_close(found, pixel_contrast_loss(rows[:5], LABELS[:5], temperature=0.1))
    more = dict(zip(('keys', 'key_labels'), memory, strict=True))
    found = pixel_contrast_loss(broken, LABELS, temperature=0.1, valid=valid, **more)
    assert_close(found, pixel_contrast_loss(rows[:5], LABELS[:5], temperature=0.1, **more))


def test_what_an_empty_slot_holds_reaches_no_gradient(rows, memory):
    keys, key_labels = memory
    wanted, found = rows.clone().requires_grad_(), rows.clone().requires_grad_()
    settings = dict(temperature=0.1, key_labels=key_labels)
    pixel_contrast_loss(wanted, LABELS, keys=keys, **settings).backward()
    keys = keys.masked_fill((key_labels < 0).unsqueeze(1), torch.nan)
    pixel_contrast_loss(found, LABELS, keys=keys, **settings).backward()
    assert_close(found.grad, wanted.grad)


@pytest.mark.parametrize('mining', ['all', 'hardest', 'semi-hard'])
@pytest.mark.parametrize(
    'labels',
    [
        [0, 1, 2, 3, 4, 5, 6, 7],  # nobody has a positive
        [0] * 8,  # nobody has a negative
        [0] * 7 + [1],
    ],
)
def test_degenerate_batches_are_finite(rows, labels, mining):
    leaf = rows.clone().requires_grad_()
    loss = pixel_contrast_loss(leaf, torch.tensor(labels), temperature=0.1, mining=mining)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(leaf.grad).all()
    if len(set(labels)) != 2:
        assert loss.item() == 0


def test_an_empty_batch_gives_a_zero_with_a_graph():
    rows = torch.zeros(0, 5, requires_grad=True)
    for mining in ('all', 'hardest', 'semi-hard'):
        loss = pixel_contrast_loss(rows, LABELS[:0], temperature=0.1, mining=mining)
        loss.backward()
        assert loss.item() == 0


@pytest.mark.parametrize('mining', ['all', 'hardest', 'semi-hard'])
def test_gradients_agree_with_finite_differences(rows, memory, mining):
    def loss(x, keys):
        return pixel_contrast_loss(
            x, LABELS, temperature=0.5, keys=keys, key_labels=memory[1], mining=mining,
            num_negatives=4, num_positives=2, generator=torch.Generator().manual_seed(0),
        )  # fmt: skip

    assert torch.autograd.gradcheck(loss, (rows.requires_grad_(), memory[0].requires_grad_()))


def test_semi_hard_draws_from_the_hardest_alone(rows):
    keys = torch.nn.functional.normalize(
        torch.randn(1000, 5, generator=torch.Generator().manual_seed(2)).double(), dim=1
    )
    labels = torch.full((1000,), 3)
    settings = dict(temperature=0.1, keys=keys, key_labels=labels)
    pair = rows[:2], LABELS[:2]
    hard = pixel_contrast_loss(*pair, mining='hardest', num_negatives=20, **settings)
    drawn = pixel_contrast_loss(*pair, mining='semi-hard', num_negatives=20, **settings)
    tenth = pixel_contrast_loss(*pair, mining='semi-hard', num_negatives=10**6, **settings)
    everything = pixel_contrast_loss(*pair, **settings)
    assert drawn < hard
    assert drawn < tenth < everything


def test_half_precision_is_computed_in_float32(rows):
    half = pixel_contrast_loss(rows.bfloat16(), LABELS, temperature=0.1)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        cast = pixel_contrast_loss(rows.bfloat16(), LABELS, temperature=0.1)
    assert half.dtype == torch.float32
    assert torch.equal(half, cast)
    assert_close(half, pixel_contrast_loss(rows.bfloat16().float(), LABELS, temperature=0.1))


def counts(labels, indices, valid, images, classes):
    found = torch.zeros(images, classes, dtype=torch.long)
    for index in indices[valid].tolist():
        image, pixel = divmod(index, labels.shape[1])
        found[image, labels[image, pixel]] += 1
    return found.tolist()


def test_anchors_are_even_over_classes_and_half_of_them_are_wrong():
    labels = torch.tensor([[0] * 60 + [1] * 30 + [2] * 3 + [255] * 7, [1] * 100])
    wrong = torch.zeros_like(labels, dtype=torch.bool)
    wrong[0, 50:62] = True  # ten of class 0, two of class 1
    wrong[1] = True
    indices, valid = choose_anchors(labels, wrong, 3, max_samples=80, max_views=16)
    assert len(set(indices.tolist())) == len(indices) == 80
    # 80 anchors for four pairs: 20 each, of which 16 are allowed, and 3 there are
    assert counts(labels, indices, valid, 2, 3) == [[16, 16, 3], [0, 16, 0]]
    hard = wrong.flatten() & (labels.flatten() != 255)
    chosen = torch.zeros(200, dtype=torch.bool)
    chosen[indices[valid]] = True
    assert int((chosen & hard)[:60].sum()) == 8
    assert int((chosen & hard)[60:90].sum()) == 2


def test_small_classes_become_anchors_unless_more_pixels_are_asked_for():
    labels = torch.tensor([[0] * 97 + [1] * 3])
    wrong = torch.zeros_like(labels, dtype=torch.bool)
    settings = dict(max_samples=64, max_views=10)
    assert counts(labels, *choose_anchors(labels, wrong, 2, **settings), 1, 2) == [[10, 3]]
    found = choose_anchors(labels, wrong, 2, min_pixels=11, **settings)
    assert counts(labels, *found, 1, 2) == [[10, 0]]


def test_more_pairs_than_anchors_and_nothing_but_ignored_pixels():
    labels = torch.arange(50).view(1, 50)
    wrong = torch.zeros_like(labels, dtype=torch.bool)
    indices, valid = choose_anchors(labels, wrong, 50, max_samples=8, max_views=4)
    assert len(indices) == 8
    assert valid.all()
    _, valid = choose_anchors(torch.full_like(labels, 255), wrong, 50, max_samples=8, max_views=4)
    assert not valid.any()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(temperature=0.0), 'temperature: expected'),
        (dict(base_temperature=-1.0), 'base_temperature: expected'),
        (dict(base_temperature=0), 'base_temperature: expected'),
        (dict(mining='random'), 'mining: expected one of'),
        (dict(hard_share=0.0), 'hard_share: expected'),
        (dict(num_negatives=0), 'num_negatives: expected'),
        (dict(num_positives=0), 'num_positives: expected'),
        (dict(keys=torch.zeros(1, 5)), 'keys: expected keys and key_labels'),
    ],
)
def test_errors(rows, settings, message):
    with pytest.raises(ValueError, match=message):
        pixel_contrast_loss(rows, LABELS, **{'temperature': 0.1, **settings})
