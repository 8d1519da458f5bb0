"""Systems on a config that is a system already, such as a published recipe."""

from dataclasses import replace

import pytest
from mmengine.config import Config

from paco_seg import compat
from paco_seg.comparison.own_system import changes_on, differing
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.model_changes import ModelChange, apply_changes
from paco_seg.engine.systems import SystemInputs, TrainingSystem
from paco_seg.engine.variants import resolve_variant

CHANGELESS = TrainingSystem('own', 'Own', '', '', lambda cfg, given, inputs: [], ())
STRIPPED = ModelChange((), dict(head=dict(_delete_=True, type='Stock')))


def refuse_or_set(cfg, given):
    if cfg.model.head.type != 'Stock':
        raise ValueError('not a stock head')
    return [ModelChange(('head',), dict(type='Own', **given))]


RECIPE = """
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model['decode_head'].update(
    type='GPaCoDecodeHead', base_type='FCNHead',
    loss_contrast=dict(type='PixelGPaCoLoss', alpha=0.07, temperature=0.13))
"""


@pytest.fixture
def on_recipe_of(tiny_seg, tmp_path):
    compat.setup()
    from paco_seg.seg.systems import SYSTEMS

    file = tmp_path / 'frequency.json'
    counts = (5, 4, 3, 2)
    save_class_frequency(ClassFrequency(tuple('abcd'), counts, counts, 5), file)

    def of(recipe):
        cfg, _ = read_data_config(str(tiny_seg(recipe)))

        def head(name, **settings):
            inputs = SystemInputs(frequency_file=str(file))
            system = resolve_variant(SYSTEMS, name)
            changes = changes_on(cfg, system, SYSTEMS['ce'], settings, inputs)
            return apply_changes(cfg, changes, ()).model.decode_head

        return head

    return of


@pytest.fixture
def on_recipe(on_recipe_of):
    return on_recipe_of(RECIPE)


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


@pytest.mark.parametrize('name', ['dice', 'log-prior', 'ohem', 'rare-class-sampling'])
def test_a_system_of_the_loss_or_the_data_goes_on_the_stock_head_too(name, on_recipe):
    head = on_recipe(name)
    assert head.type == 'FCNHead'
    assert 'loss_contrast' not in head


@pytest.mark.parametrize(
    ('name', 'added'),
    [
        ('dice+gpaco', {}),
        ('rare-class-sampling+gpaco', {}),
        ('gpaco+region-rebalance', {}),
        ('gpaco+log-prior', dict(class_prior=1.0)),
        ('dice+gpaco@gpaco.alpha=0.5', dict(alpha=0.5)),
    ],
)
def test_a_combination_keeps_the_settings_of_the_recipe(name, added, on_recipe):
    loss = on_recipe(name).loss_contrast
    expected = dict(alpha=0.07, temperature=0.13, **{'class_prior': None}) | added
    assert {key: loss.get(key) for key in expected} == expected
    assert on_recipe('dice+region-rebalance').type == 'BranchDecodeHead'


@pytest.mark.parametrize(
    ('name', 'searched', 'expected'),
    [
        ('region-rebalance', {}, dict(loss_weight=0.7, label_smoothing=0.1)),
        ('region-rebalance', dict(loss_weight=1.0), dict(loss_weight=1.0, label_smoothing=0.1)),
        ('region-rebalance@loss_weight=0.3', {}, dict(loss_weight=0.3, label_smoothing=0.1)),
        (
            'region-rebalance@loss_weight=0.3',
            dict(label_smoothing=0.2),
            dict(loss_weight=0.3, label_smoothing=0.2),
        ),
    ],
)
def test_a_recipe_takes_the_settings_of_a_variant(on_recipe_of, name, searched, expected):
    recipe = on_recipe_of(
        """
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model['decode_head'].update(
    type='BranchDecodeHead', base_type='FCNHead', training_branches=dict(
        region_rebalance=dict(
            type='RegionRebalanceBranch', loss_weight=0.7, label_smoothing=0.1)))
"""
    )
    branch = recipe(name, **searched).training_branches.region_rebalance
    assert {key: branch[key] for key in expected} == expected


def test_the_default_of_a_system_is_asked_for_too():
    """Where a recipe has another value, its default is a change like any other."""
    system = replace(
        CHANGELESS,
        change=lambda cfg, given, inputs: refuse_or_set(cfg, given),
        settings=dict(margin=0.5),
        search=dict(margin=(0.3, 0.5)),
    )
    baseline = replace(CHANGELESS, name='ce', change=lambda cfg, given, inputs: [STRIPPED])
    cfg = Config(dict(model=dict(head=dict(type='Own', margin=0.2, width=3))))
    for settings, expected in (({}, 0.2), (dict(margin=0.3), 0.3), (dict(margin=0.5), 0.5)):
        changes = changes_on(cfg, system, baseline, settings, SystemInputs())
        head = apply_changes(cfg, changes, ()).model.head
        assert (head.margin, head.width) == (expected, 3)


def test_differing_settings():
    assert differing({'a': 1, 'b': {'c': 1, 'd': 2}}, {'a': 1, 'b': {'c': 3, 'd': 2}, 'e': 0}) == {
        'b': {'c': 3},
        'e': 0,
    }
