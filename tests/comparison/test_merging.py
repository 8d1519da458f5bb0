"""Rows of the same comparison from other folders."""

import json

import pytest

from paco_seg.comparison.merging import check_part, left_to_run, merge
from paco_seg.comparison.part import read_part
from paco_seg.comparison.user_report import main_table, report_blocks
from paco_seg.comparison.user_results import costs_of
from tests.helpers.made_up_comparison import CE, SAME, TWO, UP, result, results, system

# Of a machine of half the speed, where the baseline came out a little different.
SLOW_CE = result(system('ce'), (50.1, 51.0, 49.0), seconds=21.0)
SLOW_UP = result(system('up', ('two',)), (60.0, 61.1, 58.9), seconds=41.0, curve=(0.4, 0.8, 1.0))


def saved(folder, data, costs):
    """Write what a comparison leaves, and read it as a part."""
    folder.mkdir(parents=True)
    (folder / 'results.json').write_text(json.dumps(data))
    (folder / 'costs.json').write_text(json.dumps(costs))
    return read_part(folder)


def written(folder, *found, **settings):
    data = results(*found, **settings)
    return saved(folder, data, costs_of(found, data, batch_size=1))


def merged(*parts, own=(CE, TWO), **settings):
    data = results(*own)
    return merge(data, costs_of(own, data, batch_size=1), parts, margin=1.0, **settings)


def names(data):
    return [row['name'] for row in data['systems']]


def test_rows_verdicts_and_machine_of_a_part_come_along(tmp_path):
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP)
    data, costs = merged(part, order=('ce', 'up', 'two'))
    assert names(data) == ['ce', 'up', 'two']
    assert data['verdicts'].keys() == {'up', 'two'}
    assert data['systems'][0]['runs'][0]['metrics']['mIoU'] == 50.0  # that of this comparison
    assert costs['elsewhere'] == [
        dict(
            machine=part.costs['machine'],
            versions=part.costs['versions'],
            baseline=pytest.approx(50.0333, abs=1e-4),
            systems=['up'],
        )
    ]
    table = main_table(data, costs)
    assert table.header[-3:] == ['Training / baseline', 'Peak memory', 'Inference']
    # There 42 s of 22 s. Memory is that of any machine.
    assert [[row[0], *row[-3:]] for row in table.rows] == [
        ['CE', '1.00', '300 MiB', '500.0 ms'],
        ['UP', '1.91', '300 MiB', '-'],
        ['TWO', '1.00', '300 MiB', '500.0 ms'],
    ]
    text = str(report_blocks(data, costs, []))
    assert 'the baseline came out at 50.0 there' in text
    assert 'Those of other machines stay there.' in text
    assert data['failed'] == data['refused'] == []


def test_a_row_is_judged_beside_the_baseline_of_its_own_machine(tmp_path):
    """A difference between machines is none between systems."""
    there = result(system('ce'), (50.9, 51.9, 49.9))
    part = written(tmp_path / 'part', there, result(system('same'), (50.9, 51.9, 49.9)))
    data, costs = merged(part)
    assert data['verdicts']['same']['difference'] == pytest.approx(0.0)
    assert data['verdicts']['same']['says'] != 'better'
    assert data['systems'][-1]['runs'][0]['metrics']['mIoU'] == 50.9  # as it was measured
    # Through a second folder as well.
    again, _ = merged(saved(tmp_path / 'again', data, costs))
    assert again['verdicts']['same']['difference'] == pytest.approx(0.0)


def test_equal_time_counts_each_machine_by_its_own_baseline(tmp_path):
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP)
    assert part.costs['systems']['up']['train_seconds'] == [41.0, 42.0, 43.0]
    equal = merged(part)[1]['equal_time']
    # Here the baseline takes 11 s, there 22 s: UP has half of its 42 s, and is validated at a
    # third and two thirds.
    assert equal['seconds'] == pytest.approx(11.0)
    assert equal['values']['up'] == pytest.approx([24.0, 24.44, 23.56])
    assert equal['values']['ce'] == pytest.approx([50.0, 51.0, 49.0])


def test_the_fastest_system_may_be_elsewhere(tmp_path):
    fast = result(system('fast'), (40.0, 41.0, 42.0), seconds=10.0)
    part = written(tmp_path / 'part', SLOW_CE, fast)
    # 11 of the 22 s of its baseline, which is half of the 11 s of the baseline here.
    equal = merged(part)[1]['equal_time']
    assert equal['seconds'] == pytest.approx(5.5)
    assert equal['values']['fast'] == pytest.approx([40.0, 41.0, 42.0])
    assert equal['values']['two'] == pytest.approx([59.0, 60.0, 58.2])  # its first validation


def test_a_part_may_have_parts_itself(tmp_path):
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP)
    first, costs = merged(part)
    again, again_costs = merged(saved(tmp_path / 'first', first, costs), own=(CE, SAME))
    assert sorted(names(again)) == ['ce', 'same', 'two', 'up']
    assert [entry['systems'] for entry in again_costs['elsewhere']] == [['two'], ['up']]
    assert again_costs['equal_time']['values']['up'] == costs['equal_time']['values']['up']
    assert again_costs['systems']['up']['baseline_seconds'] == 22.0


def test_results_from_before_there_were_parts_have_the_time_of_their_baseline(tmp_path):
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP)
    for cost in part.costs['systems'].values():
        del cost['baseline_seconds']
    assert merged(part)[1]['systems']['up']['baseline_seconds'] == 22.0


def test_failures_are_told_of_what_has_no_row_or_a_row_from_there(tmp_path):
    part = written(
        tmp_path / 'part',
        SLOW_CE,
        SLOW_UP,
        failed=[('two/search_x', 'killed'), ('odd/seed_1', 'killed'), ('up/search_x', 'killed')],
        refused=[('two', 'no such head'), ('odd', 'no such head')],
    )
    data, _ = merged(part)
    assert data['failed'] == [['odd/seed_1', 'killed'], ['up/search_x', 'killed']]
    assert data['refused'] == [['odd', 'no such head']]


def test_failures_here_are_not_told_of_a_row_from_there(tmp_path):
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP)
    data = results(CE, TWO, failed=[('up/seed_1', 'killed')], refused=[('up', 'no such head')])
    data, _ = merge(data, costs_of([CE, TWO], data, batch_size=1), [part], margin=1.0)
    assert data['failed'] == data['refused'] == []


def test_a_seed_that_the_baseline_there_lacks_is_not_judged(tmp_path):
    there = result(system('ce'), (50.9, 51.9))
    part = written(tmp_path / 'part', there, result(system('same'), (50.9, 51.9, 99.0)))
    verdict = merged(part)[0]['verdicts']['same']
    assert (verdict['seeds'], verdict['difference']) == (2, pytest.approx(0.0))


def test_the_row_with_the_most_runs_is_taken(tmp_path):
    short = result(system('up'), (60.0,))
    first = written(tmp_path / 'first', SLOW_CE, short)
    second = written(tmp_path / 'second', SLOW_CE, SLOW_UP)
    data, costs = merged(first, second)
    assert len(data['systems'][-1]['runs']) == 3
    assert [entry['systems'] for entry in costs['elsewhere']] == [['up']]
    assert len(merged(second, own=(CE, short))[0]['systems'][1]['runs']) == 3
    own = merged(second, own=(CE, UP))[0]['systems'][1]['runs'][0]
    assert own['folder'] == 'up/seed_0'


def test_without_a_baseline_here_nothing_ties_the_machines(tmp_path):
    failed = result(system('ce'), ())
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP)
    data, costs = merged(part, own=(failed, TWO))
    assert [row['name'] for row in data['systems'] if row['runs']] == ['two', 'up']
    assert data['verdicts'] == {}
    assert costs['equal_time'] == dict(seconds=None, values={})


def test_predictions_stay_where_they_are(tmp_path):
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP)
    data, _ = merged(part)
    folders = {row['name']: row['runs'][0]['folder'] for row in data['systems']}
    assert folders == {'ce': 'ce/seed_0', 'two': 'two/seed_0', 'up': None}


@pytest.mark.parametrize(
    ('key', 'value'), [('iters', 10), ('seeds', [0]), ('classes', ['a']), ('config', 'x/d.py')]
)
def test_another_question_is_refused(tmp_path, key, value):
    part = written(tmp_path / 'part', SLOW_CE)
    check_part(part, {**results(CE), 'config': 'elsewhere/c.py'})
    part.results[key] = value
    with pytest.raises(ValueError, match=f'--merge: expected the same {key} as in this') as caught:
        check_part(part, results(CE))
    assert str(tmp_path / 'part' / 'results.json') in str(caught.value)


def test_a_baseline_that_is_another_training_is_refused(tmp_path):
    other = written(tmp_path / 'part', result(system('ce'), (53.0, 54.0, 53.0)))
    with pytest.raises(
        ValueError, match=r"baseline 'ce' within 1 points of the 50\.0 .* got 53\.3"
    ):
        merged(other)


def test_what_a_part_has_is_not_run_but_the_baseline_and_sources(tmp_path):
    short = result(system('short'), (1.0, 2.0))
    part = written(tmp_path / 'part', SLOW_CE, SLOW_UP, TWO, short)
    asked = [
        system('ce'),
        system('up'),
        system('two'),
        system('short'),
        system('late', source='two'),
        system('new'),
    ]
    left = left_to_run(asked, 'ce', [part], here=tmp_path)
    # `two` is there, but `late` starts from its weights; `short` lacks a seed.
    assert [one.name for one in left] == ['ce', 'two', 'short', 'late', 'new']
    assert left_to_run(asked, 'ce', [], here=tmp_path) == asked
    (tmp_path / 'up').mkdir()  # has begun here
    left = left_to_run(asked, 'ce', [part], here=tmp_path)
    assert [one.name for one in left] == ['ce', 'up', 'two', 'short', 'late', 'new']
