"""Numbers about a contrast against loops in float64."""

import math

import numpy as np
import pytest
import torch

from paco_seg.core import diagnostics


def reference_counts(labels, classes, ignore, contrast_ignored, keys):
    """Positives and negatives of every anchor, pair by pair."""
    found = []
    for own in labels.tolist():
        row = []
        for i, label in enumerate(own):
            others = [other for j, other in enumerate(own) if j != i]
            others += [key for key in keys.tolist() if key != -1]
            if not contrast_ignored:
                others = [other for other in others if other != ignore]
            row.append((sum(o == label for o in others), sum(o != label for o in others)))
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize('contrast_ignored', [True, False])
@pytest.mark.parametrize('ignore', [255, -100])
def test_counts_of_pairs(contrast_ignored, ignore):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(-1, 4, (3, 17), generator=generator)
    labels[labels == -1] = ignore
    keys = torch.randint(-1, 4, (11,), generator=generator)
    keys[:2] = ignore
    counts = diagnostics.pair_counts(
        labels, 4, ignore_index=ignore, contrast_ignored=contrast_ignored, key_labels=keys
    )
    expected = reference_counts(labels, 4, ignore, contrast_ignored, keys)
    valid = (labels != ignore).numpy()
    found = torch.stack(counts, dim=-1).numpy()
    np.testing.assert_array_equal(found[valid], expected[valid])


def test_cosines_and_geometry_of_centers(monkeypatch):
    monkeypatch.setattr(diagnostics, '_ROWS', 3)  # several parts, the last one shorter
    generator = torch.Generator().manual_seed(1)
    features, centers = (torch.randn(number, 5, generator=generator) * 7 for number in (13, 7))
    labels = torch.randint(0, 7, (13,), generator=generator)
    own, nearest = diagnostics.center_cosines(features, labels, centers)
    rows, columns = features.double().numpy(), centers.double().numpy()

    def cosine(a, b):
        return a @ b / math.sqrt(a @ a) / math.sqrt(b @ b)

    for i, label in enumerate(labels.tolist()):
        assert own[i].item() == pytest.approx(cosine(rows[i], columns[label]), abs=1e-6)
        others = [cosine(rows[i], columns[c]) for c in range(7) if c != label]
        assert nearest[i].item() == pytest.approx(max(others), abs=1e-6)

    pairs = [cosine(columns[a], columns[b]) for a in range(7) for b in range(7) if a != b]
    found = diagnostics.center_geometry(centers)
    assert found.mean.item() == pytest.approx(np.mean(pairs), abs=1e-6)
    assert found.spread.item() == pytest.approx(np.std(pairs), abs=1e-6)
    assert found.simplex == pytest.approx(-1 / 6)


def test_a_simplex_is_one():
    simplex = torch.eye(6, dtype=torch.float64) - 1 / 6
    found = diagnostics.center_geometry(5 * simplex)
    assert found.mean.item() == pytest.approx(found.simplex)
    assert found.spread.item() == pytest.approx(0, abs=1e-12)


def test_means_by_group():
    labels = torch.tensor([0, 0, 1, 2, 255, -1, 3])
    values = torch.tensor([1.0, 2, 3, 4, float('nan'), float('inf'), 8])
    sums = diagnostics.class_sums([values, 10 * values], labels, 5)
    groups = {'head': [0, 1], 'common': [4], 'tail': [2, 3]}
    found = diagnostics.group_means(sums, groups)
    assert found[''] == (pytest.approx([18 / 5, 36]), 1)
    assert found['head'] == (pytest.approx([2, 20]), pytest.approx(3 / 5))
    assert found['tail'] == (pytest.approx([6, 60]), pytest.approx(2 / 5))
    assert np.isnan(found['common'][0]).all()
    assert found['common'][1] == 0
