"""A comparison on a user's config and data, from the command line to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config

from paco_seg.comparison.budget import VALIDATIONS, config_iters, epoch_iters, left_out
from paco_seg.comparison.candidates import Candidate
from paco_seg.comparison.cell import Cell
from paco_seg.comparison.collect import training_progress
from paco_seg.comparison.data_parts import VAL, DataParts, divide_data
from paco_seg.comparison.estimate import (
    STEPS,
    Estimate,
    Load,
    Trial,
    collect_trial,
    load_of,
    trial_of,
)
from paco_seg.comparison.lock import only_one
from paco_seg.comparison.merging import check_baseline, check_part, left_to_run, merge
from paco_seg.comparison.part import Part, read_part
from paco_seg.comparison.report import RESULTS
from paco_seg.comparison.runner import CellRunner, check_gpus
from paco_seg.comparison.split import SHARE
from paco_seg.comparison.study import resolved_config, train_command, versions
from paco_seg.comparison.user_report import (
    PAGE,
    REPORT,
    duration,
    terminal_table,
    verdict_lines,
    write_report,
)
from paco_seg.comparison.user_results import COSTS, costs_of, facts_of, results_of
from paco_seg.comparison.user_study import Finished, UserStudy, first_and_last_line
from paco_seg.comparison.verdict import MARGIN
from paco_seg.comparison.written_configs import WrittenConfigs
from paco_seg.core.frequency import save_class_frequency
from paco_seg.core.grouping import Grouping, group_by_rule
from paco_seg.engine.cli import PLUGINS
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.model_changes import apply_changes
from paco_seg.engine.stages import Interrupted, stage
from paco_seg.engine.systems import Systems, TrainingSystem
from paco_seg.engine.variants import resolve_variant
from paco_seg.files import check_folder, write_json

BASELINE = 'ce'
RARE = 'rare_classes.json'
_EXAMPLES = 6  # rare classes of which the tests keep samples
_TOLD = 5  # finished trainings that would be repeated and are named
# Settings that say how a machine loads the data, and decide nothing.
OF_MACHINE = ('num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'data_root')
SEARCH_SHARE = 0.2  # length of a search training relative to a final one
# task -> what a class is measured by, and the metric that chooses and is judged. Accuracy is the
# mean over the classes: the share of right images hardly notices the rare ones where the test has
# few of them as well.
MEASURES = {'mmseg': ('IoU', 'mIoU'), 'mmpretrain': ('accuracy', 'class_mean')}


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Args:
        config: config file, or ``package::config``.
        out: folder of the comparison.
        systems: names; None for all. The baseline, and what others start from, come along.
        seeds: number of seeds.
        iters: of a training; None for the length of the config, or what fits into ``hours``.
        hours: for everything.
        search: whether settings are searched.
        groups: rule of the groups, see :func:`paco_seg.core.grouping.group_by_rule`.
        margin: points within which a difference does not matter.
        share: of the training data to set aside, if the config has no third split.
        workers: how many trainings run at a time.
        gpus: GPUs for them, one each; 0 leaves the choice to them.
        force: repeat what is finished.
        dry_run: stop when it is known what would run.
        jobs: processes that count classes.
        options: settings over those of the config, by dotted key.
        validations: of a final training.
        merge: folders of the same comparison from elsewhere. What they have is not run.
    """

    config: str
    out: Path
    systems: Sequence[str] | None = None
    seeds: int = 3
    iters: int | None = None
    hours: float | None = None
    search: bool = True
    groups: str = 'auto'
    margin: float = MARGIN
    share: float = SHARE
    workers: int = 1
    gpus: int = 0
    force: bool = False
    dry_run: bool = False
    jobs: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    validations: int = VALIDATIONS
    merge: Sequence[Path] = ()


def compare_config(request: Request) -> list[tuple[str, str]]:
    """Run what is missing of a comparison, and report.

    Returns:
        What failed: cell and reason. Empty after a dry run too.

    Raises:
        FileNotFoundError: there is no such config, or a folder of its data does not exist.
        ValueError: the config, its data or an option cannot be used, the folder is taken, or the
            disk is too small.
        Interrupted: by the user; the same command goes on.
    """
    check_folder(request.out)
    check_gpus(request.gpus)
    parts = [read_part(folder) for folder in request.merge]
    if any(part.folder.resolve() == request.out.resolve() for part in parts):
        raise ValueError(
            f'--merge: expected folders of other comparisons, got that of --out, {request.out}'
        )
    cfg, scope = read_data_config(request.config, request.options)
    known: Systems = import_module(f'{PLUGINS[scope]}.systems').SYSTEMS
    systems = choose_systems(known, request.systems)
    systems = left_to_run(systems, BASELINE, parts, here=request.out)
    out = request.out.resolve()
    with only_one(out):
        try:
            return _Comparison(request, out, cfg, scope, parts, list(known)).run(systems)
        except KeyboardInterrupt:
            raise Interrupted(
                f'interrupted: the same command goes on from what is finished in {request.out}'
            ) from None


def choose_systems(known: Systems, names: Sequence[str] | None) -> list[TrainingSystem]:
    """Return the systems by name, the baseline first, each after the one that it starts from.

    Args:
        known: systems of the task.
        names: of systems or combinations, with or without settings (``gpaco@alpha=0.05``); None
            for all systems.

    Raises:
        ValueError: a name is unknown, or a combination makes no sense.
    """
    chosen: dict[str, TrainingSystem] = {}

    def add(name: str) -> None:
        system = resolve_variant(known, name)
        if system.name in chosen:
            return
        if system.source is not None:
            add(system.source)
        chosen[system.name] = system

    for name in (BASELINE, *(known if names is None else names)):
        add(name)
    return list(chosen.values())


class _Comparison:
    """The steps of a comparison, in their order."""

    def __init__(
        self,
        request: Request,
        out: Path,
        cfg: Config,
        scope: str,
        merged: Sequence[Part],
        order: Sequence[str],
    ) -> None:
        self.merged = merged
        self.order = order  # of the rows
        self.request = request
        self.out = out
        self.cfg = cfg
        self.scope = scope
        self.measure, self.metric = MEASURES[scope]
        self.seeds = list(range(request.seeds))
        self.refused: list[tuple[str, str]] = []

    def run(self, systems: Sequence[TrainingSystem]) -> list[tuple[str, str]]:
        parts = self._divide()
        grouping = group_by_rule(parts.frequency, self.request.groups)
        frequency_file = self.out / 'data' / 'class_frequency.json'
        save_class_frequency(parts.frequency, frequency_file)
        configs = self._configs(parts, grouping, frequency_file, systems[0])
        trial_base = configs.write_trial(STEPS)
        systems = self._servable(configs, trial_base, systems)
        trial = self._trial(configs, trial_base, systems[0], parts)
        study, iters, estimate = self._study(configs, systems, trial, parts)
        facts = facts_of(
            measure=self.measure,
            metric=self.metric,
            baseline=BASELINE,
            frequency=parts.frequency,
            grouping=grouping,
            margin=self.request.margin,
            config=self.request.config,
            seeds=self.seeds,
            iters=iters,
            search_iters=search_iters(iters) if self.request.search else 0,
            search_data=parts.search,
            reported=parts.reported,
            set_aside=parts.set_aside,
            test_samples=parts.test_samples,
            search_samples=parts.search_samples,
            validations=self.request.validations,
            options={
                key: str(value)
                for key, value in self.request.options.items()
                if key.rsplit('.', 1)[-1] not in OF_MACHINE
            },
        )
        for part in self.merged:
            check_part(part, facts)
        finished = study.finished(self.out)
        repeated = finished.repeated
        if repeated and not self.request.force:
            more = [f'... and {len(repeated) - _TOLD} more'] * (len(repeated) > _TOLD)
            print('\n'.join([*repeated[:_TOLD], *more]), flush=True)
        runner = self._runner(study)
        self._tell(parts, grouping, study, iters, estimate, finished, len(runner.repeated))
        if self.request.dry_run:
            return []
        if finished.done < finished.total:
            self._check_disk(estimate, finished.trained)
        if self.merged:  # their rows stand beside this baseline, which is known first
            tie = replace(study, systems=study.systems[:1], failed=[], _cells={})
            (baseline,) = tie.run(runner)
            if not baseline.runs:
                return list(tie.failed)
            check_baseline(baseline, self.merged, self.metric, self.request.margin)
            runner = self._runner(study)  # which counts it as done
        found = study.run(runner)
        if not study.failed:
            runner.end()
        results = results_of(
            found,
            facts,
            refused=self.refused,
            failed=study.failed,
            grouping=grouping,
            margin=self.request.margin,
        )
        costs = costs_of(found, results, parts.mean_test_batch)
        results, costs = merge(
            results, costs, self.merged, order=self.order, margin=self.request.margin
        )
        write_json(self.out / RESULTS, results)
        write_json(self.out / COSTS, costs)
        write_report(self.out, results, costs, palette=parts.palette)
        print(f'\n{terminal_table(results, costs)}\n')
        for line in verdict_lines(results):
            print(f'- {line}'.replace('*', ''))
        print(f'\nReport: {self.request.out / PAGE} and {self.request.out / REPORT}')
        return list(study.failed)

    def _runner(self, study: UserStudy) -> CellRunner:
        return CellRunner(
            self.out,
            total_cost=study.total_cost,
            force=self.request.force,
            gpus=self.request.gpus,
            keep_replaced=True,
        )

    def _divide(self) -> DataParts:
        with stage(f'while reading the data of {self.request.config}'):
            return divide_data(
                self.cfg,
                self.scope,
                self.out / 'data',
                share=self.request.share,
                jobs=self.request.jobs,
            )

    def _configs(
        self,
        parts: DataParts,
        grouping: Grouping,
        frequency_file: Path,
        baseline: TrainingSystem,
    ) -> WrittenConfigs:
        trained = apply_changes(self.cfg, parts.changes, ())
        per_epoch = epoch_iters(trained)
        own = self.cfg.get('train_cfg') or {}
        has_length = own.get('max_iters') or own.get('max_epochs')
        full = int(own.get('max_iters') or own.get('max_epochs', 0) * per_epoch)
        if not has_length:
            if self.request.iters is None:
                config_iters(self.cfg)  # says what is missing
            full = self.request.iters or STEPS
        return WrittenConfigs(
            folder=self.out / 'configs',
            source=self.request.config,
            cfg=self.cfg,
            parts=parts,
            frequency_file=str(frequency_file.resolve()),
            measure=self.measure,
            rare=self._rare(parts, grouping),
            per_epoch=per_epoch,
            full=full,
            baseline=baseline,
            options=self.request.options,
            validations=self.request.validations,
        )

    def _rare(self, parts: DataParts, grouping: Grouping) -> list[int]:
        """Return the classes of which the tests keep samples, rarest first.

        They are part of the configs. Those of the first time stay on the same data, so that other
        groups, which are formed from finished results, repeat no training.
        """
        path = self.out / 'data' / RARE
        try:
            kept = json.loads(path.read_text(encoding='utf-8'))
            if kept['data'] == parts.fingerprint:
                return list(kept['rare'])
        except (OSError, ValueError, KeyError, TypeError):
            pass
        rare = grouping.tail[::-1][:_EXAMPLES]
        if not self.request.dry_run:
            write_json(path, dict(data=parts.fingerprint, rare=rare))
        return rare

    def _servable(
        self, configs: WrittenConfigs, base: Path, systems: Sequence[TrainingSystem]
    ) -> list[TrainingSystem]:
        """Leave out the systems that cannot serve the config, and those that start from them."""
        served: list[TrainingSystem] = []
        names: set[str | None] = {None}
        for system in systems:
            reason = None
            if system.source not in names:
                reason = f'it starts from {system.source}, which cannot either'
            else:
                try:
                    configs.check(base, system)
                except Exception as error:  # models raise anything
                    reason = first_and_last_line(error)
            if reason is None:
                served.append(system)
                names.add(system.name)
                continue
            if system.name == BASELINE:
                raise ValueError(
                    f'{self.request.config}: expected a config that the baseline {BASELINE!r} can '
                    f'serve, got one that it cannot: {reason}'
                )
            self.refused.append((system.name, reason))
            print(f'{system.name} cannot serve this config and is left out: {reason}', flush=True)
        return served

    def _trial(
        self, configs: WrittenConfigs, base: Path, baseline: TrainingSystem, parts: DataParts
    ) -> Trial:
        path = configs.write_system(base, baseline, Candidate(), 'trial-run')
        options = {'randomness.seed': 0}
        cell = Cell(
            name='trial',
            commands=(train_command(str(path), options),),
            inputs=dict(
                config=resolved_config(str(path), options),
                data=parts.fingerprint,
                versions=versions(),
            ),
            collect=collect_trial,
            progress=training_progress,
        )
        print(f'Timing {STEPS} steps of {baseline.name} ...', flush=True)
        runner = CellRunner(self.out, total_cost=1.0, gpus=self.request.gpus)
        with stage('while timing some steps of the baseline'):
            return trial_of(runner.run(cell), int(self.cfg[VAL].get('batch_size', 1)))

    def _study(
        self,
        configs: WrittenConfigs,
        systems: Sequence[TrainingSystem],
        trial: Trial,
        parts: DataParts,
    ) -> tuple[UserStudy, int, Estimate]:
        def study(base: Path, search: Path | None) -> UserStudy:
            return UserStudy(
                systems=systems,
                seeds=self.seeds,
                metric=self.metric,
                configs=configs,
                base=base,
                search=search,
                search_share=SEARCH_SHARE,
                has_rate=configs.rate(base) is not None,
                data=parts.fingerprint,
                workers=self.request.workers,
            )

        # What is searched does not depend on the length, which depends on what is searched.
        first = study(configs.folder / 'trial.py', Path() if self.request.search else None)
        loads: list[Load] = [
            load_of(
                system,
                is_baseline=system.name == BASELINE,
                searches=first.number_of_candidates(system),
                finals=len(self.seeds),
            )
            for system in systems
        ]
        estimate = Estimate(
            trial,
            loads,
            search_samples=parts.search_samples,
            test_samples=parts.test_samples,
            search_share=SEARCH_SHARE if self.request.search else 0.0,
            validations=self.request.validations,
        )
        iters = self.request.iters or configs.full
        if self.request.hours is not None:
            iters = estimate.iters_in(self.request.hours, self.request.workers)
        base = configs.write_base(iters)
        search = configs.write_search(base, search_iters(iters)) if self.request.search else None
        return study(base, search), iters, estimate

    def _tell(
        self,
        parts: DataParts,
        grouping: Grouping,
        study: UserStudy,
        iters: int,
        estimate: Estimate,
        finished: Finished,
        repeated: int,
    ) -> None:
        request = self.request
        names = ', '.join(system.name for system in study.systems)
        seconds = estimate.seconds(iters, request.workers)
        free = shutil.disk_usage(self.out).free
        searched = sum(map(study.number_of_candidates, study.systems))
        done = 0.0 if request.force else finished.cost / study.total_cost
        left = seconds * max(0.0, 1 - done)
        step = f'{estimate.trial.step:.3g} s per step of the baseline, {request.workers} at a time'
        lines = [
            f'{request.config}: {len(study.systems)} systems ({names}; baseline {BASELINE}), '
            f'{len(self.seeds)} seeds, {iters} iterations each',
            f'  settings: {searched} candidates, {search_iters(iters)} iterations each'
            if searched
            else '  settings: the defaults of every system',
            f'  chosen on: {parts.search}',
            f'  reported on: {parts.reported}, {parts.test_samples} samples',
            f'  groups: {grouping.rule}',
            *(f'  left out: {text}' for text in left_out(self.cfg)),
            *(
                f'  merged: {", ".join(self._taken(part, study))} of {part.folder}'
                for part in self.merged
            ),
            f'  finished: {finished.done} of {finished.total} trainings and tests'
            + f', all are repeated ({repeated} have been)' * request.force,
            f'  estimated: {duration(seconds)} in total, {duration(left)} left ({step})',
            f'  disk: {estimate.bytes / 2**30:.2f} GiB in total, {free / 2**30:.1f} GiB free',
        ]
        print('\n'.join(lines), flush=True)

    def _taken(self, part: Part, study: UserStudy) -> list[str]:
        """Return the systems of a part that are not run here."""
        here = {system.name for system in study.systems}
        return [s['name'] for s in part.results['systems'] if s['runs'] and s['name'] not in here]

    def _check_disk(self, estimate: Estimate, trained: int) -> None:
        free = shutil.disk_usage(self.out).free
        wanted = estimate.bytes_beside(trained)
        if free < wanted:
            raise ValueError(
                f'--out: expected {wanted / 2**30:.1f} GiB of free disk space, got '
                f'{free / 2**30:.1f} GiB at {str(self.request.out)!r}. Free some, choose another '
                'folder, or compare fewer systems or seeds'
            )


def search_iters(iters: int) -> int:
    """Return the length of a search training."""
    return max(1, round(iters * SEARCH_SHARE))
