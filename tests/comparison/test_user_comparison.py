"""``paco-seg compare CONFIG`` on tiny data of either task, to the report."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from paco_seg.cli.compare import output_folders
from paco_seg.comparison.lock import only_one
from paco_seg.comparison.user_comparison import choose_systems
from paco_seg.engine.systems import Systems, TrainingSystem

OPTIONS = ('--seeds', '2', '--iters', '2', '--search', 'none', '--groups', 'rank')


def options(out, *systems):
    return ('--systems', *systems, *OPTIONS, '--out', str(out))


def picture_sources(page):
    return re.findall(r'<img src="([^"]{30})', page)


def test_killed_and_resumed_ends_as_one_that_was_not(tiny_seg, tmp_path, run_tool, capsys):
    config, out = tiny_seg(), tmp_path / 'out'
    words = (config, *options(out, 'log-prior-test'))
    first = out / 'ce' / 'seed_0' / 'cell.json'
    with subprocess.Popen(
        [sys.executable, '-m', 'paco_seg', 'compare', *map(str, words)],
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
    ) as process:
        while not first.exists() and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert not (out / 'results.json').exists()
    written = first.stat().st_mtime_ns
    run_tool('compare', *words)
    said = capsys.readouterr().out
    assert 'finished: 1 of 4 trainings and tests' in said
    assert '| CE, log prior at test | ' in said
    assert 'cannot be told from CE' in said
    assert first.stat().st_mtime_ns == written
    resumed = (out / 'results.json').read_text()

    run_tool('compare', *words, '--force')
    assert first.stat().st_mtime_ns > written
    assert (out / 'results.json').read_text() == resumed

    page = (out / 'report.html').read_text()
    linked = re.findall(r'\]\((\w+\.png)\)', (out / 'report.md').read_text())
    assert linked == [
        'by_frequency.png', 'gain.png', 'confusion.png', 'curves.png', 'examples.png',
    ]  # fmt: skip
    assert picture_sources(page) == ['data:image/png;base64,iVBORw0K'] * len(linked)
    assert not re.findall(r'https?:|<script|<link', page)
    results = json.loads(resumed)
    assert [len(system['runs']) for system in results['systems']] == [2, 2]
    assert results['failed'] == results['refused'] == []


def test_classification_says_what_is_repeated_when_the_config_changes(
    tiny_cls, tmp_path, run_tool, capsys
):
    config, out = tiny_cls(), tmp_path / 'out'
    words = (*options(out, 'tau-norm'), '--seeds', '1')
    run_tool('compare', config, *words)
    said = capsys.readouterr().out
    assert 'config.py: 2 systems (ce, tau-norm; baseline ce), 1 seeds, 2 iterations each' in said
    results = json.loads((out / 'results.json').read_text())
    assert results['metric'] == 'class_mean'
    assert list(results['groups']) == ['many', 'medium', 'few']
    page = (out / 'report.html').read_text()
    assert len(picture_sources(page)) == 5
    written = (out / 'results.json').stat().st_mtime_ns
    text = config.read_text()
    config.write_text(text.replace('lr=0.05', 'lr=0.06'))
    run_tool('compare', config, *words, '--dry-run')
    said = capsys.readouterr().out
    assert 'finished: 0 of 2' in said
    assert (
        'ce/seed_0 would be repeated, since inputs.config.optim_wrapper.optimizer.lr was 0' in said
    )
    assert (out / 'results.json').stat().st_mtime_ns == written


def test_parts_of_a_comparison_become_one_table(tiny_cls, tmp_path, run_tool, capsys):
    config = tiny_cls()
    first, second = tmp_path / 'first', tmp_path / 'second'
    run_tool('compare', config, *options(first, 'focal'), '--seeds', '1')
    words = (*options(second, 'focal', 'log-prior-test'), '--seeds', '1', '--merge', first)
    capsys.readouterr()
    run_tool('compare', config, *words, '--dry-run')
    said = capsys.readouterr().out
    assert '2 systems (ce, log-prior-test; baseline ce)' in said
    assert f'merged: focal of {first}' in said
    run_tool('compare', config, *words)
    assert not (second / 'focal').exists()
    results = json.loads((second / 'results.json').read_text())
    assert [system['name'] for system in results['systems']] == ['ce', 'focal', 'log-prior-test']
    assert 'Focal' in (second / 'report.html').read_text()
    with pytest.raises(ValueError, match=r'^--system: expected one of ce, focal'):
        run_tool('plot', 'confusion', second, '--system', 'no')
    with pytest.raises(FileNotFoundError, match='Take the folder in which the comparison ran'):
        run_tool('plot', 'confusion', second, '--system', 'focal')
    with pytest.raises(ValueError, match='--merge: expected the same iters as in this comparison'):
        run_tool('compare', config, *words, '--iters', '3')
    options_ = ('--cfg-options', 'train_dataloader.num_workers=1', 'optim_wrapper.optimizer.lr=0.1')
    with pytest.raises(ValueError, match=r'expected the same options as in this .*, .*lr": "0\.1"'):
        run_tool('compare', config, *words, *options_)
    with pytest.raises(ValueError, match='--merge: expected folders of other comparisons, got'):
        run_tool('compare', config, *words, '--merge', second)


def test_a_folder_of_a_running_comparison_is_refused(tiny_seg, tmp_path, run_tool):
    config = tiny_seg()
    with only_one(tmp_path / 'out'), pytest.raises(ValueError, match='no running comparison'):
        run_tool('compare', config, '--out', tmp_path / 'out')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ([], 'expected either a CONFIG or --suite'),
        (['c.py', '--suite', 'demo-seg'], 'expected either a CONFIG or --suite'),
        (['--suite', 'demo-seg', '--iters', '3'], '--iters: expected with a CONFIG'),
        (['c.py', '--iters', '3', '--hours', '1'], 'expected either --iters or --hours'),
        (['c.py', '--workers', '3', '--gpus', '1'], 'expected either --workers or --gpus'),
        (['c.py', '--hours', '-1'], '--hours: expected a number above 0'),
        (['c.py', '--methods', 'ce'], '--methods: expected with --suite'),
        (['c.py', 'd.py', '--merge', 'x'], '--merge: expected with one CONFIG'),
        (['--suite', 'demo-seg', '--merge', 'x'], '--merge: expected with a CONFIG'),
    ],
)
def test_options_that_contradict_each_other(arguments, message, run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('compare', *arguments)
    assert message in capsys.readouterr().err


def test_unknown_systems_and_absent_configs_are_refused(tiny_seg, tmp_path, run_tool):
    with pytest.raises(ValueError, match=r"expected one of ce, .* got 'gapco'"):
        run_tool('compare', tiny_seg(), '--systems', 'gapco', '--out', tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match=r'absent\.py'):
        run_tool('compare', tmp_path / 'absent.py', '--out', tmp_path / 'out')


def system(name, source=None):
    return TrainingSystem(name, name, '', '', lambda *_: [], (), source=source)


def test_the_baseline_and_what_others_start_from_come_along_and_first():
    known = Systems([system('late', 'early'), system('early', 'ce'), system('ce')])
    assert [s.name for s in choose_systems(known, ['late'])] == ['ce', 'early', 'late']
    assert [s.name for s in choose_systems(known, None)] == ['ce', 'early', 'late']


def test_each_config_has_a_folder_of_its_own(tmp_path):
    assert output_folders(['a/x.py'], tmp_path) == [tmp_path]
    assert output_folders(['a/x.py', 'mmseg::b/y.py'], tmp_path) == [tmp_path / 'x', tmp_path / 'y']
    assert str(output_folders(['a/x.py'], None)[0]) == 'work_dirs/compare/x'
    with pytest.raises(ValueError, match='CONFIG: expected configs of different names'):
        output_folders(['a/x.py', 'b/x.py'], None)


def test_a_search_chooses_before_the_seeds_train(tiny_cls, tmp_path, run_tool, capsys):
    """The command without options but its budget, as it is first typed."""
    config, out = tiny_cls(), tmp_path / 'out'
    words = (config, '--systems', 'ce', '--seeds', '1', '--iters', '2', '--out', out)
    run_tool('compare', *words)
    (system,) = json.loads((out / 'results.json').read_text())['systems']
    tried = {entry['label']: entry['value'] for entry in system['search']}
    assert len(tried) == 3
    assert tried[system['chosen']] == max(tried.values())
    assert 'Settings were chosen' in (out / 'report.md').read_text()
    capsys.readouterr()
    # Groups are formed from finished results.
    run_tool('compare', *words, '--groups', 'shots:1000,900', '--dry-run')
    said = capsys.readouterr().out
    assert 'groups: many: more than 1000' in said
    assert 'finished: 4 of 4 trainings and tests' in said


def test_hours_become_iterations(tiny_cls, tmp_path, run_tool, capsys):
    words = (tiny_cls(), '--systems', 'ce', '--seeds', '1', '--out', tmp_path / 'out', '--dry-run')
    found = []
    for hours in ('1', '100'):  # far apart: a step is timed each time
        run_tool('compare', *words, '--hours', hours)
        said = capsys.readouterr().out
        found.append(int(re.search(r'1 seeds, (\d+) iterations each', said)[1]))
    assert 1 < found[0] < found[1]
