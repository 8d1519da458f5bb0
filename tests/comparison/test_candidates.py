"""Settings of their own for the systems that have some, and the same learning rates for all."""

import pytest

from paco_seg.comparison.candidates import (
    NUMBER,
    Candidate,
    at_other_rates,
    candidates_of,
    number_of_candidates,
    spread,
)
from paco_seg.engine.systems import TrainingSystem


def system(trains=True, **search):
    return TrainingSystem(
        'name', 'Title', '', 'summary', lambda cfg, settings, inputs: [], (),
        search=search, trains=trains, source=None if trains else 'ce',
    )  # fmt: skip


@pytest.mark.parametrize(
    ('search', 'first'),
    [
        ({}, [{}]),
        ({'a': (1,)}, [{'a': 1}]),
        ({'a': (1, 2)}, [{'a': 1}, {'a': 2}]),
        ({'a': (1, 2, 3)}, [{'a': 1}, {'a': 3}]),
        ({'a': (1, 2, 3), 'b': (4, 5)}, [{'a': 1, 'b': 4}, {'a': 3, 'b': 5}]),
    ],
)
def test_settings_come_first_and_every_system_has_the_same_rates(search, first):
    found = candidates_of(system(**search), has_rate=True)
    assert found == [Candidate(settings) for settings in first]
    others = at_other_rates(found[-1])
    assert others == [Candidate(first[-1], 0.3), Candidate(first[-1], 3.0)]
    number = number_of_candidates(system(**search), has_rate=True)
    assert number == len(found + others) == len({each.label for each in found + others}) <= NUMBER


def test_nothing_to_choose():
    assert number_of_candidates(system(), has_rate=False) == 0
    assert number_of_candidates(system(a=(1,)), has_rate=False) == 0
    assert number_of_candidates(system(trains=False, tau=(1, 2)), has_rate=True) == 2


def test_without_a_single_rate_the_settings_alone():
    assert candidates_of(system(), has_rate=False) == [Candidate()]
    assert candidates_of(system(a=(1, 2)), has_rate=False) == [
        Candidate({'a': 1}),
        Candidate({'a': 2}),
    ]


def test_a_change_of_the_test_tries_all_values():
    assert len(candidates_of(system(trains=False, tau=range(9)), has_rate=True)) == 9


def test_spread_keeps_the_ends():
    assert spread(range(10), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 4) == [1, 2]
    assert spread([1, 2], 1) == [1]


def test_labels_can_be_folders_and_texts_be_read():
    candidate = Candidate({'gpaco.loss_weight': 0.1}, 0.3)
    assert candidate.label == 'loss_weight-0.1_lr-x0.3'
    assert candidate.text == 'gpaco.loss_weight 0.1, 0.3 x learning rate'
    assert Candidate().label == Candidate().text == 'defaults'
