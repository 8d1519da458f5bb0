import pytest
import torch
from helpers.tiny_training import TinyModel, train
from mmengine.registry import MODELS
from torch import nn


@MODELS.register_module()
class SelfLoadingModel(TinyModel):
    """Loads its file itself, after renaming the entries, as Swin and ViT backbones do."""

    def init_weights(self):
        from mmengine.runner.checkpoint import CheckpointLoader

        content = CheckpointLoader.load_checkpoint(self.init_cfg['checkpoint'])
        self.load_state_dict(
            {key.replace('fc', 'head'): value for key, value in content.items()}, strict=False
        )


def pretrained(tmp_path, state, **more):
    torch.save(state, tmp_path / 'a.pth')
    return dict(
        model__init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'), **more),
        train_cfg__max_iters=1,
        optim_wrapper__optimizer__lr=1e-9,
    )


def state(name, classes=3):
    layer = nn.Linear(2, classes).state_dict()
    return {f'{name}.{key}': torch.full_like(value, 0.25) for key, value in layer.items()}


@pytest.mark.parametrize('model', ['TinyModel', 'SelfLoadingModel'])
def test_weights_of_which_nothing_fits_are_refused(tmp_path, model):
    for other in (state('backbone'), state('head', classes=5)):
        changes = pretrained(tmp_path, other)
        if model == 'SelfLoadingModel' and 'head.weight' in other:
            continue  # PyTorch itself refuses another shape
        message = r'model\.init_cfg\.checkpoint: expected weights of \w+Model \(head\.weight, '
        with pytest.raises(ValueError, match=message + r'.*got .*a\.pth.* of which none fits'):
            train(tmp_path / 'work', model__type=model, **changes)


def test_weights_that_fit_in_part_are_taken(tmp_path):
    part = state('head')
    del part['head.bias']
    runner = train(tmp_path / 'work', **pretrained(tmp_path, part | state('other')))
    assert torch.allclose(runner.model.head.weight, torch.tensor(0.25))


def test_renamed_and_prefixed_weights_are_taken(tmp_path):
    changes = pretrained(tmp_path, state('fc'))
    runner = train(tmp_path / 'work', model__type='SelfLoadingModel', **changes)
    assert torch.allclose(runner.model.head.weight, torch.tensor(0.25))
    changes = pretrained(tmp_path, state('net.head'), prefix='net')
    runner = train(tmp_path / 'work', **changes)
    assert torch.allclose(runner.model.head.weight, torch.tensor(0.25))


def test_load_from_is_not_its_business(tmp_path):
    """The file of a whole model arrives after the initialisation."""
    changes = pretrained(tmp_path, state('head'))
    torch.save({'head.bias': torch.ones(3)}, tmp_path / 'b.pth')
    runner = train(tmp_path / 'work', load_from=str(tmp_path / 'b.pth'), **changes)
    assert torch.allclose(runner.model.head.bias, torch.tensor(1.0))
