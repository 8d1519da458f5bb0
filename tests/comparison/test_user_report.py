"""Results, costs and the words of the report, from made-up runs."""

import numpy as np
import pytest

from paco_seg.comparison.candidates import Candidate
from paco_seg.comparison.user_plots import shares_of
from paco_seg.comparison.user_report import (
    duration,
    gains_of,
    main_table,
    next_steps,
    per_class_table,
    report_blocks,
    verdict_lines,
)
from paco_seg.comparison.user_results import costs_of
from paco_seg.core.frequency import ClassFrequency
from tests.helpers.made_up_comparison import (
    CE,
    LESS_NOISY,
    NOISY,
    SAME,
    TWO,
    UP,
    result,
    results,
    system,
)


def test_groups_and_classes_come_from_the_confusion_matrix():
    run = results(CE)['systems'][0]['runs'][0]
    assert run['per_class'] == pytest.approx([100 * 8 / 12, 100 * 4 / 7, 50.0])
    assert run['metrics']['tail'] == pytest.approx(50.0)
    assert run['confused'] == {'2': [[0, 50.0], [2, 50.0]]}


def test_verdicts_say_what_the_seeds_say():
    lines = verdict_lines(results(CE, UP, NOISY, SAME))
    assert lines[0].startswith('*UP* is better than *CE*: +10.00 mIoU (95 % interval +9.7')
    assert lines[1].startswith('*SAME* is equivalent within the noise to *CE*')
    assert lines[2].startswith('*NOISY* cannot be told from *CE*: +5.00 mIoU')
    assert lines[2].endswith('3 seeds), too few seeds')
    assert not any('best' in line for line in lines)
    assert 'nothing to compare' in verdict_lines(results(CE))[0]


def test_next_steps_follow_from_what_was_seen():
    tried = [(Candidate({}, rate), 1.0) for rate in (1.0, 0.3, 3.0)]
    edge = result(system('edge'), (50.1, 50.9, 49.05), search=tried, chosen=tried[2][0])
    steps = ' '.join(next_steps(results(CE, UP, TWO, NOISY, edge, failed=[('a', 'b')])))
    assert '`--systems ce up+two`' in steps
    assert 'More `--iters`: the validation of UP' in steps
    assert 'no number of seeds anybody trains' in steps
    assert '`--seeds ' in ' '.join(next_steps(results(CE, LESS_NOISY)))
    assert 'Another learning rate in the config: EDGE' in steps
    assert 'once what failed' in steps
    assert '--systems ce two+up' in ' '.join(next_steps(results(CE, TWO, UP)))
    for joint in ('two+up', 'up+two'):  # has run, or cannot
        ran = results(CE, TWO, UP, result(system(joint), (50.1, 50.9, 49.05)))
        refused = results(CE, TWO, UP, refused=[(joint, 'no such head')])
        assert '--systems' not in ' '.join([*next_steps(ran), *next_steps(refused)])
    (only,) = next_steps(results(CE, SAME))
    assert only.startswith('Nothing here asks for more')


def test_table_and_costs():
    data = results(CE, UP)
    costs = costs_of([CE, UP], data, batch_size=5)
    table = main_table(data, costs)
    assert table.header[:6] == ['System', 'mIoU', 'aAcc', 'head', 'common', 'tail']
    assert table.rows[0][:2] == ['CE', '50.0 ± 1.0']
    assert table.rows[0][6:] == ['baseline', '11 s', '300 MiB', '100.0 ms']
    assert table.rows[1][6] == '+10.0, better'
    assert per_class_table(data).rows[0][:4] == ['sky', 'head', '9', '900']
    assert per_class_table(data).header[-2:] == ['CE', 'UP']


def test_the_longer_of_classes_and_systems_is_the_rows():
    upright = per_class_table(results(CE, UP, TWO))
    across = per_class_table(results(CE, UP, TWO, SAME))
    assert len(upright.rows) == 3
    assert list(across.header)[:2] == ['Class', 'sky']
    assert [row[0] for row in across.rows] == [
        'Group', 'Training images', 'Training pixels', 'CE', 'UP', 'TWO', 'SAME',
    ]  # fmt: skip
    assert [row[1] for row in across.rows] == [*upright.rows[0][1:], across.rows[-1][1]]


def test_equal_time_counts_the_validations_until_the_fastest_system_had_ended():
    data = results(CE, UP)
    equal = costs_of([CE, UP], data, batch_size=1)['equal_time']
    assert equal['seconds'] == pytest.approx(11.0)
    # CE needs 10 to 12 s for 20 iterations, validated at 10 and 20; UP 20 to 22 s for 30.
    assert equal['values']['up'] == pytest.approx([24.0, 24.44, 23.56])
    # The fastest system has ended, the seed that the machine slowed down too.
    slowed = result(system('ce'), (50.0, 51.0, 49.0), curve=(0.5, 1.0))
    slowed.runs[2]['train_seconds'] = 40.0
    equal = costs_of([slowed, UP], results(slowed, UP), batch_size=1)['equal_time']
    assert equal['seconds'] == pytest.approx(11.0)
    assert equal['values']['ce'] == pytest.approx([50.0, 51.0, 49.0])


def test_confusion_is_the_mean_over_the_seeds_of_small_shares_too():
    """A class that is among the most frequent of one seed counts in the other seed as well."""
    names = tuple('abcdefgh')
    frequency = ClassFrequency(names, (9,) * 7 + (1,), (9,) * 7 + (1,), 10)
    found = result(system('ce'), (50.0, 51.0))
    for seed, row in enumerate(([30, 20, 15, 12, 10, 8, 5, 0], [8, 20, 15, 12, 10, 30, 5, 0])):
        matrix = np.eye(8, dtype=int)
        matrix[7] = row
        found.runs[seed]['confusion'] = matrix.tolist()
    data = results(found, frequency=frequency, rule='images:0.8,0.2')
    columns, shares = shares_of(data['systems'], [7])
    assert dict(zip(columns, shares['CE'][0], strict=True)) == {
        0: 19, 5: 19, 1: 20, 2: 15, 3: 12, 4: 10, 6: 5,
    }  # fmt: skip


def test_training_time_and_memory_include_the_source():
    late = result(system('late', source='ce'), (50.0, 51.0, 49.0), seconds=5.0)
    data = results(CE, late)
    costs = costs_of([CE, late], data, batch_size=1)['systems']['late']
    assert costs['train_seconds'] == [15.0, 17.0, 19.0]
    assert costs['peak_memory_mib'] == 300.0


def test_gains_are_paired_by_seed():
    data = results(CE, UP)
    assert gains_of(data) == {'UP': [0.0, 0.0, 0.0]}


def test_report_names_what_did_not_run():
    data = results(CE, UP, failed=[('up/seed_2', 'killed')], refused=[('ceco', 'no such head')])
    text = str(report_blocks(data, costs_of([CE, UP], data, batch_size=1), []))
    assert 'ceco cannot serve this config: no such head' in text
    assert '`up/seed_2` failed: killed' in text


def test_a_baseline_without_results_leaves_no_verdict():
    data = results(result(system('ce'), ()), UP)
    assert data['verdicts'] == {}
    assert verdict_lines(data) == [
        'There is nothing to compare with: the baseline *CE* has no result.'
    ]
    assert main_table(data, costs_of([UP], data, batch_size=1)).rows[0][0] == 'UP'


@pytest.mark.parametrize(
    ('seconds', 'text'), [(1.0, '1.0 s'), (70, '70 s'), (600, '10.0 min'), (9000, '2.5 h')]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
