from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

from paco_seg.cls.losses import ClassCounts
from paco_seg.core.frequency import ClassFrequency, save_class_frequency


class TestSources:
    def test_list(self):
        counts = ClassCounts([6, 3, 1])
        assert counts().tolist() == [6, 3, 1]
        torch.testing.assert_close(counts.frequencies(), torch.tensor([0.6, 0.3, 0.1]))

    def test_file(self, tmp_path):
        path = tmp_path / 'counts.json'
        path.write_text(json.dumps([6, 3, 1]))
        assert ClassCounts(str(path))().tolist() == [6, 3, 1]

    def test_auto_waits_for_the_training_set(self):
        counts = ClassCounts('auto', 'model.head.loss.class_prior')
        with pytest.raises(
            ValueError, match=r"^model.head.loss.class_prior: expected .*type='ClassCountHook'"
        ):
            counts()
        counts.fill([3, 1])
        assert counts().tolist() == [3, 1]

    def test_missing_file(self):
        with pytest.raises(FileNotFoundError, match=r"JSON file, got 'nowhere\.json'"):
            ClassCounts('nowhere.json')

    def test_malformed_file(self, tmp_path):
        path = tmp_path / 'counts.json'
        path.write_text('[1, 2')
        with pytest.raises(ValueError, match=r'counts.json\): expected JSON with a list of counts'):
            ClassCounts(str(path))

    @pytest.mark.parametrize('source', [[[1, 2]], [], ['a'], {'a': 1}, 3])
    def test_not_a_flat_list(self, source):
        with pytest.raises(ValueError, match='class_prior: expected a flat list'):
            ClassCounts(source)

    @pytest.mark.parametrize('bad', [0, -1, float('nan'), float('inf')])
    def test_not_positive(self, bad):
        with pytest.raises(ValueError, match=r'expected positive finite .* for classes \[1\]'):
            ClassCounts([3, bad])

    @pytest.mark.parametrize('source', [[True, 2], [10**400, 1], ['3', 1]])
    def test_no_numbers(self, source):
        with pytest.raises(ValueError, match='class_prior: expected a flat list with one positive'):
            ClassCounts(source)

    def test_what_float32_cannot_hold(self):
        with pytest.raises(
            ValueError, match=r'class_prior: expected positive .* for classes \[0\]'
        ):
            ClassCounts([1e60, 1])
        with pytest.raises(
            ValueError, match=r'class_prior: expected positive .* for classes \[1\]'
        ):
            ClassCounts([1, 1e-60])
        with pytest.raises(ValueError, match=r'class_prior: expected counts whose sum is at most'):
            ClassCounts([3e38, 3e38])

    def test_a_frequency_file_knows_its_classes(self, tmp_path):
        path = str(tmp_path / 'frequency.json')
        save_class_frequency(ClassFrequency(('a', 'b'), (30, 10), None, 40), path)
        counts = ClassCounts(path, 'model.head.loss.class_prior')
        assert counts().tolist() == [30, 10]
        counts.check_class_names(['a', 'b'])
        with pytest.raises(
            ValueError, match=r"^model\.head\.loss\.class_prior: expected class 0 to be 'b'"
        ):
            counts.check_class_names(['b', 'a'])
        with pytest.raises(
            ValueError, match='expected 3 values, classes in the training set, got 2'
        ):
            ClassCounts([3, 1]).check_class_names(['a', 'b', 'c'])
        ClassCounts([3, 1]).check_class_names(['b', 'a'])  # a list knows no names
        ClassCounts('auto').check_class_names(['a', 'b', 'c'])

    def test_a_class_without_images(self):
        with pytest.raises(ValueError, match=r'for classes \[1\]. A class without training'):
            ClassCounts('auto').fill([3, 0])

    def test_given_counts_of_another_number_of_classes(self):
        with pytest.raises(ValueError, match='expected 3 values, classes in the training set, got'):
            ClassCounts([3, 1]).fill([5, 5, 5])
        with pytest.raises(ValueError, match='expected 3 values, as num_classes of the head, got'):
            ClassCounts([3, 1]).check_length(3)


class TestStateDict:
    def test_auto_takes_what_the_checkpoint_was_trained_with(self):
        trained, tested = ClassCounts('auto'), ClassCounts('auto')
        trained.fill([3, 1])
        tested.load_state_dict(trained.state_dict())
        assert tested().tolist() == [3, 1]

    def test_a_checkpoint_replaces_neither_the_config_nor_the_training_set(self):
        other = ClassCounts([1, 1, 1]).state_dict()
        given, filled = ClassCounts([3, 1]), ClassCounts('auto')
        filled.fill([7, 1])
        for counts, expected in ((given, [3, 1]), (filled, [7, 1])):
            counts.load_state_dict(other)
            assert counts().tolist() == expected

    def test_a_checkpoint_without_counts_is_complete(self):
        for counts in (ClassCounts('auto'), ClassCounts([3, 1])):
            result = nn.Sequential(nn.Linear(1, 1), counts).load_state_dict(
                nn.Sequential(nn.Linear(1, 1)).state_dict()
            )
            assert result.missing_keys == result.unexpected_keys == []

    def test_follows_the_module_and_its_copies(self):
        counts = ClassCounts([3, 1]).double()
        assert copy.deepcopy(counts)().dtype == torch.float64
