"""Studies: the same kind of search and the same seeds for every system that is compared."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from paco_seg.comparison.cell import Cell
from paco_seg.comparison.collect import (
    collect_final,
    collect_test,
    collect_training,
    final_metric,
    training_progress,
)
from paco_seg.version import __version__

TEST_COST = 0.1  # of a test without a training, relative to a training


# (system, seed) -> its cell and result
Finals = dict[tuple[str | None, int], tuple[Cell, dict]]


class Runner(Protocol):
    """What a study needs of :class:`.runner.CellRunner`."""

    def run(self, cell: Cell) -> dict:
        """Return the result of a cell."""

    def run_all(self, cells: Sequence[Cell], *, workers: int) -> list[dict]:
        """Return the results of cells that do not need each other."""


@dataclass(frozen=True)
class System:
    """One way to train.

    Args:
        name: key in results and folder names: hyphenated lower-case words, those of its config.
        title: name in tables and pictures.
        config: config file, or packaged config as ``paco_seg::FOLDER/FILE``.
        search: config key -> values to try, in all combinations; none = no search.
        options: config options of all its trainings, ahead of the searched ones.
        search_options: config options of its search beside those of the comparison: what has to
            follow the length of the training, or for a system that does not train, what makes the
            test loader read the validation split.
        source: name of an earlier system whose final weights, of the same seed, this one loads.
        source_key: config key that takes these weights in training.
        trains: False tests the weights of ``source`` with this config, without a training.
        registered: training system of the task, or two as ``NAME+NAME``, that ``config`` becomes
            in a file beside the results (see :mod:`.suite_configs`); None trains it as it is.
        settings: of that training system, where they differ from its own.
        overrides: config options over those of the training system, part of the same file.
    """

    name: str
    title: str
    config: str
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    search_options: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    source_key: str = 'load_from'
    trains: bool = True
    registered: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def candidates(self) -> list[dict[str, Any]]:
        """Return all combinations of the searched settings; none without a search."""
        if not self.search:
            return []
        return [
            dict(zip(self.search, values, strict=True))
            for values in itertools.product(*self.search.values())
        ]


@dataclass(frozen=True)
class Study:
    """The same kind of search and the same seeds for every system.

    Each candidate trains once for the short ``search_options`` and is judged by ``metric`` on the
    validation loader of the config; the best trains for every seed as the config says and is
    evaluated by ``paco-seg test`` on the test loader, which has to be another split. A system that
    does not train tests each candidate on the weights that its source got from the first seed.

    Args:
        systems: what is compared.
        seeds: of the final trainings; the search uses the first.
        metric: name of the metric that chooses, larger is better.
        search_options: config options of a search training.
        search_cost: its expected duration relative to a final training.
        options: config options of every training, ahead of the searched ones.
        test_options: config options of the test; ``{dir}`` is the folder of the cell.
        data_files: files whose content identifies the data.
    """

    systems: Sequence[System]
    seeds: Sequence[int]
    metric: str
    search_options: Mapping[str, Any]
    search_cost: float
    options: Mapping[str, Any] = field(default_factory=dict)
    test_options: Mapping[str, Any] = field(default_factory=dict)
    data_files: Sequence[str] = ()

    @property
    def total_cost(self) -> float:
        """Sum of the costs of all cells."""
        cost = 0.0
        for system in self.systems:
            searched = self.search_cost if system.trains else TEST_COST
            final = 1.0 if system.trains else TEST_COST
            cost += len(system.candidates()) * searched + len(self.seeds) * final
        return cost

    def run(self, runner: Runner) -> list[dict]:
        """Run what is missing.

        Returns:
            per system: name, title, config, ``search`` (settings and value of each candidate),
            ``chosen`` settings and ``runs`` (one per seed: settings of :func:`collect_training`,
            ``test`` as ``paco-seg test --out`` writes it, ``commit`` of the code;
            ``train_seconds`` include the training of the source, ``peak_memory_mib`` is the larger
            of both).

        Raises:
            ValueError: a system needs the weights of another one that does not come before it.
        """
        check_sources(self.systems)
        found = []
        finals: Finals = {}
        for system in self.systems:
            search, chosen = self._search(runner, system, finals)
            found.append(
                dict(
                    name=system.name,
                    title=system.title,
                    config=system.config,
                    search=search,
                    chosen=chosen,
                    runs=[
                        self._final(runner, system, {**system.options, **chosen}, seed, finals)
                        for seed in self.seeds
                    ],
                )
            )
        return found

    def _search(
        self, runner: Runner, system: System, finals: Finals
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        source = finals.get((system.source, self.seeds[0]), (None, {}))[0]
        search: list[dict[str, Any]] = []
        for settings in system.candidates():
            result = runner.run(self.search_cell(system, settings, source))
            rows = result['validation'] if system.trains else [result['test']['metrics']]
            search.append(dict(settings=settings, value=final_metric(rows, self.metric)))
        # the first of equal candidates, whatever their order in a dict
        chosen = max(search, key=lambda entry: entry['value'])['settings'] if search else {}
        return search, chosen

    def _final(
        self,
        runner: Runner,
        system: System,
        settings: Mapping[str, Any],
        seed: int,
        finals: Finals,
    ) -> dict:
        source, before = finals.get((system.source, seed), (None, {}))
        cell = self.final_cell(system, settings, seed, source)
        result = dict(runner.run(cell))
        if source is not None:
            own = result.get('train_seconds', 0.0)
            both = [r.get('peak_memory_mib') for r in (before, result)]
            peak = max((value for value in both if value is not None), default=None)
            result = {
                **before,
                **result,
                'train_seconds': before['train_seconds'] + own,
                'peak_memory_mib': peak,
            }
        finals[system.name, seed] = cell, result
        return {**result, 'seed': seed, 'folder': cell.name}

    def search_cell(
        self, system: System, settings: Mapping[str, Any], source: Cell | None = None
    ) -> Cell:
        """Return the short training of one candidate; a test if the system does not train."""
        label = '_'.join(f'{key.rsplit(".", 1)[-1]}-{value}' for key, value in settings.items())
        name = f'{system.name}/search_{label}'
        if not system.trains:
            return self._test_cell(name, system, {**settings, **system.search_options}, source)
        options = {
            **self.options,
            **system.options,
            **self.search_options,
            **system.search_options,
            **settings,
            'randomness.seed': self.seeds[0],
            **starting_from(system, source),
        }
        return Cell(
            name=name,
            commands=(train_command(system.config, options),),
            inputs=self._inputs(system.config, options, source),
            collect=collect_training,
            cost=self.search_cost,
            progress=training_progress,
        )

    def final_cell(
        self, system: System, settings: Mapping[str, Any], seed: int, source: Cell | None = None
    ) -> Cell:
        """Return the full training with these settings, and its test."""
        name = f'{system.name}/seed_{seed}'
        if not system.trains:
            return self._test_cell(name, system, settings, source)
        options = {
            **self.options,
            **settings,
            'randomness.seed': seed,
            **starting_from(system, source),
        }
        test = test_command(system.config, '{dir}/final.pth', self.test_options)
        return Cell(
            name=name,
            commands=(train_command(system.config, options), test),
            inputs=self._inputs(system.config, options, source),
            collect=collect_final,
            progress=training_progress,
        )

    def _test_cell(
        self, name: str, system: System, options: Mapping[str, Any], source: Cell | None
    ) -> Cell:
        options = {**self.test_options, **options}
        assert source is not None  # see check_sources
        return Cell(
            name=name,
            commands=(test_command(system.config, source_weights(source), options),),
            inputs=self._inputs(system.config, options, source),
            collect=collect_test,
            cost=TEST_COST,
        )

    def _inputs(self, config: str, options: Mapping[str, Any], source: Cell | None) -> dict:
        data = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in self.data_files]
        inputs = dict(config=resolved_config(config, options), data=data, versions=versions())
        return inputs if source is None else {**inputs, 'source': source.fingerprint}


@dataclass(frozen=True)
class Sweep:
    """Runs of a program of its own, one per system and seed, without a search.

    The program is called as ``python -m CONFIG --KEY VALUE ... --seed SEED --out FILE`` with the
    ``options`` of the system and writes JSON with an entry ``metrics``.

    Args:
        systems: what is compared; ``config`` is the module.
        seeds: of the runs.
        workers: how many run at a time.
    """

    systems: Sequence[System]
    seeds: Sequence[int]
    workers: int = 1

    @property
    def total_cost(self) -> float:
        """Number of cells."""
        return float(len(self.systems) * len(self.seeds))

    def run(self, runner: Runner) -> list[dict]:
        """Run what is missing; returns what :meth:`Study.run` does, with ``test`` alone."""
        cells = [self.cell(system, seed) for system in self.systems for seed in self.seeds]
        results = iter(runner.run_all(cells, workers=self.workers))
        return [
            dict(
                name=system.name,
                title=system.title,
                config=system.config,
                search=[],
                chosen={},
                runs=[
                    {**next(results), 'seed': seed, 'folder': self.cell(system, seed).name}
                    for seed in self.seeds
                ],
            )
            for system in self.systems
        ]

    def cell(self, system: System, seed: int) -> Cell:
        """Return one run."""
        words = [word for key, value in system.options.items() for word in (f'--{key}', str(value))]
        command = (system.config, *words, '--seed', str(seed), '--out', '{dir}/test.json')
        name = f'{system.name}/seed_{seed}'
        return Cell(name, (command,), inputs=dict(versions=versions()), collect=collect_test)


def check_sources(systems: Sequence[System]) -> None:
    """Refuse a list in which a system comes ahead of the one whose weights it needs.

    Raises:
        ValueError: names the system.
    """
    seen: set[str | None] = {None}
    for system in systems:
        if system.source not in seen or (system.source is None and not system.trains):
            raise ValueError(
                f'{system.name}: expected the system {system.source!r} before it, got none. Put it '
                'into the list, ahead of this one'
            )
        seen.add(system.name)


def source_weights(source: Cell) -> str:
    """Return the final weights of another cell, seen from the folder of a cell."""
    return f'{{dir}}/../../{source.name}/final.pth'


def starting_from(system: System, source: Cell | None) -> dict[str, str]:
    """Return config options that load the weights of another cell."""
    return {} if source is None else {system.source_key: source_weights(source)}


def train_command(config: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the command line of a training in the cell; the last weights are ``final.pth``."""
    options = {
        **options,
        'default_hooks.checkpoint.filename_tmpl': 'final.pth',
        'default_hooks.checkpoint.save_optimizer': False,
        'default_hooks.checkpoint.save_param_scheduler': False,
    }
    return ('paco_seg', 'train', config, '--work-dir', '{dir}', *as_arguments(options))


def test_command(config: str, weights: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the command line of a test that writes ``test.json`` into the cell."""
    return (
        'paco_seg', 'test', config, weights, '--work-dir', '{dir}/test',
        '--out', '{dir}/test.json', *as_arguments(options),
    )  # fmt: skip


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """Return ``--cfg-options`` of a command."""
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())] * bool(options)


def resolved_config(path: str, options: Mapping[str, Any]) -> dict:
    """Return a config with all it inherits and the options, as plain data.

    Args:
        path: file, or packaged config as ``paco_seg::FOLDER/FILE``.
        options: config options.
    """
    from paco_seg import compat

    compat.setup()
    from mmengine.config import Config

    file = Config._get_cfg_path(path, '')[0] if '::' in path else path
    config = Config.fromfile(file, import_custom_modules=False)
    config.merge_from_dict(dict(options))
    return config.to_dict()


def versions() -> dict[str, str]:
    """Return the versions of the packages that decide a result."""
    from importlib.metadata import distributions

    wanted = re.compile(r'(torch|(onedl-)?mm(engine|cv|segmentation|pretrain)|mmsegmentation)')
    found = {
        name: dist.version
        for dist in distributions()
        if (name := (dist.metadata['Name'] or '').lower()) and wanted.fullmatch(name)
    }
    return {'paco_seg': __version__, **dict(sorted(found.items()))}
