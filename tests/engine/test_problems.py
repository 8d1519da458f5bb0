import pytest

from paco_seg.engine.problems import Problem, ProblemGroups, warn_or_refuse


def lines(*problems, shown=2):
    groups = ProblemGroups(shown)
    for problem in problems:
        groups.add([problem])
    assert groups.total == len(problems)
    return list(groups.lines())


def test_a_rare_kind_is_named_file_by_file():
    first, second = Problem('a', 'bad', ', got 1', 'Mend it'), Problem('b', 'bad', '', 'Mend it')
    assert lines(first, second) == ['a: bad, got 1. Mend it', 'b: bad. Mend it']


def test_a_frequent_kind_is_one_line():
    problems = [Problem(name, 'bad', f', got {name}', 'Mend it') for name in 'abcd']
    assert lines(*problems) == ['4 files: bad, got a. Mend it. First: a, b']
    assert len(lines(*problems, shown=None)) == 4


def test_values_of_a_frequent_kind_are_counted_and_the_most_frequent_is_advised():
    found = [(11,), (11, 12), (7, 11)]
    problems = [
        Problem(str(i), 'no class', '', 'Set ignore_index={value}', values)
        for i, values in enumerate(found)
    ]
    assert lines(*problems) == [
        '3 files: no class, got 11 (in 3), 7 (in 1), 12 (in 1). Set ignore_index=11. First: 0, 1'
    ]
    assert str(problems[0]) == '0: no class. Set ignore_index=11'
    many = [Problem(str(i), 'no class', values=tuple(range(30))) for i in range(3)]
    assert 'and 20 other values. First' in lines(*many)[0]


def test_memory_is_that_of_the_kinds():
    groups = ProblemGroups(shown=3)
    groups.add(Problem(str(i), 'bad', f' {i}') for i in range(1000))
    assert groups.total == 1000
    assert sum(len(group.members) for group in groups._groups.values()) == 3


def test_what_all_files_tell_changes_the_advice():
    groups = ProblemGroups(shown=2)
    for name in 'abc':
        groups.add([Problem(name, 'bad', '', 'Mend it')])
    groups.add([Problem('d', 'odd', '', 'Drop it')])
    groups.change_remedy('Mend it', 'Leave it')
    groups.add([Problem('e', 'bad', '', 'Leave it')])
    assert list(groups.lines()) == ['4 files: bad. Leave it. First: a, b', 'd: odd. Drop it']


def test_two_sets_with_one_advice_stay_in_the_count():
    groups = ProblemGroups(shown=2)
    for old, names in (('Ignore 200', 'abc'), ('Ignore 200 there', 'de')):
        groups.add([Problem(name, 'bad', '', old, (200,)) for name in names])
        groups.change_remedy(old, 'Write 255')
    assert groups.total == 5
    assert list(groups.lines()) == ['5 files: bad, got 200 (in 5). Write 255. First: a, b']


def test_what_is_certain_is_refused_and_the_rest_is_warned_of():
    certain, uncertain = Problem('a', 'bad'), Problem('b', 'odd', certain=False)
    with (
        pytest.warns(UserWarning, match='^b: odd$'),
        pytest.raises(ValueError, match='a: bad\nSee'),
    ):
        warn_or_refuse([certain, uncertain], 'See all')
    with pytest.warns(UserWarning, match='^b: odd$'):
        warn_or_refuse([uncertain], 'See all')
    warn_or_refuse([], 'See all')
