"""What is particular to the tiles: memory, unusual rows, both sweeps, the autograd function."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from paco_seg.core import pairwise_logsumexp, parametric_contrastive_loss
from paco_seg.core.contrast import ContrastRows
from paco_seg.core.dense import dense_contrast_sums
from paco_seg.core.streaming import class_positive_sums, streaming_contrast_sums


def rows_and_keys(rows=9, keys=5, channels=4, sets=2, seed=0, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return (
        F.normalize(torch.randn(sets, rows, channels, generator=rng, dtype=dtype), dim=-1),
        F.normalize(torch.randn(keys, channels, generator=rng, dtype=dtype), dim=-1),
    )


def naive(embeddings, keys, temperature, contrasted=None, key_contrasted=None):
    """The slow equivalent of the docstring."""
    sets, rows, _ = embeddings.shape
    similarity = embeddings @ torch.cat([embeddings, keys.expand(sets, -1, -1)], 1).mT
    similarity = similarity / temperature
    similarity[:, torch.arange(rows), torch.arange(rows)] = -math.inf
    if contrasted is not None:
        similarity[:, :, :rows].masked_fill_(~contrasted.unsqueeze(1), -math.inf)
    if key_contrasted is not None:
        similarity[:, :, rows:].masked_fill_(~key_contrasted, -math.inf)
    # Of a row of -inf alone the gradient would not be a number.
    empty = (similarity == -math.inf).all(-1)
    similarity = similarity.masked_fill(empty.unsqueeze(-1), 0)
    return similarity.logsumexp(-1).masked_fill(empty, -math.inf)


def value_and_grads(function, embeddings, keys, *args):
    embeddings, keys = embeddings.clone().requires_grad_(), keys.clone().requires_grad_()
    value = function(embeddings, keys, *args)
    weight = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view_as(value)
    return [value.detach(), *torch.autograd.grad(value, (embeddings, keys), weight)]


def assert_same(function, embeddings, keys, *args, chunks=(1, 2, 4, 100, None), **tolerance):
    wanted = value_and_grads(naive, embeddings, keys, *args)
    args = (*args, *(None,) * (3 - len(args)))
    for chunk in chunks:
        actual = value_and_grads(function, embeddings, keys, *args, chunk)
        for a, b in zip(actual, wanted, strict=True):
            torch.testing.assert_close(a, b, **tolerance)


class TestPairwiseLogSumExp:
    @pytest.mark.parametrize('keys', [0, 1, 5])
    @pytest.mark.parametrize('temperature', [1.0, 0.05, 0.001])
    def test_equals_its_slow_equivalent(self, keys, temperature):
        """At 0.001 the exponentials overflow even float64: the sweep with a maximum runs."""
        assert_same(pairwise_logsumexp, *rows_and_keys(keys=keys), temperature)

    @pytest.mark.parametrize('temperature', [0.5, 0.001])
    def test_masks(self, temperature):
        embeddings, keys = rows_and_keys()
        contrasted = torch.rand(2, 9, generator=torch.Generator().manual_seed(0)) < 0.5
        key_contrasted = torch.tensor([True, False, True, True, False])
        args = (temperature, contrasted, key_contrasted)
        assert_same(pairwise_logsumexp, embeddings, keys, *args)

    @pytest.mark.parametrize('temperature', [0.5, 0.001])
    def test_empty_contrast_set_is_minus_infinity_without_gradient(self, temperature):
        embeddings, keys = rows_and_keys()
        contrasted = torch.zeros(2, 9, dtype=torch.bool)
        no_key = torch.zeros(5, dtype=torch.bool)
        contrasted[0, 3] = True  # row 3 of set 0 still sees nobody, the others see row 3
        value, *grads = value_and_grads(
            pairwise_logsumexp, embeddings, keys, temperature, contrasted, no_key, 4
        )
        assert (value[1] == -math.inf).all()
        assert value[0, 3] == -math.inf
        assert value[0, torch.arange(9) != 3].isfinite().all()
        assert all(grad.isfinite().all() for grad in grads)
        assert not grads[0][1].any()
        assert_same(pairwise_logsumexp, embeddings, keys, temperature, contrasted, no_key)

    def test_double_backward_is_refused(self):
        """Also where the incoming gradient is constant, which torch's own check lets pass."""
        embeddings, keys = rows_and_keys()
        value = pairwise_logsumexp(embeddings.requires_grad_(), keys, 0.5)
        with pytest.raises(RuntimeError, match=r"expected 'dense' for second derivatives"):
            torch.autograd.grad(value.sum(), embeddings, create_graph=True)


class TestRowsOfAnyLength:
    """The fixed shift holds for unit rows; these are not."""

    @pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
    @pytest.mark.parametrize('norms', [(0.0,), (1e3,), (0.0, 1.0, 1e3), (1e-30, 5.0), (20.0,)])
    def test_equals_its_slow_equivalent(self, norms, dtype):
        embeddings, keys = rows_and_keys(dtype=dtype)
        embeddings *= torch.tensor(norms, dtype=dtype).repeat(9)[:9].unsqueeze(1)
        tolerance = {'rtol': 1e-5, 'atol': 1e-3} if dtype == torch.float32 else {}
        assert_same(pairwise_logsumexp, embeddings, keys, 0.07, **tolerance)

    def test_long_keys(self):
        embeddings, keys = rows_and_keys(dtype=torch.float32)
        tolerance = {'rtol': 1e-5, 'atol': 1e-3}
        assert_same(pairwise_logsumexp, embeddings, 1e3 * keys, 0.07, **tolerance)

    @pytest.mark.parametrize('scale', [6.0, 8.0, 9.3, 9.5, 12.0])
    def test_around_the_range_of_the_exponential(self, scale):
        """Identical and opposite rows: similarities of +-scale^2, past exp's range at 88.7."""
        row = F.normalize(torch.ones(1, 1, 4), dim=-1) * scale
        embeddings = torch.cat([row, row, -row], dim=1)
        for chunk in (1, 2, 8):
            value, grad, _ = value_and_grads(
                pairwise_logsumexp, embeddings, row[0, :0], 1.0, None, None, chunk
            )
            wanted, exact, _ = value_and_grads(naive, embeddings.double(), row[0, :0].double(), 1.0)
            torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(grad.double(), exact, rtol=1e-5, atol=1e-4)

    @pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize('where', ['row', 'key'])
    def test_what_is_not_finite_shows_in_the_result(self, bad, where):
        """One bad row of set 0: its own value and all that see it are as the dense form has them,
        and set 1 stays clean; a bad key reaches all."""
        embeddings, keys = rows_and_keys()
        (embeddings[0, 4] if where == 'row' else keys[2])[1] = bad
        value = pairwise_logsumexp(embeddings, keys, 0.5, chunk_size=2)
        wanted = naive(embeddings, keys, 0.5)
        torch.testing.assert_close(value, wanted, equal_nan=True)
        assert not value[0].isfinite().all()
        if where == 'row':
            assert value[1].isfinite().all()


class TestClassPositiveSums:
    @pytest.mark.parametrize('masked', [False, True])
    def test_equals_dense(self, masked):
        embeddings, keys = rows_and_keys()
        rng = torch.Generator().manual_seed(1)
        labels = torch.randint(0, 4, (2, 9), generator=rng)  # 3 = ignored
        key_labels = torch.randint(0, 4, (5,), generator=rng)
        contrasted = torch.rand(2, 9, generator=rng) < 0.5
        key_contrasted = torch.rand(5, generator=rng) < 0.5
        if not masked:
            contrasted, key_contrasted = torch.ones_like(contrasted), torch.ones(5).bool()
        rows = ContrastRows(embeddings, labels, contrasted, keys, key_labels, key_contrasted, 3)
        _, wanted, count = dense_contrast_sums(rows, 1.0)
        if not masked:
            rows = rows._replace(contrasted=None, key_contrasted=None)
        actual, actual_count = class_positive_sums(rows)
        valid = labels != 3
        # A row that is not contrasted itself is no positive of its own either way.
        torch.testing.assert_close(actual[valid], wanted[valid])
        torch.testing.assert_close(actual_count[valid], count[valid])


class LargestTensor(TorchDispatchMode):
    """Records the number of elements of the largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return result


class Exponentials(TorchDispatchMode):
    """Records the number of exponentials that are taken."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function.overloadpacket is torch.ops.aten.exp2_ and args[0].dim() > 1:
            self.count += args[0].numel()
        return function(*args, **(kwargs or {}))


class TestWork:
    @pytest.mark.parametrize(
        ('chunk', 'pairs'),
        [(16, 2 * 16**2), (8, 2 * 3 * 2 * 8**2)],  # kept from forward; recomputed
    )
    def test_a_set_of_one_tile_takes_its_exponentials_once(self, chunk, pairs):
        embeddings, keys = rows_and_keys(16, 0)
        with Exponentials() as taken:
            value = pairwise_logsumexp(embeddings.requires_grad_(), keys, 0.5, chunk_size=chunk)
            (first,) = torch.autograd.grad(value.sum(), embeddings, retain_graph=True)
        assert taken.count == pairs
        (second,) = torch.autograd.grad(value.sum(), embeddings)
        assert torch.equal(first, second)

    @pytest.mark.parametrize('temperature', [0.5, 0.001])
    def test_gradient_of_the_keys_alone_leaves_the_set_alone(self, temperature):
        embeddings, keys = rows_and_keys()
        (_, _, wanted) = value_and_grads(pairwise_logsumexp, embeddings, keys, temperature)
        value = pairwise_logsumexp(embeddings, keys.requires_grad_(), temperature)
        weight = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view_as(value)
        with Exponentials() as taken:
            value.backward(weight)
        assert taken.count == 2 * 9 * 5
        torch.testing.assert_close(keys.grad, wanted)

    def test_gamma_zero_sees_no_pairs(self):
        embeddings, _ = rows_and_keys()
        labels, logits = torch.arange(18).view(2, 9) % 3, torch.zeros(2, 9, 3)
        for gamma, wanted in ((0.0, 0), (1.0, 2 * 9 * 9)):
            with Exponentials() as taken:
                parametric_contrastive_loss(
                    embeddings,
                    labels,
                    logits,
                    alpha=0.1,
                    gamma=gamma,
                    temperature=0.2,
                    impl='streaming',
                )
            assert taken.count == wanted


class TestMemory:
    @pytest.mark.parametrize('temperature', [0.07, 0.01])  # both sweeps
    @pytest.mark.parametrize(('sets', 'keys'), [(1, 0), (2, 0), (1, 1000)])
    def test_no_tensor_is_larger_than_the_rows_or_a_tile(self, temperature, sets, keys):
        anchors, channels, classes, chunk = 1000, 8, 5, 64
        embeddings, key_rows = rows_and_keys(anchors, keys, channels, sets, dtype=torch.float32)
        embeddings.requires_grad_()
        largest = LargestTensor()
        with largest:
            parametric_contrastive_loss(
                embeddings,
                torch.arange(anchors).remainder(classes).expand(sets, -1),
                torch.zeros(sets, anchors, classes),
                alpha=0.01,
                temperature=temperature,
                keys=key_rows.requires_grad_(),
                key_labels=torch.arange(keys).remainder(classes),
                impl='streaming',
                chunk_size=chunk,
            ).backward()
        rows = max(sets * anchors, keys) * channels
        assert largest.elements <= max(rows, sets * chunk**2)

    @pytest.mark.parametrize('temperature', [0.07, 0.01])
    @pytest.mark.parametrize('keys', [0, 3, 40])
    def test_a_tile_is_not_larger_than_the_input(self, temperature, keys):
        embeddings, key_rows = rows_and_keys(7, keys, 2, 1, dtype=torch.float32)
        with LargestTensor() as largest:
            pairwise_logsumexp(
                embeddings.requires_grad_(),
                key_rows.requires_grad_(),
                temperature,
                chunk_size=10**6,
            ).sum().backward()
        assert largest.elements <= 7 * max(7, 7 + keys)

    def test_few_rows_take_wide_tiles_of_the_keys(self):
        """Within the same budget: 4 x 400 keys are 2 tiles of 30^2 elements, not 14."""
        embeddings, keys = rows_and_keys(4, 400, 2, 1, dtype=torch.float32)
        with LargestTensor() as largest:
            pairwise_logsumexp(embeddings, keys, 0.07, chunk_size=30)
        assert 4 * 200 < largest.elements <= 30**2

    def test_default_tile_does_not_grow_with_the_input(self):
        largest = []
        for anchors in (2000, 3000):
            embeddings, keys = rows_and_keys(anchors, 0, 8, 1, dtype=torch.float32)
            with LargestTensor() as mode:
                pairwise_logsumexp(embeddings, keys, 0.07)
            largest.append(mode.elements)
        assert largest[0] == largest[1] < 2000**2 / 2


class TestStreamingContrastSums:
    def test_equals_dense(self):
        embeddings, keys = rows_and_keys()
        labels = torch.arange(18).view(2, 9) % 3
        key_labels = torch.arange(5) % 3
        rows = ContrastRows(embeddings, labels, None, keys, key_labels, None, 3)
        dense = dense_contrast_sums(rows, 0.2)
        streaming = streaming_contrast_sums(rows, 0.2, chunk_size=4)
        for actual, wanted in zip(streaming, dense, strict=True):
            torch.testing.assert_close(actual, wanted)
