"""The part of a training set that is set aside."""

import random

import pytest

from paco_seg.comparison.split import choose_held_out


def held_out_classes(classes_of, chosen):
    return {label for index in chosen for label in classes_of[index]}


def training_classes(classes_of, chosen):
    kept = set(range(len(classes_of))) - set(chosen)
    return {label for index in kept for label in classes_of[index]}


def test_one_class_per_sample_takes_its_share_of_each_and_one_at_least():
    classes_of = [[0]] * 50 + [[1]] * 10 + [[2]] * 2
    chosen = choose_held_out(classes_of, share=0.2)
    assert [sum(classes_of[i] == [c] for i in chosen) for c in range(3)] == [10, 2, 1]


def test_the_only_sample_of_a_class_stays_in_training():
    classes_of = [[0]] * 9 + [[0, 1]]
    assert 9 not in choose_held_out(classes_of, share=0.5)


@pytest.mark.parametrize('seed', range(20))
def test_every_class_is_on_both_sides_where_it_can_be(seed):
    generator = random.Random(seed)
    # Label maps of 12 classes, class k in about one of 2 ** (k / 2) images.
    classes_of = [[c for c in range(12) if generator.random() < 0.7 ** (c + 1)] for _ in range(80)]
    chosen = choose_held_out(classes_of, share=0.1, seed=seed)
    count = {c: sum(c in classes for classes in classes_of) for c in range(12)}
    present = {c for c, number in count.items() if number}
    assert training_classes(classes_of, chosen) == present
    # A class is kept back only where each of its images holds the last training sample of a class.
    left = {k: sum(k in classes_of[i] for i in range(80) if i not in chosen) for k in present}
    missing = present - held_out_classes(classes_of, chosen)
    for c in missing:
        for index, classes in enumerate(classes_of):
            assert c not in classes or any(left[k] == 1 for k in classes), (c, index)
    assert 8 <= len(chosen) <= 20


def test_same_seed_same_choice_and_another_seed_another():
    classes_of = [[index % 5] for index in range(100)]
    assert choose_held_out(classes_of, seed=3) == choose_held_out(classes_of, seed=3)
    assert choose_held_out(classes_of, seed=3) != choose_held_out(classes_of, seed=4)


def test_samples_without_labels_fill_up():
    assert len(choose_held_out([[]] * 20, share=0.25)) == 5


def test_refuses_what_cannot_be_split():
    with pytest.raises(ValueError, match='at least 2 samples'):
        choose_held_out([[0]])
    with pytest.raises(ValueError, match='each is the last one of a class'):
        choose_held_out([[0], [1], [2]])
    with pytest.raises(ValueError, match='share: expected'):
        choose_held_out([[0]] * 5, share=0.7)
