"""What every loss of the folder shares: dtypes, autocast, and gradients against differences."""

import ast
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from paco_seg.core import compared as b

LABELS = torch.tensor([0, 1, 1, 2, 0, 1])
COUNTS = torch.tensor([50, 10, 3])
MAPS = torch.tensor([[[0, 1, 255], [1, 1, 0]], [[255, 0, 0], [0, 2, 2]]])
PRESENT = torch.tensor([[True, True, True], [False, True, True]])
FRAME = b.simplex_etf(3, 4, seed=0)
QUEUE_LABELS = torch.tensor([0, -1, 2])


def linear(rows, weight):
    """The layer of a head: element-wise, so that autocast and half weights leave it alone."""
    return (rows.unsqueeze(-2) * weight).sum(-1)


def region_rebalance(features, weight):
    means, present = b.region_means(features, MAPS, 3, grouping='image')
    prior = COUNTS / COUNTS.sum()
    return b.region_rebalance_loss(linear(means, weight), present, prior=prior, label_smoothing=0.5)


def full_region_rebalance(features, logits, weight):
    regions = linear(b.soft_region_means(features, logits), weight)
    present = b.classes_in_image(MAPS, 3)
    biased = b.suppress_absent(logits + b.image_bias(regions)[:, :, None, None], present)
    return b.predicted_region_loss(regions, present) + biased.square().mean()


CASES = {
    'balanced_softmax': (
        lambda logits: b.balanced_softmax_loss(logits, LABELS, COUNTS),
        [(6, 3)],
    ),
    'ldam': (
        lambda features, weight: b.class_weighted_mean(
            b.ldam_loss(b.cosine_logits(features, weight), LABELS, b.ldam_margins(COUNTS)),
            LABELS,
            b.drw_weights(COUNTS, epoch=160),
        ),
        [(6, 4), (3, 4)],
    ),
    'auc': (lambda logits: b.square_auc_loss(logits, LABELS), [(6, 3)]),
    'dice': (lambda logits: b.dice_loss(logits, LABELS), [(6, 3)]),
    'seesaw': (lambda logits: b.seesaw_loss(logits, LABELS, COUNTS, q=0.0), [(6, 3)]),
    'pixel-contrast': (
        lambda rows, keys: b.pixel_contrast_loss(
            rows, LABELS, temperature=0.5, keys=keys, key_labels=QUEUE_LABELS
        ),
        [(6, 4), (3, 4)],
    ),
    'supcon': (
        lambda rows, keys: b.supcon_loss(
            rows, LABELS, temperature=0.5, keys=keys, key_labels=QUEUE_LABELS, impl='dense'
        ),
        [(6, 4), (3, 4)],
    ),
    'supcon-streaming': (
        lambda rows, keys: b.supcon_loss(
            rows, LABELS, temperature=0.5, keys=keys, key_labels=QUEUE_LABELS, impl='streaming'
        ),
        [(6, 4), (3, 4)],
    ),
    'multi-task-supcon': (
        lambda rows, logits: b.multi_task_loss(
            rows,
            LABELS,
            logits,
            alpha=0.5,
            temperature=0.5,
            class_prior=COUNTS / COUNTS.sum(),
            class_weights=b.inverse_effective_weights(COUNTS),
        ),
        [(6, 4), (6, 3)],
    ),
    'bcl': (
        lambda rows, prototypes: b.bcl_loss(rows, LABELS, prototypes, temperature=0.5),
        [(6, 4), (3, 4)],
    ),
    'proco': (
        lambda rows: b.balanced_softmax_loss(
            b.vmf_logits(
                0.25 * rows,  # exact in half precision, and no longer than 1
                FRAME,
                torch.tensor([2.0, 5.0, 30.0]),
                temperature=0.5,
            ),
            LABELS,
            COUNTS,
        ),
        [(6, 4)],
    ),
    'reslt': (
        lambda logits: b.reslt_loss(
            logits,
            LABELS,
            b.nested_class_groups(COUNTS, medium_and_tail=2, tail=1),
            alpha=0.7,
        ),
        [(3, 6, 3)],
    ),
    'hybrid-psc': (
        lambda rows, prototypes: b.prototype_loss(rows, LABELS, prototypes, temperature=0.5),
        [(6, 4), (3, 2, 4)],
    ),
    'region_rebalance': (region_rebalance, [(2, 4, 2, 3), (3, 4)]),
    'full-region_rebalance': (full_region_rebalance, [(2, 4, 2, 3), (2, 3, 2, 3), (4, 4)]),
    'ceco': (
        lambda centers: b.center_loss(
            centers, PRESENT, FRAME.to(centers.device), prior=COUNTS / COUNTS.sum()
        ),
        [(2, 3, 4)],
    ),
}
# LWS and tau-normalisation (cRT) keep the dtype of the model: they are parts of its inference.


@pytest.fixture(params=CASES.items(), ids=CASES)
def case(request):
    name, (function, shapes) = request.param
    generator = torch.Generator().manual_seed(len(name))
    inputs = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    return function, inputs


def test_gradients_agree_with_finite_differences(case):
    function, inputs = case
    leaves = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-7, rtol=1e-5)


def test_lws_and_tau_norm_gradients_agree_with_finite_differences():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    scales = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)

    def logits(x, w, s):
        return b.scaled_logits(b.tau_normalized_logits(x, w, 0.7), s)

    assert torch.autograd.gradcheck(logits, (features, weight, scales))


def test_float64_stays_and_float32_is_close_to_it(case):
    function, inputs = case
    exact = function(*inputs)
    assert exact.dtype == torch.float64
    single = function(*(tensor.float() for tensor in inputs))
    assert single.dtype == torch.float32
    assert_close(single.double(), exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_input_is_computed_in_float32(case, dtype):
    function, inputs = case
    halves = [tensor.to(dtype) for tensor in inputs]
    value = function(*halves)
    expected = function(*(tensor.float() for tensor in halves))
    assert value.dtype == torch.float32
    assert_close(value, expected, rtol=1e-6, atol=1e-6)


def test_autocast_changes_nothing(case):
    function, inputs = case
    singles = [tensor.float().requires_grad_() for tensor in inputs]
    plain = function(*singles).sum()
    grads = torch.autograd.grad(plain, singles)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        cast = function(*singles).sum()
    assert cast.dtype == torch.float32
    assert torch.equal(cast, plain)
    assert_close(torch.autograd.grad(cast, singles), grads, rtol=0, atol=0)


def test_no_file_names_a_device_or_a_framework_above_torch():
    for path in Path(b.__file__).parent.glob('*.py'):
        tree = ast.parse(path.read_text(encoding='utf-8'))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.module.split('.')[0] in {'__future__', 'torch', 'paco_seg', 'typing'}
            if isinstance(node, ast.Attribute):
                assert node.attr not in {'cuda', 'mps', 'xpu'}, path.name
