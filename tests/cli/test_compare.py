"""``paco-seg compare``: choice of systems, folders, and what is refused."""

from pathlib import Path

import pytest

from paco_seg import cli
from paco_seg.cli import compare
from paco_seg.comparison.suites import SUITES


def test_part_of_a_suite_is_reported_elsewhere():
    suite = SUITES['demo-cls']

    def folder(names, seeds):
        return compare.report_folder(suite, compare.choose(suite, names, seeds))

    assert folder(None, None) == folder(None, 3) == Path()
    assert folder(None, 1) == Path('subset-all-1-seeds')
    assert folder(['gpaco', 'crt'], 3) == Path('subset-ce-crt-gpaco-3-seeds')


def test_choice_of_systems():
    systems = SUITES['demo-cls'].study.systems
    chosen = compare.choose_systems(systems, ['gpaco', 'crt'])
    assert [system.name for system in chosen] == ['ce', 'crt', 'gpaco']
    assert compare.choose_systems(systems, None) == list(systems)
    assert compare.choose(SUITES['quickstart'], None, None) == SUITES['quickstart']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['demo-seg', '--methods', 'ce', 'nonsense'], '--methods: expected some of ce, '),
        (['demo-seg', '--seeds', '0'], '--seeds: expected at least 1, got 0'),
        (['quickstart', '--out', __file__], '--out: expected a folder, got '),
        (['quickstart', '--out', '/proc/x'], '--out: expected a folder that can be written to'),
        (['alpha-scale', '--out', __file__ + '/x'], '--out: expected a folder, got '),
    ],
)
def test_refusals_are_one_message_and_status_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(['compare', '--suite', *arguments])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_failed_training_ends_with_its_log(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = tmp_path / 'data' / 'digits_lt'
    data.mkdir(parents=True)
    for name in ('statistics.json', 'training.txt'):
        (data / name).write_text('{}')
    (data / 'class_counts.json').write_text('[1]')
    with pytest.raises(SystemExit) as end:
        cli.main(['compare', '--suite', 'demo-cls', '--methods', 'ce', '--seeds', '1'])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert 'paco_seg train paco_seg::quickstart/ce_resnet8' in err
    assert 'expected exit status 0, got ' in err
    assert "search.txt' (data_root='data/digits_lt/'). Prepare the data set there" in err  # its log


def test_several_configs_share_the_hours(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        'paco_seg.comparison.user_comparison.compare_config', lambda r: asked.append(r) or []
    )
    cli.main(['compare', 'a.py', 'b.py', '--hours', '3', '--out', str(tmp_path)])
    cli.main(['compare', 'a.py', '--out', str(tmp_path)])
    assert [(request.config, request.hours) for request in asked] == [
        ('a.py', 1.5),
        ('b.py', 1.5),
        ('a.py', None),
    ]
