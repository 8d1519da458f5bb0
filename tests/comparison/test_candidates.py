"""As many candidates for every system that trains."""

import pytest

from paco_seg.comparison.candidates import NUMBER, Candidate, candidates_of, spread
from paco_seg.engine.systems import TrainingSystem


def system(trains=True, **search):
    return TrainingSystem(
        'name', 'Title', '', 'summary', lambda cfg, settings, inputs: [], (),
        search=search, trains=trains, source=None if trains else 'ce',
    )  # fmt: skip


@pytest.mark.parametrize(
    'search', [{}, {'a': (1,)}, {'a': (1, 2)}, {'a': (1, 2, 3)}, {'a': (1, 2, 3), 'b': (4, 5)}]
)
def test_every_system_that_trains_has_as_many(search):
    found = candidates_of(system(**search), has_rate=True)
    assert len(found) == NUMBER == len({candidate.label for candidate in found})


def test_rates_for_a_system_without_settings_and_both_for_one_with():
    assert [c.rate for c in candidates_of(system(), has_rate=True)] == [1.0, 0.3, 3.0, 0.1]
    found = candidates_of(system(a=(1, 2, 3)), has_rate=True)
    assert [(c.settings['a'], c.rate) for c in found] == [(1, 1), (1, 0.3), (3, 1), (3, 0.3)]


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
