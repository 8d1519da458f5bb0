"""The core on a pretended GPU; run by ``test_devices.py`` in a process of its own."""

from __future__ import annotations

import contextlib
import itertools

import pytest
import torch
import torch.nn.functional as F
from helpers.pretended_cuda import (
    NAME,
    DeviceMixError,
    PretendedTensor,
    pretended_cuda,
    to_device,
    to_host,
)

from paco_seg.core import parametric_contrastive_loss

IGNORE = 255
PRECISIONS = {'float32': None, 'float16': torch.float16, 'bfloat16': torch.bfloat16}


@pytest.fixture(params=PRECISIONS)
def autocast(request):
    dtype = PRECISIONS[request.param]
    return contextlib.nullcontext if dtype is None else lambda: torch.autocast(NAME, dtype=dtype)


def tensors(keys: int | None, prior: bool) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 4, (2, 9), generator=rng)
    labels[0, 3] = IGNORE
    made = {
        'embeddings': torch.randn(2, 9, 6, generator=rng).requires_grad_(),
        'labels': labels,
        'center_logits': torch.randn(2, 9, 4, generator=rng).requires_grad_(),
    }
    if keys is not None:
        made['keys'] = F.normalize(torch.randn(keys, 6, generator=rng)).requires_grad_()
        made['key_labels'] = torch.randint(-1, 4, (keys,), generator=rng)
    if prior:
        made['class_prior'] = torch.rand(4, generator=rng) + 0.1
    return made


def loss_and_grads(arguments, context=contextlib.nullcontext, **keywords):
    arguments = dict(arguments)
    leaves = [value for value in arguments.values() if value.requires_grad]
    with context():
        rows = F.normalize(arguments.pop('embeddings'), dim=-1)
        loss = parametric_contrastive_loss(
            rows, alpha=0.1, temperature=0.07, ignore_index=IGNORE, **arguments, **keywords
        )
    return [loss, *torch.autograd.grad(loss.sum(), leaves, materialize_grads=True)]


GRID = list(
    itertools.product(
        (('dense', None), ('streaming', None), ('streaming', 4)),  # chunk_size
        (None, 5),  # keys
        (False, True),  # prior
        (False, True),  # contrast_ignored
        (1.0, 0.5, 0.0),  # gamma
        (0.0, 0.1),  # label_smoothing
    )
)
GRID += [(impl, 0, True, True, 1.0, 0.0) for impl in (('dense', None), ('streaming', None))]


def test_every_setting_runs_there_without_a_wait(autocast):
    """No tensor is forgotten on the CPU, nothing is read back, and the numbers are the CPU's."""
    kernels = 0
    # Autocast is switched off inside: a fifth of the settings shows that.
    grid = GRID if autocast is contextlib.nullcontext else GRID[::5]
    for (impl, chunk), keys, prior, ignored, gamma, smoothing in grid:
        keywords = dict(
            impl=impl,
            contrast_ignored=ignored,
            gamma=gamma,
            label_smoothing=smoothing,
            chunk_size=chunk,
            unit_rows=True,
        )
        arguments = tensors(keys, prior)
        wanted = loss_and_grads(arguments, **keywords)
        with pretended_cuda() as trace:
            there = to_device(arguments)
            trace.clear()
            actual = loss_and_grads(there, autocast, **keywords)
            assert not trace.waits, (trace.waits, keywords)
            kernels += trace.kernels
        for a, b in zip(actual, wanted, strict=True):
            assert isinstance(a, PretendedTensor)
            torch.testing.assert_close(to_host(a), b, rtol=1e-4, atol=1e-5)
    assert kernels > 50 * len(grid)


@pytest.mark.parametrize('reduction', ['none', 'sum'])
@pytest.mark.parametrize('temperature', [0.07, 0.01])  # both sweeps of 'streaming'
def test_other_reductions_and_both_sweeps(temperature, reduction):
    arguments = tensors(5, True)
    rows = F.normalize(arguments.pop('embeddings'), dim=-1).detach()
    with pretended_cuda() as trace:
        there = to_device(arguments | {'embeddings': rows})
        trace.clear()
        value = parametric_contrastive_loss(
            alpha=0.1,
            temperature=temperature,
            ignore_index=IGNORE,
            impl='streaming',
            reduction=reduction,
            unit_rows=True,
            **there,
        )
        assert not trace.waits
    wanted = parametric_contrastive_loss(
        **arguments,
        embeddings=rows,
        alpha=0.1,
        temperature=temperature,
        ignore_index=IGNORE,
        reduction=reduction,
        impl='dense',
    )
    torch.testing.assert_close(to_host(value), wanted, rtol=1e-4, atol=1e-4)


def test_rows_of_unknown_length_cost_one_wait_when_streaming():
    for impl, count in (('streaming', 1), ('dense', 0)):
        with pretended_cuda() as trace:
            there = to_device(tensors(5, True))
            trace.clear()
            loss_and_grads(there, impl=impl)
            assert sum(trace.waits.values()) == sum(trace.own_waits().values()) == count


def test_runs_under_deterministic_algorithms():
    torch.use_deterministic_algorithms(True)
    try:
        for impl in ('dense', 'streaming'):
            with pretended_cuda() as trace:
                there = to_device(tensors(5, True))
                first, second = (
                    loss_and_grads(there, impl=impl, contrast_ignored=False) for _ in range(2)
                )
                assert not [name for name in trace.operations if 'index_add' in name]
                assert not [name for name in trace.operations if 'index_select_b' in name]
            for a, b in zip(first, second, strict=True):
                assert torch.equal(to_host(a), to_host(b))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (
            dict(labels=torch.full((2, 9), 7)),
            r'^labels: expected values in \[0, 4\) or 255, got other values on a device .* Check',
        ),
        (dict(class_prior=torch.zeros(4)), r'^class_prior: expected positive finite frequencies'),
    ],
)
def test_bad_values_are_refused_by_the_device(changes, message):
    with pretended_cuda() as trace:
        there = to_device(tensors(5, True) | changes)
        trace.clear()
        with pytest.raises(RuntimeError, match=message):
            loss_and_grads(there)
        assert not trace.waits


class TestPretendedDevice:
    """The device itself: what CUDA would refuse or wait for."""

    def there(self):
        return to_device(torch.arange(6.0))

    def test_refuses_tensors_of_both_devices(self):
        with pretended_cuda(), pytest.raises(DeviceMixError, match=r'add.*CPU tensors \[\(6,\)\]'):
            self.there() + torch.ones(6)

    def test_takes_scalars_of_the_cpu(self):
        with pretended_cuda() as trace:
            assert to_host(self.there() * torch.tensor(2.0)).tolist() == [0, 2, 4, 6, 8, 10]
            assert not trace.waits

    @pytest.mark.parametrize(
        'call',
        [
            lambda x: x.sum().item(),
            lambda x: bool((x > 3).any()),
            lambda x: x.tolist(),
            lambda x: x[x > 3],
            lambda x: x.nonzero(),
            lambda x: x.unique(),
            lambda x: x.cpu(),
            lambda x: torch.ones(6).to(x.device),
            lambda x: torch.tensor([1.0], device=x.device),
            lambda x: x.copy_(torch.ones(6)),
            lambda x: x[torch.tensor([0, 1])],
        ],
    )
    def test_counts_what_the_host_waits_for(self, call):
        with pretended_cuda() as trace:
            x = self.there()
            trace.clear()
            call(x)
            assert sum(trace.waits.values()) >= 1

    def test_counts_kernels_but_no_views(self):
        with pretended_cuda() as trace:
            x = self.there()
            trace.clear()
            x.view(2, 3).t()[0].add_(1)
            assert trace.kernels == 1
            assert to_host(x).tolist() == [1, 1, 2, 4, 4, 5]

    def test_autocast_follows_the_policies_of_cuda(self):
        with pretended_cuda():
            x = self.there().view(2, 3)
            with torch.autocast(NAME, dtype=torch.bfloat16):
                product = x @ x.t()
                assert product.dtype == torch.bfloat16
                assert product.exp().dtype == product.sum().dtype == torch.float32
                assert torch.cat([product, x[:, :2]]).dtype == torch.float32
