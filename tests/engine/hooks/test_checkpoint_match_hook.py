from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseTTAModel
from torch import nn

from paco_seg.engine.hooks import CheckpointMatchHook


class Model(nn.Module):
    def __init__(self, classes: int = 3, projector: bool = False):
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.head = nn.Module()
        self.head.fc = nn.Linear(4, classes)
        if projector:
            self.head.projector = nn.Linear(4, 2)
            self.head.register_buffer('queue', torch.zeros(2))


def check(require: str, model: nn.Module, state: dict, *hooks) -> None:
    hook = CheckpointMatchHook(require=require)
    runner = SimpleNamespace(model=model, hooks=[hook, *hooks])
    hook.after_load_checkpoint(runner, {'state_dict': state})


def test_the_same_model_passes_everywhere():
    for require in ('inference', 'all', 'any'):
        check(require, Model(), Model().state_dict())
    data_parallel = {f'module.{key}': value for key, value in Model().state_dict().items()}
    check('all', Model(), data_parallel)


def test_training_only_parts_may_be_missing_or_left_over_in_a_test():
    stock, gpaco = Model(), Model(projector=True)
    check('inference', gpaco, stock.state_dict())
    check('inference', stock, gpaco.state_dict())
    with pytest.raises(ValueError, match=r'3 missing: head\.queue, head\.projector\.weight'):
        check('all', gpaco, stock.state_dict())
    with pytest.raises(ValueError, match=r'3 unexpected: head\.queue, head\.projector\.weight'):
        check('all', stock, gpaco.state_dict())


class SwitchRecipeHook:
    """As much of MMPretrain's as is looked at."""

    def __init__(self, **recipe):
        self.schedule = {5: recipe}


def test_a_loss_that_the_config_brings_later_does_not_prevent_resuming():
    """It comes again once the weights are loaded."""
    state = Model().state_dict()
    state['head.loss_module.class_prior.counts'] = torch.ones(3)
    check('all', Model(), state, SwitchRecipeHook(loss=nn.Identity()))
    for hooks in ((), (SwitchRecipeHook(batch_augments=None),)):
        with pytest.raises(ValueError, match=r'1 unexpected: head\.loss_module\.class_prior\.coun'):
            check('all', Model(), state, *hooks)
    state['head.loss_module.weight'] = torch.ones(3)
    with pytest.raises(ValueError, match=r'1 unexpected: head\.loss_module\.weight'):
        check('all', Model(), state, SwitchRecipeHook(loss=nn.Identity()))


def test_a_test_needs_every_weight_it_uses():
    """The same backbone below another head: most entries match, the metrics would be noise."""
    state = Model().state_dict()
    state['other.fc.weight'] = state.pop('head.fc.weight')
    message = (
        r'checkpoint: expected the weights of Model .*\n  1 missing: head\.fc\.weight'
        r'\n  1 unexpected: other\.fc\.weight\nUse the config'
    )
    with pytest.raises(ValueError, match=message):
        check('inference', Model(), state)
    check('any', Model(), state)


def test_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match=r'2 of another shape: head\.fc\.weight, head\.fc\.bias'):
        check('inference', Model(classes=4), Model().state_dict())
    check('any', Model(classes=4), Model().state_dict())


def test_pretrained_weights_that_match_nothing_are_refused():
    state = {f'x.{key}': value for key, value in Model().state_dict().items()}
    with pytest.raises(ValueError, match=r'8 missing: .*\n  \d+ unexpected: x\.backbone'):
        check('any', Model(), state)


def test_long_lists_are_cut():
    with pytest.raises(ValueError, match=r'12 unexpected: a0, .* a7, and 4 more\n'):
        check('all', nn.Module(), {f'a{i}': torch.zeros(1) for i in range(12)})


def test_the_model_inside_test_time_augmentation_is_meant():
    class TTA(BaseTTAModel):
        def merge_preds(self, data_samples_list):
            return data_samples_list

    from mmengine.model import BaseModel

    class Inner(BaseModel):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1, 1)

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return inputs

    check('all', TTA(module=Inner()), Inner().state_dict())


def test_wrong_setting():
    with pytest.raises(
        ValueError, match=r"CheckpointMatchHook\.require: expected one of 'inference'"
    ):
        CheckpointMatchHook(require='some')
