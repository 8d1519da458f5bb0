"""The fused kernels in Triton's interpreter; run by ``test_fused.py`` in a process of its own.

``TRITON_INTERPRET`` decides when Triton is imported, hence not in the process of the other tests.
The settings are those that dense and streaming are held to, and some with several tiles.
"""

from __future__ import annotations

import dataclasses
import math

import core.test_paco as suite
import pytest
import torch
from core.test_paco import IGNORE, SETTINGS, Setting, evaluate, expected
from helpers import triton_interpreter
from hypothesis import HealthCheck, given, settings

from paco_seg.core import fused, fused_kernels, parametric_contrastive_loss

PRECISIONS = {
    'bf16x3': (torch.float32, 'highest'),
    'tf32': (torch.float32, 'high'),
    'float16': (torch.float16, 'highest'),
    'bfloat16': (torch.bfloat16, 'highest'),
}
# Largest error relative to the largest reference entry (at least 1) times T: some roundings of the
# operands, whose relative error is 2^-17, 2^-11, 2^-11 and 2^-8.
TOLERANCE = {'bf16x3': 2**-15, 'tf32': 2**-9, 'float16': 2**-10, 'bfloat16': 2**-7}
SMALL = fused.Tile(32, 16, 4, 1)


@pytest.fixture(scope='module', autouse=True)
def _interpreter():
    assert fused_kernels.INTERPRETED
    triton_interpreter.mend()
    torch.set_num_threads(1)


@pytest.fixture(params=PRECISIONS)
def precision(request, monkeypatch):
    dtype, products = PRECISIONS[request.param]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(products)
    # Small tiles, so that a few dozen rows are several of them.
    monkeypatch.setattr(
        fused,
        'TILES',
        dict.fromkeys(fused.TILES, dict.fromkeys(fused.PAIR_KERNELS, (SMALL, SMALL))),
    )
    yield request.param, dtype
    torch.set_float32_matmul_precision(before)


def check(name: str, dtype: torch.dtype, setting: Setting) -> None:
    setting = dataclasses.replace(setting, dtype=dtype)
    outputs = evaluate(parametric_contrastive_loss, setting, dtype, setting.flat, impl='triton')
    assert outputs[0].dtype == torch.float32
    tolerance = TOLERANCE[name] / setting.temperature
    for actual, wanted in zip(outputs, expected(setting), strict=True):
        suite.assert_close(actual, wanted, tolerance)


def test_values_and_gradients(precision):
    """Sizes down to nothing, one class, all ignored, no positives, empty queues, long rows."""

    @settings(
        max_examples=16,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(setting=SETTINGS)
    def run(setting):
        check(*precision, setting)

    run()


TILED = Setting(
    seed=1,
    sets=2,
    anchors=33,
    channels=24,
    classes=7,
    keys=19,
    keys_need_grad=True,
    flat=False,
    dtype=torch.float32,
    ignored=0.2,
    contrast_ignored=True,
    empty_keys=0.2,
    row_norm=1.0,
    temperature=0.07,
    alpha=0.3,
    beta=1.0,
    gamma=1.0,
    center_temperature=1.0,
    base_temperature=None,
    prior=True,
    smoothing=0.1,
    reduction='none',
)


@pytest.mark.parametrize(
    'changes',
    [
        {},
        dict(anchors=65, sets=1, contrast_ignored=False, gamma=0.5, classes=40),
        dict(anchors=32, channels=128, keys=48, reduction='mean', smoothing=0.0),
        dict(anchors=17, channels=130, keys=1, beta=0.0, base_temperature=0.1),
        dict(anchors=47, keys=None, row_norm=1.7, contrast_ignored=False, gamma=0.0),
    ],
)
def test_several_tiles(precision, changes):
    check(*precision, dataclasses.replace(TILED, **changes))


def test_two_runs_are_equal_bit_for_bit(precision):
    _, dtype = precision
    setting = dataclasses.replace(TILED, dtype=dtype)
    first, second = (
        evaluate(parametric_contrastive_loss, setting, dtype, False, impl='triton')
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_rows_that_are_dropped_may_hold_anything():
    tensors = TILED.tensors()
    rows, labels = tensors['embeddings'], tensors['labels']
    rows = rows.masked_fill((labels == IGNORE).unsqueeze(-1), math.nan)
    loss = parametric_contrastive_loss(
        rows.requires_grad_(),
        labels,
        tensors['center_logits'],
        alpha=0.3,
        temperature=0.07,
        ignore_index=IGNORE,
        contrast_ignored=False,
        impl='triton',
    )
    loss.backward()
    assert loss.isfinite()
    assert rows.grad.isfinite().all()


def test_half_rows_and_float32_keys_are_multiplied_in_float32():
    tensors = TILED.tensors()
    rows = tensors['embeddings'].bfloat16()
    assert fused.product_dtype(rows, tensors['keys']) == torch.float32
    assert fused.product_dtype(rows, tensors['keys'][:0]) == torch.bfloat16
    assert fused.product_dtype(rows, tensors['keys'].half()) == torch.float32
    arguments = (tensors['labels'], tensors['center_logits'])
    keywords = dict(
        alpha=0.3,
        temperature=0.07,
        ignore_index=IGNORE,
        keys=tensors['keys'],
        key_labels=tensors['key_labels'],
    )
    loss = parametric_contrastive_loss(rows, *arguments, impl='triton', **keywords)
    wanted = parametric_contrastive_loss(rows, *arguments, impl='dense', **keywords)
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)


def test_few_rows_run_every_kernel(precision):
    """What is tried on a device before its first step."""
    _, dtype = precision
    fused._run_few_rows(torch.device('cpu'), dtype, fused.product_precision(dtype), 24)


def test_second_derivatives_are_refused():
    tensors = TILED.tensors()
    rows = tensors['embeddings'].requires_grad_()
    loss = parametric_contrastive_loss(
        rows,
        tensors['labels'],
        tensors['center_logits'],
        alpha=0.3,
        temperature=0.07,
        ignore_index=IGNORE,
        impl='triton',
    )
    with pytest.raises(RuntimeError, match="expected 'dense' for second derivatives"):
        torch.autograd.grad(loss, rows, create_graph=True)


def test_operator_contract():
    """What torch.compile and autograd rely on: schema, shapes without data, registration."""
    tensors = TILED.tensors()
    rows, logits, keys = (
        tensors[name].requires_grad_() for name in ('embeddings', 'center_logits', 'keys')
    )
    label = tensors['labels'].masked_fill(tensors['labels'] == IGNORE, TILED.classes).int()
    arguments = (rows, label, label, keys, tensors['key_labels'].int(), logits)
    torch.library.opcheck(
        fused._forward,
        (*arguments, [0.3, 1.0, 1.0, 0.07, 1.0, 0.1], 'bf16x3'),
        test_utils=('test_schema', 'test_autograd_registration', 'test_faketensor'),
    )


def test_compiles_without_a_graph_break():
    tensors = TILED.tensors()
    leaves = [
        tensors[name].clone().requires_grad_() for name in ('embeddings', 'center_logits', 'keys')
    ]

    def run(rows, logits, keys):
        return parametric_contrastive_loss(
            torch.nn.functional.normalize(rows, dim=-1),
            tensors['labels'],
            logits,
            alpha=0.3,
            temperature=0.2,
            ignore_index=IGNORE,
            keys=keys,
            key_labels=tensors['key_labels'],
            class_prior=tensors['class_prior'],
            impl='triton',
        )

    wanted = run(*leaves)
    wanted_grads = torch.autograd.grad(wanted, leaves)
    loss = torch.compile(run, backend='aot_eager', fullgraph=True)(*leaves)
    torch.testing.assert_close(loss, wanted)
    grads = torch.autograd.grad(loss, leaves)
    for actual, expected_grad in zip(grads, wanted_grads, strict=True):
        torch.testing.assert_close(actual, expected_grad)
