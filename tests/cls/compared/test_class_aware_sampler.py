from __future__ import annotations

import numpy as np
import pytest
from mmpretrain.registry import DATA_SAMPLERS

pytestmark = pytest.mark.crt

LABELS = np.repeat(np.arange(4), (12, 5, 3, 1))


class Labelled:
    def get_gt_labels(self):
        return LABELS

    def __len__(self):
        return len(LABELS)


def build(dataset=None, **settings):
    settings = dict(seed=0) | settings
    return DATA_SAMPLERS.build(
        dict(type='ClassAwareSampler', dataset=dataset or Labelled(), **settings)
    )


def test_crt_epoch_draws_every_class_equally_in_visits():
    sampler = build(samples_per_visit=4, samples_per_epoch=12 * 4)
    indices = list(sampler)
    assert len(indices) == len(sampler) == 12 * 4
    labels = LABELS[indices].reshape(-1, 4)
    assert (labels == labels[:, :1]).all()  # one class per visit
    assert np.bincount(labels[:, 0]).tolist() == [3, 3, 3, 3]
    assert set(indices) == set(range(len(LABELS)))


def test_crt_epoch_has_as_many_samples_as_the_data():
    """The released training stops there, although the released sampler would go on to 12 * 4."""
    assert len(list(build())) == len(build()) == len(LABELS) == 21


def test_crt_order_depends_on_seed_and_epoch_alone():
    one, two = build(), build()
    first = list(one)
    assert list(two) == first
    two.set_epoch(1)
    assert list(two) != first
    one.set_epoch(1)
    assert list(one) == list(two)


def test_crt_ranks_share_an_epoch(monkeypatch):
    whole = list(build(samples_per_epoch=14))
    parts = []
    for rank in range(4):
        monkeypatch.setattr(
            'paco_seg.cls.compared.class_aware_sampler.get_dist_info', lambda rank=rank: (rank, 4)
        )
        parts.append(list(build(samples_per_epoch=14)))
    assert [len(part) for part in parts] == [4] * 4  # 14 rounded up to 16
    merged = [parts[i % 4][i // 4] for i in range(16)]
    assert merged[:14] == whole


def test_bad_settings_are_refused():
    with pytest.raises(ValueError, match=r'^train_dataloader\.sampler\.samples_per_visit: '):
        build(samples_per_visit=0)
    with pytest.raises(ValueError, match=r'samples_per_epoch: expected >= 1'):
        build(samples_per_epoch=0)
    for name in ('samples_per_visit', 'samples_per_epoch', 'seed'):
        with pytest.raises(TypeError, match=rf'sampler\.{name}: expected an integer, got 1\.5'):
            build(**{name: 1.5})
    with pytest.raises(TypeError, match=r'expected get_gt_labels\(\).*got object'):
        build(dataset=object())
