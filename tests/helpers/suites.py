"""Test files that need a process of their own, because they change it for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run_suite(path: Path, *options: str, **environment: str) -> str:
    """Run a file of tests in a fresh process and return what it said; none may be skipped."""
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'pytest',
            '-q',
            '-x',
            '-s',
            '-p',
            'no:cacheprovider',
            *options,
            path,
        ],
        env=os.environ | {'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'} | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert 'skipped' not in result.stdout
    return result.stdout
