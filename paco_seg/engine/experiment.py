"""Comparisons of training methods: the same search and seeds for each, cell by cell, resumable.

A *cell* is one training (and its test) in a folder of its own; it counts as done once its
``cell.json`` exists, which is written last. A cell is repeated only if what decides its result has
changed (commands, resolved config, data, versions), so an interrupted comparison continues where it
stopped and a finished one takes seconds.

Cells call the tools of the repository by their command lines. Where the system can fork, each is a
child of a process that has imported PyTorch and MM already, which saves seconds per command.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import multiprocessing
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from statistics import fmean
from typing import Any

from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from paco_seg import __version__, compat

ROOT = Path(__file__).resolve().parents[2]
DONE = 'cell.json'
POLL_SECONDS = 0.2
REPORT_SECONDS = 20
# What a checkpoint holds beside parameters: BatchNorm, class counts, queue, fixed centers, steps.
BUFFERS = re.compile(
    r'(running_mean|running_var|num_batches_tracked|\bcounts|\bqueue\.\w+|\bsimplex|\bupdates)$'
)
TEST_COST = 0.1  # of a test without a training, relative to a training


@dataclass(frozen=True)
class Cell:
    """One unit of work whose result is kept.

    Args:
        name: folder below the root of the comparison, unique.
        commands: command lines, first the tool, a file relative to the repository; ``{dir}`` stands
            for the folder of the cell.
        inputs: JSON; with ``commands`` all that decides the result.
        collect: reads the result, JSON, from the folder after the last command.
        cost: expected duration relative to other cells, for the estimate of the remaining time.
        progress: share of the cell that is done, from its folder while it runs.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    inputs: Mapping[str, Any]
    collect: Callable[[Path], dict]
    cost: float = 1.0
    progress: Callable[[Path], float] = lambda folder: 0.0

    @property
    def fingerprint(self) -> str:
        """Hash of the commands and inputs."""
        content = json.dumps([self.commands, self.inputs], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()


class CellRunner:
    """Runs cells one after the other and keeps their results.

    Args:
        root: folder of the comparison.
        total_cost: sum of the costs of all cells to come, for the estimate.
        force: repeat finished cells.
        preload: modules to import once, before the first command runs.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        *,
        total_cost: float,
        force: bool = False,
        preload: Sequence[str] = (),
    ) -> None:
        self.root = Path(root)
        self.total_cost = total_cost
        self.force = force
        self.preload = preload
        self.executed: list[str] = []
        self.commit = code_commit()
        self._reused_cost = 0.0
        self._done_cost = 0.0
        self._busy_seconds = 0.0

    def run(self, cell: Cell) -> dict:
        """Result of a cell, from its folder if it is done, else by running its commands.

        Raises:
            RuntimeError: a command failed; names it and its log.
        """
        folder = self.root / cell.name
        result = None if self.force else finished_result(folder, cell.fingerprint)
        if result is not None:
            self._reused_cost += cell.cost
            return result
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for module in self.preload:
            import_module(module)
        start = time.perf_counter()
        for number, command in enumerate(cell.commands):
            command = tuple(word.replace('{dir}', str(folder)) for word in command)
            self._run_command(cell, command, folder, folder / f'command-{number}.log', start)
        result = dict(**cell.collect(folder), commit=self.commit)
        seconds = time.perf_counter() - start
        write_json(
            folder / DONE,
            dict(fingerprint=cell.fingerprint, name=cell.name, seconds=seconds, result=result),
        )
        self.executed.append(cell.name)
        self._busy_seconds += seconds
        self._done_cost += cell.cost
        print(f'{cell.name}: done in {seconds:.0f} s{self._remaining(0.0, 0.0)}', flush=True)
        return result

    def _run_command(
        self, cell: Cell, command: tuple[str, ...], folder: Path, log: Path, start: float
    ) -> None:
        methods = multiprocessing.get_all_start_methods()
        context: Any = multiprocessing.get_context('fork' if 'fork' in methods else 'spawn')
        sys.stdout.flush()
        sys.stderr.flush()
        process = context.Process(target=run_tool, args=(command, str(log)), daemon=True)
        process.start()
        told = time.perf_counter()
        try:
            while process.is_alive():
                process.join(POLL_SECONDS)
                if time.perf_counter() - told > REPORT_SECONDS:
                    told = time.perf_counter()
                    share = cell.progress(folder)
                    left = self._remaining(share * cell.cost, told - start)
                    print(f'{cell.name}: {share:.0%}{left}', flush=True)
        finally:
            if process.is_alive():
                process.terminate()
                process.join()
        if process.exitcode != 0:
            tail = '\n'.join(log.read_text(errors='replace').splitlines()[-15:])
            raise RuntimeError(
                f'{" ".join(command)}: expected exit status 0, got {process.exitcode}. The end of '
                f'{log}:\n{tail}'
            )

    def _remaining(self, current_cost: float, current_seconds: float) -> str:
        done = self._done_cost + current_cost
        left = self.total_cost - self._reused_cost - done
        if done <= 0 or left <= 0:
            return ''
        seconds = left * (self._busy_seconds + current_seconds) / done
        return f', about {seconds / 60:.1f} min left'


def code_commit() -> str | None:
    """Last commit of what trains, marked where the files differ from it; None without Git."""
    paths = ('--', 'paco_seg', 'configs', 'tools')
    try:
        commit, changed = (
            subprocess.run(
                ['git', *command, *paths], cwd=ROOT, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (
                ('log', '-1', '--abbrev=12', '--format=%h'),
                ('status', '--porcelain', '--untracked-files=no'),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return (commit + '-changed' * bool(changed)) or None


def finished_result(folder: Path, fingerprint: str) -> dict | None:
    """Result of a cell that is done, else None: half-finished and outdated cells do not count."""
    try:
        content = json.loads((folder / DONE).read_text())
    except (OSError, ValueError):
        return None
    return content['result'] if content.get('fingerprint') == fingerprint else None


def run_tool(command: Sequence[str], log: str) -> None:
    """Run ``command[0]`` as a program in this process, with its output in a file."""
    with open(log, 'w', buffering=1) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        sys.stdout = sys.stderr = stream
        print('python', *command, flush=True)
        forget_runs()  # a fork inherits them, and would write into the folder of another run
        sys.argv = list(command)
        runpy.run_path(str(ROOT / command[0]), run_name='__main__')
    write_json(Path(log).with_suffix('.json'), dict(peak_memory_mib=peak_memory_mib()))


def forget_runs() -> None:
    """Clears MMEngine's process-wide loggers, visualizers and scopes, which later runs inherit."""
    for logger in MMLogger._instance_dict.values():
        for handler in logger.handlers:
            handler.close()
    managers = [MMLogger, MessageHub, Visualizer, DefaultScope]
    for manager in managers:
        managers.extend(manager.__subclasses__())
        manager._instance_dict.clear()


def peak_memory_mib() -> float | None:
    """Largest resident memory of this process so far, or None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # bytes on macOS, KiB elsewhere
    return peak / 2**20 if sys.platform == 'darwin' else peak / 2**10


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file that is complete or absent."""
    partial = path.with_name(path.name + '.partial')
    partial.write_text(json.dumps(content, indent=1) + '\n')
    os.replace(partial, path)


@dataclass(frozen=True)
class Method:
    """One way to train.

    Args:
        name: key in results and folder names.
        title: name in tables and pictures.
        config: config file.
        search: config key -> values to try, in all combinations.
        search_options: config options of its search beside those of the comparison: what has to
            follow the length of the training, or for a method that does not train, what makes the
            test loader read the validation split.
        source: name of an earlier method whose final weights, of the same seed, this one loads.
        source_key: config key that takes these weights in training.
        trains: False tests the weights of ``source`` with this config, without a training.
    """

    name: str
    title: str
    config: str
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    search_options: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None
    source_key: str = 'load_from'
    trains: bool = True

    def candidates(self) -> list[dict[str, Any]]:
        """All combinations of the searched settings; none for a test without any."""
        if not (self.search or self.trains):
            return []
        return [
            dict(zip(self.search, values, strict=True))
            for values in itertools.product(*self.search.values())
        ]


@dataclass(frozen=True)
class Comparison:
    """The same kind of search and the same seeds for every method.

    Each candidate trains once for the short ``search_options`` and is judged by ``metric`` on the
    validation loader of the config; the best trains for every seed as the config says and is
    evaluated by ``tools/test.py`` on the test loader, which has to be another split. A method that
    does not train tests each candidate on the weights that its source got from the first seed.

    Args:
        methods: what is compared.
        seeds: of the final trainings; the search uses the first.
        metric: name of the metric that chooses, larger is better.
        search_options: config options of a search training.
        search_cost: its expected duration relative to a final training.
        options: config options of every training, ahead of the searched ones.
        test_options: config options of the test; ``{dir}`` is the folder of the cell.
        data_files: files whose content identifies the data.
    """

    methods: Sequence[Method]
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
        for method in self.methods:
            searched = self.search_cost if method.trains else TEST_COST
            final = 1.0 if method.trains else TEST_COST
            cost += len(method.candidates()) * searched + len(self.seeds) * final
        return cost

    def run(self, runner: CellRunner) -> list[dict]:
        """Run what is missing.

        Returns:
            per method: name, title, config, ``search`` (settings and value of each candidate),
            ``chosen`` settings and ``runs`` (one per seed: settings of :func:`collect_training`,
            ``test`` as ``tools/test.py --out`` writes it, ``commit`` of the code; ``train_seconds``
            include the training of the source, ``peak_memory_mib`` is the larger of both).

        Raises:
            ValueError: a method needs the weights of another one that does not come before it.
        """
        check_sources(self.methods)
        found = []
        finals: dict[tuple[str | None, int], tuple[Cell, dict]] = {}
        for method in self.methods:
            sources = {
                seed: finals.get((method.source, seed), (None, {}))[0] for seed in self.seeds
            }
            search: list[dict[str, Any]] = []
            for settings in method.candidates():
                result = runner.run(self.search_cell(method, settings, sources[self.seeds[0]]))
                rows = result['validation'] if method.trains else [result['test']['metrics']]
                search.append(dict(settings=settings, value=final_metric(rows, self.metric)))
            # the first of equal candidates, whatever their order in a dict
            chosen = max(search, key=lambda entry: entry['value'])['settings'] if search else {}
            runs = []
            for seed in self.seeds:
                cell = self.final_cell(method, chosen, seed, sources[seed])
                result = dict(runner.run(cell))
                if method.source is not None:
                    before = finals[method.source, seed][1]
                    own = result.get('train_seconds', 0.0)
                    both = [r.get('peak_memory_mib') for r in (before, result)]
                    peak = max((value for value in both if value is not None), default=None)
                    result = {
                        **before,
                        **result,
                        'train_seconds': before['train_seconds'] + own,
                        'peak_memory_mib': peak,
                    }
                finals[method.name, seed] = cell, result
                runs.append({**result, 'seed': seed, 'folder': cell.name})
            found.append(
                dict(
                    name=method.name,
                    title=method.title,
                    config=method.config,
                    search=search,
                    chosen=chosen,
                    runs=runs,
                )
            )
        return found

    def search_cell(
        self, method: Method, settings: Mapping[str, Any], source: Cell | None = None
    ) -> Cell:
        """Short training of one candidate; a test of the source if the method does not train."""
        label = '_'.join(f'{key.rsplit(".", 1)[-1]}-{value}' for key, value in settings.items())
        name = f'{method.name}/search_{label}'
        if not method.trains:
            return self._test_cell(name, method, {**settings, **method.search_options}, source)
        options = {
            **self.options,
            **self.search_options,
            **method.search_options,
            **settings,
            'randomness.seed': self.seeds[0],
            **starting_from(method, source),
        }
        return Cell(
            name=name,
            commands=(train_command(method.config, options),),
            inputs=self._inputs(method.config, options, source),
            collect=collect_training,
            cost=self.search_cost,
            progress=training_progress,
        )

    def final_cell(
        self, method: Method, settings: Mapping[str, Any], seed: int, source: Cell | None = None
    ) -> Cell:
        """Full training with the chosen settings, and its test."""
        name = f'{method.name}/seed_{seed}'
        if not method.trains:
            return self._test_cell(name, method, settings, source)
        options = {
            **self.options,
            **settings,
            'randomness.seed': seed,
            **starting_from(method, source),
        }
        test = test_command(method.config, '{dir}/final.pth', self.test_options)
        return Cell(
            name=name,
            commands=(train_command(method.config, options), test),
            inputs=self._inputs(method.config, options, source),
            collect=collect_final,
            progress=training_progress,
        )

    def _test_cell(
        self, name: str, method: Method, options: Mapping[str, Any], source: Cell | None
    ) -> Cell:
        options = {**self.test_options, **options}
        assert source is not None  # see check_sources
        return Cell(
            name=name,
            commands=(test_command(method.config, source_weights(source), options),),
            inputs=self._inputs(method.config, options, source),
            collect=collect_test,
            cost=TEST_COST,
        )

    def _inputs(self, config: str, options: Mapping[str, Any], source: Cell | None) -> dict:
        data = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in self.data_files]
        inputs = dict(config=resolved_config(config, options), data=data, versions=versions())
        return inputs if source is None else {**inputs, 'source': source.fingerprint}


def check_sources(methods: Sequence[Method]) -> None:
    """Refuse a list in which a method comes ahead of the one whose weights it needs.

    Raises:
        ValueError: names the method.
    """
    seen: set[str | None] = {None}
    for method in methods:
        if method.source not in seen or (method.source is None and not method.trains):
            raise ValueError(
                f'{method.name}: expected the method {method.source!r} before it, got none. Put it '
                'into the list of methods, ahead of this one.'
            )
        seen.add(method.name)


def source_weights(source: Cell) -> str:
    """Final weights of another cell, seen from the folder of a cell."""
    return f'{{dir}}/../../{source.name}/final.pth'


def starting_from(method: Method, source: Cell | None) -> dict[str, str]:
    """Config options that load the weights of another cell."""
    return {} if source is None else {method.source_key: source_weights(source)}


def train_command(config: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Command line of a training in the folder of the cell; the last weights are ``final.pth``."""
    options = {
        **options,
        'default_hooks.checkpoint.filename_tmpl': 'final.pth',
        'default_hooks.checkpoint.save_optimizer': False,
        'default_hooks.checkpoint.save_param_scheduler': False,
    }
    return ('tools/train.py', config, '--work-dir', '{dir}', *as_arguments(options))


def test_command(config: str, weights: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Command line of a test that writes ``test.json`` into the folder of the cell."""
    return (
        'tools/test.py', config, weights, '--work-dir', '{dir}/test', '--out', '{dir}/test.json',
        *as_arguments(options),
    )  # fmt: skip


def as_arguments(options: Mapping[str, Any]) -> list[str]:
    """``--cfg-options`` of a tool."""
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())] * bool(options)


def resolved_config(path: str, options: Mapping[str, Any]) -> dict:
    """A config file with all it inherits and the options, as plain data."""
    compat.setup()
    config = Config.fromfile(path, import_custom_modules=False)
    config.merge_from_dict(dict(options))
    return config.to_dict()


def versions() -> dict[str, str]:
    """Versions of the packages that decide a result."""
    from importlib.metadata import distributions

    wanted = re.compile(r'(torch|(onedl-)?mm(engine|cv|segmentation|pretrain)|mmsegmentation)')
    found = {
        name: dist.version
        for dist in distributions()
        if (name := (dist.metadata['Name'] or '').lower()) and wanted.fullmatch(name)
    }
    return {'paco_seg': __version__, **dict(sorted(found.items()))}


def scalar_log(folder: Path) -> list[dict]:
    """Rows that MMEngine logged in a work directory, oldest first."""
    rows = []
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:  # the last line of a training that is being written
                break
    return rows


def collect_training(folder: Path) -> dict:
    """Curves and duration of a training by iterations.

    Returns:
        ``loss`` as [iteration, value] pairs, ``validation`` as rows of metrics with ``step``, and
        ``train_seconds``: the iterations alone, without validation and start-up.
    """
    loss, validation, seconds, last = [], [], 0.0, 0
    for row in scalar_log(folder):
        if 'loss' in row:
            # the mean over the iterations since the row before, if log_processor.window_size is the
            # interval of the logger
            seconds += row['time'] * (row['step'] - last)
            last = row['step']
            loss.append([row['step'], row['loss']])
        else:
            # time and data_time of a validation batch say nothing about the model
            validation.append({k: v for k, v in row.items() if k not in ('time', 'data_time')})
    return dict(loss=loss, validation=validation, train_seconds=seconds)


def collect_final(folder: Path) -> dict:
    """:func:`collect_training`, test of its weights, peak memory and number of parameters."""
    from paco_seg.engine.checkpoint import load_from_local, set_safe_loading

    set_safe_loading()
    state = load_from_local(str(folder / 'final.pth'), map_location='cpu')['state_dict']
    sizes = {key: value.numel() for key, value in state.items() if not BUFFERS.search(key)}
    return dict(
        **collect_training(folder),
        **collect_test(folder),
        **json.loads((folder / 'command-0.json').read_text()),
        parameters=sum(sizes.values()),
    )


def collect_test(folder: Path) -> dict:
    """What ``tools/test.py`` wrote."""
    return dict(test=json.loads((folder / 'test.json').read_text()))


def training_progress(folder: Path) -> float:
    """Share of the iterations that a training has logged."""
    steps = [row['step'] for row in scalar_log(folder) if 'loss' in row]
    dumped = list(folder.glob('*/vis_data/config.py'))
    if not steps or not dumped:
        return 0.0
    max_iters = re.search(r'max_iters=(\d+)', dumped[-1].read_text())
    return min(1.0, steps[-1] / int(max_iters[1])) if max_iters else 0.0


def final_metric(validation: Sequence[Mapping[str, Any]], metric: str) -> float:
    """A metric at the last validation.

    Raises:
        ValueError: the training did not report it.
    """
    if not validation or metric not in validation[-1]:
        raise ValueError(
            f'{metric}: expected this metric in the last validation, got '
            f'{sorted(validation[-1]) if validation else "no validation"}. Set val_interval to a '
            'divisor of max_iters.'
        )
    return float(validation[-1][metric])


def text_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown table with aligned columns."""
    rows = [list(header), *map(list, rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = [
        '| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + ' |'
        for row in rows
    ]
    lines.insert(1, '|' + '|'.join('-' * (width + 2) for width in widths) + '|')
    return '\n'.join(lines)


def mean_and_spread(values: Sequence[float | None], digits: int = 1) -> str:
    """``mean (min to max)`` over seeds; a value that was nowhere defined is a dash."""
    known = [value for value in values if value is not None]
    if not known:
        return '-'
    mean = f'{fmean(known):.{digits}f}'
    if len(known) == 1:
        return mean
    return f'{mean} ({min(known):.{digits}f} to {max(known):.{digits}f})'
