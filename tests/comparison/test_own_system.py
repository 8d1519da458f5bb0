"""Systems on a config that is a system already, such as a published recipe."""

import pytest

from paco_seg import compat
from paco_seg.comparison.own_system import changes_on, differing
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.model_changes import apply_changes
from paco_seg.engine.systems import SystemInputs

RECIPE = """
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model['decode_head'].update(
    type='GPaCoDecodeHead', base_type='FCNHead',
    loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.07, temperature=0.13))
"""


@pytest.fixture
def on_recipe(tiny_seg, tmp_path):
    compat.setup()
    cfg, _ = read_data_config(str(tiny_seg(RECIPE)))
    from paco_seg.seg.systems import SYSTEMS

    file = tmp_path / 'frequency.json'
    counts = (5, 4, 3, 2)
    save_class_frequency(ClassFrequency(tuple('abcd'), counts, counts, 5), file)

    def head(name, **settings):
        inputs = SystemInputs(frequency_file=str(file))
        changes = changes_on(cfg, SYSTEMS[name], SYSTEMS['ce'], settings, inputs)
        return apply_changes(cfg, changes, ()).model.decode_head

    return head


def test_baseline_of_a_recipe_is_its_stock_head(on_recipe):
    head = on_recipe('ce')
    assert head.type == 'FCNHead'
    assert 'loss_contrast' not in head


def test_own_system_of_a_recipe_keeps_its_settings(on_recipe):
    loss = on_recipe('gpaco').loss_contrast
    assert (loss.alpha, loss.temperature) == (0.07, 0.13)


def test_a_search_changes_what_it_tries_and_nothing_else(on_recipe):
    loss = on_recipe('gpaco', loss_weight=0.1).loss_contrast
    assert (loss.alpha, loss.temperature, loss.loss_weight) == (0.07, 0.13, 0.1)


def test_another_system_goes_on_the_stock_head(on_recipe):
    head = on_recipe('region-rebalance')
    assert 'loss_contrast' not in head
    assert 'region_rebalance' in head.training_branches


def test_differing_settings():
    assert differing({'a': 1, 'b': {'c': 1, 'd': 2}}, {'a': 1, 'b': {'c': 3, 'd': 2}, 'e': 0}) == {
        'b': {'c': 3},
        'e': 0,
    }
