"""``paco-seg demo-data``: arguments, and what is refused."""

import json

import pytest

from paco_seg import cli

SMALL = ('--max-instances', '100', '--balanced-instances', '2', '--size', '48')


def test_writes_either_set(tmp_path, capsys):
    scenes, digits = tmp_path / 'scenes', tmp_path / 'digits'
    cli.run(['demo-data', 'digit-scenes', '--out', str(scenes), *SMALL, '--seed', '3'])
    cli.run(['demo-data', 'digits', '--out', str(digits)])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f'{scenes}: training instances per digit [100, 60, ')
    assert second.startswith(f'{digits}: training images per digit [100, 65, ')
    settings = json.loads((scenes / 'statistics.json').read_text())['settings']
    assert settings == {
        'seed': 3,
        'size': 48,
        'digits_per_scene': 8,
        'max_instances': 100,
        'balanced_instances': 2,
    }
    assert json.loads((digits / 'statistics.json').read_text())['settings'] == {
        'seed': 0,
        'size': 16,
    }


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['digit-scenes', '--size', '8'], '--size: expected at least 48, got 8'),
        (['digit-scenes', '--seed', '-1'], '--seed: expected at least 0, got -1'),
        (['digit-scenes', '--max-instances', '99'], '--max-instances: expected at least 100, got'),
        (['digits', '--size', '4'], '--size: expected at least 8, got 4'),
        (['digits', '--seed', '-1'], '--seed: expected at least 0, got -1'),
        (['digits', '--seed', 'x'], '--seed: expected at least 0, got x'),
        (['digits', '--out', '/proc/x'], "--out: expected a folder that can be written to, got '/"),
        (['digit-scenes', '--out', '/proc/x'], '--out: expected a folder that can be written to'),
        (['digits', '--out', __file__], '--out: expected a folder, got '),
        (['digit-scenes', '--out', __file__ + '/x'], '--out: expected a folder, got '),
    ],
)
def test_refusals_are_one_message_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(['demo-data', *arguments])
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert 'Traceback (most recent' not in err
