import argparse
import os

import pytest
from mmengine.config import Config

from paco_seg.engine.cli import (
    add_common_arguments,
    add_hook,
    load_config,
    require_keys,
    use_test_time_augmentation,
)


def parse(*arguments: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument('config')
    add_common_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


@pytest.fixture
def config_file(tmp_path, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '0')

    def write(text: str):
        path = tmp_path / 'some.py'
        path.write_text(text)
        return path

    return write


def test_command_line_wins_over_the_file(config_file):
    path = config_file("default_scope = 'mmseg'\nwork_dir = 'a'\nmodel = dict(x=1)\n")
    cfg = load_config(parse(path, '--cfg-options', 'model.x=2', '--launcher', 'slurm'))
    assert (cfg.model.x, cfg.work_dir, cfg.launcher) == (2, 'a', 'slurm')
    assert load_config(parse(path, '--work-dir', 'b')).work_dir == 'b'
    home = os.path.expanduser('~')
    assert load_config(parse(path, '--work-dir=~/b')).work_dir == f'{home}/b'
    path = config_file("default_scope = 'mmseg'\n")
    assert load_config(parse(path)).work_dir == 'work_dirs/some'


def test_the_scope_decides_which_plugins_are_registered(config_file):
    from mmengine.registry import HOOKS, METRICS

    for scope, metric in (('mmseg', 'LongTailIoUMetric'), ('mmpretrain', 'LongTailAccuracy')):
        load_config(parse(config_file(f'default_scope = {scope!r}\n')))
        assert METRICS.get(f'{scope}.{metric}') is not None
    assert HOOKS.get('RNGStateHook') is not None


def test_bad_files_are_named(config_file, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"config: expected an existing file, got '.*no\.py'"
    ):
        load_config(parse(tmp_path / 'no.py'))
    path = config_file("default_scope = 'mmdet'\n")
    with pytest.raises(ValueError, match=r"some\.py: default_scope: expected 'mmseg' or"):
        load_config(parse(path))
    with pytest.raises(
        ValueError, match=r'some\.py: test_dataloader: expected a setting, got none'
    ):
        require_keys(Config({'model': {}}), 'some.py', ('model', 'test_dataloader'))


def test_loaders_are_completed(config_file):
    text = 'train_dataloader = dict(num_workers={}, persistent_workers=True)\n'
    cfg = load_config(parse(config_file("default_scope = 'mmseg'\n" + text.format(0))))
    assert cfg.train_dataloader == dict(num_workers=0, persistent_workers=False)
    cfg = load_config(parse(config_file("default_scope = 'mmpretrain'\n" + text.format(2))))
    assert cfg.train_dataloader.persistent_workers
    assert cfg.train_dataloader.collate_fn == dict(type='default_collate')


def test_a_hook_is_added_once():
    cfg = Config({'custom_hooks': [dict(type='RNGStateHook', priority=5)]})
    add_hook(cfg, type='RNGStateHook')
    add_hook(cfg, type='NumClassCheckHook')
    assert cfg.custom_hooks == [
        dict(type='RNGStateHook', priority=5),
        dict(type='NumClassCheckHook'),
    ]


def test_tta_needs_its_two_settings():
    cfg = Config({'default_scope': 'mmseg', 'tta_model': dict(type='SegTTAModel')})
    with pytest.raises(ValueError, match=r'some\.py: tta_pipeline: expected .* --tta was given'):
        use_test_time_augmentation(cfg, 'some.py')
