import math

import pytest
import torch
from references.supcon import supcon
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import inverse_effective_weights, multi_task_loss, supcon_loss

IMPLS = ('dense', 'streaming')


def batch(samples=9, keys=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    rows = F.normalize(torch.randn(samples + keys, 4, generator=generator, dtype=dtype))
    labels = torch.randint(3, (samples + keys,), generator=generator)
    return rows[:samples], labels[:samples], rows[samples:], labels[samples:]


@pytest.mark.parametrize('impl', IMPLS)
@pytest.mark.parametrize('seed', range(3))
def test_loss_equals_the_reference(impl, seed):
    rows, labels, keys, key_labels = batch(seed=seed)
    key_labels[1] = -1  # a queue slot that was never written
    for extra in ({}, {'keys': keys, 'key_labels': key_labels}):
        lists = {name: value.tolist() for name, value in extra.items()}
        expected = supcon(rows.tolist(), labels.tolist(), 0.2, **lists)
        actual = supcon_loss(rows, labels, temperature=0.2, impl=impl, **extra)
        assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('impl', IMPLS)
def test_both_implementations_have_the_same_gradient(impl):
    rows, labels, keys, key_labels = batch()
    results = []
    for name in ('dense', impl):
        leaves = [rows.clone().requires_grad_(), keys.clone().requires_grad_()]
        loss = supcon_loss(
            leaves[0], labels, temperature=0.1, keys=leaves[1], key_labels=key_labels, impl=name
        )
        results.append(torch.autograd.grad(loss.mean(), leaves))
    assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize('impl', IMPLS)
def test_identical_embeddings_give_log_of_the_others(impl):
    rows = F.normalize(torch.ones(8, 3, dtype=torch.float64))
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    values = supcon_loss(rows, labels, temperature=0.1, impl=impl)
    assert_close(values, torch.full((8,), math.log(7)).double())


@pytest.mark.parametrize('impl', IMPLS)
def test_anchors_without_positives_give_zero_and_count_in_the_mean(impl):
    rows, _, _, _ = batch(5)
    rows = rows.clone().requires_grad_()
    values = supcon_loss(rows, torch.arange(5), temperature=0.1, impl=impl)
    assert torch.equal(values, torch.zeros(5).double())
    values.sum().backward()
    assert torch.equal(rows.grad, torch.zeros_like(rows))
    # one pair among five anchors: the mean still divides by five
    values = supcon_loss(rows, torch.tensor([0, 0, 1, 2, 3]), temperature=0.1, impl=impl)
    assert (values[:2] > 0).all()
    assert torch.equal(values[2:], torch.zeros(3).double())


@pytest.mark.parametrize('impl', IMPLS)
@pytest.mark.parametrize('samples', [0, 1])
def test_no_sample_and_one_sample(impl, samples):
    rows, labels, _, _ = batch(samples)
    rows = rows.clone().requires_grad_()
    values = supcon_loss(rows, labels, temperature=0.1, impl=impl)
    assert torch.equal(values, torch.zeros(samples).double())
    values.sum().backward()
    assert torch.equal(rows.grad, torch.zeros_like(rows))


def test_empty_queue_equals_no_queue():
    rows, labels, keys, _ = batch()
    alone = supcon_loss(rows, labels, temperature=0.1)
    empty = torch.full((5,), -1)
    unwritten = torch.full_like(keys, math.nan)
    queued = supcon_loss(rows, labels, temperature=0.1, keys=unwritten, key_labels=empty)
    assert_close(queued, alone)


def test_keys_of_other_ranks_give_the_joined_batch():
    rows, labels, keys, key_labels = batch(6, 6)

    def joined(a, b):
        return supcon_loss(torch.cat([a, b]), torch.cat([labels, key_labels]), temperature=0.1)

    def split(a, b):
        first = supcon_loss(a, labels, temperature=0.1, keys=b, key_labels=key_labels)
        second = supcon_loss(b, key_labels, temperature=0.1, keys=a, key_labels=labels)
        return torch.cat([first, second])

    results = []
    for function in (joined, split):
        leaves = [rows.clone().requires_grad_(), keys.clone().requires_grad_()]
        values = function(*leaves)
        results.append((values, torch.autograd.grad(values.mean(), leaves)))
    assert_close(results[0], results[1])


@pytest.mark.parametrize('impl', IMPLS)
def test_rows_that_are_not_unit_length_do_not_overflow(impl):
    rows, labels, _, _ = batch(dtype=torch.float32)
    rows = (1000 * rows).requires_grad_()
    values = supcon_loss(rows, labels, temperature=0.07, impl=impl)
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert torch.isfinite(rows.grad).all()
    expected = supcon_loss(rows.detach().double(), labels, temperature=0.07, impl='dense')
    assert_close(values.double(), expected, rtol=1e-4, atol=1.0)


def test_base_temperature_scales_the_loss():
    rows, labels, _, _ = batch()
    plain = supcon_loss(rows, labels, temperature=0.1)
    assert_close(supcon_loss(rows, labels, temperature=0.1, base_temperature=0.05), 2 * plain)


@pytest.mark.parametrize('impl', IMPLS)
def test_permuting_samples_and_renaming_classes(impl):
    rows, labels, keys, key_labels = batch()

    def loss(a, b, c, d):
        return supcon_loss(a, b, temperature=0.1, keys=c, key_labels=d, impl=impl)

    values = loss(rows, labels, keys, key_labels)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    key_order = torch.tensor([4, 2, 0, 1, 3])
    moved = loss(rows[order], labels[order], keys[key_order], key_labels[key_order])
    assert_close(moved, values[order])
    names = torch.tensor([9000, 4, 17])
    assert_close(loss(rows, names[labels], keys, names[key_labels]), values)


def golden_rows(count, offset):
    i = torch.arange(count, dtype=torch.float64).unsqueeze(1) + offset
    j = torch.arange(6, dtype=torch.float64)
    return F.normalize(torch.sin(0.7 * i + 1.3 * j + 0.1 * i * j))


def golden_logits(count, offset):
    i = torch.arange(count, dtype=torch.float64).unsqueeze(1) + offset
    return torch.cos(0.5 * i + 0.9 * torch.arange(5, dtype=torch.float64))


@pytest.mark.parametrize(
    ('prior', 'expected'), [(torch.tensor([500, 100, 50, 20, 5.0]), 4.49076), (None, 3.66516)]
)
def test_multi_task_goldens(prior, expected):
    labels = torch.tensor([0, 1, 1, 3])
    values = multi_task_loss(
        torch.cat([golden_rows(4, 0), golden_rows(4, 100)]),
        torch.cat([labels, labels]),
        torch.cat([golden_logits(4, 0), golden_logits(4, 50)]),
        alpha=0.5,
        temperature=0.2,
        class_prior=None if prior is None else prior.double() / prior.sum(),
        keys=golden_rows(8, 200),
        key_labels=(3 * torch.arange(8)) % 5,
    )
    assert_close(values.mean().item(), expected, atol=5e-6, rtol=0)


def test_multi_task_is_the_sum_of_its_parts():
    rows, labels, keys, key_labels = batch()
    logits = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    queue = {'keys': keys, 'key_labels': key_labels}
    weights = torch.tensor([0.5, 1.0, 3.0])
    contrast = supcon_loss(rows, labels, temperature=0.1, **queue)
    smoothed = F.cross_entropy(logits, labels, label_smoothing=0.1, reduction='none')
    actual = multi_task_loss(
        rows,
        labels,
        logits,
        alpha=0.3,
        temperature=0.1,
        class_weights=weights,
        label_smoothing=0.1,
        **queue,
    )
    assert_close(actual, smoothed + 0.3 * weights.double()[labels] * contrast)
    plain = multi_task_loss(rows, labels, logits, alpha=0.0, temperature=0.1)
    assert_close(plain, F.cross_entropy(logits, labels, reduction='none'))


def test_effective_number_weights_intended_and_released():
    counts = torch.tensor([500, 20, 5])
    numbers = [(1 - 0.999**count) / 0.001 for count in counts.tolist()]
    expected = [sum(numbers) / 3 / number for number in numbers]
    assert_close(inverse_effective_weights(counts).tolist(), expected, rtol=1e-6, atol=0)
    assert torch.equal(inverse_effective_weights(counts, released=True), torch.ones(3))


def test_bad_input_is_refused():
    rows, labels, keys, key_labels = batch()
    with pytest.raises(ValueError, match='temperature: expected > 0'):
        supcon_loss(rows, labels, temperature=0.0)
    with pytest.raises(ValueError, match='base_temperature'):
        supcon_loss(rows, labels, temperature=0.1, base_temperature=-1.0)
    with pytest.raises(ValueError, match=r'key_labels: expected a tensor because keys is given'):
        supcon_loss(rows, labels, temperature=0.1, keys=keys)
    with pytest.raises(ShapeError, match=r'keys: expected shape \(M, 4\), got \(5, 3\)'):
        supcon_loss(rows, labels, temperature=0.1, keys=keys[:, :3], key_labels=key_labels)
    with pytest.raises(ValueError, match='labels: expected values >= 0'):
        supcon_loss(rows, labels - 5, temperature=0.1)
    with pytest.raises(TypeError, match='labels'):
        supcon_loss(rows, labels.double(), temperature=0.1)
    with pytest.raises(ValueError, match='impl: expected one of'):
        supcon_loss(rows, labels, temperature=0.1, impl='fast')
    with pytest.raises(ShapeError, match='class_weights'):
        multi_task_loss(rows, labels, rows, alpha=1.0, temperature=0.1, class_weights=torch.ones(2))


def test_bytes_are_labels_and_no_mask():
    rows = batch(samples=4)[0]
    labels = torch.tensor([1, 1, 3, 3])
    settings = dict(alpha=1.0, temperature=0.1, class_weights=torch.tensor([1.0, 2, 3, 40]))
    found = multi_task_loss(rows, labels.byte(), rows, **settings)
    assert_close(found, multi_task_loss(rows, labels, rows, **settings))
