"""Options of the command line reach the configs that a comparison writes."""

import pytest
from mmengine.config import Config

from paco_seg.cli.compare import config_options
from paco_seg.comparison.written_configs import local_log_changes, new_start_changes, option_changes
from paco_seg.engine.model_changes import ModelChange, merged_changes, render_config, replace_part

BASE = """
custom_imports = dict(imports=[], allow_failed_imports=False)
train_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(type='A', indices=3))
load_from = 'there'
"""


def test_a_written_config_has_the_options(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    cfg = Config.fromfile(tmp_path / 'base.py')
    words = ['train_dataloader.num_workers=2', 'train_dataloader.dataset.indices=[1,2]',
             'load_from=None']  # fmt: skip
    options = config_options(words)
    changes = merged_changes(option_changes(options, cfg))
    (tmp_path / 'new.py').write_text(render_config('base.py', cfg, changes, ()))
    found = Config.fromfile(tmp_path / 'new.py')
    assert found.train_dataloader == dict(
        batch_size=8, num_workers=2, dataset=dict(type='A', indices=[1, 2])
    )
    assert found.load_from is None


@pytest.mark.parametrize(
    ('visualizer', 'expected'),
    [
        (None, None),
        (dict(type='Visualizer', vis_backends=[dict(type='mmengine.LocalVisBackend')]), None),
        (
            dict(type='Visualizer', vis_backends=[dict(type='WandbVisBackend')]),
            dict(
                type='Visualizer',
                vis_backends=[dict(type='LocalVisBackend'), dict(type='WandbVisBackend')],
            ),
        ),
        (
            dict(type='Visualizer', save_dir='a', vis_backends=[dict(type='LocalVisBackend')]),
            dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        ),
        (
            dict(type='Visualizer', name='a'),
            dict(type='Visualizer', name='a', vis_backends=[dict(type='LocalVisBackend')]),
        ),
    ],
)
def test_every_training_has_a_local_log_of_its_own(visualizer, expected, tmp_path):
    (tmp_path / 'base.py').write_text(f'{BASE}visualizer = {visualizer!r}')
    cfg = Config.fromfile(tmp_path / 'base.py')
    changes = local_log_changes(cfg)
    assert len(changes) == (expected is not None)
    (tmp_path / 'new.py').write_text(render_config('base.py', cfg, changes, ()))
    assert Config.fromfile(tmp_path / 'new.py').visualizer == (expected or visualizer)


@pytest.mark.parametrize('resume', [True, False, None])
def test_the_config_of_a_resumed_training_starts_a_new_one(resume, tmp_path):
    (tmp_path / 'base.py').write_text(f'{BASE}resume = {resume}')
    cfg = Config.fromfile(tmp_path / 'base.py')
    (tmp_path / 'new.py').write_text(render_config('base.py', cfg, new_start_changes(cfg), ()))
    found = Config.fromfile(tmp_path / 'new.py')
    assert not found.resume
    assert found.load_from == (None if resume else 'there')


def test_no_options():
    assert config_options(None) is None
    assert option_changes({}, Config()) == []


LISTS = """
custom_imports = dict(imports=[], allow_failed_imports=False)
train_dataloader = dict(
    dataset=dict(type='A', pipeline=[dict(type='B'), dict(type='C', prob=0.5)]))
param_scheduler = [dict(type='D', power=1.0, end=10), dict(type='E', power=0.9, end=20)]
"""


def test_options_inside_of_lists_stay_beside_other_changes(tmp_path):
    (tmp_path / 'base.py').write_text(LISTS)
    options = {'train_dataloader.dataset.pipeline.1.prob': 0, 'param_scheduler.1.power': 0.5}
    cfg = Config.fromfile(tmp_path / 'base.py')
    cfg.merge_from_dict(options)
    others = [
        ModelChange(('dataset',), dict(ann_file='a.txt'), 'train_dataloader'),
        ModelChange((), dict(param_scheduler=[dict(cfg.param_scheduler[1], end=2)]), ''),
    ]
    changes = merged_changes([*option_changes(options, cfg), *others])
    (tmp_path / 'new.py').write_text(render_config('base.py', cfg, changes, ()))
    found = Config.fromfile(tmp_path / 'new.py')
    assert found.train_dataloader.dataset == dict(
        type='A', ann_file='a.txt', pipeline=[dict(type='B'), dict(type='C', prob=0)]
    )
    assert found.param_scheduler == [dict(type='E', power=0.5, end=2)]


def test_parts_that_are_none_and_keys_that_are_no_names(tmp_path):
    (tmp_path / 'base.py').write_text(LISTS + 'test_dataloader = None\n')
    cfg = Config.fromfile(tmp_path / 'base.py')
    loader = dict(batch_size=1, dataset=dict(type='A', mapping={0: 255, 'a b': dict(c=1)}))
    changes = [replace_part(cfg, key, loader) for key in ('test_dataloader', 'val_dataloader')]
    (tmp_path / 'new.py').write_text(render_config('base.py', cfg, changes, ()))
    found = Config.fromfile(tmp_path / 'new.py')
    assert found.test_dataloader == found.val_dataloader == loader
