"""What a config of FlexibleRunner may ask for; two_ranks of tests/cls trains with FSDP."""

import copy
import importlib.machinery
import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from paco_seg.engine import strategies
from paco_seg.engine.resume import use_resume
from paco_seg.engine.strategies import check_strategy, drop_strategy, use_strategy

CONFIGS = Path(__file__).parents[2] / 'configs'
RECIPE = CONFIGS / 'gpaco/gpaco_resnet50_4xb32-coslr-400e_imagenet-lt.py'
DEEPSPEED_OPTIM = """
optim_wrapper = dict(
    _delete_=True, type='DeepSpeedOptimWrapper', optimizer=dict(type='SGD', lr=0.1))
"""


@pytest.fixture
def recipe(tmp_path):
    """``recipe(name, extra='')``: the config of a user who inherits a recipe and a strategy."""

    def build(name, extra=''):
        bases = [str(RECIPE), str(CONFIGS / f'_base_/strategies/{name}.py')]
        path = tmp_path / 'config.py'
        path.write_text(f'_base_ = {bases!r}\n{extra}')
        cfg = Config.fromfile(path)
        cfg.launcher = 'pytorch'
        return cfg

    return build


@pytest.fixture
def with_deepspeed(monkeypatch):
    """DeepSpeed as if it were installed; nothing of it is imported."""
    find = importlib.util.find_spec
    spec = importlib.machinery.ModuleSpec('deepspeed', None)
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name: spec if name == 'deepspeed' else find(name)
    )


@pytest.mark.parametrize(('device', 'wrapped'), [('cpu', {'device_id': 'cpu'}), ('cuda', {})])
def test_fsdp_beside_a_recipe(recipe, monkeypatch, device, wrapped):
    monkeypatch.setattr(strategies, 'get_device', lambda: device)
    cfg = recipe('fsdp')
    check_strategy(cfg)
    use_strategy(cfg)
    assert cfg.strategy.type == 'ResumableFSDPStrategy'
    assert cfg.strategy.state_dict_cfg == 'full'
    assert cfg.strategy.model_wrapper == dict(
        type='MMFullyShardedDataParallel',
        sharding_strategy='SHARD_GRAD_OP',
        use_orig_params=True,
        **wrapped,
    )
    drop_strategy(cfg)
    assert 'strategy' not in cfg
    assert 'runner_type' not in cfg


def test_ddp_is_wrapped_as_by_the_ordinary_runner(recipe, monkeypatch):
    monkeypatch.setattr(strategies, 'get_device', lambda: 'cuda')
    cfg = recipe('fsdp', "strategy = dict(_delete_=True, type='DDPStrategy')\n")
    check_strategy(cfg)
    use_strategy(cfg)
    assert cfg.strategy == dict(
        type='DDPStrategy',
        model_wrapper={**strategies.DATA_PARALLEL, 'type': 'MMDistributedDataParallel'},
    )


def test_zero_2_beside_a_recipe(recipe, with_deepspeed):
    cfg = recipe('deepspeed_zero2', DEEPSPEED_OPTIM)
    check_strategy(cfg)
    assert cfg.strategy.zero_optimization.stage == 2
    assert not {'fp16', 'bf16'} & set(cfg.strategy)
    kept = copy.deepcopy(cfg.strategy)
    use_strategy(cfg)
    assert cfg.strategy == kept
    use_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, None)
    use_resume(cfg, 'work/iter_3.pth')
    assert cfg.load_from == 'work/iter_3.pth'


def test_deepspeed_is_missing(recipe, monkeypatch):
    cfg = recipe('deepspeed_zero2', DEEPSPEED_OPTIM)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'^strategy\.type: expected an installed DeepS'):
        check_strategy(cfg)


def test_the_optimizer_belongs_to_deepspeed(recipe, with_deepspeed):
    with pytest.raises(ValueError, match=r"optim_wrapper\.type: expected 'DeepSpeedOptimWrapper'"):
        check_strategy(recipe('deepspeed_zero2'))


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        ("strategy = dict(state_dict_cfg='local')", r"^strategy\.state_dict_cfg: expected 'full'"),
        (
            'optim_wrapper = dict(clip_grad=dict(max_norm=1.0))',
            r'^optim_wrapper\.clip_grad: expected none .*norm of its own',
        ),
        (
            "optim_wrapper = dict(constructor='LearningRateDecayOptimizerConstructor')",
            r'^optim_wrapper\.constructor: expected none .*one dimension',
        ),
        (
            'optim_wrapper = dict(paramwise_cfg=dict(flat_decay_mult=0.0))',
            r'^optim_wrapper\.paramwise_cfg\.flat_decay_mult: expected none',
        ),
        (
            "optim_wrapper = dict(optimizer=dict(type='LARS'))",
            r'^optim_wrapper\.optimizer\.type: expected an optimizer that works element',
        ),
        ("custom_hooks = [dict(type='EMAHook')]", r'^custom_hooks: expected no EMAHook'),
        ("custom_hooks = [dict(type='mmengine.EMAHook')]", r'^custom_hooks: expected no EMAHook'),
        (
            "strategy = dict(model_wrapper=dict(auto_wrap_policy='x'))\n"
            "model = dict(test_cfg=dict(mode='slide'))",
            r"auto_wrap_policy: expected none with model\.test_cfg\.mode='slide'",
        ),
        ("launcher = 'none'", r'^--launcher: expected one of several processes'),
        ("runner_type = 'Runner'", r"^runner_type: expected 'FlexibleRunner', since"),
    ],
)
def test_what_slices_would_spoil_is_refused(recipe, extra, message):
    cfg = recipe('fsdp', f'{extra}\n')
    if extra.startswith('launcher'):
        cfg.launcher = 'none'
    with pytest.raises(ValueError, match=message):
        check_strategy(cfg)


def test_models_that_cannot_be_cut_are_refused():
    from paco_seg.engine.fsdp_strategy import ResumableFSDPStrategy
    from paco_seg.engine.strategies import fit_strategy

    strategy = ResumableFSDPStrategy.__new__(ResumableFSDPStrategy)
    strategy.model_wrapper = dict(auto_wrap_policy='size_based_auto_wrap_policy')
    stock = torch.nn.Sequential(torch.nn.Linear(2, 2))
    fit_strategy(strategy, stock)
    stock.scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(ValueError, match=r'^strategy\.type: expected DDPStrategy .* scale, got FS'):
        fit_strategy(strategy, stock)

    from paco_seg.core import KeyQueue

    with pytest.raises(ValueError, match=r'auto_wrap_policy: expected none with 1, got .size_ba'):
        fit_strategy(strategy, torch.nn.Sequential(torch.nn.Linear(2, 2), KeyQueue(4, 2)))


def test_one_process_of_flexible_runner_is_guarded(tiny_seg, run_tool, tmp_path):
    """Hooks and stages as in the ordinary Runner; the class count is wrong here."""
    settings = "runner_type = 'FlexibleRunner'\ndata_check = False\n"  # which would find it first
    config = tiny_seg(settings, num_classes=3)
    with pytest.raises(ValueError, match=r'model\.decode_head\.num_classes: expected 4'):
        run_tool('train', config)
    options = ('model.decode_head.num_classes=4', 'train_cfg.max_iters=3')
    run_tool('train', config, '--cfg-options', *options)
    assert (tmp_path / 'work/iter_3.pth').is_file()
