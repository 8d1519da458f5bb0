"""Reports of comparisons: run what is missing, then tables, pictures and the machine."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from paco_seg.comparison.long_tail import named_groups
from paco_seg.comparison.machine import machine, machine_text
from paco_seg.comparison.process import run_command
from paco_seg.comparison.runner import CellRunner
from paco_seg.comparison.study import Study, Sweep, versions
from paco_seg.comparison.suite import (
    ByFrequency,
    Curves,
    DemoData,
    LabelMaps,
    Suite,
    Table,
)
from paco_seg.comparison.suite_configs import write_configs
from paco_seg.comparison.tables import mean_and_deviation, mean_and_range, text_table
from paco_seg.files import check_folder, write_json, write_text

RESULTS, REPORT = 'results.json', 'report.md'


def run_suite(
    suite: Suite, out: Path, *, force: bool = False, reported: Path | None = None
) -> dict[str, Any]:
    """Run what is missing of a suite, and report if anything is new.

    Args:
        suite: what to run.
        out: folder of the comparison, for the trainings.
        force: repeat what is finished, the data included.
        reported: folder of the report; default ``out``.

    Returns:
        The content of ``results.json``.

    Raises:
        ValueError: a folder cannot be written to.
        ChildProcessError: a training failed; names its log and shows the end of it.
    """
    for folder in (out, reported or out):
        check_folder(folder)
    if suite.data is not None:
        write_data(suite.data, out / 'demo-data.log', force=force)
    file = None if suite.data is None else f'{suite.data.folder}/{suite.data.frequencies}'
    study = replace(suite.study, systems=write_configs(suite.study.systems, out, file))
    sources = [Path(__file__), Path(__file__).with_name('plots.py')]

    def write(results: dict, folder: Path) -> None:
        draw_pictures(suite, results, folder, cells=out)
        write_text(folder / REPORT, report_text(suite, results))

    return run_reported(
        out,
        study,
        write,
        described=repr(suite) + ''.join(path.read_text() for path in sources),
        files=[REPORT, *(picture.file for picture in suite.pictures)],
        preload=suite.preload,
        force=force,
        reported=reported,
        suite=suite.name,
        **({} if suite.data is None else {'frequencies': training_frequencies(suite.data)}),
    )


def write_data(data: DemoData, log: Path, *, force: bool = False) -> None:
    """Write a demo data set unless it is there; a process of its own, as a user would."""
    if force or not (Path(data.folder) / 'statistics.json').exists():
        print(f'Composing the demo data {data.folder} ...', flush=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        command = ('paco_seg', 'demo-data', data.kind, '--out', data.folder)
        run_command(command + ('--force',) * force, log)


def training_frequencies(data: DemoData) -> list[int]:
    """Return the training frequency of each class."""
    content = json.loads((Path(data.folder) / data.frequencies).read_text())
    return content if data.entry is None else content[data.entry]


def run_reported(
    out: Path,
    study: Study | Sweep,
    write: Callable[[dict, Path], None],
    *,
    described: str,
    files: Sequence[str],
    preload: Sequence[str],
    force: bool = False,
    reported: Path | None = None,
    **extra: Any,
) -> dict[str, Any]:
    """Run what is missing of a study, and report if anything is new.

    Args:
        out: folder of the comparison, for the trainings.
        study: what to run.
        write: writes ``files`` from the results and the folder of the report.
        described: what decides the report beside the results.
        files: names of the report without which it is incomplete.
        preload: modules to import before the first training.
        force: repeat finished trainings.
        reported: folder of the report; default ``out``.
        **extra: further entries of the results, JSON.

    Returns:
        The content of ``results.json``.
    """
    start = time.perf_counter()
    runner = CellRunner(out, total_cost=study.total_cost, force=force, preload=preload)
    methods = study.run(runner)
    runner.end()
    content = json.dumps(methods, sort_keys=True) + described
    fingerprint = hashlib.sha256(content.encode()).hexdigest()
    out = reported or out
    if is_current(out, fingerprint, files):
        return json.loads((out / RESULTS).read_text())
    results = dict(
        fingerprint=fingerprint,
        machine=machine(),
        versions=versions(),
        seeds=list(study.seeds),
        **extra,
        methods=methods,
    )
    write(results, out)
    write_json(out / RESULTS, results)
    print(f'{len(runner.executed)} new trainings in {(time.perf_counter() - start) / 60:.1f} min')
    return results


def is_current(out: Path, fingerprint: str, files: Sequence[str]) -> bool:
    """Return whether the report of exactly these results is there."""
    try:
        content = json.loads((out / RESULTS).read_text())
    except (OSError, ValueError):
        return False
    return content.get('fingerprint') == fingerprint and all(
        (out / name).exists() for name in files
    )


def report_text(suite: Suite, results: Mapping[str, Any]) -> str:
    """Return ``report.md``: the text of the suite with its fields filled in.

    Fields: ``suite``, ``table``, ``search_table``, ``measured_on``, ``seeds``, ``first_seed``,
    ``num_samples`` of the test, ``groups`` (the classes of each, if the test knows them),
    ``frequencies``, ``metric``, ``search_iters`` and ``alpha_target`` of classification.
    """
    from paco_seg.core.alpha import CLASSIFICATION

    study = suite.study
    test = results['methods'][0]['runs'][0]['test']
    searched = study.search_options if isinstance(study, Study) else {}
    groups = named_groups(test.get('per_class') or {})
    return suite.report.format(
        suite=suite.name,
        table=summary_table(results, suite.table),
        search_table=search_table(results, suite.search_measure),
        measured_on=measured_on(results),
        seeds=', '.join(map(str, results['seeds'])),
        first_seed=results['seeds'][0],
        num_samples=test.get('num_samples'),
        groups='\n'.join(f'- {group}: {", ".join(own)}' for group, own in groups.items()),
        frequencies=', '.join(map(str, results.get('frequencies', ()))),
        metric=study.metric if isinstance(study, Study) else '',
        search_iters=searched.get('train_cfg.max_iters'),
        alpha_target=CLASSIFICATION.target,
    )


def _parameters(runs: Sequence[Mapping[str, Any]], digits: int | None) -> str:
    return f'{runs[0]["parameters"] / 1e6:.{2 if digits is None else digits}f} M'


def _training(runs: Sequence[Mapping[str, Any]], digits: int | None) -> str:
    return f'{fmean(run["train_seconds"] for run in runs):.{digits or 0}f} s'


def _peak_memory(runs: Sequence[Mapping[str, Any]], digits: int | None) -> str:
    memory = [run['peak_memory_mib'] for run in runs]
    return '-' if None in memory else f'{max(memory):.{digits or 0}f} MiB'


def _alpha_positives(runs: Sequence[Mapping[str, Any]], digits: int | None) -> str:
    product = runs[0]['test'].get('product')
    return '-' if product is None else f'{product:.{2 if digits is None else digits}f}'


# Header -> its text from the runs of a system and the digits wanted.
COSTS: dict[str, Callable[[Sequence[Mapping[str, Any]], int | None], str]] = {
    'Parameters': _parameters,
    'Training': _training,
    'Peak memory': _peak_memory,
    'alpha P': _alpha_positives,
    'Seeds': lambda runs, digits: str(len(runs)),
}


def summary_table(results: Mapping[str, Any], table: Table) -> str:
    """Return the table: a row per system, mean over the seeds and their spread.

    Args:
        results: content of ``results.json``.
        table: what it shows.
    """
    spread = mean_and_range if table.spread == 'range' else mean_and_deviation
    rows = []
    for method in results['methods']:
        runs = method['runs']
        metrics = [run['test']['metrics'] for run in runs]
        values = [
            spread([m.get(key) for m in metrics], table.digits.get(title, 1))
            for title, key in table.columns.items()
        ]
        costs = [COSTS[title](runs, table.digits.get(title)) for title in table.costs]
        rows.append([method['title'], *values, *costs])
    return text_table([table.first, *table.columns, *table.costs], rows)


def search_table(results: Mapping[str, Any], measure: str) -> str:
    """Return what was searched and chosen; ``measure`` names the value that chose."""
    rows = []
    for method in results['methods']:
        for entry in method['search']:
            settings = ', '.join(
                f'{k.rsplit(".", 1)[-1]} {v}' for k, v in entry['settings'].items()
            )
            chosen = 'chosen' if entry['settings'] == method['chosen'] else ''
            rows.append([method['title'], settings, f'{entry["value"]:.1f}', chosen])
    return text_table(['Method', 'Setting', measure, ''], rows)


def draw_pictures(suite: Suite, results: Mapping[str, Any], out: Path, *, cells: Path) -> None:
    """Draw all pictures of a suite.

    Args:
        suite: states the pictures.
        results: content of ``results.json``.
        out: folder of the report.
        cells: folder of the trainings.
    """
    for picture in suite.pictures:
        path = out / picture.file
        if isinstance(picture, LabelMaps):
            _draw_label_maps(path, picture, suite, results, cells)
        elif isinstance(picture, ByFrequency):
            _draw_by_frequency(path, picture, results)
        else:
            _draw_curves(path, picture, suite, results)


def _draw_label_maps(
    path: Path, picture: LabelMaps, suite: Suite, results: Mapping[str, Any], cells: Path
) -> None:
    from paco_seg.comparison import plots

    assert suite.data is not None
    data = Path(suite.data.folder)
    statistics = json.loads((data / 'statistics.json').read_text())
    folders = [cells / method['runs'][0]['folder'] / 'predictions' for method in results['methods']]
    names = sorted(path.stem for path in folders[0].glob('*.png'))[: picture.scenes]
    plots.draw_label_maps(
        path,
        images=[data / 'images' / 'validation' / f'{name}.jpg' for name in names],
        columns={
            'ground truth': [data / 'annotations' / 'validation' / f'{name}.png' for name in names],
            **{
                method['title']: [folder / f'{name}.png' for name in names]
                for method, folder in zip(results['methods'], folders, strict=True)
            },
        },
        classes=statistics['classes'],
        palette=statistics['palette'],
    )


def _draw_by_frequency(path: Path, picture: ByFrequency, results: Mapping[str, Any]) -> None:
    from paco_seg.comparison import plots

    counts = results['frequencies']
    figure = plots.by_frequency_figure(
        classes=results['methods'][0]['runs'][0]['test']['per_class']['class'],
        shares=[count / sum(counts) for count in counts] if picture.shares else counts,
        values=per_class_of(results, picture.value),
        ylabel=picture.ylabel,
        xlabel=picture.xlabel,
    )
    plots.save(figure, path)


def _draw_curves(path: Path, picture: Curves, suite: Suite, results: Mapping[str, Any]) -> None:
    from paco_seg.comparison import plots

    assert isinstance(suite.study, Study)
    trains = {system.name for system in suite.study.systems if system.trains}
    trained = {'methods': [m for m in results['methods'] if m['name'] in trains]}
    loss, validation = curves_of(trained, suite.study.metric)
    plots.draw_curves(path, {picture.loss: loss, picture.metric: validation})


def measured_on(results: Mapping[str, Any]) -> str:
    """Return the machine and the versions, and the states of the code if several."""
    runs = [run for method in results['methods'] for run in method['runs']]
    commits = {run.get('commit') or 'an unknown commit' for run in runs}
    return f'Measured on {machine_text(results, commits)}'


def per_class_of(results: Mapping[str, Any], value: str) -> dict[str, list]:
    """Return a value of every class in the tests, for :func:`.plots.by_frequency_figure`."""
    return {
        method['title']: [run['test']['per_class'][value] for run in method['runs']]
        for method in results['methods']
    }


def curves_of(results: Mapping[str, Any], metric: str) -> tuple[dict, dict]:
    """Return training loss and a validation metric, for :func:`.plots.draw_curves`."""
    loss = {
        method['title']: [run['loss'] for run in method['runs']] for method in results['methods']
    }
    validation = {
        method['title']: [
            [[row['step'], row[metric]] for row in run['validation']] for run in method['runs']
        ]
        for method in results['methods']
    }
    return loss, validation
