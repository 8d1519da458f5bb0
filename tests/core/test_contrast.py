"""The one place that chooses the implementation, whoever asks for sums."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from paco_seg.core import contrast
from paco_seg.core.compared.supcon import supcon_loss
from paco_seg.core.contrast import ContrastRows, choose_impl, contrast_sums
from paco_seg.core.paco import parametric_contrastive_loss


def rows(masked=True):
    rng = torch.Generator().manual_seed(0)
    embeddings = F.normalize(torch.randn(2, 9, 4, generator=rng, dtype=torch.float64), dim=-1)
    keys = F.normalize(torch.randn(5, 4, generator=rng, dtype=torch.float64), dim=-1)
    return ContrastRows(
        embeddings,
        torch.randint(0, 4, (2, 9), generator=rng),  # 3 = nobody's positive
        torch.rand(2, 9, generator=rng) < 0.7 if masked else None,
        keys,
        torch.randint(0, 4, (5,), generator=rng),
        torch.rand(5, generator=rng) < 0.7 if masked else None,
        num_classes=3,
    )


def looped(rows, temperature):
    """Yield row by row what the docstring of ContrastSums says."""
    sets, anchors, _ = rows.embeddings.shape
    for g in range(sets):
        for i in range(anchors):
            terms, positives = [], []
            for j in range(anchors + len(rows.keys)):
                own = j < anchors
                z, index, mask = (
                    (rows.embeddings[g, j], rows.class_index[g, j], rows.contrasted)
                    if own
                    else (rows.keys[j - anchors], rows.key_index[j - anchors], rows.key_contrasted)
                )
                if j == i or not (mask is None or (mask[g, j] if own else mask[j - anchors])):
                    continue
                s = float(rows.embeddings[g, i] @ z) / temperature
                terms.append(math.exp(s))
                if index == rows.class_index[g, i]:
                    positives.append(s)
            yield g, i, math.log(sum(terms)), sum(positives), len(positives)


class TestContrastSums:
    @pytest.mark.parametrize('impl', ['dense', 'streaming', 'auto'])
    @pytest.mark.parametrize('masked', [True, False])
    def test_against_loops(self, impl, masked):
        given = rows(masked)
        sums = contrast_sums(given, 0.5, impl=impl, chunk_size=4)
        for g, i, log_sum_exp, positive_sum, count in looped(given, 0.5):
            assert sums.log_sum_exp[g, i].item() == pytest.approx(log_sum_exp, abs=1e-12)
            if given.class_index[g, i] != given.num_classes:
                assert sums.positive_sum[g, i].item() == pytest.approx(positive_sum, abs=1e-12)
                assert sums.positive_count[g, i].item() == count

    @pytest.mark.parametrize('impl', ['dense', 'streaming'])
    def test_positives_do_not_need_the_log_sum_exp(self, impl):
        wanted = contrast_sums(rows(), 0.5, impl=impl)
        actual = contrast_sums(rows(), 0.5, impl=impl, need_lse=False)
        assert torch.equal(actual.positive_sum, wanted.positive_sum)
        assert torch.equal(actual.positive_count, wanted.positive_count)

    @pytest.mark.parametrize('impl', ['dense', 'streaming'])
    def test_every_loss_comes_here(self, impl, monkeypatch):
        called = []
        for name in ('dense', 'streaming'):
            attribute = f'{name}_contrast_sums'
            original = getattr(contrast, attribute)
            monkeypatch.setattr(
                contrast,
                attribute,
                lambda *args, _name=name, _original=original, **options: (
                    called.append(_name) or _original(*args, **options)
                ),
            )
        z, y = rows().embeddings[0], torch.arange(9) % 3
        supcon_loss(z, y, temperature=0.5, impl=impl)
        parametric_contrastive_loss(z, y, torch.zeros(9, 3), alpha=0.1, temperature=0.5, impl=impl)
        assert called == [impl, impl]


class TestChooseImpl:
    def test_explicit_choice_is_kept(self):
        assert choose_impl('dense', 1, 10**6, 0) == 'dense'
        assert choose_impl('streaming', 1, 2, 0) == 'streaming'

    def test_auto_depends_on_the_size_of_the_matrix(self):
        assert choose_impl('auto', 1, 8, 0) == 'dense'
        assert choose_impl('auto', 1, 8192, 0) == 'streaming'
        assert choose_impl('auto', 1, 256, 10**6) == 'streaming'
        assert choose_impl('auto', 64, 256, 0) == 'streaming'
