"""One suite over all implementations of the loss, held to the looped float64 reference."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import parametric_contrastive as reference
from references.pixel_options import weighted_mean
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from paco_seg.core import ShapeError, parametric_contrastive_loss
from paco_seg.core.paco import PaCoSettings, paco_loss

# Tile sides: one pair, an uneven last tile, everything in one tile, the default.
IMPLEMENTATIONS = {
    'dense': {'impl': 'dense'},
    'streaming-1': {'impl': 'streaming', 'chunk_size': 1},
    'streaming-3': {'impl': 'streaming', 'chunk_size': 3},
    'streaming-64': {'impl': 'streaming', 'chunk_size': 64},
    'streaming': {'impl': 'streaming'},
    'auto': {'impl': 'auto'},
}
IGNORE = 255
# Largest error relative to the largest reference entry (at least 1): some hundred roundings, times
# the 1/T by which gradients amplify them.
TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}


@pytest.fixture(params=IMPLEMENTATIONS)
def impl(request):
    return IMPLEMENTATIONS[request.param]


@dataclass(frozen=True)
class Setting:
    """Everything that determines one call; hashable, so that references are computed once."""

    seed: int
    sets: int
    anchors: int
    channels: int
    classes: int
    keys: int | None
    keys_need_grad: bool
    flat: bool
    dtype: torch.dtype
    ignored: float
    contrast_ignored: bool
    empty_keys: float
    row_norm: float
    temperature: float
    alpha: float
    beta: float
    gamma: float
    center_temperature: float
    base_temperature: float | None
    prior: bool
    smoothing: float
    reduction: str

    def tensors(self) -> dict[str, torch.Tensor]:
        rng = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=rng, dtype=torch.float64)

        def labels(shape: tuple[int, ...], special: int, fraction: float) -> torch.Tensor:
            values = torch.randint(0, self.classes, shape, generator=rng)
            return values.masked_fill(torch.rand(shape, generator=rng) < fraction, special)

        sets = 1 if self.flat else self.sets
        tensors = {
            'embeddings': F.normalize(normal(sets, self.anchors, self.channels), dim=-1),
            'labels': labels((sets, self.anchors), IGNORE, self.ignored),
            'center_logits': 2 * normal(sets, self.anchors, self.classes),
            'cotangent': normal(sets, self.anchors),
        }
        tensors['embeddings'] *= self.row_norm
        if self.keys is not None:
            key_labels = labels((self.keys,), -1, self.empty_keys)
            key_labels[torch.rand(self.keys, generator=rng) < 0.1] = IGNORE
            tensors['keys'] = F.normalize(normal(self.keys, self.channels), dim=-1)
            tensors['key_labels'] = key_labels
        if self.prior:
            counts = torch.rand(self.classes, generator=rng, dtype=torch.float64) + 0.01
            tensors['class_prior'] = counts / counts.sum()
        # Rounded once, so that the reference sees the very numbers of the implementation.
        return {
            name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }

    def keywords(self) -> dict[str, object]:
        return {
            'alpha': self.alpha if self.alpha or self.beta else 0.1,
            'beta': self.beta,
            'gamma': self.gamma,
            'temperature': self.temperature,
            'center_temperature': self.center_temperature,
            'base_temperature': self.base_temperature,
            'label_smoothing': self.smoothing if self.classes > 1 else 0.0,
            'ignore_index': IGNORE,
            'contrast_ignored': self.contrast_ignored,
            'reduction': self.reduction,
        }


SETTINGS = st.builds(
    Setting,
    seed=st.integers(0, 2**31),
    sets=st.integers(1, 3),
    anchors=st.integers(0, 8),
    channels=st.sampled_from([1, 2, 5, 16]),
    classes=st.sampled_from([1, 2, 3, 7]),
    keys=st.sampled_from([None, 0, 1, 4, 7]),
    keys_need_grad=st.booleans(),
    flat=st.booleans(),
    dtype=st.sampled_from([torch.float64, torch.float32]),
    ignored=st.sampled_from([0.0, 0.3, 1.0]),
    contrast_ignored=st.booleans(),
    empty_keys=st.sampled_from([0.0, 0.4, 1.0]),
    row_norm=st.sampled_from([1.0, 1.0, 0.0, 1.7]),
    # At 0.012 float32 needs the sweep with a row maximum; the plain sums of the reference do not.
    temperature=st.sampled_from([1.0, 0.2, 0.07, 0.012]),
    alpha=st.sampled_from([0.0, 0.01, 0.3, 2.0]),
    beta=st.sampled_from([1.0, 1.0, 2.0, 0.0]),
    gamma=st.sampled_from([1.0, 1.0, 0.5, 0.0]),
    center_temperature=st.sampled_from([1.0, 2.0]),
    base_temperature=st.sampled_from([None, 0.1]),
    prior=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.1]),
    reduction=st.sampled_from(['mean', 'none', 'sum']),
)


def evaluate(function, setting: Setting, dtype: torch.dtype, flat: bool, **extra):
    """The loss and its gradients with respect to embeddings, logits and keys (if asked)."""
    tensors = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in setting.tensors().items()
    }
    cotangent = tensors.pop('cotangent')
    leaves = [tensors['embeddings'].requires_grad_(), tensors['center_logits'].requires_grad_()]
    if setting.keys is not None and setting.keys_need_grad:
        leaves.append(tensors['keys'].requires_grad_())
    args = [tensors.pop(name) for name in ('embeddings', 'labels', 'center_logits')]
    if flat:
        args = [tensor.squeeze(0) for tensor in args]
        cotangent = cotangent.squeeze(0)
    loss = function(*args, **tensors, **setting.keywords(), **extra)
    scalar = (loss * cotangent).sum() if setting.reduction == 'none' else loss
    grads = torch.autograd.grad(scalar, leaves, allow_unused=True, materialize_grads=True)
    return [loss.detach(), *grads]


@functools.lru_cache(maxsize=1024)
def expected(setting: Setting) -> list[torch.Tensor]:
    return evaluate(reference.parametric_contrastive_loss, setting, torch.float64, False)


def assert_close(actual, wanted, tolerance):
    assert actual.isfinite().all()
    if actual.numel():
        error = (actual.double() - wanted.double().reshape(actual.shape)).abs().max()
        assert error <= tolerance * max(1.0, float(wanted.abs().max())), float(error)


class TestAgainstReference:
    """Values and gradients on random settings; every implementation sees the same ones."""

    @pytest.mark.parametrize('name', IMPLEMENTATIONS)
    def test_values_and_gradients(self, name):
        @settings(max_examples=250, derandomize=True, database=None, deadline=None)
        @given(setting=SETTINGS)
        def check(setting):
            outputs = evaluate(
                parametric_contrastive_loss,
                setting,
                setting.dtype,
                setting.flat,
                **IMPLEMENTATIONS[name],
            )
            assert outputs[0].dtype == setting.dtype
            tolerance = TOLERANCE[setting.dtype] / setting.temperature
            for actual, wanted in zip(outputs, expected(setting), strict=True):
                assert_close(actual, wanted, tolerance)

        check()

    def test_gradcheck(self, impl):
        rng = torch.Generator().manual_seed(0)
        # Rows are not normalised here: the function is differentiated as it stands.
        embeddings = torch.randn(2, 5, 3, generator=rng, dtype=torch.float64, requires_grad=True)
        logits = torch.randn(2, 5, 4, generator=rng, dtype=torch.float64, requires_grad=True)
        keys = torch.randn(4, 3, generator=rng, dtype=torch.float64, requires_grad=True)
        labels = torch.tensor([[0, 1, 1, IGNORE, 2], [3, 3, 3, 0, 0]])

        def loss(embeddings, logits, keys):
            return parametric_contrastive_loss(
                embeddings,
                labels,
                logits,
                alpha=0.3,
                temperature=0.5,
                gamma=0.7,
                label_smoothing=0.1,
                ignore_index=IGNORE,
                keys=keys,
                key_labels=torch.tensor([1, -1, 3, 0]),
                reduction='none',
                **impl,
            )

        assert torch.autograd.gradcheck(loss, (embeddings, logits, keys))


def wave(rows, offset):
    i = torch.arange(rows, dtype=torch.float64).unsqueeze(1) + offset
    j = torch.arange(6, dtype=torch.float64)
    return F.normalize(torch.sin(0.7 * i + 1.3 * j + 0.1 * i * j), dim=1)


def wave_logits(rows, offset):
    i = torch.arange(rows, dtype=torch.float64).unsqueeze(1) + offset
    return torch.cos(0.5 * i + 0.9 * torch.arange(5, dtype=torch.float64))


class TestGoldenValues:
    """Numbers computed from the authors' formulation on closed-form input (5 decimals)."""

    view_1, view_2, queue = wave(4, 0), wave(4, 100), wave(8, 200)
    logits_1, logits_2 = wave_logits(4, 0), wave_logits(4, 50)
    labels = torch.tensor([0, 1, 1, 3])
    queue_labels = (3 * torch.arange(8)) % 5
    prior = torch.tensor([500.0, 100.0, 50.0, 20.0, 5.0], dtype=torch.float64) / 675.0
    pixels = torch.tensor([0, 0, 1, 1, 2, IGNORE, IGNORE, 4, 4, 0])

    def paco(self, **keywords):
        return parametric_contrastive_loss(
            self.view_1,
            self.labels,
            self.logits_1,
            keys=torch.cat([self.view_2, self.queue]),
            key_labels=torch.cat([self.labels, self.queue_labels]),
            temperature=0.2,
            **keywords,
        ).item()

    def gpaco(self, views=2, **keywords):
        return parametric_contrastive_loss(
            torch.cat([self.view_1, self.view_2][:views]),
            torch.cat([self.labels] * views),
            torch.cat([self.logits_1, self.logits_2][:views]),
            keys=self.queue,
            key_labels=self.queue_labels,
            temperature=0.2,
            **keywords,
        ).item()

    def segmentation(self, labels, **keywords):
        return parametric_contrastive_loss(
            wave(10, 0), labels, wave_logits(10, 0), ignore_index=IGNORE, **keywords
        ).item()

    def test_paco(self, impl):
        close = functools.partial(pytest.approx, abs=5.1e-6)
        assert self.paco(alpha=0.05, class_prior=self.prior, **impl) == close(6.19407)
        assert self.paco(alpha=0.05, **impl) == close(4.63083)
        assert self.paco(
            alpha=0.3,
            beta=2.0,
            gamma=0.5,
            center_temperature=2.0,
            base_temperature=0.1,
            class_prior=self.prior,
            **impl,
        ) == close(8.89697)

    def test_gpaco(self, impl):
        close = functools.partial(pytest.approx, abs=5.1e-6)
        assert self.gpaco(alpha=0.05, class_prior=self.prior, **impl) == close(6.21813)
        assert self.gpaco(alpha=0.05, label_smoothing=0.1, **impl) == close(4.68984)
        assert self.gpaco(alpha=0.2, label_smoothing=0.1, **impl) == close(4.55110)
        assert self.gpaco(views=1, alpha=0.2, label_smoothing=0.1, **impl) == close(3.52689)

    def test_segmentation(self, impl):
        close = functools.partial(pytest.approx, abs=5.1e-6)
        assert self.segmentation(self.pixels, alpha=0.01, temperature=0.07, **impl) == close(
            9.11865
        )
        assert self.segmentation(self.pixels, alpha=0.3, temperature=0.2, **impl) == close(3.63251)
        ignored = torch.full_like(self.pixels, IGNORE)
        assert self.segmentation(ignored, alpha=0.3, temperature=0.2, **impl) == 0.0


def sample(anchors=7, channels=6, classes=4, keys=0, seed=0, dtype=torch.float64, sets=None):
    """Unit rows, labels, logits, keys and key labels from a CPU generator."""
    rng = torch.Generator().manual_seed(seed)
    lead = (anchors,) if sets is None else (sets, anchors)
    return (
        F.normalize(torch.randn(*lead, channels, generator=rng, dtype=dtype), dim=-1),
        torch.randint(0, classes, lead, generator=rng),
        torch.randn(*lead, classes, generator=rng, dtype=dtype),
        F.normalize(torch.randn(keys, channels, generator=rng, dtype=dtype), dim=-1),
        torch.randint(0, classes, (keys,), generator=rng),
    )


class TestLimitingCases:
    prior = torch.tensor([0.6, 0.25, 0.1, 0.05], dtype=torch.float64)

    def balanced_softmax(self, logits, labels):
        return F.cross_entropy(logits + self.prior.log(), labels)

    def test_alpha_and_gamma_zero_is_balanced_softmax(self, impl):
        z, y, logits, keys, key_labels = sample(keys=5)
        loss = parametric_contrastive_loss(
            z,
            y,
            logits,
            alpha=0.0,
            gamma=0.0,
            temperature=0.1,
            class_prior=self.prior,
            keys=keys,
            key_labels=key_labels,
            **impl,
        )
        torch.testing.assert_close(loss, self.balanced_softmax(logits, y), rtol=0, atol=1e-7)

    def test_no_contrast_columns_is_balanced_softmax(self, impl):
        z, y, logits, *_ = sample(anchors=1)
        loss = parametric_contrastive_loss(
            z, y, logits, alpha=0.3, temperature=0.1, class_prior=self.prior, **impl
        )
        torch.testing.assert_close(loss, self.balanced_softmax(logits, y), rtol=0, atol=1e-7)

    def test_alpha_zero_alone_is_not_balanced_softmax(self, impl):
        z, y, logits, *_ = sample()
        loss = parametric_contrastive_loss(
            z, y, logits, alpha=0.0, temperature=0.1, class_prior=self.prior, **impl
        )
        # The contrast terms stay in the denominator and can only raise the loss.
        assert loss > self.balanced_softmax(logits, y) + 0.5

    def test_uniform_prior_without_contrast_is_cross_entropy(self, impl):
        z, y, logits, *_ = sample()
        loss = parametric_contrastive_loss(
            z,
            y,
            logits,
            alpha=0.0,
            gamma=0.0,
            temperature=0.1,
            class_prior=torch.full((4,), 0.25),
            **impl,
        )
        torch.testing.assert_close(loss, F.cross_entropy(logits, y), rtol=0, atol=1e-6)

    def test_uniform_prior_with_contrast_is_not_a_no_op(self, impl):
        z, y, logits, *_ = sample()
        keywords = dict(alpha=0.05, temperature=0.2, **impl)
        shifted = parametric_contrastive_loss(
            z, y, logits, class_prior=torch.full((4,), 0.25), **keywords
        )
        assert (shifted - parametric_contrastive_loss(z, y, logits, **keywords)).abs() > 0.1

    def test_supervised_contrastive_loss_without_centers(self, impl):
        """beta = 0 and centers far away leave SupCon; an anchor without positives gives 0."""
        z, _, logits, *_ = sample(anchors=6)
        y = torch.tensor([0, 0, 1, 1, 1, 2])
        similarity = (z @ z.t() / 0.1).fill_diagonal_(-math.inf)
        log_probability = similarity.log_softmax(dim=1)
        values = []
        for i in range(6):
            others = [j for j in range(6) if j != i and y[j] == y[i]]
            values.append(-sum(log_probability[i, j] for j in others) / max(len(others), 1))
        loss = parametric_contrastive_loss(
            z,
            y,
            torch.full_like(logits, -1e4),
            alpha=1.0,
            beta=0.0,
            temperature=0.1,
            reduction='none',
            **impl,
        )
        torch.testing.assert_close(loss, torch.tensor(values, dtype=loss.dtype))
        assert loss[5] == 0

    def test_optimum_of_the_center_is_one_over_one_plus_alpha_positives(self, impl):
        """Own center at probability 1 / (1 + alpha |P|) has no gradient."""
        alpha, positives = 0.05, 6
        z = F.normalize(torch.ones(1, 3, dtype=torch.float64), dim=1)
        logit = torch.full((1, 1), 1 / 0.2 - math.log(alpha), dtype=torch.float64)
        logit.requires_grad_()
        parametric_contrastive_loss(
            z,
            torch.zeros(1, dtype=torch.long),
            logit,
            alpha=alpha,
            temperature=0.2,
            keys=z.expand(positives, 3),
            key_labels=torch.zeros(positives, dtype=torch.long),
            **impl,
        ).backward()
        assert logit.grad.abs().item() < 1e-12

    def test_each_anchor_sees_all_rows_but_itself(self, impl):
        z, y, logits, keys, key_labels = sample(keys=3)
        keywords = dict(alpha=0.3, temperature=0.2, reduction='none', **impl)
        together = parametric_contrastive_loss(
            z, y, logits, keys=keys, key_labels=key_labels, **keywords
        )
        for i in range(len(z)):
            others = torch.arange(len(z)) != i
            alone = parametric_contrastive_loss(
                z[i : i + 1],
                y[i : i + 1],
                logits[i : i + 1],
                keys=torch.cat([z[others], keys]),
                key_labels=torch.cat([y[others], key_labels]),
                **keywords,
            )
            torch.testing.assert_close(alone, together[i : i + 1])

    def test_empty_slots_equal_no_keys_whatever_they_hold(self, impl):
        z, y, logits, *_ = sample()
        keywords = dict(alpha=0.3, temperature=0.2, **impl)
        keys = torch.full((4, 6), math.nan, dtype=z.dtype)
        loss = parametric_contrastive_loss(
            z, y, logits, keys=keys, key_labels=torch.full((4,), -1), **keywords
        )
        torch.testing.assert_close(loss, parametric_contrastive_loss(z, y, logits, **keywords))

    def test_base_temperature_is_a_factor(self, impl):
        z, y, logits, *_ = sample()
        keywords = dict(alpha=0.3, temperature=0.2, **impl)
        loss = parametric_contrastive_loss(z, y, logits, base_temperature=0.1, **keywords)
        torch.testing.assert_close(loss, 2 * parametric_contrastive_loss(z, y, logits, **keywords))


class TestIgnoredRows:
    ignored = torch.tensor([False, True, False, False, True, False, False])

    def test_dropped_rows_may_as_well_be_absent(self, impl):
        z, y, logits, *_ = sample()
        keywords = dict(alpha=0.3, temperature=0.2, **impl)
        kept = ~self.ignored
        absent = parametric_contrastive_loss(z[kept], y[kept], logits[kept], **keywords)
        z = z.masked_fill(self.ignored.unsqueeze(1), math.nan)  # a dropped row may hold anything
        dropped = parametric_contrastive_loss(
            z,
            y.masked_fill(self.ignored, IGNORE),
            logits,
            ignore_index=IGNORE,
            contrast_ignored=False,
            **keywords,
        )
        torch.testing.assert_close(dropped, absent)

    def test_kept_rows_are_negatives(self, impl):
        z, y, logits, *_ = sample()
        keywords = dict(alpha=0.3, temperature=0.2, ignore_index=IGNORE, **impl)
        kept = parametric_contrastive_loss(
            z, y.masked_fill(self.ignored, IGNORE), logits, reduction='none', **keywords
        )
        as_keys = parametric_contrastive_loss(
            z[~self.ignored],
            y[~self.ignored],
            logits[~self.ignored],
            keys=z[self.ignored],
            key_labels=torch.full((2,), IGNORE),
            reduction='none',
            **keywords,
        )
        torch.testing.assert_close(kept[~self.ignored], as_keys)
        assert (kept[self.ignored] == 0).all()

    @pytest.mark.parametrize('contrast_ignored', [True, False])
    def test_dropped_gradient_is_zero_and_kept_gradient_is_not(self, impl, contrast_ignored):
        z, y, logits, *_ = sample()
        z.requires_grad_()
        parametric_contrastive_loss(
            z,
            y.masked_fill(self.ignored, IGNORE),
            logits,
            alpha=0.3,
            temperature=0.2,
            ignore_index=IGNORE,
            contrast_ignored=contrast_ignored,
            **impl,
        ).backward()
        assert z.grad[~self.ignored].abs().sum(1).min() > 0
        assert (z.grad[self.ignored].abs().sum(1) > 0).all() == contrast_ignored

    @pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize('contrast_ignored', [True, False])
    def test_logits_of_ignored_rows_reach_no_gradient(self, impl, contrast_ignored, bad):
        z, y, logits, *_ = sample()
        y = y.masked_fill(self.ignored, IGNORE)
        gradients = []
        for filled in (logits, logits.masked_fill(self.ignored.unsqueeze(1), bad)):
            leaves = [z.clone().requires_grad_(), filled.clone().requires_grad_()]
            loss = parametric_contrastive_loss(
                leaves[0],
                y,
                leaves[1],
                alpha=0.3,
                temperature=0.2,
                label_smoothing=0.1,
                ignore_index=IGNORE,
                contrast_ignored=contrast_ignored,
                **impl,
            )
            gradients.append([loss.detach(), *torch.autograd.grad(loss, leaves)])
        for clean, dirty in zip(*gradients, strict=True):
            assert torch.equal(clean, dirty)
        assert not gradients[1][2][self.ignored].any()

    @pytest.mark.parametrize('bad', [math.nan, math.inf])
    def test_dropped_embeddings_reach_no_gradient(self, impl, bad):
        z, y, logits, *_ = sample()
        z = z.masked_fill(self.ignored.unsqueeze(1), bad).requires_grad_()
        loss = parametric_contrastive_loss(
            z,
            y.masked_fill(self.ignored, IGNORE),
            logits.requires_grad_(),
            alpha=0.3,
            temperature=0.2,
            ignore_index=IGNORE,
            contrast_ignored=False,
            **impl,
        )
        for grad in torch.autograd.grad(loss, (z, logits)):
            assert grad.isfinite().all()
            assert not grad[self.ignored].any()

    def test_mean_counts_every_set_and_only_valid_anchors(self, impl):
        z, y, logits, *_ = sample(sets=3)
        y[1] = IGNORE
        y[2, :5] = IGNORE
        keywords = dict(alpha=0.3, temperature=0.2, ignore_index=IGNORE, **impl)
        values = parametric_contrastive_loss(z, y, logits, reduction='none', **keywords)
        mean = parametric_contrastive_loss(z, y, logits, **keywords)
        torch.testing.assert_close(mean, (values[0].mean() + values[2, 5:].mean()) / 3)
        total = parametric_contrastive_loss(z, y, logits, reduction='sum', **keywords)
        torch.testing.assert_close(total, values.sum())


class TestEdgeCases:
    @pytest.mark.parametrize('contrast_ignored', [True, False])
    @pytest.mark.parametrize(
        ('sets', 'anchors', 'keys'),
        [(1, 5, 0), (1, 5, 3), (2, 1, 0), (2, 0, 0), (2, 0, 3), (0, 4, 0), (0, 4, 3), (0, 0, 0)],
    )
    @pytest.mark.parametrize('reduction', ['mean', 'sum'])
    def test_no_valid_anchor_is_an_attached_zero(
        self, impl, sets, anchors, keys, contrast_ignored, reduction
    ):
        z, y, logits, key_rows, key_labels = sample(anchors=anchors, sets=sets, keys=keys)
        leaves = [z.requires_grad_(), logits.requires_grad_(), key_rows.requires_grad_()]
        loss = parametric_contrastive_loss(
            z,
            torch.full_like(y, IGNORE),
            logits,
            alpha=0.3,
            temperature=0.2,
            ignore_index=IGNORE,
            contrast_ignored=contrast_ignored,
            keys=key_rows,
            key_labels=key_labels,
            reduction=reduction,
            **impl,
        )
        assert loss.item() == 0
        loss.backward()
        for leaf in leaves[:2]:
            assert leaf.grad is not None
            assert not leaf.grad.any()

    def test_single_anchor_without_keys(self, impl):
        z, y, logits, *_ = sample(anchors=1)
        z.requires_grad_()
        loss = parametric_contrastive_loss(z, y, logits, alpha=0.3, temperature=0.2, **impl)
        torch.testing.assert_close(loss, F.cross_entropy(logits, y))
        loss.backward()
        assert not z.grad.any()

    def test_anchors_of_one_class_each_have_no_positives(self, impl):
        z, _, logits, *_ = sample(anchors=4)
        y = torch.arange(4)
        rare = parametric_contrastive_loss(z, y, logits, alpha=5.0, temperature=0.2, **impl)
        torch.testing.assert_close(
            rare, parametric_contrastive_loss(z, y, logits, alpha=0.0, temperature=0.2, **impl)
        )

    @pytest.mark.parametrize('anchors', [2, 31, 65, 129])
    def test_odd_sizes_and_uneven_last_tile(self, anchors):
        z, y, logits, keys, key_labels = sample(anchors=anchors, keys=anchors + 6, sets=2)
        arguments = dict(alpha=0.1, temperature=0.1, keys=keys, key_labels=key_labels)
        wanted = parametric_contrastive_loss(z, y, logits, impl='dense', **arguments)
        for chunk in (16, 64, 4096):
            actual = parametric_contrastive_loss(
                z, y, logits, impl='streaming', chunk_size=chunk, **arguments
            )
            torch.testing.assert_close(actual, wanted, rtol=1e-12, atol=0)

    def test_strided_input(self, impl):
        z, y, logits, *_ = sample(sets=2)
        keywords = dict(alpha=0.3, temperature=0.2, **impl)
        wanted = parametric_contrastive_loss(z, y, logits, **keywords)
        strided = [tensor.transpose(0, 1).contiguous().transpose(0, 1) for tensor in (z, y, logits)]
        assert not strided[0].is_contiguous()
        torch.testing.assert_close(parametric_contrastive_loss(*strided, **keywords), wanted)

    @pytest.mark.parametrize('dtype', [torch.int32, torch.uint8])
    def test_labels_of_other_integers(self, impl, dtype):
        z, y, logits, keys, key_labels = sample(keys=5)
        y[2], key_labels[1] = 255, 255
        keywords = dict(alpha=0.3, temperature=0.2, ignore_index=255, keys=keys, **impl)
        wanted = parametric_contrastive_loss(z, y, logits, key_labels=key_labels, **keywords)
        actual = parametric_contrastive_loss(
            z, y.to(dtype), logits, key_labels=key_labels.to(dtype), **keywords
        )
        assert torch.equal(actual, wanted)

    def test_minus_one_may_mark_ignored_rows_without_keys(self, impl):
        z, y, logits, *_ = sample()
        values = []
        for ignore_index in (-1, 255):
            y[:3] = ignore_index
            values.append(
                parametric_contrastive_loss(
                    z, y, logits, alpha=0.3, temperature=0.2, ignore_index=ignore_index, **impl
                )
            )
        assert torch.equal(*values)

    def test_inputs_are_not_modified(self, impl):
        tensors = sample(keys=4, sets=2)
        z, y, logits, keys, key_labels = tensors
        before = [tensor.clone() for tensor in tensors]
        z.requires_grad_()
        parametric_contrastive_loss(
            z, y, logits, alpha=0.3, temperature=0.2, keys=keys, key_labels=key_labels, **impl
        ).backward()
        assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


class TestInvariances:
    keywords = {'alpha': 0.3, 'temperature': 0.1, 'reduction': 'none'}

    def test_permuting_anchors_permutes_values(self, impl):
        z, y, logits, *_ = sample(anchors=9)
        order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
        values = parametric_contrastive_loss(z, y, logits, **self.keywords, **impl)
        permuted = parametric_contrastive_loss(
            z[order], y[order], logits[order], **self.keywords, **impl
        )
        torch.testing.assert_close(permuted, values[order])

    def test_permuting_keys_changes_nothing(self, impl):
        z, y, logits, keys, key_labels = sample(keys=8)
        order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
        values, permuted = (
            parametric_contrastive_loss(
                z, y, logits, keys=keys[i], key_labels=key_labels[i], **self.keywords, **impl
            )
            for i in (torch.arange(8), order)
        )
        torch.testing.assert_close(permuted, values)

    def test_relabelling_classes_changes_nothing(self, impl):
        z, y, logits, *_ = sample()
        order = torch.tensor([2, 0, 3, 1])
        values = parametric_contrastive_loss(z, y, logits, **self.keywords, **impl)
        relabelled = parametric_contrastive_loss(
            z, order.argsort()[y], logits[:, order], **self.keywords, **impl
        )
        torch.testing.assert_close(relabelled, values)

    def test_sets_do_not_see_each_other(self, impl):
        z, y, logits, keys, key_labels = sample(sets=3, keys=4)
        shared = dict(keys=keys, key_labels=key_labels, **self.keywords, **impl)
        together = parametric_contrastive_loss(z, y, logits, **shared)
        for g in range(3):
            alone = parametric_contrastive_loss(z[g], y[g], logits[g], **shared)
            torch.testing.assert_close(together[g], alone)

    def test_rotation_of_all_rows_changes_nothing(self, impl):
        z, y, logits, keys, key_labels = sample(keys=4)
        rng = torch.Generator().manual_seed(1)
        rotation = torch.linalg.qr(torch.randn(6, 6, generator=rng, dtype=z.dtype))[0]
        values, rotated = (
            parametric_contrastive_loss(
                z @ r, y, logits, keys=keys @ r, key_labels=key_labels, **self.keywords, **impl
            )
            for r in (torch.eye(6, dtype=z.dtype), rotation)
        )
        torch.testing.assert_close(rotated, values)


def loss_and_grads(tensors, dtype, device='cpu', autocast=None, **keywords):
    z, y, logits, keys, key_labels = tensors
    leaves = [t.to(device, dtype, copy=True).requires_grad_() for t in (z, logits, keys)]
    with torch.autocast(device, dtype=autocast) if autocast else contextlib.nullcontext():
        loss = parametric_contrastive_loss(
            leaves[0],
            y.to(device),
            leaves[1],
            keys=leaves[2],
            key_labels=key_labels.to(device),
            **keywords,
        )
    return [loss.detach(), *torch.autograd.grad(loss.sum(), leaves)]


def errors(actual, truth):
    """Largest error of the loss and of each gradient, relative to the largest true entry."""
    return [
        float((a.double().cpu() - t).abs().max() / t.abs().max())
        for a, t in zip(actual, truth, strict=True)
    ]


class TestPrecision:
    # Roundings of a sum of 300 terms in float32 that plain luck may favour in either form.
    floor = 2 * torch.finfo(torch.float32).eps

    @pytest.mark.parametrize('temperature', [0.5, 0.07, 0.01])
    @pytest.mark.parametrize('chunk_size', [None, 37])
    def test_streaming_errs_at_most_twice_as_much_as_dense(self, temperature, chunk_size):
        total = {'dense': 0.0, 'streaming': 0.0}
        for seed in range(4):
            tensors = sample(300, 32, 10, keys=100, seed=seed, dtype=torch.float32)
            keywords = dict(alpha=0.05, temperature=temperature, reduction='none')
            truth = loss_and_grads(tensors, torch.float64, impl='dense', **keywords)
            for impl in total:
                chunk = chunk_size if impl == 'streaming' else None
                actual = loss_and_grads(
                    tensors, torch.float32, impl=impl, chunk_size=chunk, **keywords
                )
                total[impl] = torch.maximum(
                    torch.as_tensor(total[impl]), torch.tensor(errors(actual, truth))
                )
        assert (total['streaming'] <= 2 * total['dense'] + self.floor).all(), total

    @pytest.mark.parametrize('norm', [10.0, 1e2, 1e4, 1e6])
    @pytest.mark.parametrize('chunk_size', [None, 37])
    def test_long_rows_among_unit_rows(self, norm, chunk_size):
        """Held entry by entry: of the largest entry the short rows would be a small part."""
        total = {'dense': 0.0, 'streaming': 0.0}
        for seed in range(4):
            z, *others = sample(300, 32, 10, keys=100, seed=seed, dtype=torch.float32)
            tensors = (z * torch.where(torch.arange(300) % 50 == 0, norm, 1.0)[:, None], *others)
            keywords = dict(alpha=0.05, temperature=0.07, reduction='none')
            truth = loss_and_grads(tensors, torch.float64, impl='dense', **keywords)[:2]
            for impl in total:
                chunk = chunk_size if impl == 'streaming' else None
                actual = loss_and_grads(
                    tensors, torch.float32, impl=impl, chunk_size=chunk, **keywords
                )
                worst = [
                    float(((a.double() - t).abs() / (t.abs() + t.abs().median())).max())
                    for a, t in zip(actual, truth, strict=False)
                ]
                total[impl] = torch.maximum(torch.as_tensor(total[impl]), torch.tensor(worst))
        assert (total['streaming'] <= 2 * total['dense'] + self.floor).all(), total

    @pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
    def test_half_input_is_computed_in_float32(self, impl, dtype):
        tensors = sample(20, keys=6, dtype=torch.float32)
        rounded = [t.to(dtype) if t.is_floating_point() else t for t in tensors]
        keywords = dict(alpha=0.3, temperature=0.07, **impl)
        actual = loss_and_grads(rounded, dtype, **keywords)
        wanted = loss_and_grads(
            [t.float() if t.is_floating_point() else t for t in rounded], torch.float32, **keywords
        )
        assert actual[0].dtype == torch.float32
        assert torch.equal(actual[0], wanted[0])
        for grad, exact in zip(actual[1:], wanted[1:], strict=True):
            assert grad.dtype == dtype
            assert torch.equal(grad, exact.to(dtype))

    def test_mixed_input_is_computed_in_the_widest(self, impl):
        z, y, logits, *_ = sample(dtype=torch.float32)
        keywords = dict(alpha=0.3, temperature=0.07, **impl)
        loss = parametric_contrastive_loss(z.half(), y, logits.double(), **keywords)
        assert loss.dtype == torch.float64
        loss = parametric_contrastive_loss(z.half(), y, logits, **keywords)
        assert loss.dtype == torch.float32

    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_autocast_changes_nothing(self, impl, dtype):
        tensors = sample(20, keys=6, dtype=torch.float32)
        keywords = dict(alpha=0.3, temperature=0.07, **impl)
        wanted = loss_and_grads(tensors, torch.float32, **keywords)
        actual = loss_and_grads(tensors, torch.float32, autocast=dtype, **keywords)
        for a, b in zip(actual, wanted, strict=True):
            assert a.dtype == torch.float32
            assert torch.equal(a, b)

    def test_streaming_backward_under_autocast_changes_nothing(self):
        tensors = sample(20, keys=6, dtype=torch.float32)
        keywords = dict(alpha=0.3, temperature=0.07, impl='streaming')
        wanted = loss_and_grads(tensors, torch.float32, **keywords)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            actual = loss_and_grads(tensors, torch.float32, **keywords)
        for a, b in zip(actual, wanted, strict=True):
            assert torch.equal(a, b)


class TestAutograd:
    def scalar(self, impl):
        z, y, logits, *_ = sample()
        z.requires_grad_()
        return z, parametric_contrastive_loss(z, y, logits, alpha=0.3, temperature=0.2, **impl)

    def test_double_backward_is_supported_by_dense(self):
        z, loss = self.scalar({'impl': 'dense'})
        (grad,) = torch.autograd.grad(loss, z, create_graph=True)
        grad.square().sum().backward()
        assert z.grad.isfinite().all()

    @pytest.mark.parametrize(
        ('samples', 'temperature', 'scale', 'dtype'),
        [
            (6, 0.01, 1.0, torch.float32),  # the contrast alone counts
            (6, 0.07, 60.0, torch.float32),  # the centers alone do
            (1, 0.2, 1.0, torch.float64),  # nothing to contrast with
        ],
    )
    def test_double_backward_is_finite_where_one_part_counts(
        self, samples, temperature, scale, dtype
    ):
        z, y, logits, *_ = sample(samples, dtype=dtype)
        z, logits = z.requires_grad_(), (scale * logits).requires_grad_()
        loss = parametric_contrastive_loss(
            z, y, logits, alpha=0.3, temperature=temperature, impl='dense'
        )
        grads = torch.autograd.grad(loss, (z, logits), create_graph=True)
        sum(grad.square().sum() for grad in grads).backward()
        assert z.grad.isfinite().all()
        assert logits.grad.isfinite().all()

    def test_double_backward_is_refused_by_streaming(self):
        z, loss = self.scalar({'impl': 'streaming'})
        with pytest.raises(RuntimeError, match=r"expected 'dense' for second .* got 'streaming'"):
            torch.autograd.grad(loss, z, create_graph=True)

    def test_gradient_to_some_inputs_only(self, impl):
        z, y, logits, keys, key_labels = sample(keys=4)
        keywords = dict(alpha=0.3, temperature=0.2, key_labels=key_labels, **impl)
        wanted = loss_and_grads(
            (z, y, logits, keys, key_labels), z.dtype, alpha=0.3, temperature=0.2, **impl
        )[1:]
        for index, name in enumerate(('embeddings', 'logits', 'keys')):
            inputs = {'embeddings': z.clone(), 'logits': logits.clone(), 'keys': keys.clone()}
            inputs[name].requires_grad_()
            parametric_contrastive_loss(
                inputs['embeddings'], y, inputs['logits'], keys=inputs['keys'], **keywords
            ).backward()
            torch.testing.assert_close(inputs[name].grad, wanted[index])

    def test_without_gradient(self, impl):
        z, y, logits, *_ = sample()
        assert not parametric_contrastive_loss(
            z, y, logits, alpha=0.3, temperature=0.2, **impl
        ).requires_grad

    @pytest.mark.parametrize('use_reentrant', [True, False])
    def test_activation_checkpointing(self, impl, use_reentrant):
        tensors = sample(keys=5)
        keywords = dict(alpha=0.3, temperature=0.2, **impl)
        wanted = loss_and_grads(tensors, torch.float64, **keywords)
        z, y, logits, keys, key_labels = tensors
        leaves = [t.clone().requires_grad_() for t in (z, logits, keys)]

        def run(z, logits, keys):
            return parametric_contrastive_loss(
                z, y, logits, keys=keys, key_labels=key_labels, **keywords
            )

        loss = checkpoint(run, *leaves, use_reentrant=use_reentrant)
        loss.backward()
        actual = [loss.detach(), *(leaf.grad for leaf in leaves)]
        for a, b in zip(actual, wanted, strict=True):
            torch.testing.assert_close(a, b)

    @pytest.mark.parametrize('name', ['dense', 'streaming-3'])
    def test_compiled(self, name):
        """A graph break around the tiles is allowed, another result is not."""
        tensors = sample(keys=5, sets=2)
        keywords = dict(alpha=0.3, temperature=0.2, ignore_index=IGNORE, **IMPLEMENTATIONS[name])
        wanted = loss_and_grads(tensors, torch.float64, **keywords)
        z, y, logits, keys, key_labels = tensors
        leaves = [t.clone().requires_grad_() for t in (z, logits, keys)]

        def run(z, logits, keys):
            rows = F.normalize(z, dim=-1)  # part of the graph, as a head has it
            return parametric_contrastive_loss(
                rows, y, logits, keys=keys, key_labels=key_labels, **keywords
            )

        fullgraph = name == 'dense'
        loss = torch.compile(run, backend='aot_eager', fullgraph=fullgraph)(*leaves)
        torch.testing.assert_close(loss.detach(), wanted[0])
        loss.backward()
        # Of unit rows normalisation leaves the tangential part of the gradient.
        radial = (wanted[1] * z).sum(dim=-1, keepdim=True) * z
        torch.testing.assert_close(leaves[0].grad, wanted[1] - radial)
        torch.testing.assert_close(leaves[1].grad, wanted[2])
        torch.testing.assert_close(leaves[2].grad, wanted[3])
        torch._dynamo.reset()


class TestErrors:
    def call(self, **changes):
        z, y, logits, keys, key_labels = sample(keys=3, dtype=torch.float32)
        arguments = dict(
            embeddings=z,
            labels=y,
            center_logits=logits,
            keys=keys,
            key_labels=key_labels,
            alpha=0.3,
            temperature=0.2,
        )
        return parametric_contrastive_loss(**(arguments | changes))

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'alpha': -0.1}, r'alpha: expected >= 0, got -0\.1'),
            ({'alpha': math.nan}, r'alpha: expected >= 0, got nan'),
            ({'alpha': math.inf}, r'alpha: expected >= 0 and finite, got inf'),
            ({'beta': math.inf}, r'beta: expected >= 0 and finite, got inf'),
            ({'gamma': math.inf}, r'gamma: expected >= 0 and finite, got inf'),
            ({'temperature': math.inf}, r'temperature: expected > 0 and finite, got inf'),
            ({'center_temperature': math.inf}, r'center_temperature: .* finite, got inf'),
            ({'base_temperature': math.inf}, r'base_temperature: .* finite, got inf'),
            ({'chunk_size': True}, r'chunk_size: expected a positive integer or None, got True'),
            ({'beta': -1.0}, r'beta: expected >= 0, got -1\.0'),
            ({'gamma': -1.0}, r'gamma: expected >= 0, got -1\.0'),
            ({'alpha': 0, 'beta': 0}, r'alpha, beta: expected at least one > 0, got 0 and 0'),
            ({'temperature': 0.0}, r'temperature: expected > 0, got 0\.0'),
            ({'center_temperature': 0.0}, r'center_temperature: expected > 0, got 0\.0'),
            ({'base_temperature': -1.0}, r'base_temperature: expected > 0, got -1\.0'),
            ({'label_smoothing': 1.0}, r'label_smoothing: expected .*\[0, 1\), got 1\.0'),
            ({'label_smoothing': -0.1}, r'label_smoothing: expected .*, got -0\.1'),
            ({'reduction': 'max'}, r"reduction: expected one of 'none', 'mean', 'sum', got 'max'"),
            (
                {'impl': 'fast'},
                r"impl: expected one of 'auto', 'dense', 'streaming', 'triton', got 'fast'",
            ),
            ({'chunk_size': 0}, r'chunk_size: expected a positive integer or None, got 0'),
            ({'ignore_index': -1}, r'ignore_index: expected another value than -1 because keys'),
            ({'ignore_index': 2}, r'ignore_index: expected a value outside \[0, 4\), got 2'),
            (
                {'labels': torch.tensor([0, 1, 2, 3, 4, 0, -7])},
                r'labels: expected values in \[0, 4\), got \[-7, 4\].*num_classes',
            ),
            (
                {'labels': torch.tensor([0, 1, 2, 3, 9, 0, 255]), 'ignore_index': 255},
                r'labels: expected values in \[0, 4\) or 255, got \[9\]',
            ),
            (
                {'key_labels': torch.tensor([0, -1, -2])},
                r'key_labels: expected values in \[0, 4\) or -1, got \[-2\]',
            ),
            (
                {'class_prior': torch.tensor([1.0, 0.0, 2.0, math.nan])},
                r'class_prior: expected positive finite .* classes \[1, 3\]',
            ),
            ({'key_labels': None}, r'key_labels: expected a tensor because keys is given'),
            ({'keys': None}, r'keys: expected a tensor because key_labels is given'),
            (
                {
                    'center_logits': torch.zeros(7, 1),
                    'labels': torch.zeros(7, dtype=torch.long),
                    'key_labels': torch.zeros(3, dtype=torch.long),
                    'label_smoothing': 0.1,
                },
                r'label_smoothing: expected 0 with a single class, got 0\.1',
            ),
        ],
    )
    def test_values(self, changes, message):
        with pytest.raises(ValueError, match=message):
            self.call(**changes)

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (
                {'embeddings': torch.zeros(1, 6, 4, 4)},
                r'embeddings: expected shape \(N, D\) or \(G, N, D\), got \(1, 6, 4, 4\)',
            ),
            (
                {'labels': torch.zeros(6, dtype=torch.long)},
                r'labels: expected shape \(7\), got \(6,\)',
            ),
            (
                {'center_logits': torch.zeros(6, 4)},
                r'center_logits: expected shape \(7, C\), got \(6, 4\)',
            ),
            ({'center_logits': torch.zeros(7, 0)}, r'center_logits: .*at least one class'),
            ({'keys': torch.zeros(3, 5)}, r'keys: expected shape \(M, 6\), got \(3, 5\)'),
            (
                {'key_labels': torch.zeros(2, dtype=torch.long)},
                r'key_labels: expected shape \(3\), got \(2,\)',
            ),
            (
                {'class_prior': torch.ones(5)},
                r'class_prior: expected shape \(4\), got \(5,\)',
            ),
        ],
    )
    def test_shapes(self, changes, message):
        with pytest.raises(ShapeError, match=message):
            self.call(**changes)

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'labels': torch.zeros(7)}, r'labels: expected integer .* dtype torch\.float32'),
            (
                {'labels': torch.zeros(7, dtype=torch.bool)},
                r'labels: expected integer .* dtype torch\.bool',
            ),
            ({'key_labels': torch.zeros(3)}, r'key_labels: expected integer .*float32'),
            ({'alpha': 'auto'}, r"alpha: expected a number, got 'auto'"),
            ({'temperature': True}, r'temperature: expected a number, got True'),
            ({'contrast_ignored': 'no'}, r"contrast_ignored: expected True or False, got 'no'"),
            ({'contrast_ignored': 0}, r'contrast_ignored: expected True or False, got 0'),
        ],
    )
    def test_types(self, changes, message):
        with pytest.raises(TypeError, match=message):
            self.call(**changes)


class TestPaCoSettings:
    def test_settings_travel_as_one(self):
        z, y, logits, keys, key_labels = sample(keys=3)
        settings = dict(alpha=0.3, temperature=0.2, beta=2.0, gamma=0.5, label_smoothing=0.1)
        tensors = dict(keys=keys, key_labels=key_labels, reduction='none')
        wanted = parametric_contrastive_loss(z, y, logits, **settings, **tensors)
        actual = paco_loss(z, y, logits, PaCoSettings(**settings), **tensors)
        assert torch.equal(actual, wanted)

    def test_public_signature_has_every_setting_with_its_default(self):
        public = inspect.signature(parametric_contrastive_loss).parameters
        for field in dataclasses.fields(PaCoSettings):
            if field.name != 'key':
                default = public[field.name].default
                if field.default is dataclasses.MISSING:
                    assert default is inspect.Parameter.empty
                else:
                    assert default == field.default

    def test_without_a_key_the_limits_are_allowed(self):
        PaCoSettings(alpha=0.0, temperature=1.0)
        PaCoSettings(alpha=1.0, temperature=1.0, beta=0.0)

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (dict(alpha=0), r"alpha: expected > 0, got 0\. Try 'auto'"),
            (dict(alpha=math.inf), r'alpha: expected > 0 and finite, got inf'),
            (dict(alpha='a number > 0'), r"alpha: expected a number > 0 or 'auto', got 'a num"),
            (dict(alpha=True), r'alpha: expected a number, got True'),
            (dict(alpha=None), r'alpha: expected a number, got None'),
            (dict(beta=0.0), r'beta: expected > 0, got 0.0'),
            (dict(contrast_ignored='no'), r"contrast_ignored: expected True or False, got 'no'"),
            (dict(chunk_size=2.0), r'chunk_size: expected a positive integer or None, got 2.0'),
            (dict(tau=1.0), r"tau: expected one of alpha, temperature, .*chunk_size, got 'tau'"),
        ],
    )
    def test_with_a_key_every_message_names_it(self, changes, message):
        settings = dict(alpha=0.1, temperature=1.0) | changes
        with pytest.raises((TypeError, ValueError), match=rf'^loss_contrast\.{message}'):
            PaCoSettings.checked('loss_contrast', **settings)

    def test_auto_waits_for_a_number(self):
        settings = PaCoSettings.checked('loss', alpha='auto', temperature=0.2)
        z, y, logits, *_ = sample()
        with pytest.raises(TypeError, match=r"^loss\.alpha: expected a number .*, got 'auto'"):
            paco_loss(z, y, logits, settings)
        resolved = dataclasses.replace(settings, alpha=0.3)
        wanted = parametric_contrastive_loss(z, y, logits, alpha=0.3, temperature=0.2)
        assert torch.equal(paco_loss(z, y, logits, resolved), wanted)
        with pytest.raises(ValueError, match=r'^loss\.alpha: expected > 0'):
            dataclasses.replace(settings, alpha=-1.0)


class TestAnchorWeights:
    """Weights of anchors in the mean; whom an anchor meets stays as it is."""

    SETTINGS = dict(alpha=0.3, temperature=0.4)

    def batch(self):
        z, y, logits, keys, key_labels = sample(9, 6, 3, keys=4, sets=2)
        y[:, ::4] = IGNORE
        weights = torch.rand(2, 9, generator=torch.Generator().manual_seed(5)) * 7
        return (z, y, logits), dict(keys=keys, key_labels=key_labels), weights

    def call(self, tensors, options, weights, reduction='mean', **impl):
        settings = PaCoSettings(**self.SETTINGS, **impl)
        return paco_loss(
            *tensors, settings, **options, ignore_index=IGNORE, anchor_weights=weights,
            reduction=reduction,
        )  # fmt: skip

    def test_the_mean_equals_the_loops(self, impl):
        tensors, options, weights = self.batch()
        truth = reference.parametric_contrastive_anchors(
            *tensors, **options, ignore_index=IGNORE, **self.SETTINGS
        )
        wanted = weighted_mean(*truth, weights)
        z, _, logits = tensors
        leaves = [tensor.clone().requires_grad_() for tensor in (z, logits)]
        actual = self.call((leaves[0], tensors[1], leaves[1]), options, weights, **impl)
        torch.testing.assert_close(actual, wanted)
        again = [tensor.clone().requires_grad_() for tensor in (z, logits)]
        values = reference.parametric_contrastive_anchors(
            again[0], tensors[1], again[1], **options, ignore_index=IGNORE, **self.SETTINGS
        )
        torch.testing.assert_close(
            torch.autograd.grad(actual, leaves),
            torch.autograd.grad(weighted_mean(*values, weights), again),
        )

    def test_equal_weights_are_no_weights(self):
        tensors, options, _ = self.batch()
        weighted = self.call(tensors, options, torch.full((2, 9), 3.0))
        torch.testing.assert_close(weighted, self.call(tensors, options, None))

    def test_one_set_may_be_flat(self):
        (z, y, logits), options, weights = self.batch()
        flat = self.call((z[0], y[0], logits[0]), options, weights[0])
        one = self.call((z[:1], y[:1], logits[:1]), options, weights[:1])
        torch.testing.assert_close(flat, one)

    def test_another_shape_is_refused(self):
        tensors, options, weights = self.batch()
        with pytest.raises(ShapeError, match=r'anchor_weights: expected shape \(2, 9\), got'):
            self.call(tensors, options, weights[:, 1:])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
class TestCuda:
    @pytest.mark.parametrize('temperature', [0.07, 0.01])
    def test_parity_with_the_cpu(self, impl, temperature):
        tensors = sample(300, 32, 10, keys=100, dtype=torch.float32)
        keywords = dict(alpha=0.05, temperature=temperature)
        truth = loss_and_grads(tensors, torch.float64, impl='dense', **keywords)
        actual = loss_and_grads(tensors, torch.float32, 'cuda', **keywords, **impl)
        assert max(errors(actual, truth)) < 1e-4

    def test_autocast_changes_nothing(self, impl):
        tensors = sample(300, 32, 10, keys=100, dtype=torch.float32)
        keywords = dict(alpha=0.05, temperature=0.07, **impl)
        wanted = loss_and_grads(tensors, torch.float32, 'cuda', **keywords)
        actual = loss_and_grads(tensors, torch.float32, 'cuda', torch.bfloat16, **keywords)
        assert max(errors(actual, [t.double().cpu() for t in wanted])) < 1e-5

    @pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
    def test_several_tiles_with_masks_and_sets(self, dtype):
        """More rows than a default tile has; truth from the very numbers that are rounded."""
        z, y, logits, keys, key_labels = sample(
            9000, 16, 10, keys=5000, dtype=torch.float32, sets=2
        )
        y[:, ::7], key_labels[::3] = IGNORE, -1
        tensors = tuple(
            t.to(dtype) if t.is_floating_point() else t for t in (z, y, logits, keys, key_labels)
        )
        keywords = dict(
            alpha=0.01,
            temperature=0.07,
            ignore_index=IGNORE,
            contrast_ignored=False,
            impl='streaming',
        )
        truth = loss_and_grads(tensors, torch.float64, 'cuda', **keywords | {'impl': 'dense'})
        truth = [t.cpu() for t in truth]
        actual = loss_and_grads(tensors, dtype, 'cuda', **keywords)
        assert errors(actual[:1], truth[:1])[0] < 1e-5
        assert max(errors(actual, truth)) < (1e-4 if dtype == torch.float32 else 2**-8)
