"""Hours and disk by hand."""

import json

import pytest

from paco_seg.comparison.budget import VALIDATIONS
from paco_seg.comparison.estimate import START_SECONDS, Estimate, Load, Trial, collect_trial

TRIAL = Trial(step=0.5, sample=0.1, weights=1000)


def estimate(*loads, share=0.2):
    return Estimate(TRIAL, loads, search_samples=10, test_samples=20, search_share=share)


def test_seconds_by_hand():
    found = estimate(Load(1.0, 4, 3), Load(2.0, 0, 3, trains=True), Load(1.3, 5, 3, trains=False))
    validations = VALIDATIONS * 10 * 0.1
    fixed = (
        4 * (1.0 + START_SECONDS)  # one validation, at the end
        + 6 * (validations + START_SECONDS + 2.0 + START_SECONDS)
        + 5 * (1.0 + START_SECONDS)
        + 3 * (2.0 + START_SECONDS)
    )
    assert found.fixed_seconds == pytest.approx(fixed)
    assert found.seconds_per_iteration == pytest.approx(0.5 * (4 * 0.2 + 3 + 2 * 3))
    assert found.seconds(100) == pytest.approx(fixed + 490)
    assert found.seconds(100, workers=2) == pytest.approx((fixed + 490) / 2)
    assert found.bytes == 7700  # six trainings and the one that runs
    assert found.bytes_beside(6) == 1100


def test_hours_and_iterations_agree():
    found = estimate(Load(1.0, 4, 3), Load(2.0, 4, 3))
    iters = found.iters_in(2.0, workers=2)
    assert found.seconds(iters, 2) <= 7200 < found.seconds(iters + 1, 2)


def test_hours_are_those_of_one_training_where_workers_have_nothing_to_do():
    found = estimate(Load(1.0, 0, 1), Load(2.0, 0, 3), Load(1.0, 1, 1, trains=False))
    iters = found.iters_in(2.0, workers=64)
    assert found.seconds(iters, 64) <= 7200 < found.seconds(iters + 1, 64)


def test_more_workers_than_cells_shorten_nothing():
    found = estimate(Load(2.0, 4, 3))
    one = 1.0 + START_SECONDS + 100 * 0.5 * 2 * 0.2  # a search
    one += VALIDATIONS * 1.0 + START_SECONDS + 100 * 0.5 * 2 + 2.0 + START_SECONDS
    assert found.seconds(100, workers=1) > found.seconds(100, workers=2) > one
    assert found.seconds(100, workers=16) == pytest.approx(one)


def test_too_few_hours_are_refused():
    with pytest.raises(ValueError, match=r'--hours: expected at least .* got 0.001'):
        estimate(Load(1.0, 4, 3)).iters_in(0.001)


def test_collects_the_median_of_the_steps_after_the_warm_up(tmp_path):
    log = tmp_path / '1' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True)
    rows = [dict(loss=1.0, time=t, step=i) for i, t in enumerate((9, 8, 1, 2, 3), 1)]
    log.write_text('\n'.join(map(json.dumps, [*rows, dict(mIoU=1.0, time=0.25, step=5)])))
    (tmp_path / 'final.pth').write_bytes(b'12345')
    (tmp_path / 'command-0.json').write_text('{"peak_memory_mib": 7}')
    assert collect_trial(tmp_path) == dict(step=2, batch=0.25, weights=5, peak_memory_mib=7)
    assert not (tmp_path / 'final.pth').exists()
