"""Tables and values over seeds, by hand."""

from paco_seg.comparison.tables import mean_and_deviation, mean_and_range, text_table


def test_table_and_spread():
    assert mean_and_range([1.0, 3.04]) == '2.0 (1.0 to 3.0)'
    assert mean_and_range([None, 3.0]) == '3.0'
    assert mean_and_range([None]) == '-'
    table = text_table(['a', 'long'], [['x', 'y']])
    assert table == '| a | long |\n|---|------|\n| x | y    |'


def test_mean_and_deviation():
    assert mean_and_deviation([1.0, None, 3.0]) == '2.0 ± 1.4'  # n - 1
    assert mean_and_deviation([2.0]) == '2.0'
    assert mean_and_deviation([None]) == '-'
