"""The configs of a comparison: short files beside the results, each inheriting the user's.

``base.py`` states what all systems share: data parts, length and evaluation. ``search.py`` inherits
it and is shorter. A system adds its own changes to one of them. Any of these files trains by itself
with ``paco-seg train``. The systems of a suite inherit the demo config itself.
"""

from __future__ import annotations

import copy
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from paco_seg.comparison.budget import VALIDATIONS, length_changes
from paco_seg.comparison.candidates import Candidate
from paco_seg.comparison.data_parts import TEST, VAL, DataParts
from paco_seg.comparison.own_system import changes_on
from paco_seg.comparison.training_sets import plain
from paco_seg.engine.model_changes import (
    Inherited,
    ModelChange,
    apply_changes,
    build_without_memory,
    merged_changes,
    read_config,
    render_config,
    replace_part,
    type_name,
)
from paco_seg.engine.systems import SystemInputs, TrainingSystem
from paco_seg.files import write_text

METRIC = 'paco_seg.engine.class_confusion'
TRIAL_SAMPLES = 8  # of the validation, in a trial
RATE = ('optimizer', 'lr')


@dataclass(frozen=True)
class SystemConfigs:
    """Writes the configs of systems, each inheriting one that they share.

    Args:
        folder: for the files.
        frequency_file: class frequencies of what is trained on, as the configs are to name it;
            None for systems that do without.
        baseline: system that takes out what a published recipe adds.
    """

    folder: Path
    frequency_file: str | None
    baseline: TrainingSystem

    def write_system(
        self,
        base: Path | str,
        system: TrainingSystem,
        candidate: Candidate,
        name: str,
        overrides: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write the config of a system.

        Args:
            base: what it inherits, written before, or a packaged config.
            system: what it becomes.
            candidate: its settings.
            name: of the file below the folder, without suffix.
            overrides: settings over those of the system, by dotted key.

        Raises:
            ValueError: the system cannot serve the config.
        """
        cfg = read_config(base)
        changes = [
            *self._system_changes(cfg, system, candidate),
            *option_changes(overrides or {}, cfg),
        ]
        inherited = inherited_name(str(base), (self.folder / name).parent)
        return self._write(name, inherited, cfg, changes, system.imports, system.hooks)

    def _system_changes(
        self, cfg: Config, system: TrainingSystem, candidate: Candidate
    ) -> list[ModelChange]:
        inputs = SystemInputs(frequency_file=self.frequency_file)
        changes = changes_on(cfg, system, self.baseline, candidate.settings, inputs)
        if candidate.rate == 1.0:
            return changes
        rate = _rate(apply_changes(cfg, changes, ()))
        assert rate is not None  # candidates_of was told
        value = float(f'{candidate.rate * rate:.6g}')
        change = ModelChange((), dict(optimizer=dict(lr=value)), 'optim_wrapper')
        return merged_changes([*changes, change])

    def _write(
        self,
        name: str,
        base: str,
        cfg: Config,
        changes: Sequence[ModelChange],
        imports: Sequence[str] = (),
        hooks: Sequence[str] = (),
    ) -> Path:
        path = self.folder / f'{name}.py'
        text = render_config(base, cfg, merged_changes(changes), imports, hooks)
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            write_text(path, text)
        return path


@dataclass(frozen=True)
class WrittenConfigs(SystemConfigs):
    """Writes all configs of a comparison on a user's config.

    Args:
        folder: as of :class:`SystemConfigs`, like ``frequency_file`` and ``baseline``.
        source: the config of the user, a file or ``package::config``.
        cfg: the same, parsed.
        parts: data of the comparison.
        measure: ``'IoU'`` or ``'accuracy'``.
        rare: classes of which the test keeps samples.
        per_epoch: iterations of an epoch.
        full: iterations of the config's own schedule.
        options: settings over those of ``source``, by dotted key; ``cfg`` has them.
        validations: of a final training. A search validates once, at its end.
    """

    source: str
    cfg: Config
    parts: DataParts
    measure: str
    rare: Sequence[int]
    per_epoch: int
    full: int
    options: Mapping[str, Any] = field(default_factory=dict)
    validations: int = VALIDATIONS

    def write_base(self, iters: int, name: str = 'base') -> Path:
        """Write what all systems share, for trainings of so many iterations."""
        evaluator = dict(
            type='mmengine.ClassConfusion',
            num_classes=len(self.parts.classes),
            measure=self.measure,
            ignore_index=self.parts.ignore_index,
        )
        changes = [
            *option_changes(self.options, self.cfg),
            *self.parts.changes,
            replace_part(self.cfg, 'val_evaluator', evaluator),
            replace_part(self.cfg, 'test_evaluator', dict(evaluator, rare=list(self.rare))),
            replace_part(self.cfg, 'val_cfg', dict(type='ValLoop')),
            replace_part(self.cfg, 'test_cfg', dict(type='TestLoop')),
            *length_changes(
                self.cfg,
                iters,
                per_epoch=self.per_epoch,
                full=self.full,
                validations=self.validations,
            ),
            # Another folder would be one for all systems, a resumed training that of none.
            ModelChange((), dict(work_dir=None), ''),
            *new_start_changes(self.cfg),
            *local_log_changes(self.cfg),
        ]
        inherited = inherited_name(self.source, self.folder)
        return self._write(name, inherited, self.cfg, changes, [METRIC])

    def write_search(self, base: Path, iters: int) -> Path:
        """Write a shorter ``base``, whose test reads the data that choose as well."""
        cfg = read_config(base)
        changes = [
            *length_changes(cfg, iters, validations=1),
            replace_part(cfg, TEST, cfg[VAL].to_dict()),
        ]
        return self._write('search', base.name, cfg, changes)

    def write_trial(self, iters: int) -> Path:
        """Write a training of some iterations and the validation of some samples, to be timed."""
        base = self.write_base(iters, 'trial-base')
        cfg = read_config(base)
        dataset = cfg[VAL].dataset
        changes = [
            ModelChange((), dict(val_interval=iters), 'train_cfg'),
            ModelChange((), dict(logger=dict(interval=1)), 'default_hooks'),
            ModelChange((), dict(window_size=1), 'log_processor'),
        ]
        if 'dataset' not in dataset and 'datasets' not in dataset:
            given = dataset.get('indices')
            few = given[:TRIAL_SAMPLES] if isinstance(given, list) else TRIAL_SAMPLES
            changes.append(ModelChange(('dataset',), dict(indices=few), VAL))
        return self._write('trial', base.name, cfg, changes)

    def check(self, base: Path, system: TrainingSystem) -> None:
        """Build the model of a system, without memory.

        Raises:
            Exception: whatever the system, or the model, says against it.
        """
        path = self.write_system(base, system, Candidate(), f'checked/{system.name}')
        try:
            with warnings.catch_warnings():
                # Of MM about itself, once per system.
                warnings.simplefilter('ignore')
                logging.disable(logging.WARNING)
                build_without_memory(Config.fromfile(path))
        except RuntimeError as error:
            # A model that reads values while it is built has none without memory.
            if 'meta' not in str(error):
                raise
        finally:
            logging.disable(logging.NOTSET)
            path.unlink()

    def rate(self, base: Path) -> float | None:
        """Return the learning rate of the config; None where there is not a single one."""
        return _rate(read_config(base))


def inherited_name(source: str, folder: Path) -> str:
    """Return what a config in a folder inherits: a packaged config, or a file seen from there."""
    if '::' in source:
        return source
    return Path(os.path.relpath(Path(source).resolve(), folder.resolve())).as_posix()


def new_start_changes(cfg: Config) -> list[ModelChange]:
    """Return the change after which a config that resumes a training starts a new one.

    ``train --resume`` leaves such a config beside its checkpoints, whose weights are its own.
    """
    return [ModelChange((), dict(resume=False, load_from=None), '')] if cfg.get('resume') else []


def local_log_changes(cfg: Config) -> list[ModelChange]:
    """Return the changes after which a training keeps a local log in its own folder.

    What becomes of it is read from there; what else the config logs to stays.
    """
    visualizer = cfg.get('visualizer')
    if not visualizer:  # MMEngine makes one with a local log
        return []
    backends = list(visualizer.get('vis_backends') or [])
    is_local = any(type_name(b).endswith('LocalVisBackend') for b in backends)
    if is_local and 'save_dir' not in visualizer:
        return []
    settings = {key: plain(value) for key, value in visualizer.items() if key != 'save_dir'}
    local = [] if is_local else [dict(type='LocalVisBackend')]
    settings['vis_backends'] = [*local, *map(plain, backends)]
    return [replace_part(cfg, 'visualizer', settings)]


def option_changes(options: Mapping[str, Any], cfg: Config) -> list[ModelChange]:
    """Return the changes that options make.

    Args:
        options: settings by dotted key as on the command line.
        cfg: the config that they change; it may have them already.

    Returns:
        Changes of named parts. An option that reaches into a list states the whole list: a change
        of one element would be lost beside another change of what the list is a part of.
    """
    if not options:
        return []
    changes = []
    changed = copy.deepcopy(cfg)
    changed.merge_from_dict(dict(options))
    for key, value in options.items():
        path = key.split('.')
        first = next((n for n, step in enumerate(path) if step.isdigit()), None)
        if first is not None:
            path = path[:first]
            value = plain(Inherited(tuple(path)).of(changed))
        *above, last = path
        root, steps = (above[0], tuple(above[1:])) if above else ('', ())
        changes.append(ModelChange(steps, {last: value}, root))
    return changes


def _rate(cfg: Config) -> float | None:
    value: Any = cfg.get('optim_wrapper') or {}
    for key in RATE:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, (int, float)) else None
