"""The core on a device other than the CPU, without one."""

from __future__ import annotations

from pathlib import Path

from helpers.suites import run_suite


def test_core_on_a_pretended_gpu():
    """No tensor is forgotten on the CPU and no step waits for the device."""
    said = run_suite(Path(__file__).with_name('pretended_suite.py'))
    assert 'passed' in said
