"""The report of a user's comparison: verdict, tables and pictures, from its two result files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from paco_seg.comparison.document import (
    Block,
    Heading,
    Items,
    Picture,
    Table,
    Text,
    as_html,
    as_markdown,
)
from paco_seg.comparison.machine import machine_text
from paco_seg.comparison.tables import mean_and_deviation, text_table
from paco_seg.comparison.user_study import TESTED
from paco_seg.comparison.verdict import BETTER, EQUIVALENT, TOO_FEW, WORSE
from paco_seg.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT, PAGE = 'report.md', 'report.html'
OVERALL = {'mIoU': 'mIoU', 'aAcc': 'aAcc', 'class_mean': 'class mean', 'top1': 'top-1'}
RELATIVE = 'Training / baseline'
MOST_CONFUSED = 12  # rare classes whose confusion is shown
_RISING = 0.02  # of the final value, in the last quarter of a training


def write_report(
    folder: Path,
    results: Mapping[str, Any],
    costs: Mapping[str, Any],
    *,
    palette: Sequence[Sequence[int]] | None = None,
) -> None:
    """Write ``report.md``, ``report.html`` and the pictures."""
    pictures = draw_pictures(folder, results, palette)
    blocks = report_blocks(results, costs, pictures)
    write_text(folder / REPORT, as_markdown(blocks))
    write_text(folder / PAGE, as_html(blocks, folder))


def report_blocks(
    results: Mapping[str, Any], costs: Mapping[str, Any], pictures: Sequence[Picture]
) -> list[Block]:
    """Return the report.

    Args:
        results: content of ``results.json``.
        costs: content of ``costs.json``.
        pictures: of :func:`draw_pictures`.
    """
    name = metric_name(results)
    blocks: list[Block] = [
        Heading(f'Which loss helps on {results["config"]}', 1),
        Text(
            f'Mean and standard deviation over the seeds {_listed(results["seeds"])}; percent, on '
            f'{results["reported"]}. {results["iters"]} iterations per training. '
            f'{_choosing(results)} {results["search_data"]}.'
        ),
        Heading('Verdict'),
        Items(verdict_lines(results)),
        Text(f'The rule: {results["verdict_rule"]}'),
        Heading('What to try next', 3),
        Items(next_steps(results)),
        Heading('Results'),
        main_table(results, costs),
        Text(f'Groups of classes: {results["group_rule"]}.'),
        Items(group_lines(results)),
        Text(
            'Training is the time of the iterations, with those of the system that the weights '
            'start from. Peak memory is that of the tensors on a GPU, on a CPU that of the whole '
            'process. Inference is one sample through network and post-processing.'
            + f' {RELATIVE}: medians, of one machine each.'
            * bool(costs.get('elsewhere'))
        ),
        Heading('At equal time'),
        Text(_equal_time_text(results, costs)),
        equal_time_table(results, costs),
        Heading('Per class'),
        per_class_table(results),
        Text(f'{results["measure"]} in percent, mean over the seeds; by falling frequency.'),
    ]
    blocks += pictures
    blocks += [Heading('What the rare classes are taken for'), confusion_table(results)]
    blocks += [Heading('What was searched'), *_search_blocks(results)]
    blocks += [Heading('What did not run'), *_absent_blocks(results)]
    commits = {commit for cost in costs['systems'].values() for commit in cost['commits']}
    blocks += [Heading('Measured on'), Text(machine_text(costs, commits))]
    blocks.append(
        Text(
            f'{name} is judged. The configs of all trainings are in the folder `configs`, their '
            'command lines are the first lines of `command-*.log` in the folder of each.'
            + ' Those of other machines stay there.'
            * bool(costs.get('elsewhere'))
        )
    )
    return blocks


def main_table(results: Mapping[str, Any], costs: Mapping[str, Any]) -> Table:
    """Return the table: a row per system.

    Times of several machines do not compare: trainings are told as multiples of the baseline on
    the same machine then, and inference of this one alone.
    """
    elsewhere = {name for entry in costs.get('elsewhere', ()) for name in entry['systems']}
    overall = [key for key in OVERALL if _has(results, key)]
    header = ['System', *(OVERALL[key] for key in overall), *results['groups'], 'Against baseline']
    header += [RELATIVE if elsewhere else 'Training', 'Peak memory', 'Inference']
    rows = []
    for system in results['systems']:
        if not system['runs']:
            continue
        metrics = [run['metrics'] for run in system['runs']]
        values = [
            mean_and_deviation([m.get(key) for m in metrics])
            for key in (*overall, *results['groups'])
        ]
        training, memory, inference = _cost_cells(costs['systems'][system['name']])
        if elsewhere:
            training = _relative_training(costs['systems'][system['name']])
            inference = '-' if system['name'] in elsewhere else inference
        against = _against(system, results)
        rows.append([system['title'], *values, against, training, memory, inference])
    return Table(header, rows)


def terminal_table(results: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    """Return :func:`main_table` as text."""
    table = main_table(results, costs)
    return text_table(table.header, table.rows)


def _against(system: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    if system['name'] == results['baseline']:
        return 'baseline'
    verdict = results['verdicts'].get(system['name'])
    return '-' if verdict is None else f'{verdict["difference"]:+.1f}, {verdict["says"]}'


def _cost_cells(cost: Mapping[str, Any]) -> list[str]:
    seconds, memory, sample = (
        cost['train_seconds'],
        cost['peak_memory_mib'],
        cost['sample_milliseconds'],
    )
    return [
        duration(fmean(seconds)) if seconds else '-',
        '-' if memory is None else f'{memory:.0f} MiB',
        '-' if sample is None else f'{sample:.1f} ms',
    ]


def _relative_training(cost: Mapping[str, Any]) -> str:
    seconds, baseline = cost['train_seconds'], cost['baseline_seconds']
    return f'{median(seconds) / baseline:.2f}' if seconds and baseline else '-'


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 120:
        return f'{seconds:.1f} s' if seconds < 10 else f'{seconds:.0f} s'
    return f'{seconds / 60:.1f} min' if seconds < 7200 else f'{seconds / 3600:.1f} h'


def verdict_lines(results: Mapping[str, Any]) -> list[str]:
    """Return a line per system: what the seeds say of it, and no more."""
    titles = {system['name']: system['title'] for system in results['systems']}
    baseline = titles[results['baseline']]
    name = metric_name(results)
    lines = []
    words = {
        BETTER: 'is better than',
        WORSE: 'is worse than',
        EQUIVALENT: 'is equivalent within the noise to',
        TOO_FEW: 'cannot be told from',
    }
    for says in words:
        for system, verdict in results['verdicts'].items():
            if verdict['says'] != says:
                continue
            line = (
                f'*{titles[system]}* {words[says]} *{baseline}*: {verdict["difference"]:+.2f} '
                f'{name} ({_evidence(verdict)})'
            )
            if says == TOO_FEW:
                line += ', too few seeds'
            lines.append(line)
    if not any(s['runs'] for s in results['systems'] if s['name'] == results['baseline']):
        return [f'There is nothing to compare with: the baseline *{baseline}* has no result.']
    return lines or ['There is nothing to compare: no system beside the baseline has a result.']


def _evidence(verdict: Mapping[str, Any]) -> str:
    seeds = f'{verdict["seeds"]} seed{"s" * (verdict["seeds"] != 1)}'
    if verdict['interval'] is None:
        return seeds
    low, high = verdict['interval']
    p = 'p < 0.001' if verdict['p'] < 0.001 else f'p = {verdict["p"]:.3f}'
    return f'95 % interval {low:+.2f} to {high:+.2f}, {p}, {seeds}'


def next_steps(results: Mapping[str, Any]) -> list[str]:
    """Return what to try next, each with the observation that it follows from."""
    systems = {system['name']: system for system in results['systems']}
    verdicts = results['verdicts']
    better = [name for name, verdict in verdicts.items() if verdict['says'] == BETTER]
    steps = []
    # A combination has one name, whatever the order in which its parts were asked for.
    tried = [set(name.split('+')) for name in (*systems, *dict(results['refused']))]
    for index, first in enumerate(better):
        for second in better[index + 1 :]:
            joint = f'{first}+{second}'
            if second in systems[first]['combines_with'] and {first, second} not in tried:
                steps.append(
                    f'`--systems {results["baseline"]} {joint}`: both parts are better than the '
                    'baseline, and they combine.'
                )
    open_seeds = [v['seeds_needed'] for v in verdicts.values() if v['says'] == TOO_FEW]
    wanted = [number for number in open_seeds if number is not None]
    if wanted:
        steps.append(
            f'`--seeds {max(max(wanted), len(results["seeds"]) + 1)}`: about so many seeds would '
            'tell whether the differences that cannot be told now are real, if they stay as large.'
        )
    if len(wanted) < len(open_seeds):
        steps.append(
            'Some differences scatter so much that no number of seeds anybody trains would settle '
            'them: train longer, or measure on more data.'
        )
    rising = [system['title'] for system in results['systems'] if _is_rising(system)]
    if rising:
        steps.append(
            f'More `--iters`: the validation of {", ".join(rising)} still rises in the last '
            'quarter.'
        )
    edges = [s['title'] for s in results['systems'] if _at_edge(s)]
    if edges:
        steps.append(
            f'Another learning rate in the config: {", ".join(edges)} chose the largest or the '
            'smallest that was tried.'
        )
    if results['failed']:
        steps.append('The same command again, once what failed (below) is put right.')
    if not steps and better:
        steps.append('The better systems with the full schedule of the config (leave `--iters`).')
    return steps or ['Nothing here asks for more: the differences are settled at this budget.']


def _is_rising(system: Mapping[str, Any]) -> bool:
    """Return whether the mean validation of the last quarter rose by a share of its value."""
    rises = []
    for run in system['runs']:
        curve = [(step, value) for step, value in run['validation'] if value is not None]
        before = [value for step, value in curve if step <= 0.75 * curve[-1][0]]
        if before:
            rises.append((curve[-1][1] - before[-1]) / max(curve[-1][1], 1e-9))
    return bool(rises) and fmean(rises) > _RISING


def _at_edge(system: Mapping[str, Any]) -> bool:
    rates = [entry['rate'] for entry in system['search']]
    chosen = [e['rate'] for e in system['search'] if e['label'] == system['chosen']]
    # Of two rates each is one of the ends.
    return len(set(rates)) > 2 and chosen[:1] in ([min(rates)], [max(rates)])


def group_lines(results: Mapping[str, Any]) -> list[str]:
    """Return a line per group with its classes."""
    names = results['classes']
    return [
        f'{group}: {", ".join(names[index] for index in members) or "no class"}'
        for group, members in results['groups'].items()
    ]


def equal_time_table(results: Mapping[str, Any], costs: Mapping[str, Any]) -> Table:
    """Return the metric on the data that choose, at equal iterations and at equal time."""
    values = costs['equal_time']['values']
    rows = []
    for system in results['systems']:
        if system['name'] in values:
            last = [run['validation'][-1][1] for run in system['runs'] if run['validation']]
            at_time = mean_and_deviation(values[system['name']])
            rows.append([system['title'], mean_and_deviation(last), at_time])
    return Table(['System', 'At equal iterations', 'At equal time'], rows)


def _equal_time_text(results: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    end = costs['equal_time']['seconds']
    when = (
        'the fastest system had ended'
        if end is None
        else f'the fastest system had ended, after {duration(end)} (median over the seeds)'
    )
    return (
        f'{metric_name(results)} on the data that choose: at the end, and at the last validation '
        f'before {when}. A dash: no validation until then.'
        + ' Where trainings come from several machines, each counts by the time of its own '
        f'baseline, *{results["baseline"]}*.' * bool(costs.get('elsewhere'))
    )


def per_class_table(results: Mapping[str, Any]) -> Table:
    """Return the value of each class, by falling frequency.

    The longer of classes and systems is the rows: a table that is too wide is not read.
    """
    group_of = {c: group for group, members in results['groups'].items() for c in members}
    order = [index for members in results['groups'].values() for index in members]
    systems = [system for system in results['systems'] if system['runs']]
    columns = [
        ['Class', *(results['classes'][index] for index in order)],
        ['Group', *(group_of[index] for index in order)],
    ]
    for key in ('images', 'pixels'):
        if results[key] is not None:
            columns.append([f'Training {key}', *(f'{results[key][index]}' for index in order)])
    for system in systems:
        per_class = [[run['per_class'][index] for run in system['runs']] for index in order]
        columns.append([system['title'], *map(_mean_text, per_class)])
    across = len(systems) > len(order)
    header, *rows = columns if across else map(list, zip(*columns, strict=True))
    return Table(header, rows)


def confusion_table(results: Mapping[str, Any]) -> Table:
    """Return, per rare class and system, the classes that it is taken for most."""
    from paco_seg.comparison.user_plots import shares_of

    tail = _tail(results)
    systems = [system for system in results['systems'] if system['runs']]
    columns, shares = shares_of(systems, tail, most=len(results['classes']))
    names = results['classes']
    rows = []
    for row, label in enumerate(tail):
        cells = []
        for system in systems:
            values = shares[system['title']][row]
            pairs = sorted(zip(values, columns, strict=True), key=lambda pair: (-pair[0], pair[1]))
            cells.append(', '.join(f'{names[c]} {v:.0f}' for v, c in pairs[:3] if v > 0) or '-')
        rows.append([names[label], *cells])
    return Table(['Rare class', *(system['title'] for system in systems)], rows)


def _tail(results: Mapping[str, Any]) -> list[int]:
    """Return the rarest classes that are shown, rarest first."""
    return list(results['groups'].values())[-1][::-1][:MOST_CONFUSED]


def _search_blocks(results: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            system['title'],
            entry['text'],
            '-' if entry['value'] is None else f'{entry["value"]:.2f}',
            'chosen' if entry['label'] == system['chosen'] else '',
        ]
        for system in results['systems']
        for entry in system['search']
    ]
    if not rows:
        return [Text('Nothing: every system has its default settings.')]
    text = (
        f'Trainings of {results["search_iters"]} iterations with seed {results["seeds"][0]}, '
        f'judged by {metric_name(results)} on the data that choose. Every system that trains '
        'tries settings of its own, if it has some, and then the best of them at the same learning '
        'rates; one that only changes the test tries its values on finished weights.'
    )
    return [Text(text), Table(['System', 'Settings', metric_name(results), ''], rows)]


def _absent_blocks(results: Mapping[str, Any]) -> list[Block]:
    lines = [f'{name} cannot serve this config: {why}' for name, why in results['refused']]
    lines += [f'`{cell}` failed: {why}' for cell, why in results['failed']]
    return [Items(lines)] if lines else [Text('Everything that was asked for ran.')]


def _counted(results: Mapping[str, Any]) -> str:
    return 'images' if results['pixels'] is None else 'pixels'


def frequency_figure(results: Mapping[str, Any]) -> Figure:
    """Draw the results of each class against its training frequency, a line per system."""
    from paco_seg.comparison.plots import by_frequency_figure

    counted = _counted(results)
    return by_frequency_figure(
        classes=results['classes'],
        shares=results[counted],
        values={
            system['title']: [run['per_class'] for run in system['runs']]
            for system in results['systems']
            if system['runs']
        },
        xlabel=f'training {counted}',
        ylabel=f'{results["measure"]} (%)',
    )


def draw_pictures(
    folder: Path, results: Mapping[str, Any], palette: Sequence[Sequence[int]] | None
) -> list[Picture]:
    """Draw what there is to draw; returns the pictures."""
    from paco_seg.comparison import plots, user_plots

    systems = [system for system in results['systems'] if system['runs']]
    if not systems:
        return []
    name, measure = metric_name(results), results['measure']
    counted = _counted(results)
    found = [Picture('by_frequency.png', f'{measure} of each class against its frequency')]
    plots.save(frequency_figure(results), folder / found[0].file)
    gains = gains_of(results)
    if gains:
        found.append(Picture('gain.png', f'What each system gains in {measure}, class by class'))
        user_plots.draw_gains(
            folder / found[-1].file,
            classes=results['classes'],
            frequency=results[counted],
            gains=gains,
            xlabel=f'training {counted}',
            ylabel=f'gain in {measure} (points)',
        )
    tail = _tail(results)
    columns, shares = user_plots.shares_of(systems, tail)
    if columns:
        found.append(Picture('confusion.png', 'What the rare classes are taken for, in percent'))
        user_plots.draw_confusion(
            folder / found[-1].file,
            rows=[results['classes'][label] for label in tail],
            columns=[results['classes'][label] for label in columns],
            shares=shares,
        )
    trained = [system for system in systems if system['trains']]
    if any(run['validation'] for system in trained for run in system['runs']):
        found.append(Picture('curves.png', f'Training loss, and {name} on the data that choose'))
        plots.draw_curves(
            folder / found[-1].file,
            {
                'training loss (sum of all terms)': {
                    s['title']: [run['loss'] for run in s['runs']] for s in trained
                },
                f'{name} (%)': {
                    s['title']: [run['validation'] for run in s['runs']] for s in trained
                },
            },
        )
    picture = Picture('examples.png', 'Predictions on samples that show the rarest classes')
    folders = {
        s['title']: folder / s['runs'][0]['folder'] / TESTED
        for s in systems
        if s['runs'][0]['folder']  # predictions of other machines stay there
    }
    if user_plots.draw_examples(
        folder / picture.file,
        folders=folders,
        classes=results['classes'],
        palette=palette,
        measure=measure,
    ):
        found.append(picture)
    return found


def gains_of(results: Mapping[str, Any]) -> dict[str, list[float | None]]:
    """Return title -> gain of each class over the baseline, mean over the common seeds."""
    systems = {system['name']: system for system in results['systems']}
    before = {run['seed']: run['per_class'] for run in systems[results['baseline']]['runs']}
    gains: dict[str, list[float | None]] = {}
    for name, system in systems.items():
        pairs = [
            (run['per_class'], before[run['seed']])
            for run in system['runs']
            if run['seed'] in before
        ]
        if name == results['baseline'] or not pairs:
            continue
        columns: list[float | None] = []
        for index in range(len(results['classes'])):
            known = [
                own[index] - base[index]
                for own, base in pairs
                if own[index] is not None and base[index] is not None
            ]
            columns.append(fmean(known) if known else None)
        gains[system['title']] = columns
    return gains


def metric_name(results: Mapping[str, Any]) -> str:
    """Return the name of the metric that is judged."""
    return OVERALL.get(results['metric'], results['metric'])


def _has(results: Mapping[str, Any], key: str) -> bool:
    return any(key in run['metrics'] for s in results['systems'] for run in s['runs'])


def _mean_text(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f'{fmean(known):.1f}' if known else '-'


def _choosing(results: Mapping[str, Any]) -> str:
    if any(system['search'] for system in results['systems']):
        return 'Settings were chosen on'
    return 'Settings are the defaults; the curves are on'


def _listed(values: Sequence[int]) -> str:
    return ', '.join(map(str, values))
