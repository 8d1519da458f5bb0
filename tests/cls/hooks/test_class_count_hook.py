from __future__ import annotations

import logging
import random
import shutil

import numpy as np
import pytest
import torch
from helpers.contrastive import batch, classifier_config
from mmengine.config import Config
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import HOOKS, MODELS

import paco_seg.cls  # noqa: F401
from paco_seg.cls.hooks import class_count_hook
from paco_seg.core.alpha import CLASSIFICATION
from paco_seg.engine.checkpoint import load_from_local
from paco_seg.engine.rng import seed_generators

COUNTS = [150, 60, 30, 12, 8]

# Two views and a contrastive head in place of the one view and the head of the tiny config.
TWO_VIEWS = """
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
model = dict(
    type='{kind}Classifier',
    backbone=dict(type='CIFARResNet', depth=8, base_channels=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='{kind}ClsHead', num_classes=4, in_channels=16, queue_size=10,
        projector=dict(out_channels=6), loss=dict(alpha='auto', class_prior='auto')))
view = [dict(type='RandomCrop', crop_size=16, padding=2), dict(type='RandomFlip', prob=0.5)]
train_dataloader['dataset']['pipeline'] = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=[1, 1], transforms=[view, view]),
    dict(type='PackInputs')]
custom_hooks = [dict(type='EMAHook'), dict(type='ClassCountHook'), dict(type='RNGStateHook')]
"""


@pytest.fixture
def prepare(tmp_path):
    """``prepare(model, counts=COUNTS)``: runner and log of what the hook does before training."""

    def run(model, counts=COUNTS, batch_size=4, sampler='DefaultSampler'):
        lines = [f'{label}.png {label}' for label, n in enumerate(counts) for _ in range(n)]
        (tmp_path / 'list.txt').write_text('\n'.join(lines))
        dataset = dict(
            type='CustomDataset',
            data_root='',
            ann_file=str(tmp_path / 'list.txt'),
            metainfo=dict(classes=[str(label) for label in range(5)]),
            pipeline=[],
        )
        cfg = Config(
            dict(
                default_scope='mmpretrain',
                experiment_name=f'hook_{tmp_path.name}',
                work_dir=str(tmp_path / 'work'),
                model=model,
                train_dataloader=dict(
                    batch_size=batch_size,
                    num_workers=0,
                    dataset=dataset,
                    sampler=dict(type=sampler),
                ),
                train_cfg=dict(by_epoch=True, max_epochs=1),
                optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            )
        )
        runner = Runner.from_cfg(cfg)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        HOOKS.build(dict(type='ClassCountHook')).before_run(runner)
        logging.shutdown()
        log = next((tmp_path / 'work').rglob('*.log')).read_text()
        return runner, log

    return run


class TestCounts:
    def test_reach_every_part_that_asks(self, prepare):
        config = classifier_config(loss=dict(class_prior='auto', alpha=0.05))
        model = prepare(config)[0].model
        assert model.head.loss_module.class_prior().tolist() == COUNTS

    def test_reach_a_loss_that_comes_later(self, prepare):
        config = classifier_config() | dict(type='ImageClassifier')
        config['head'] = dict(type='LinearClsHead', num_classes=5, in_channels=16)
        hook = HOOKS.build(dict(type='ClassCountHook'))
        runner = prepare(config)[0]
        hook.before_run(runner)
        head = runner.model.head
        head.loss_module = MODELS.build(dict(type='BalancedSoftmaxLoss', class_prior='auto'))
        hook.before_train_iter(runner, 1)
        assert len(head.loss_module.class_prior.counts) == 0
        hook.before_train_iter(runner, 0)  # of the next epoch
        assert head.loss_module.class_prior().tolist() == COUNTS

    def test_give_the_alpha_of_a_loss_that_comes_later(self, prepare):
        hook = HOOKS.build(dict(type='ClassCountHook'))
        loss = dict(class_prior='auto', alpha='auto')
        runner = prepare(classifier_config(loss=loss))[0]
        expected = runner.model.head.loss_module.alpha
        hook.before_run(runner)
        head = runner.model.head
        head.loss_module = MODELS.build(dict(type='GPaCoLoss', **loss))
        hook.before_train_iter(runner, 0)
        assert head.loss_module.alpha == expected
        assert head.loss_module.class_prior().tolist() == COUNTS

    def test_reach_losses_and_heads_of_stock_classifiers(self, prepare):
        config = classifier_config() | dict(type='ImageClassifier')
        config['head'] = dict(
            type='LogitAdjustedClsHead',
            num_classes=5,
            in_channels=16,
            loss=dict(type='BalancedSoftmaxLoss', class_prior='auto'),
        )
        head = prepare(config)[0].model.head
        assert head.class_prior().tolist() == COUNTS
        assert head.loss_module.class_prior().tolist() == COUNTS

    def test_a_label_outside_the_classes(self, prepare):
        config = classifier_config(num_classes=4, loss=dict(class_prior=None))
        with pytest.raises(ValueError, match=r'expected labels in \[0, 4\), got \[4\]'):
            prepare(config)

    def test_a_class_without_images(self, prepare):
        config = classifier_config(loss=dict(class_prior='auto'))
        with pytest.raises(ValueError, match=r'prior: expected positive .* for classes \[1\]'):
            prepare(config, counts=[9, 0, 3, 2, 1])

    def test_a_list_of_another_data_set(self, prepare):
        config = classifier_config() | dict(type='ImageClassifier')
        config['head'] = dict(
            type='LinearClsHead',
            num_classes=5,
            in_channels=16,
            loss=dict(type='BalancedSoftmaxLoss', class_prior=[3, 1]),
        )
        with pytest.raises(
            ValueError, match=r'loss.class_prior: expected 5 values, classes in the training set'
        ):
            prepare(config)


class TestAlpha:
    """150 of 260 images are of class 0; 16 keys and 2 views of the 3 other images of a batch."""

    most = 1 + 22 * 150 / 260

    def test_report_by_shot_group(self, prepare):
        _, log = prepare(classifier_config(loss=dict(alpha=0.05, class_prior=None)))
        assert 'alpha |P| at alpha=0.05, mean [smallest, largest]: ' in log
        assert f'many (1 classes) {0.05 * self.most:.3g}, medium (2 classes)' in log
        assert 'few (2 classes) 0.0923 [0.0838, 0.101]' in log
        assert 'published recipes' not in log

    def test_warning_outside_the_published_range(self, prepare):
        _, log = prepare(classifier_config(loss=dict(alpha=2.0, class_prior=None)))
        assert 'WARNING - model.head.loss.alpha: expected alpha |P| of the most frequent' in log

    def test_auto(self, prepare):
        runner, log = prepare(classifier_config(loss=dict(alpha='auto', class_prior=None)))
        assert runner.model.head.loss_module.alpha == pytest.approx(
            CLASSIFICATION.target / self.most
        )
        assert f'many (1 classes) {CLASSIFICATION.target:.3g},' in log
        data = runner.model.data_preprocessor(batch([0, 1]), True)
        assert torch.isfinite(runner.model.loss(**data)['loss'])

    def test_paco(self, prepare):
        config = classifier_config('PaCo', loss=dict(alpha='auto', class_prior=None))
        assert prepare(config)[0].model.head.loss_module.alpha == pytest.approx(
            CLASSIFICATION.target / self.most
        )

    def test_is_no_matter_of_the_multi_task_loss(self, prepare):
        _, log = prepare(classifier_config('MultiTaskSupCon', loss=dict(class_prior='auto')))
        assert 'alpha |P|' not in log


def test_the_tool_adds_it_for_a_loss_of_any_classifier(tiny_cls, run_tool, tmp_path):
    """One view, a stock classifier and head: the prior of the loss asks for it."""
    config = tiny_cls(
        "custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)\n"
        "model['head']['loss'] = dict(type='BalancedSoftmaxLoss')\n"
        "model['train_cfg'] = None\ntrain_cfg['max_epochs'] = 1\nparam_scheduler = None\n"
    )
    run_tool('train', config)
    weights = load_from_local(tmp_path / 'work/epoch_1.pth')['state_dict']
    (counts,) = (value for key, value in weights.items() if key.endswith('counts'))
    assert counts.tolist() == [3, 3, 3, 3]


def test_the_tool_leaves_a_model_that_wants_no_counts_alone(tiny_cls, run_tool, monkeypatch):
    def refuse(*_):
        pytest.fail('the labels were counted')

    monkeypatch.setattr(class_count_hook, 'class_counts', refuse)
    run_tool('train', tiny_cls("train_cfg['max_epochs'] = 1\nparam_scheduler = None\n"))


def test_several_labels_per_image_name_the_head_and_the_data(prepare, monkeypatch):
    def labels_of_one_or_two_classes(_):
        return np.array([[0, 1], [1]])  # as MMPretrain does it

    monkeypatch.setattr(CustomDataset, 'get_gt_labels', labels_of_one_or_two_classes)
    with pytest.raises(
        ValueError,
        match=r'^train_dataloader\.dataset: .* of CustomDataset .* head instead of GPaCoClsHead',
    ):
        prepare(classifier_config())


@pytest.mark.parametrize('listed', [False, True])
def test_the_tool_adds_it_once(tiny_cls, run_tool, tmp_path, listed):
    """Without it, alpha and the prior of the config below would never be filled."""
    hooks = "[dict(type='ClassCountHook')]" if listed else '[]'
    config = tiny_cls(
        TWO_VIEWS.format(kind='GPaCo')
        + f"custom_hooks = {hooks}\ntrain_cfg['max_epochs'] = 1\nparam_scheduler = None\n"
    )
    run_tool('train', config)
    log = next((tmp_path / 'work').rglob('*.log')).read_text()
    assert log.count('alpha |P| at alpha=') == 1


class TestChecksAheadOfTheFirstStep:
    """``run_tool`` never reaches the loop: the first batch is not loaded."""

    @pytest.fixture(autouse=True)
    def no_step(self, monkeypatch):
        def run(self):
            pytest.fail('a training began')

        monkeypatch.setattr(EpochBasedTrainLoop, 'run', run)

    @pytest.mark.parametrize('kind', ['GPaCo', 'PaCo'])
    def test_a_queue_shorter_than_a_step(self, tiny_cls, run_tool, kind):
        config = tiny_cls(TWO_VIEWS.format(kind=kind) + "model['head']['queue_size'] = 3\n")
        with pytest.raises(
            ValueError, match=r'^model\.head\.queue_size: expected at least the 4 images .* got 3'
        ):
            run_tool('train', config)

    @pytest.mark.parametrize('kind', ['GPaCo', 'PaCo'])
    @pytest.mark.parametrize(
        ('pipeline', 'found'),
        [
            ("[dict(type='LoadImageFromFile'), dict(type='PackInputs')]", 1),
            (
                "[dict(type='LoadImageFromFile'), dict(type='MultiView', num_views=[3], "
                "transforms=[view]), dict(type='PackInputs')]",
                3,
            ),
        ],
    )
    def test_another_number_of_views(self, tiny_cls, run_tool, kind, pipeline, found):
        config = tiny_cls(
            TWO_VIEWS.format(kind=kind) + f"train_dataloader['dataset']['pipeline'] = {pipeline}\n"
        )
        with pytest.raises(
            ValueError,
            match=r'^data_preprocessor\.num_views: expected 2 views of each image in training, '
            f'got {found}. Give MultiView 2 views',
        ):
            run_tool('train', config)


class TestFewestImages:
    """Where a BatchNorm sees one row of each image, a batch of one image has no statistics."""

    def heads(self):
        reslt = dict(
            type='ResLTClsHead',
            num_classes=5,
            in_channels=16,
            pool_first=True,
            loss=dict(groups=(3, 2), class_counts=COUNTS),
        )
        pooled = classifier_config() | dict(type='ImageClassifier', head=reslt)
        return classifier_config('PaCo', loss=dict(class_prior=None)), pooled

    def test_a_last_batch_of_one_image(self, prepare):
        for config in self.heads():
            with pytest.raises(
                ValueError,
                match=r'^train_dataloader\.drop_last: expected True .* \(260 per process',
            ):
                prepare(config, batch_size=7)
            with pytest.raises(ValueError, match=r'batch_size: expected at least 2 .*, got 1\.'):
                prepare(config, batch_size=1)

    def test_what_has_a_step_of_one_image(self, prepare):
        prepare(classifier_config(loss=dict(class_prior=None)), batch_size=7)  # two views, no norm
        without = dict(out_channels=6, norm=None)
        paco = classifier_config('PaCo', loss=dict(class_prior=None), projector=without)
        runner, _ = prepare(paco, batch_size=7)
        data = runner.model.data_preprocessor(batch([1]), True)
        assert torch.isfinite(runner.model.train().loss(**data)['loss'])


def test_the_look_at_a_sample_leaves_the_random_numbers_alone(prepare, monkeypatch):
    def draw(self, idx):
        values = random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002
        return dict(inputs=[torch.zeros(3, 4, 4)] * 2, values=values)

    monkeypatch.setattr(CustomDataset, '__getitem__', draw)
    runner, _ = prepare(classifier_config())
    hook, dataset = HOOKS.build(dict(type='ClassCountHook')), runner.train_dataloader.dataset
    seed_generators(1)
    expected = dataset[0]['values']
    seed_generators(1)
    hook.before_run(runner)
    assert dataset[0]['values'] == expected


class TestTwoCorrections:
    def config(self, head, loss):
        config = classifier_config() | dict(type='ImageClassifier')
        return config | dict(head=dict(type=head, num_classes=5, in_channels=16, loss=loss))

    @pytest.mark.parametrize(
        ('head', 'loss', 'key'),
        [
            ('LinearClsHead', 'BalancedSoftmaxLoss', r'model.head.loss.class_prior'),
            ('LogitAdjustedClsHead', 'CrossEntropyLoss', r'model.head.class_prior'),
        ],
    )
    def test_a_prior_beside_class_aware_sampling_warns(self, prepare, head, loss, key):
        config = self.config(head, dict(type=loss))
        _, log = prepare(config, sampler='ClassAwareSampler')
        assert f'WARNING - {key}: expected no class prior with train_dataloader.sampler' in log

    @pytest.mark.parametrize(
        ('loss', 'sampler'),
        [
            ('BalancedSoftmaxLoss', 'DefaultSampler'),
            ('CrossEntropyLoss', 'ClassAwareSampler'),
        ],
    )
    def test_one_of_them_does_not(self, prepare, loss, sampler):
        config = self.config('LinearClsHead', dict(type=loss))
        assert 'corrected twice' not in prepare(config, sampler=sampler)[1]


@pytest.mark.parametrize('kind', ['GPaCo', 'PaCo'])
def test_training_resumes_exactly_with_queue_and_averaged_weights(
    tiny_cls, run_tool, tmp_path, kind
):
    """12 images, batches of 4, 10 slots: the ring has wrapped at the resume; EMAHook copies."""
    config = tiny_cls(TWO_VIEWS.format(kind=kind))
    run_tool('train', config)
    resume = ('--resume', tmp_path / 'work/epoch_1.pth')
    run_tool('train', config, '--work-dir', tmp_path / 'b', *resume)
    one, two = (load_from_local(tmp_path / run / 'epoch_2.pth') for run in ('work', 'b'))
    for part in ('state_dict', 'ema_state_dict'):
        assert one[part].keys() == two[part].keys()
        for key, value in one[part].items():
            assert torch.equal(value, two[part][key]), key
    assert int(one['state_dict']['head.queue.position']) == 24 % 10
    assert one['state_dict']['head.loss_module.class_prior.counts'].tolist() == [3, 3, 3, 3]


def test_a_test_counts_what_neither_config_nor_checkpoint_knows(tiny_cls, run_tool, tmp_path):
    """Trained with plain cross entropy, tested with the prior of the training list taken out."""
    run_tool('train', tiny_cls())
    adjusted = tiny_cls(
        "custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)\n"
        "model['head']['type'] = 'LogitAdjustedClsHead'\n"
    )
    checkpoint = tmp_path / 'work/epoch_2.pth'
    with pytest.raises(ValueError, match=r'^model\.head\.class_prior: expected class counts'):
        run_tool('test', adjusted, checkpoint)
    with adjusted.open('a') as file:
        file.write("custom_hooks = [dict(type='ClassCountHook')]\n")
    run_tool('test', adjusted, checkpoint)


@pytest.mark.parametrize('options', [(), ('--tta',)])
def test_a_test_of_gpaco_needs_no_training_images(tiny_cls, run_tool, tmp_path, options):
    """A checkpoint without class counts, as a converted one: prediction reads no prior."""
    config = tiny_cls(TWO_VIEWS.format(kind='GPaCo'))
    model = Config.fromfile(config).model
    weights = MODELS.build(dict(model, data_preprocessor=dict(num_views=2))).state_dict()
    del weights['head.loss_module.class_prior.counts']
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'converted.pth')
    shutil.rmtree(tmp_path / 'data/train')
    run_tool('test', config, tmp_path / 'converted.pth', *options)


def test_an_averaged_test_counts_the_prior_as_well(tiny_cls, run_tool, tmp_path):
    config = tiny_cls(
        "custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)\n"
        "model['head']['type'] = 'LogitAdjustedClsHead'\n"
        "custom_hooks = [dict(type='ClassCountHook')]\n"
    )
    model = Config.fromfile(config).model
    weights = MODELS.build(dict(model, train_cfg=None)).state_dict()
    torch.save(dict(state_dict=weights, meta={}), tmp_path / 'plain.pth')
    run_tool('test', config, tmp_path / 'plain.pth', '--tta')
