import pytest
from mmengine.config import Config
from mmengine.registry import Registry

from paco_seg.engine.stages import describe, failing_part, is_expected, report, stage, stages_of


def caught(function, *stages):
    """The exception of a function inside nested stages, given as ``(name, expected)``."""
    if not stages:
        return function()
    (name, expected), *inner = stages
    with stage(name, expected=expected):
        return caught(function, *inner)


def fail(error):
    def function():
        raise error

    return function


def test_the_innermost_stage_names_and_decides():
    outer, inner = ('while training', True), ('in iteration 3', False)
    with pytest.raises(RuntimeError) as caught_error:
        caught(fail(RuntimeError('no kernel')), outer, inner)
    error = caught_error.value
    assert stages_of(error) == [inner, outer]
    assert describe(error) == 'in iteration 3: RuntimeError: no kernel'
    assert not is_expected(error)
    with pytest.raises(RuntimeError) as caught_error:
        caught(fail(RuntimeError('no kernel')), outer)
    assert is_expected(caught_error.value)


@pytest.mark.parametrize(
    ('error', 'reason'),
    [
        (KeyError('invalid depth 19'), 'KeyError: invalid depth 19'),
        (FileNotFoundError(2, 'No such file', 'a.png'), 'a.png: No such file'),
        (ValueError(''), 'ValueError'),
        (TypeError('first\n\nsecond'), 'TypeError: first'),
        (
            OSError(
                'Caught OSError in DataLoader worker process 0.\nOriginal Traceback:\nOSError: x'
            ),
            'OSError: x',
        ),
    ],
)
def test_the_reason_is_one_line(error, reason):
    assert describe(error) == reason


def test_a_rank_is_named(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '4')
    monkeypatch.setenv('RANK', '3')
    assert describe(ValueError('x')) == 'rank 3: ValueError: x'


def test_what_no_setting_explains_keeps_its_traceback(capsys):
    class Strange(Exception):
        pass

    with pytest.raises(Strange) as error:
        raise Strange('what')
    assert report(error.value, program='paco-seg train') == 1
    printed = capsys.readouterr().err
    assert 'Traceback (most recent call last)' in printed
    assert printed.splitlines()[-1] == 'paco-seg train: Strange: what'


def test_the_part_that_was_being_built_is_found():
    parts = Registry('part')

    @parts.register_module()
    class Whole:
        def __init__(self, head, others=()):
            head = dict(head, added=1)  # as detectors do with their training settings
            self.head = parts.build(head)
            self.others = [parts.build(other) for other in others]

    @parts.register_module()
    class Part:
        def __init__(self, size, added=0):
            if size < 0:
                raise ValueError('size')

    def key_of(config):
        with pytest.raises((ValueError, KeyError, TypeError)) as error:
            parts.build(config)
        return failing_part(error.value, config, 'model')

    good = dict(type='Part', size=1)
    assert (
        key_of(Config(dict(x=dict(type='Whole', head=dict(type='Part', size=-1)))).x)
        == 'model.head'
    )
    others = [good, dict(type='Part', size=-1)]
    assert key_of(dict(type='Whole', head=good, others=others)) == 'model.others[1]'
    assert key_of(dict(type='Whole', head=dict(type='Missing'))) == 'model.head'
    assert key_of(dict(type='Whole', had=good)) == 'model'
