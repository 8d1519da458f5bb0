"""Files of a comparison from elsewhere are data: what is wrong in them is named."""

import json

import pytest

from paco_seg.comparison.part import read_part
from paco_seg.comparison.user_results import costs_of
from tests.helpers.made_up_comparison import CE, UP, result, results, system


@pytest.fixture
def folder(tmp_path):
    data = results(CE, UP)
    (tmp_path / 'results.json').write_text(json.dumps(data))
    (tmp_path / 'costs.json').write_text(json.dumps(costs_of([CE, UP], data, batch_size=1)))
    return tmp_path


def refused(folder):
    with pytest.raises(ValueError, match='--merge: expected a folder with') as caught:
        read_part(folder)
    assert f'results.json and costs.json of `paco-seg compare`, got {str(folder)!r}: ' in str(
        caught.value
    )
    return str(caught.value).split(': ', 2)[2]


def test_what_a_comparison_left_is_read(folder):
    part = read_part(folder)
    assert part.finished() == {'ce', 'up'}
    assert part.baseline() == {0: 50.0, 1: 51.0, 2: 49.0}


def test_a_loss_that_was_not_finite_for_a_moment_is_none_in_the_curve(tmp_path):
    up = result(system('up'), (60.0, 61.1, 58.9))
    up.runs[1]['loss'] = [[10, float('nan')], [20, 2.0]]
    data = results(CE, up)
    (tmp_path / 'results.json').write_text(json.dumps(data, allow_nan=False))
    (tmp_path / 'costs.json').write_text(json.dumps(costs_of([CE, up], data, batch_size=1)))
    assert read_part(tmp_path).results['systems'][1]['runs'][1]['loss'] == [[10, None], [20, 2.0]]


def test_a_system_that_lacks_a_seed_is_not_finished(tmp_path):
    found = (CE, result(system('up'), (60.0, 61.0)))
    data = results(*found)
    (tmp_path / 'results.json').write_text(json.dumps(data))
    (tmp_path / 'costs.json').write_text(json.dumps(costs_of(found, data, batch_size=1)))
    assert read_part(tmp_path).finished() == {'ce'}


@pytest.mark.parametrize(
    ('content', 'named'),
    [
        (None, 'No such file'),
        ('{', 'Expecting property name'),
        ('[]', 'results.json: expected dict, got []'),
        ('{"systems": []}', 'config: expected str, got null'),
        ('[' * 100_000, 'recursion'),
        (b'\xff', 'codec'),
    ],
)
def test_files_that_are_no_comparison_are_named(folder, content, named):
    file = folder / 'results.json'
    file.unlink()
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        file.write_text(content)
    assert named in refused(folder)


RUN = ('systems', 1, 'runs', 0)
NAN = float('nan')


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('seeds',), 3, 'seeds: expected list, got 3'),
        (('iters',), True, 'iters: expected int, got true'),
        (('refused',), None, 'refused: expected list, got null'),
        (('failed',), [['a']], 'failed: expected pairs of texts, got ["a"]'),
        (('systems', 1, 'name'), 'ce', 'systems: expected each once, got ce, ce'),
        (('systems', 1, 'search'), [dict(label='a', text='b', rate='x')], 'up, search, rate:'),
        ((*RUN, 'seed'), 1, 'up: expected each of the seeds [0, 1, 2] at most once, got [1, 1, 2]'),
        ((*RUN, 'seed'), 7, 'up: expected each of the seeds'),
        ((*RUN, 'metrics'), [1], 'up, runs, metrics: expected dict, got [1]'),
        ((*RUN, 'metrics', 'mIoU'), '50', 'up, runs, mIoU: expected a finite number or null, got'),
        ((*RUN, 'metrics', 'mIoU'), NAN, 'up, runs, mIoU: expected a finite number or null, got'),
        ((*RUN, 'per_class'), [1.0], 'up, runs, per_class: expected 3 values, got 1'),
        ((*RUN, 'confused'), {'2': [[9, 50.0]]}, 'confused: expected classes below 3'),
        ((*RUN, 'confused'), {'x': [[0, 50.0]]}, 'confused: expected classes below 3'),
        ((*RUN, 'validation'), None, 'up, runs, validation: expected list, got null'),
        ((*RUN, 'validation'), [[None, 1.0]], 'validation: expected pairs of numbers'),
    ],
)
def test_wrong_results_are_named(folder, place, value, message):
    _change(folder / 'results.json', place, value)
    assert message in refused(folder)


@pytest.mark.parametrize(
    ('place', 'value', 'message'),
    [
        (('machine',), None, 'machine: expected dict, got null'),
        (('elsewhere',), [{}], 'machine: expected dict, got null'),
        (('elsewhere',), None, 'elsewhere: expected list, got null'),
        (('systems',), {}, 'costs.json, ce: expected dict, got null'),
        (('systems', 'up', 'train_seconds'), [], 'up, train_seconds: expected a time of every run'),
        (('systems', 'up', 'own_seconds'), ['1'] * 3, 'up, own_seconds: expected a finite number'),
        (
            ('systems', 'up', 'peak_memory_mib'),
            'x',
            'up, peak_memory_mib: expected a finite number',
        ),
    ],
)
def test_wrong_costs_are_named(folder, place, value, message):
    _change(folder / 'costs.json', place, value)
    assert message in refused(folder)


def _change(file, place, value):
    content = json.loads(file.read_text())
    *path, last = place
    inner = content
    for key in path:
        inner = inner[key]
    inner[last] = value
    file.write_text(json.dumps(content))
