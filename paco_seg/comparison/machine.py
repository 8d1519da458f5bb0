"""The machine that a comparison ran on, as data and as a sentence."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def machine() -> dict[str, Any]:
    """Return processor, number of cores and operating system."""
    return dict(processor=processor(), cores=os.cpu_count(), system=platform.system())


def processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
        return next(line.split(':', 1)[1].strip() for line in lines if 'model name' in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine_text(results: Mapping[str, Any], commits: Collection[str]) -> str:
    """Return the machine and the versions, and the states of the code if several.

    Args:
        results: with ``machine``, of :func:`machine`, and ``versions``.
        commits: of the runs.
    """
    found = results['machine']
    packages = ', '.join(f'{name} {version}' for name, version in results['versions'].items())
    text = f'{found["processor"]}, {found["cores"]} cores, with {packages}.'
    if len(commits) > 1:
        text += f' The runs come from several states of the code: {", ".join(sorted(commits))}.'
    return text + elsewhere_text(results)


def elsewhere_text(costs: Mapping[str, Any]) -> str:
    """Return a sentence for each other machine, with what it measured; nothing without any.

    Args:
        costs: of a comparison, see :mod:`paco_seg.comparison.merging`.
    """
    return ''.join(
        f' On another machine ({entry["machine"]["processor"]}, {entry["machine"]["cores"]} '
        f'cores, torch {entry["versions"]["torch"]}; the baseline came out at '
        f'{entry["baseline"]:.1f} there, which these are compared with): '
        f'{", ".join(entry["systems"])}.'
        for entry in costs.get('elsewhere', ())
    )
