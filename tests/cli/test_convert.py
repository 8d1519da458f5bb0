"""State dicts with the names of the released code, from modules that compute what it computes."""

import copy

import pytest
import torch
import torchvision
from mmengine.config import Config
from mmpretrain.registry import MODELS
from torch import nn

import paco_seg.cls  # noqa: F401
from paco_seg.cli import convert as convert_module
from paco_seg.engine.checkpoint import UnsafeCheckpointError

CONFIG = """
_base_ = 'mmpretrain::_base_/default_runtime.py'
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
model = dict(
    type={classifier!r},
    backbone=dict(type='ResNet', depth=18),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type={head!r}, num_classes=5, in_channels=512, queue_size=8,
              projector={projector!r}))
"""
PACO = dict(
    classifier='PaCoClassifier', head='PaCoClsHead', projector=dict(num_layers=2, norm='BN1d')
)
GPACO = dict(classifier='GPaCoClassifier', head='GPaCoClsHead', projector=dict(num_layers=3))


def mlp(*layers):
    return nn.Sequential(*layers, nn.Linear(512, 128))


class Published(nn.Module):
    """Names of the released classification programs."""

    def __init__(self, momentum):
        super().__init__()
        encoder = torchvision.models.resnet18(weights=None)
        encoder.fc = (
            mlp(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU())
            if momentum
            else mlp(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU())
        )
        self.encoder_q = encoder
        self.linear = nn.Linear(512, 5)
        if momentum:
            self.encoder_k = copy.deepcopy(encoder)
            for p in self.encoder_k.parameters():
                p.data.add_(0.1)
            self.linear_k = nn.Linear(512, 5)
        self.register_buffer('queue', torch.randn(8, 128))
        self.register_buffer('queue_l', torch.arange(8) % 5)
        self.register_buffer('queue_ptr', torch.tensor([6]))

    def forward(self, x):
        body = nn.Sequential(*list(self.encoder_q.children())[:-1])
        features = body(x).flatten(1)
        return self.linear(features), self.encoder_q.fc(features)


@pytest.fixture
def convert(tmp_path, run_tool):
    """``convert(settings, content)`` runs the tool; returns model and written file."""

    def run(settings, content, *arguments):
        config = tmp_path / 'config.py'
        config.write_text(CONFIG.format(**settings))
        torch.save(content, tmp_path / 'in.pth')
        run_tool('convert', config, tmp_path / 'in.pth', tmp_path / 'out.pth', *arguments)
        model = MODELS.build(Config.fromfile(config).model)
        saved = torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']
        return model, saved

    return run


def wrapped(module):
    return {f'module.{name}': value for name, value in module.state_dict().items()}


@pytest.mark.parametrize('momentum', [True, False], ids=['paco', 'gpaco'])
def test_the_converted_model_computes_the_same(momentum, convert, capsys):
    torch.manual_seed(0)
    source = Published(momentum)
    source.eval()
    model, saved = convert(PACO if momentum else GPACO, dict(state_dict=wrapped(source), epoch=7))
    missing, unexpected = model.load_state_dict(saved, strict=False)
    assert not unexpected
    assert not missing
    model.eval()
    x = torch.randn(2, 3, 64, 64)
    logits, embeddings = source(x)
    features = model.extract_feat(x)
    assert torch.allclose(model.head(features), logits, atol=1e-5)
    assert torch.allclose(model.head.projector(features[-1]), embeddings, atol=1e-5)
    assert torch.equal(model.head.queue.keys, source.queue)
    assert torch.equal(model.head.queue.labels, source.queue_l)
    assert model.head.queue.position == 6
    if momentum:
        moved = dict(model.momentum_encoder.named_parameters())
        assert torch.equal(moved['backbone.conv1.weight'], source.encoder_k.conv1.weight)
        assert torch.equal(moved['projector.3.bias'], source.encoder_k.fc[3].bias)
        assert model.momentum_encoder.updates > 0
    lines = capsys.readouterr().out.splitlines()
    assert 'encoder_q.layer1.0.conv1.weight -> backbone.layer1.0.conv1.weight' in lines
    assert 'linear.weight -> head.fc.weight' in lines
    dropped = [line for line in lines if ' dropped: ' in line]
    assert len(dropped) == (2 if momentum else 0)
    # every entry of the file has its line
    names = {line.split()[0] for line in lines}
    assert {name.removeprefix('module.') for name in wrapped(source)} <= names


def test_what_only_training_uses_may_be_missing(convert, capsys):
    source = wrapped(Published(False))
    bare = {k: v for k, v in source.items() if 'queue' not in k and '.fc.' not in k}
    _, saved = convert(GPACO, bare)  # a bare state dict is a checkpoint too
    assert 'head.queue.keys' not in saved
    out = capsys.readouterr().out
    assert 'head.queue.keys missing: only training uses it' in out
    assert '0 of them needed' in out


def test_an_incomplete_checkpoint_is_not_written(convert, tmp_path, capsys):
    source = wrapped(Published(False))
    del source['module.linear.weight']
    with pytest.raises(ValueError, match=r'got 1 entries too few\. Nothing was written'):
        convert(GPACO, dict(state_dict=source))
    assert 'head.fc.weight missing: NEEDED' in capsys.readouterr().out
    assert not (tmp_path / 'out.pth').exists()


def test_another_config(convert):
    settings = dict(GPACO, projector=dict(num_layers=3, out_channels=64))
    with pytest.raises(ValueError, match=r'encoder_q\.fc\.4\.weight \(128, 512\), head\.projector'):
        convert(settings, wrapped(Published(False)))


def test_unknown_names(convert):
    with pytest.raises(ValueError, match=r"expected entries encoder\.\*.* got \['net'\]"):
        convert(GPACO, {'net.weight': torch.zeros(1)})


class Surprise:
    def __reduce__(self):
        return print, ('run',)


def test_code_in_the_file_is_not_run(convert, capsys):
    content = dict(state_dict=wrapped(Published(False)), args=Surprise())
    with pytest.raises(UnsafeCheckpointError, match='--allow-pickle'):
        convert(GPACO, content)
    assert 'run' not in capsys.readouterr().out.split()
    convert(GPACO, content, '--allow-pickle')


@pytest.fixture
def tool():
    return vars(convert_module)


def shapes_of(tool, config):
    """Names and shapes of the model of a config file."""
    model = tool['build_without_memory'](Config.fromfile(f'configs/{config}.py'))
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def entries(shapes):
    """Weights of these shapes and their biases; BatchNorm brings its statistics."""
    state = {}
    for name, shape in shapes.items():
        state[f'{name}.weight'] = torch.zeros(shape)
        if 'conv' not in name.rpartition('.')[2]:
            state[f'{name}.bias'] = torch.zeros(shape[0])
        if 'bn' in name:
            state |= {f'{name}.running_{key}': torch.zeros(shape) for key in ('mean', 'var')}
            state[f'{name}.num_batches_tracked'] = torch.tensor(7)
    return state


def published_queue(size, width):
    return {
        'queue': torch.randn(size, width),
        'queue_l': torch.zeros(size, dtype=torch.long),
        'queue_ptr': torch.tensor([6]),
    }


@pytest.mark.parametrize('ratio', [10, 50, 100])
def test_names_of_the_cifar_network(tool, ratio):
    """ResNet-32 with 16, 32 and 64 channels; its projection MLP takes the place of `linear`."""
    shapes, width = {'conv1': (16, 3, 3, 3), 'bn1': (16,)}, 16
    for stage in (1, 2, 3):
        for block in range(5):
            before, width = width, 16 * 2 ** (stage - 1)
            place = f'layer{stage}.{block}'
            shapes |= {f'{place}.conv1': (width, before, 3, 3), f'{place}.bn1': (width,)}
            shapes |= {f'{place}.conv2': (width, width, 3, 3), f'{place}.bn2': (width,)}
    encoder = entries(shapes) | {
        name.replace('bn', '1'): value
        for name, value in entries(
            {'linear.0': (64, 64), 'linear.bn': (64,), 'linear.3': (32, 64)}
        ).items()
    }
    source = published_queue(1024, 32)
    for suffix in ('q', 'k'):
        source |= {f'encoder_{suffix}.{name}': value for name, value in encoder.items()}
    source |= entries({'linear': (100, 64), 'linear_k': (100, 64)})
    source = {f'module.{name}': value for name, value in source.items()}

    expected = shapes_of(tool, f'paco/paco_resnet32_1xb128-step-400e_cifar100-lt-ir{ratio}')
    conversion = tool['convert'](source, expected)
    # published files hold no class counts: ours are counted at the start of a training
    assert conversion.missing == ['head.loss_module.class_prior.counts']
    assert [name for name, _ in conversion.dropped] == ['linear_k.weight', 'linear_k.bias']
    renamed = dict(conversion.renamed)
    assert renamed['encoder_q.layer3.4.bn2.bias'] == 'backbone.layer3.4.bn2.bias'
    assert renamed['encoder_q.linear.1.running_var'] == 'head.projector.1.running_var'
    assert renamed['encoder_k.linear.3.weight'] == 'momentum_encoder.projector.3.weight'
    assert renamed['linear.weight'] == 'head.fc.weight'
    assert conversion.state['head.queue.position'] == 6


@pytest.fixture
def vision_transformer():
    """Entries of a ViT-Base that was fine-tuned with GPaCo, without those of GPaCo."""
    width = 768
    block = {
        'norm1': (width,),
        'norm2': (width,),
        'attn.qkv': (3 * width, width),
        'attn.proj': (width, width),
        'mlp.fc1': (4 * width, width),
        'mlp.fc2': (width, 4 * width),
    }
    shapes = {'patch_embed.proj': (width, 3, 16, 16), 'fc_norm': (width,), 'head': (1000, width)}
    shapes |= {f'blocks.{i}.{name}': shape for i in range(12) for name, shape in block.items()}
    tokens = {'cls_token': torch.zeros(1, 1, width), 'pos_embed': torch.zeros(1, 197, width)}
    return tokens | entries(shapes)


VIT = 'gpaco/gpaco_vit-base-p16-mae-pre_8xb32-accum4-amp-coslr-100e_in1k'


def test_names_of_the_vision_transformer(tool, vision_transformer):
    mlp = entries({'mlp.0': (768, 768), 'mlp.2': (768, 768), 'mlp.4': (128, 768)})
    source = {**vision_transformer, **mlp, **published_queue(8192, 128)}
    conversion = tool['convert'](source, shapes_of(tool, VIT))
    assert not conversion.dropped
    assert not conversion.missing
    renamed = dict(conversion.renamed)
    assert renamed['blocks.3.mlp.fc2.bias'] == 'backbone.layers.3.ffn.layers.1.bias'
    assert renamed['mlp.4.weight'] == 'head.projector.4.weight'
    assert torch.equal(conversion.state['head.queue.keys'], source['queue'])


def test_a_queue_without_its_projector_is_dropped(tool, vision_transformer):
    source = {**vision_transformer, **published_queue(8192, 128)}
    conversion = tool['convert'](source, shapes_of(tool, VIT))
    reason = 'its projector or a part of the queue is not in the file'
    assert conversion.dropped == [(name, reason) for name in ('queue', 'queue_l', 'queue_ptr')]
    assert not [name for name in conversion.state if 'queue' in name]
    assert 'head.queue.keys' in conversion.missing
    assert not conversion.missing_for_prediction


def test_segmentation_keeps_its_names(tool):
    expected = {'backbone.conv1.weight': (1,), 'decode_head.conv_seg.weight': (2,)}
    source = {
        'backbone.conv1.weight': torch.zeros(1),
        'decode_head.conv_seg.weight': torch.zeros(2),
        'decode_head.mlp.0.weight': torch.zeros(3),
    }
    conversion = tool['convert'](source, expected)
    assert list(conversion.state) == list(expected)
    assert conversion.dropped == [('decode_head.mlp.0.weight', 'no counterpart in this model')]
