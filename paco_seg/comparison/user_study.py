"""The study of a user's config: the same search, budget and seeds for every system.

A failure takes its cell out, and what needs it, and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from paco_seg.comparison.candidates import (
    Candidate,
    at_other_rates,
    candidates_of,
    number_of_candidates,
)
from paco_seg.comparison.cell import Cell
from paco_seg.comparison.collect import (
    collect_final,
    collect_test,
    collect_training,
    training_progress,
)
from paco_seg.comparison.runner import CellRunner, replaced_folder
from paco_seg.comparison.study import (
    TEST_COST,
    resolved_config,
    source_weights,
    test_command,
    train_command,
    versions,
)
from paco_seg.comparison.written_configs import WrittenConfigs
from paco_seg.engine.class_confusion import CONFUSION
from paco_seg.engine.systems import TrainingSystem

# What a search has tried, and the value of each; None for a failed one.
Tried = list[tuple[Candidate, float | None]]

TESTED = 'tested'  # folder in a cell: confusion matrix and samples of the test


@dataclass
class SystemResult:
    """What became of a system.

    Args:
        system: it.
        search: tried settings.
        chosen: of them; None if all failed.
        runs: seed -> result of the cell.
        folders: seed -> folder of the cell, relative.
    """

    system: TrainingSystem
    search: Tried = field(default_factory=list)
    chosen: Candidate | None = None
    runs: dict[int, dict] = field(default_factory=dict)
    folders: dict[int, str] = field(default_factory=dict)


class Finished(NamedTuple):
    """How far a study has come.

    Args:
        done: number of finished cells.
        total: number of all cells.
        cost: sum of the costs of the finished ones.
        trained: finished final trainings, whose weights are there.
        repeated: a line for each finished cell that would be repeated, with the reason.
    """

    done: int
    total: int
    cost: float
    trained: int
    repeated: list[str]


@dataclass
class UserStudy:
    """Systems on one config.

    Args:
        systems: the baseline first; a system comes after the one that it starts from.
        seeds: of the final trainings; the search uses the first.
        metric: that chooses, larger is better.
        configs: writes the configs of the systems.
        base: config that the final trainings inherit.
        search: config that the search inherits; None searches nothing.
        search_share: length of a search training relative to a final one.
        has_rate: whether the config has one learning rate.
        data: hash of the data.
        workers: how many cells run at a time.
    """

    systems: Sequence[TrainingSystem]
    seeds: Sequence[int]
    metric: str
    configs: WrittenConfigs
    base: Path
    search: Path | None
    search_share: float
    has_rate: bool
    data: str
    workers: int = 1
    failed: list[tuple[str, str]] = field(default_factory=list)  # cell, reason
    _cells: dict[tuple[str, int], Cell] = field(default_factory=dict)

    def number_of_candidates(self, system: TrainingSystem) -> int:
        """Return how many are searched for a system; 0 where there is nothing to choose."""
        if self.search is None:
            return 0
        return number_of_candidates(system, has_rate=self.has_rate)

    def _next_candidates(self, system: TrainingSystem, tried: Tried) -> list[Candidate]:
        """Return what is to be searched after what was tried; nothing when the search is over."""
        if not self.number_of_candidates(system):
            return []
        if not tried:
            return candidates_of(system, has_rate=self.has_rate)
        rates_are_open = system.trains and self.has_rate and all(c.rate == 1.0 for c, _ in tried)
        # Where none has ended well another rate may.
        return at_other_rates(best(tried) or tried[0][0]) if rates_are_open else []

    @property
    def total_cost(self) -> float:
        """Sum of the costs of all cells."""
        cost = 0.0
        for system in self.systems:
            number = self.number_of_candidates(system)
            searched = cost_of(system) * self.search_share if system.trains else TEST_COST
            final = cost_of(system) if system.trains else TEST_COST
            cost += number * searched + len(self.seeds) * final
        return cost

    def run(self, runner: CellRunner) -> list[SystemResult]:
        """Run what is missing; ``failed`` names what could not be run and why."""
        results = {system.name: SystemResult(system) for system in self.systems}
        waiting = list(self.systems)
        self.failed.clear()
        self._cells.clear()  # of finished(), which knows earlier searches
        while waiting:
            # Those whose source is done, or that need none, side by side.
            ahead = {system.name for system in waiting}
            ready = [system for system in waiting if system.source not in ahead]
            waiting = [system for system in waiting if system.source in ahead]
            if not ready:
                raise ValueError(
                    f'--systems: expected systems that start from earlier ones, got a circle of '
                    f'{", ".join(sorted(ahead))}. Correct their sources'
                )
            self._search(runner, [results[system.name] for system in ready])
            self._finals(runner, [results[system.name] for system in ready])
        return list(results.values())

    def finished(self, root: Path) -> Finished:
        """Return how far the study has come, without running any of it.

        What a search has not chosen yet counts as not done.
        """
        done = total = trained = 0
        cost = 0.0
        repeated: list[str] = []

        def result_of(cell: Cell | None) -> dict | None:
            nonlocal done, cost
            if cell is None:
                return None
            # What was replaced before is taken back.
            folders = root / cell.name, replaced_folder(root, cell, cell.fingerprint)
            found = [result for f in folders if (result := cell.finished_result(f)) is not None]
            if found:
                done += 1
                cost += cell.cost
                return found[0]
            changed = cell.what_changed(root / cell.name)
            if changed is not None:
                repeated.append(f'{cell.name} would be repeated, since {changed}')
            return None

        for system in self.systems:
            total += self.number_of_candidates(system) + len(self.seeds)
            search: Tried = []
            while candidates := self._next_candidates(system, search):
                found = [result_of(self._search_cell(system, each)) for each in candidates]
                values = [None if each is None else self._value(system, each) for each in found]
                search += zip(candidates, values, strict=True)
                if not any(found):
                    break  # no configs for rates of a setting that nothing has chosen yet
            chosen = best(search) if search else Candidate()
            if chosen is None:
                continue
            for seed in self.seeds:
                result = result_of(self._final_cell(system, chosen, seed))
                trained += system.trains and result is not None
        return Finished(done, total, cost, trained, repeated)

    def _search(self, runner: CellRunner, results: Sequence[SystemResult]) -> None:
        while steps := [
            (result, candidate)
            for result in results
            for candidate in self._next_candidates(result.system, result.search)
        ]:
            self._try(runner, steps)
        for result in results:
            result.chosen = best(result.search) if result.search else Candidate()

    def _try(self, runner: CellRunner, steps: Sequence[tuple[SystemResult, Candidate]]) -> None:
        """Search some candidates side by side."""
        tasks, cells = [], []
        for result, candidate in steps:
            cell = self._search_cell(result.system, candidate)
            if cell is None:
                result.search.append((candidate, None))
                continue
            tasks.append((result, candidate))
            cells.append(cell)
        for (result, candidate), cell, found in zip(
            tasks, cells, runner.run_each(cells, workers=self.workers), strict=True
        ):
            value = None
            if isinstance(found, Exception):
                self.failed.append((cell.name, first_and_last_line(found)))
            else:
                value = self._value(result.system, found)
            result.search.append((candidate, value))

    def _finals(self, runner: CellRunner, results: Sequence[SystemResult]) -> None:
        tasks, cells = [], []
        for result in results:
            if result.chosen is None:
                system = result.system
                reason = 'no search training of it ended well'
                if system.source and (system.source, self.seeds[0]) not in self._cells:
                    reason = f'it starts from {system.source}, see there'
                self.failed.append((system.name, reason))
                continue
            for seed in self.seeds:
                cell = self._final_cell(result.system, result.chosen, seed)
                if cell is None:
                    name = f'{result.system.name}/seed_{seed}'
                    self.failed.append((name, f'it starts from {result.system.source}, see there'))
                    continue
                tasks.append((result, seed))
                cells.append(cell)
        for (result, seed), cell, found in zip(
            tasks, cells, runner.run_each(cells, workers=self.workers), strict=True
        ):
            if isinstance(found, Exception):
                self.failed.append((cell.name, first_and_last_line(found)))
                self._cells.pop((result.system.name, seed), None)
                continue
            result.runs[seed] = found
            result.folders[seed] = cell.name

    def _value(self, system: TrainingSystem, result: Mapping[str, Any]) -> float | None:
        """Return the metric of a search; None if it is no number."""
        rows = result['validation'] if system.trains else [result['test']['metrics']]
        value = rows[-1].get(self.metric) if rows else None
        return float(value) if isinstance(value, (int, float)) and value == value else None

    def _search_cell(self, system: TrainingSystem, candidate: Candidate) -> Cell | None:
        assert self.search is not None
        path = self.configs.write_system(
            self.search, system, candidate, f'search/{system.name}_{candidate.label}'
        )
        name = f'{system.name}/search_{candidate.label}'
        if not system.trains:
            return self._test_cell(system, name, path, self.seeds[0])
        options, inputs = self._from_source(system, self.seeds[0])
        if options is None:
            return None
        options = {**options, 'randomness.seed': self.seeds[0]}
        return Cell(
            name=name,
            commands=(train_command(str(path), options),),
            inputs=self._inputs(path, options, inputs),
            collect=collect_search,
            cost=cost_of(system) * self.search_share,
            progress=training_progress,
        )

    def _final_cell(self, system: TrainingSystem, candidate: Candidate, seed: int) -> Cell | None:
        path = self.configs.write_system(self.base, system, candidate, f'final/{system.name}')
        name = f'{system.name}/seed_{seed}'
        if not system.trains:
            return self._test_cell(system, name, path, seed)
        options, inputs = self._from_source(system, seed)
        if options is None:
            return None
        options = {**options, 'randomness.seed': seed}
        cell = Cell(
            name=name,
            commands=(
                train_command(str(path), options),
                test_command(str(path), '{dir}/final.pth', TEST_OPTIONS),
            ),
            inputs=self._inputs(path, options, inputs),
            collect=collect_user_final,
            cost=cost_of(system),
            progress=training_progress,
        )
        self._cells[system.name, seed] = cell
        return cell

    def _test_cell(self, system: TrainingSystem, name: str, path: Path, seed: int) -> Cell | None:
        source = self._cells.get((system.source or '', seed))
        if source is None:
            return None
        return Cell(
            name=name,
            commands=(test_command(str(path), source_weights(source), TEST_OPTIONS),),
            inputs=self._inputs(path, {}, dict(source=source.fingerprint)),
            collect=collect_user_test,
            cost=TEST_COST,
        )

    def _from_source(
        self, system: TrainingSystem, seed: int
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """Return the options that load the weights a system starts from; None without them."""
        if system.source is None:
            return {}, {}
        source = self._cells.get((system.source, seed))
        if source is None:
            return None, {}
        return {system.source_key: source_weights(source)}, dict(source=source.fingerprint)

    def _inputs(
        self, path: Path, options: Mapping[str, Any], further: Mapping[str, Any]
    ) -> dict[str, Any]:
        config = resolved_config(str(path), options)
        return dict(config=config, data=self.data, versions=versions(), **further)


TEST_OPTIONS = {'test_evaluator.out_dir': '{dir}/' + TESTED}


def cost_of(system: TrainingSystem) -> float:
    """Return the expected duration of a training of a system, relative to one of the baseline."""
    return float(system.needs.views)


def best(search: Sequence[tuple[Candidate, float | None]]) -> Candidate | None:
    """Return the candidate of the largest value, the first of equal ones; None without a value."""
    known = [(candidate, value) for candidate, value in search if value is not None]
    return max(known, key=lambda entry: entry[1])[0] if known else None


def first_and_last_line(error: BaseException) -> str:
    """Return the first line of an error, and the last one of the log that it shows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    return lines[0] if len(lines) == 1 else f'{lines[0]} {lines[-1]}'


def collect_search(folder: Path) -> dict:
    """Return the curves of a search training; its weights have no further use."""
    result = collect_training(folder)
    (folder / 'final.pth').unlink(missing_ok=True)
    return result


def collect_user_test(folder: Path) -> dict:
    """Return metrics, confusion matrix and duration of a test."""
    return dict(
        **collect_test(folder),
        confusion=json.loads((folder / TESTED / CONFUSION).read_text()),
        batch_seconds=test_seconds(folder / 'test'),
    )


def collect_user_final(folder: Path) -> dict:
    """Return what a training and its test left, as :func:`.collect.collect_final` does."""
    return {**collect_final(folder), **collect_user_test(folder)}


def test_seconds(folder: Path) -> float | None:
    """Return the seconds per batch that a test logged, network and post-processing alone."""
    found = []
    for file in sorted(folder.glob('*/*.json')):
        try:
            row = json.loads(file.read_text())
        except ValueError:
            continue
        if isinstance(row, dict) and 'time' in row:
            found.append(row['time'] - row.get('data_time', 0.0))
    return median(found) if found else None
