"""The systems of a suite, put on its demo config by the registry of the task.

A suite names a training system and the settings that suit the demo; here it becomes a config file
beside the results, as ``paco-seg compare CONFIG`` writes one for a config of the user.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from paco_seg.comparison.study import System

FOLDER = 'configs'  # in that of the suite


def write_configs(
    systems: Sequence[System], folder: Path, frequency_file: str | None = None
) -> list[System]:
    """Write the config of every system that is registered.

    Args:
        systems: of a suite.
        folder: of the suite; the files go below it.
        frequency_file: class frequencies of the training set, as the configs are to name it.

    Returns:
        The same systems with the written files for their configs.

    Raises:
        ValueError: there is no such system, or it cannot serve the config.
    """
    return [
        system if system.registered is None else _written(system, folder / FOLDER, frequency_file)
        for system in systems
    ]


def _written(system: System, folder: Path, frequency_file: str | None) -> System:
    # They load PyTorch and MM, which a list of suites does without.
    from paco_seg.comparison.candidates import Candidate
    from paco_seg.comparison.written_configs import SystemConfigs
    from paco_seg.engine.cli import PLUGINS, scope_of
    from paco_seg.engine.model_changes import read_config
    from paco_seg.engine.systems import Systems

    assert system.registered is not None
    scope = scope_of(read_config(system.config), system.config)
    known: Systems = import_module(f'{PLUGINS[scope]}.systems').SYSTEMS
    registered = known.resolve(system.registered)
    if not registered.needs.class_frequencies:
        frequency_file = None  # the settings say what the demo takes
    configs = SystemConfigs(folder, frequency_file, known['ce'])
    candidate = Candidate(dict(system.settings))
    path = configs.write_system(system.config, registered, candidate, system.name, system.overrides)
    return replace(system, config=str(path))
