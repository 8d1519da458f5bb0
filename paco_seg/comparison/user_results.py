"""The results of a comparison as plain data: what the seeds decide, and apart what the clock does.

``results.json`` is the same whenever and however often interrupted the comparison ran.
``costs.json`` has times and memory, and what follows from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any

import numpy as np

from paco_seg.comparison.machine import machine
from paco_seg.comparison.study import versions
from paco_seg.comparison.user_report import MOST_CONFUSED
from paco_seg.comparison.user_study import SystemResult
from paco_seg.comparison.verdict import MARGIN, judge, rule
from paco_seg.core.frequency import ClassFrequency
from paco_seg.core.grouping import Grouping
from paco_seg.engine.class_confusion import per_class

COSTS = 'costs.json'
CONFUSED_WITH = 5  # classes that a tail class is most often taken for
# Percent from which on all are kept for the classes that the report shows: a mean over seeds needs
# the small shares of one too where they are large in another.
_SMALLEST_SHARE = 0.1


def facts_of(
    *,
    measure: str,
    metric: str,
    baseline: str,
    frequency: ClassFrequency,
    grouping: Grouping,
    margin: float = MARGIN,
    **facts: Any,
) -> dict[str, Any]:
    """Return what is known before anything has been trained.

    Args:
        measure: ``'IoU'`` or ``'accuracy'`` of each class.
        metric: that is judged.
        baseline: name of the system that all are compared with.
        frequency: of the training set.
        grouping: of the classes.
        margin: points within which a difference does not matter.
        **facts: further entries, JSON.
    """
    return dict(
        **facts,
        measure=measure,
        metric=metric,
        baseline=baseline,
        classes=list(frequency.names),
        images=list(frequency.images),
        pixels=None if frequency.pixels is None else list(frequency.pixels),
        num_images=frequency.num_images,
        groups=grouping.groups,
        group_rule=grouping.rule,
        verdict_rule=rule(margin),
    )


def results_of(
    found: Sequence[SystemResult],
    facts: Mapping[str, Any],
    *,
    refused: Sequence[tuple[str, str]],
    failed: Sequence[tuple[str, str]],
    grouping: Grouping,
    margin: float = MARGIN,
) -> dict[str, Any]:
    """Return what the seeds decide.

    Args:
        found: results of the study, the baseline first.
        facts: of :func:`facts_of`.
        refused: systems that cannot serve the config, and why.
        failed: trainings and tests that did not end, and why.
        grouping: of the classes.
        margin: points within which a difference does not matter.
    """
    systems = [_system(result, facts['measure'], facts['metric'], grouping) for result in found]
    return dict(
        **facts,
        refused=list(refused),
        failed=list(failed),
        systems=systems,
        verdicts=verdicts_of(systems, facts['metric'], facts['baseline'], margin=margin),
    )


def verdicts_of(
    systems: Sequence[Mapping[str, Any]], metric: str, baseline: str, *, margin: float
) -> dict[str, dict[str, Any]]:
    """Return what the seeds say of each system beside the baseline."""
    known = paired_values(systems, metric, baseline)
    found = judge(known, baseline, margin=margin)
    return {name: asdict(verdict) for name, verdict in found.items()}


def paired_values(
    systems: Sequence[Mapping[str, Any]], metric: str, baseline: str
) -> dict[str, dict[int, float]]:
    """Return name -> seed -> value, as it compares with the other rows.

    A run of another machine knows the value that the baseline had there. It counts by its distance
    from that one, beside the baseline of this comparison.

    Args:
        systems: rows of :func:`results_of`.
        metric: that is compared.
        baseline: name of the row that ties the machines together.
    """
    raw: dict[str, dict[int, float]] = {}
    there: dict[tuple[str, int], float] = {}
    for system in systems:
        raw[system['name']] = {
            run['seed']: run['metrics'][metric]
            for run in system['runs']
            # Of another machine, beside a baseline that has this seed there as well.
            if run['metrics'].get(metric) is not None and run.get('baseline', 0.0) is not None
        }
        for run in system['runs']:
            if run.get('baseline') is not None:
                there[system['name'], run['seed']] = run['baseline']
    here = raw.get(baseline, {})

    def compared(name: str, seed: int, value: float) -> float:
        if (name, seed) not in there or seed not in here:
            return value
        return here[seed] + (value - there[name, seed])

    return {
        name: {seed: compared(name, seed, value) for seed, value in runs.items()}
        for name, runs in raw.items()
    }


def _system(result: SystemResult, measure: str, metric: str, grouping: Grouping) -> dict[str, Any]:
    system = result.system
    runs = []
    for seed, run in result.runs.items():
        matrix = np.asarray(run['confusion'], dtype=np.int64)
        values = per_class(matrix, measure)
        metrics = {key: number(value) for key, value in run['test']['metrics'].items()}
        # Of classes that the data hold: of others one system may have an IoU of 0 and another none.
        labelled = np.where(matrix.sum(axis=1) > 0, values, np.nan)
        metrics |= {name: _mean(labelled[members]) for name, members in grouping.groups.items()}
        runs.append(
            dict(
                seed=seed,
                folder=result.folders[seed],
                metrics=metrics,
                per_class=[number(value) for value in values],
                confused=_confused(matrix, grouping.tail),
                loss=[[step, number(value)] for step, value in run.get('loss', ())]
                if system.trains
                else [],
                validation=[
                    [row['step'], number(row.get(metric))] for row in run.get('validation', ())
                ]
                if system.trains
                else [],
            )
        )
    chosen = result.chosen
    return dict(
        name=system.name,
        title=system.title,
        summary=system.summary,
        paper=system.paper,
        source=system.source,
        trains=system.trains,
        inference=system.inference,
        combines_with=list(system.combines_with),
        search=[
            dict(
                label=candidate.label,
                text=candidate.text,
                settings=candidate.settings,
                rate=candidate.rate,
                value=number(value),
            )
            for candidate, value in result.search
        ],
        chosen=None if chosen is None else chosen.label,
        runs=runs,
    )


def _confused(matrix: np.ndarray, tail: Sequence[int]) -> dict[str, list[list[float]]]:
    """Return, for each tail class, the classes that it is taken for most, with their shares.

    Of the rarest, which the report shows, all of them.
    """
    found: dict[str, list[list[float]]] = {}
    shown = set(tail[::-1][:MOST_CONFUSED])
    for label in tail:
        shares = 100 * matrix[label] / max(int(matrix[label].sum()), 1)
        order = np.argsort(-shares, kind='stable').tolist()
        if label in shown:
            order = [other for other in order if shares[other] >= _SMALLEST_SHARE]
        else:
            order = order[:CONFUSED_WITH]
        pairs = [[other, float(shares[other])] for other in order if shares[other]]
        if pairs:
            found[str(label)] = pairs
    return found


def costs_of(found: Sequence[SystemResult], results: Mapping[str, Any], batch_size: float) -> dict:
    """Return what the clock decides: time, memory, inference, and the metric at equal time.

    Args:
        found: results of the study.
        results: of :func:`results_of`.
        batch_size: samples in a batch of the test, on average.
    """
    costs: dict[str, Any] = {}
    by_name = {result.system.name: result for result in found}
    for result in found:
        runs = result.runs
        source = by_name.get(result.system.source or '')
        own = {seed: float(run.get('train_seconds', 0.0)) for seed, run in runs.items()}
        before = {
            seed: float(source.runs[seed].get('train_seconds', 0.0)) if source else 0.0
            for seed in runs
        }
        memory = [
            part.get('peak_memory_mib')
            for seed in runs
            for part in ([runs[seed], source.runs[seed]] if source else [runs[seed]])
        ]
        batches = [run['batch_seconds'] for run in runs.values() if run.get('batch_seconds')]
        parameters = [
            part['parameters']
            for seed in runs
            for part in ([runs[seed], source.runs[seed]] if source else [runs[seed]])
            if 'parameters' in part
        ]
        costs[result.system.name] = dict(
            train_seconds=[own[seed] + before[seed] for seed in runs],
            own_seconds=list(own.values()),
            peak_memory_mib=max((m for m in memory if m is not None), default=None),
            sample_milliseconds=1000 * fmean(batches) / max(batch_size, 1) if batches else None,
            parameters=parameters[0] if parameters else None,
            commits=sorted({str(run.get('commit')) for run in runs.values()}),
        )
    before_all = baseline_seconds(results, costs)
    costs = {name: {**cost, 'baseline_seconds': before_all} for name, cost in costs.items()}
    return dict(
        machine=machine(),
        versions=versions(),
        systems=costs,
        equal_time=equal_time(results, costs),
    )


def baseline_seconds(results: Mapping[str, Any], costs: Mapping[str, Any]) -> float | None:
    """Return the median time of a training of the baseline; None without any."""
    seconds = costs.get(results['baseline'], {}).get('train_seconds')
    return median(seconds) if seconds else None


def equal_time(results: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, Any]:
    """Return each system's metric on the data that choose when the fastest system had ended.

    Of the validations until then the last one counts; a system without any has no value. The time
    of a system is the median over its seeds. Systems that start from the weights of another one
    spend its time first. Where trainings come from several machines, each counts by the time of
    its own baseline.

    Args:
        results: of :func:`results_of`.
        costs: of each system.
    """
    trained = [s for s in results['systems'] if s['trains'] and s['runs']]
    if not trained:
        return dict(seconds=None, values={})
    own_baseline = baseline_seconds(results, costs)
    machines = {costs[system['name']]['baseline_seconds'] for system in trained}
    if len(machines) > 1 and (own_baseline is None or None in machines):
        return dict(seconds=None, values={})  # nothing tells how fast they are

    def slowness(name: str) -> float:
        measured = costs[name]['baseline_seconds']
        return measured / own_baseline if measured and own_baseline else 1.0

    end = min(
        median(costs[system['name']]['train_seconds']) / slowness(system['name'])
        for system in trained
    )
    values: dict[str, list[float | None]] = {}
    for system in trained:
        cost = costs[system['name']]
        # All seeds do the same work: where one took longer, it was the machine.
        total, own = median(cost['train_seconds']), median(cost['own_seconds'])
        until = end * slowness(system['name'])
        # a system that is as fast as the fastest one is over
        left = own if total <= until * 1.02 else until - (total - own)
        values[system['name']] = []
        for run in system['runs']:
            curve = run['validation']
            last = curve[-1][0] if curve else 0
            reached = [value for step, value in curve if last and own * step / last <= left + 1e-9]
            values[system['name']].append(reached[-1] if reached else None)
    return dict(seconds=end, values=values)


def _mean(values: np.ndarray) -> float | None:
    """Return the mean over the defined values; None without any."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def number(value: Any) -> float | None:
    """Return a number for JSON, None for what is none."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
