"""The one command for a GPU: what it says without one, and its sections on a CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import load_script

SCRIPT = Path(__file__).parents[2] / 'benchmarks' / 'gpu.py'


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return load_script(SCRIPT)


def test_one_clear_line_where_there_is_none():
    environment = {'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(SCRIPT.parents[1])}
    result = subprocess.run(
        [sys.executable, SCRIPT], capture_output=True, text=True, env=environment
    )
    assert result.returncode == 2
    assert result.stdout == ''
    lines = [line for line in result.stderr.splitlines() if 'Warning' not in line]
    assert len(lines) == 1
    assert lines[0].startswith('benchmarks/gpu.py: expected a CUDA device, got none.')


def test_needs_no_mm_package():
    """Torch and Triton are enough: what needs more imports it where it does."""
    script = f"""
import sys
import torch
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('mmengine', 'mmcv', 'mmseg', 'mmpretrain'):
            raise ImportError(name + ' is blocked')
sys.meta_path.insert(0, Refuse())
sys.path.insert(0, {str(SCRIPT.parent)!r})
import gpu
"""
    subprocess.run(
        [sys.executable, '-c', script],
        check=True,
        env={'PYTHONPATH': str(SCRIPT.parents[1])},
    )


def test_every_section_runs(gpu, tmp_path):
    """On a CPU, with what runs there; the same code measures on a GPU."""
    out = tmp_path / 'gpu.json'
    sizes = dict(
        speed=[(2, 40, 0), (1, 40, 20), (1, 60, 0)],
        crossover=[(1, 20, 0)],
        small=(2, 30, 10),
        anchors=60,
    )
    results = gpu.run('cpu', gpu.Clock(100.0), out, sizes)
    assert results['not_run'] == {}
    assert json.loads(out.read_text()) == json.loads(json.dumps(results))
    assert all(found['within'] for found in results['errors'].values())
    assert set(results['repeatable'].values()) == {True}
    assert set(results['synchronisations'].values()) == {'none'}
    assert len(results['speed']) == 5 + 4  # the released loss takes no keys
    report = gpu.report(results)
    assert 'not measured: fused bf16x3, 4 x 8192: times faster than published' in report
    assert torch.get_float32_matmul_precision() == 'highest'


def test_no_time_left_is_said(gpu, tmp_path):
    results = gpu.run('cpu', gpu.Clock(-1.0), tmp_path / 'gpu.json')
    assert set(results['not_run'].values()) == {'no time left'}
    assert 'not run: errors: no time left' in gpu.report(results)


def test_a_section_that_has_not_run_keeps_what_it_was(gpu, tmp_path):
    out, sizes = tmp_path / 'gpu.json', dict(small=(1, 20, 5))
    before = gpu.run('cpu', gpu.Clock(100.0), out, sizes, ['repeatable'])
    after = gpu.run('cpu', gpu.Clock(100.0), out, sizes, ['synchronisations'])
    assert after['repeatable'] == before['repeatable']
    assert set(after['dates']) == {'repeatable', 'synchronisations'}
    # of another card nothing is kept
    out.write_text(json.dumps(after | {'environment': after['environment'] | {'device': 'A100'}}))
    after = gpu.run('cpu', gpu.Clock(100.0), out, sizes, ['synchronisations'])
    assert 'repeatable' not in after
    assert set(after['dates']) == {'synchronisations'}


def test_a_section_that_fails_stops_no_other(gpu, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError('no such kernel')

    monkeypatch.setattr(gpu, 'errors', fail)
    monkeypatch.setattr(gpu, 'speed', lambda *_: [])
    results = gpu.run('cpu', gpu.Clock(100.0), tmp_path / 'gpu.json', dict(small=(1, 20, 5)))
    assert results['not_run'] == {'errors': "RuntimeError: ['no such kernel']"}
    assert 'repeatable' in results


def test_targets_are_judged(gpu):
    def record(method, size, milliseconds):
        return dict(method=method, size=list(size), both=dict(median_ms=milliseconds))

    results = dict(
        speed=[
            record('published', gpu.SPEED[0], 21.0),
            record('fused bf16x3', gpu.SPEED[0], 2.0),
            record('fused float16', gpu.SPEED[0], 2.0),
            record('fused float16', gpu.LARGEST, 90.0),
        ]
    )
    met = {target['name']: target['met'] for target in gpu.targets(results)}
    assert met['fused bf16x3, 4 x 8192: times faster than published'] is True
    assert met['fused float16, 4 x 8192: times faster than published'] is False
    assert met['fused bfloat16, 4 x 8192: times faster than published'] is None
    assert met['fused float16, N = 131072: ms'] is True
