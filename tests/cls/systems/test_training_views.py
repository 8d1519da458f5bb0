"""Views of any training pipeline: plain, already of several views, behind wrappers."""

from __future__ import annotations

import pytest
from mmengine.config import Config

from paco_seg import compat
from paco_seg.cls.systems import SYSTEMS
from paco_seg.cls.systems.training_views import training_views, with_views
from paco_seg.core.frequency import ClassFrequency
from paco_seg.engine.model_changes import apply_changes, build_without_memory, read_config
from paco_seg.engine.systems import SystemInputs

compat.setup()
LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')
CROP, FLIP = dict(type='RandomCrop', crop_size=8), dict(type='RandomFlip', prob=0.5)
TWO = dict(type='MultiView', num_views=[2], transforms=[[CROP]])
DIGITS = 'paco_seg::quickstart/ce_resnet8_1xb32-300i_digits-lt-ir50.py'


def config(dataset: dict, **settings) -> Config:
    """A config of a training set and nothing else."""
    return Config(
        dict(
            dict(
                model=dict(type='ImageClassifier', head=dict(type='LinearClsHead')),
                data_preprocessor=dict(),
                train_dataloader=dict(batch_size=2, dataset=dataset),
            ),
            **settings,
        )
    )


def plain(*steps: dict) -> dict:
    return dict(type='CustomDataset', pipeline=list(steps))


def views_of(cfg: Config, number: int) -> Config:
    return apply_changes(cfg, with_views(cfg, number), ())


def multi_view(*views: list) -> dict:
    return dict(type='MultiView', num_views=[1] * len(views), transforms=list(views))


@pytest.mark.parametrize(
    ('before', 'number', 'after'),
    [
        ([LOAD, CROP, FLIP, PACK], 2, [LOAD, multi_view([CROP, FLIP], [CROP, FLIP]), PACK]),
        ([CROP, PACK], 2, [multi_view([CROP], [CROP]), PACK]),
        ([LOAD, CROP, PACK], 1, [LOAD, CROP, PACK]),
        ([LOAD, TWO, PACK], 2, [LOAD, TWO, PACK]),
        ([LOAD, TWO, PACK], 1, [LOAD, CROP, PACK]),
        ([LOAD, TWO, FLIP, PACK], 3, [LOAD, multi_view([CROP], [CROP], [CROP]), FLIP, PACK]),
        (
            [LOAD, multi_view([CROP], [FLIP]), PACK],
            3,
            [LOAD, multi_view([CROP], [FLIP], [FLIP]), PACK],
        ),
        ([LOAD, multi_view([CROP], [FLIP]), PACK], 1, [LOAD, CROP, PACK]),
    ],
)
def test_views_of_a_pipeline(before, number, after):
    assert views_of(config(plain(*before)), number).train_dataloader.dataset.pipeline == after


def test_pipelines_behind_wrappers_are_found():
    inner = plain(LOAD, CROP, PACK)
    wrapped = dict(type='RepeatDataset', times=2, dataset=dict(type='Wrapper', dataset=inner))
    both = dict(type='ConcatDataset', datasets=[inner, dict(type='Wrapper', dataset=inner)])
    assert [part.path for part in training_views(config(wrapped))] == [
        ('dataset', 'dataset', 'dataset')
    ]
    changed = views_of(config(both), 2).train_dataloader.dataset.datasets
    for pipeline in (changed[0].pipeline, changed[1].dataset.pipeline):
        assert pipeline == [LOAD, multi_view([CROP], [CROP]), PACK]


@pytest.mark.parametrize(
    ('dataset', 'message'),
    [
        (dict(type='X'), r'^train_dataloader\.dataset\.pipeline: expected a training pipeline'),
        (plain(), r'^train_dataloader\.dataset\.pipeline: expected transforms .*got \[\]'),
        (plain(LOAD, CROP), r"that end in 'PackInputs', got \['LoadImageFromFile', 'RandomCrop'\]"),
        (plain(LOAD, TWO, TWO, PACK), r"got \['LoadImageFromFile', 'MultiView', 'MultiView'"),
        (
            dict(type='ConcatDataset', datasets=[plain(LOAD, PACK), plain()]),
            r'^train_dataloader\.dataset\.datasets\.1\.pipeline: expected transforms',
        ),
    ],
)
def test_other_pipelines_are_refused(dataset, message):
    with pytest.raises(ValueError, match=message):
        with_views(config(dataset), 2)


def test_preprocessor_is_told_the_number_of_views_wherever_it_is():
    dataset = plain(LOAD, CROP, PACK)
    two = dict(type='MultiViewClsDataPreprocessor', num_views=2)
    assert views_of(config(dataset), 2).data_preprocessor == two
    inside = config(dataset)
    inside.model.data_preprocessor = dict(mean=[1.0])
    changed = views_of(inside, 2)
    assert changed.model.data_preprocessor == dict(two, mean=[1.0])
    assert changed.data_preprocessor == {}
    assert views_of(config(dataset), 1).data_preprocessor == {}


@pytest.mark.parametrize('name', [name for name in SYSTEMS if name != 'lift'])
def test_a_stock_classifier_on_two_views_is_served_too(name):
    cfg = read_config(DIGITS)
    counts = tuple(range(10, 0, -1))
    inputs = SystemInputs('frequency.json', ClassFrequency(None, counts, None, sum(counts)))
    changed = SYSTEMS[name].apply(cfg, None, inputs)
    model = build_without_memory(changed)
    one_view = name in ('crt', 'lws')
    three = ('hybrid-sc', 'bcl', 'proco')
    expected = 3 if name in three else 1 if one_view else 2
    assert changed.data_preprocessor.num_views == expected
    dataset = changed.train_dataloader.dataset
    if name.startswith('hybrid'):
        assert training_views(changed)[0].pipeline(expected - 1) == dataset.dataset.pipeline
    else:
        same = dataset.pipeline == cfg.train_dataloader.dataset.pipeline
        assert same == (expected == 2)
    assert model.head.num_classes == 10


def test_hybrid_joins_data_sets_of_one_pipeline():
    head = dict(type='LinearClsHead', num_classes=3, in_channels=4)
    model = dict(type='ImageClassifier', head=head)
    inner = plain(LOAD, CROP, PACK)
    both = dict(type='ConcatDataset', datasets=[inner, inner])
    for name, pipeline in (
        ('hybrid-sc', [LOAD, multi_view([CROP], [CROP]), PACK]),
        ('hybrid-psc', inner['pipeline']),
    ):
        dataset = SYSTEMS[name].apply(config(both, model=model)).train_dataloader.dataset
        assert dataset.type == 'DualSamplingDataset'
        assert dataset.balanced_pipeline == inner['pipeline']
        assert [part.pipeline for part in dataset.dataset.datasets] == [pipeline] * 2
    other = dict(type='ConcatDataset', datasets=[inner, plain(LOAD, FLIP, PACK)])
    with pytest.raises(ValueError, match=r'^train_dataloader\.dataset\.datasets\.1\.pipeline: exp'):
        SYSTEMS['hybrid-sc'].changes(config(other, model=model))
