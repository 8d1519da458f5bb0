"""Reports of comparisons: tables by hand, and when a report is written anew."""

import pytest

from paco_seg.comparison import report
from paco_seg.comparison.suite import Table

RESULTS = {
    'machine': {'processor': 'P', 'cores': 2},
    'versions': {'torch': '2'},
    'methods': [
        {
            'title': 'A',
            'search': [
                {'settings': {'x.lr': 1}, 'value': 2.0},
                {'settings': {'x.lr': 3}, 'value': 4},
            ],
            'chosen': {'x.lr': 3},
            'runs': [
                {
                    'test': {'metrics': {'m': value}},
                    'parameters': 2_500_000,
                    'train_seconds': 10 * value,
                    'loss': [[1, value]],
                    'validation': [{'step': 5, 'm': value}],
                }
                for value in (1.0, 3.0)
            ],
        }
    ],
}


def test_tables():
    costs = ('Parameters', 'Training', 'Seeds')
    table = Table('Method', {'M': 'm', 'none': 'n'}, costs=costs)
    lines = report.summary_table(RESULTS, table).splitlines()
    cells = [cell.strip() for cell in lines[2].strip('|').split('|')]
    assert cells == ['A', '2.0 (1.0 to 3.0)', '-', '2.50 M', '20 s', '2']
    lines = report.search_table(RESULTS, 'value').splitlines()
    assert lines[2].split('|')[2:5] == [' lr 1    ', ' 2.0   ', '        ']
    assert 'chosen' in lines[3]
    assert report.measured_on(RESULTS) == 'Measured on P, 2 cores, with torch 2.'


def test_several_states_of_the_code_are_named():
    first, second = RESULTS['methods'][0]['runs']
    for commits, named in (
        (('a', 'a'), ''),
        (('b', 'a'), ' The runs come from several states of the code: a, b.'),
        (('a', None), ' The runs come from several states of the code: a, an unknown commit.'),
    ):
        runs = [{**first, 'commit': commits[0]}, {**second, 'commit': commits[1]}]
        text = report.measured_on({**RESULTS, 'methods': [{'runs': runs}]})
        assert text == 'Measured on P, 2 cores, with torch 2.' + named


def test_curves():
    assert report.curves_of(RESULTS, 'm') == (
        {'A': [[[1, 1.0]], [[1, 3.0]]]},
        {'A': [[[5, 1.0]], [[5, 3.0]]]},
    )


class Fixed:
    """A comparison whose trainings are done."""

    total_cost, seeds = 1.0, (0,)

    def __init__(self):
        self.methods = [{'value': 1}]

    def run(self, runner):
        return self.methods


def test_report_is_written_when_something_changed(tmp_path):
    described, written = ['1'], []
    comparison = Fixed()

    def write(results, out):
        written.append(results['extra'])
        (out / 'report.md').write_text('')

    def run():
        return report.run_reported(
            tmp_path,
            comparison,
            write,
            described=described[0],
            files=('report.md',),
            preload=(),
            extra=len(written),
        )

    first = run()
    assert first['methods'] == [{'value': 1}]
    assert run() == first
    assert written == [0]
    for number, change in enumerate(
        (
            lambda: (tmp_path / 'report.md').unlink(),
            lambda: (tmp_path / 'results.json').write_text('{'),
            lambda: described.__setitem__(0, '2'),
            lambda: comparison.methods.append({}),
        ),
        1,
    ):
        change()
        run()
        assert written == list(range(number + 1))


def test_failed_report_leaves_no_results(tmp_path):
    with pytest.raises(ZeroDivisionError):
        report.run_reported(
            tmp_path,
            Fixed(),
            lambda results, out: 1 / 0,
            described='',
            files=(),
            preload=(),
        )
    assert not (tmp_path / 'results.json').exists()
