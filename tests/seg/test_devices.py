"""Every decode head on a device other than the CPU, without one."""

from __future__ import annotations

from pathlib import Path

from helpers.suites import run_suite


def test_on_a_pretended_gpu():
    """No tensor is forgotten on the CPU, and the host waits as often as the documentation says."""
    said = run_suite(Path(__file__).with_name('pretended_suite.py'))
    assert 'passed' in said
