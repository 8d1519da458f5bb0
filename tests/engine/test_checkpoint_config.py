import pytest
from mmengine.config import Config

import paco_seg.seg  # noqa: F401  (registers MMSegmentation's and our classes)
from paco_seg.engine.checkpoint_config import check_config_of_stranger, config_from_text
from paco_seg.engine.model_changes import read_config

pytestmark = pytest.mark.usefixtures('formatted_configs')


def test_a_dumped_config_is_read_without_running_it():
    cfg = Config(dict(a=dict(b=[1, -2.5, None, (3, 'x')], c={'d-e': True}), f=dict()))
    assert config_from_text(cfg.pretty_text, 'file.pth').to_dict() == cfg.to_dict()


@pytest.mark.parametrize(
    'text',
    [
        "a = __import__('os').getcwd()",
        'import os',
        'a = [b for b in range(3)]',
        'a = dict([(1, 2)])',
        'a.b = 1',
        'a = (',
        # A dump prints keys between quotes as they are: what is read back would be code.
        """a = dict({"x': __import__('os').getcwd(), 'y": 1})""",
        """a = dict({'x-\\n': 1})""",
        'a = ' + '-' * 100_000 + '1',
    ],
)
def test_code_in_a_config_is_refused(text):
    with pytest.raises(ValueError, match=r'file\.pth: meta\.cfg: expected a dumped config'):
        config_from_text(text, 'file.pth')


@pytest.mark.parametrize(
    'config',
    [
        'mmseg::ocrnet/ocrnet_hr18_4xb2-160k_cityscapes-512x1024.py',
        'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    ],
)
def test_stock_configs_pass(config):
    cfg = read_config(config)
    check_config_of_stranger(config_from_text(cfg.pretty_text, 'a.pth'), 'a.pth')


def test_registries_without_a_parent_count_too():
    pytest.importorskip('paco_seg.cls')
    check_config_of_stranger(Config(dict(augments=[dict(type='Mixup')])), 'a.pth')


@pytest.mark.parametrize('name', ['FCNHead', 'mmseg.FCNHead', 'GPaCoDecodeHead', 'mmcv.BN'])
def test_registered_names_pass(name):
    cfg = Config(dict(model=dict(decode_head=dict(type=name, _scope_='mmseg'))))
    check_config_of_stranger(cfg, 'a.pth')


@pytest.mark.parametrize(
    'value', ['test.txt', 'os/train.txt', 'decode_head.conv_seg', 'backbone.', 'v1.0', 'a.b', '.py']
)
def test_texts_with_a_dot_are_no_names(value):
    imports = dict(imports=['paco_seg.seg', 'mmseg.models'])
    check_config_of_stranger(Config(dict(a=dict(x=value), custom_imports=imports)), 'a.pth')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(model=dict(type='os.system', command='x')), r"model\.type: .*'os\.system'"),
        (
            dict(model=dict(decode_head=[dict(loss_decode=dict(type='subprocess.run'))])),
            r"model\.decode_head\[0\]\.loss_decode\.type: .*'subprocess\.run'",
        ),
        (dict(a=dict(base_type='builtins.exec')), r"a\.base_type: .*'builtins\.exec'"),
        (dict(a=dict(type='mmengine.os.system')), r"a\.type: .*'mmengine\.os\.system'"),
        (dict(a=[dict(type='EMAHook', ema_type='torch.hub.load')]), r"a\[0\]\.ema_type: .*'torch"),
        (dict(a=dict(ema_type='antigravity')), r"a\.ema_type: .*'antigravity'"),
        (dict(runner_type='os.system'), r"runner_type: .*'os\.system'"),
        (dict(a=dict(constructor='this')), r"a\.constructor: .*'this'"),
        (dict(a=dict(some_fn='torch.hub.load')), r"some_fn: expected a plain .*'torch\.hub\.load'"),
        (dict(a=dict(some_fn='mmengine.os.system')), r"a\.some_fn: .*'mmengine\.os\.system'"),
        (dict(a=dict(some_fn='__main__.x')), r"some_fn: expected a plain .*'__main__\.x'"),
        (dict(a=dict(trust_remote_code=True)), r'trust_remote_code: expected False, got True'),
        (dict(a=dict(type='NoSuchClass')), r"a\.type: .*'NoSuchClass'"),
        (dict(a=dict(type='BN', _scope_='evil')), r"a\._scope_: .*'evil'"),
        (dict(a=['{{$X:1}}']), r"a\[0\]: expected a plain value, got '{{"),
        (dict(_base_='/tmp/x.py'), r"_base_: expected a plain value, got '/tmp/x\.py'"),
        (dict(custom_imports=dict(imports=['antigravity'])), r"imports: .*'antigravity'"),
        (dict(custom_imports=dict(imports='antigravity')), r"imports: .*'antigravity'"),
    ],
)
def test_what_a_stranger_may_not_name_is_refused_with_its_key(content, message):
    with pytest.raises(ValueError, match=rf'a\.pth: meta\.cfg: .*{message}.*--config'):
        check_config_of_stranger(Config(content), 'a.pth')
