import pytest
import torch
from mmengine.config import Config

from paco_seg.engine.model_changes import (
    ModelChange,
    apply_changes,
    build_without_memory,
    merged_changes,
    merged_imports,
    read_config,
    render_config,
    replace_part,
    replacing,
)

BASE = """
custom_imports = dict(imports='os.path', allow_failed_imports=False)
model = dict(
    type='Outer',
    head=dict(type='Old', width=3, losses=[dict(type='A'), dict(type='B')]),
    others=[dict(type='First', depth=1), dict(type='Second', depth=2)],
    deep=dict(inner=dict(type='Old', width=4)),
    wrapped=[
        dict(type='Repeat', times=3, inside=dict(type='Old', steps=[dict(a=1)], kept=dict(b=2))),
        dict(type='Plain')])
"""
CHANGES = [
    ModelChange(('head',), dict(type='New', loss=dict(type='L', options=[dict(a=1), dict(a=2)]))),
    ModelChange(('others', 1), dict(type='New')),
    ModelChange(('deep', 'inner'), dict(type='New')),
    ModelChange(('wrapped', 0, 'inside'), dict(steps=[dict(a=2)], kept=dict(c=3))),
]


@pytest.fixture
def base(tmp_path):
    path = tmp_path / 'base.py'
    path.write_text(BASE)
    return path


def test_written_config_equals_the_changed_one(base, tmp_path):
    cfg = read_config(base)
    expected = apply_changes(cfg, CHANGES, ['os'])
    assert expected.model.head == dict(
        type='New',
        width=3,
        losses=[dict(type='A'), dict(type='B')],
        loss=dict(type='L', options=[dict(a=1), dict(a=2)]),
    )
    assert expected.model.others == [
        dict(type='First', depth=1),
        dict(type='New', depth=2),
    ]
    assert expected.model.deep.inner == dict(type='New', width=4)
    assert expected.model.wrapped == [
        dict(
            type='Repeat',
            times=3,
            inside=dict(type='Old', steps=[dict(a=2)], kept=dict(b=2, c=3)),
        ),
        dict(type='Plain'),
    ]
    assert expected.custom_imports.imports == ['os.path', 'os']
    assert cfg.model.head.type == 'Old'

    written = tmp_path / 'new.py'
    written.write_text(render_config('./base.py', cfg, CHANGES, ['os']))
    assert Config.fromfile(written).to_dict() == expected.to_dict()


def test_only_the_difference_is_written(base):
    text = render_config('./base.py', read_config(base), CHANGES[:1], ['os'])
    assert text.splitlines()[:2] == [
        "_base_ = './base.py'",
        "custom_imports = dict(imports=['os.path', 'os'], allow_failed_imports=False)",
    ]
    assert 'width' not in text
    assert 'others' not in text


def test_imports_are_added_once():
    assert merged_imports(Config(), ['a'])['imports'] == ['a']
    cfg = Config(dict(custom_imports=dict(imports=['a', 'b'])))
    assert merged_imports(cfg, ['b', 'c'])['imports'] == ['a', 'b', 'c']


def test_errors_name_the_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='CONFIG: expected an existing config file'):
        read_config(tmp_path / 'none.py')
    lazy = tmp_path / 'lazy.py'
    lazy.write_text(
        'from mmengine.config import read_base\n\nwith read_base():\n    from .base import *\n'
    )
    with pytest.raises(ValueError, match=r'lazy\.py: expected a config with `_base_` strings'):
        read_config(lazy)


def test_models_are_built_without_memory():
    import paco_seg.seg  # noqa: F401

    # 40 TB of float32 weights
    head = dict(type='FCNHead', in_channels=10**6, channels=10**6, num_convs=1, num_classes=2)
    backbone = dict(type='SwinTransformer', drop_path_rate=0.3)  # reads linspace with .item()
    model = dict(type='EncoderDecoder', backbone=backbone, decode_head=head)
    built = build_without_memory(Config(dict(default_scope='mmseg', model=model)))
    assert {parameter.device.type for parameter in built.parameters()} == {'meta'}
    assert torch.zeros(1).device.type == 'cpu'


@pytest.mark.parametrize('before', ['dict(type="Old", a=1)', '[dict(a=1)]', 'None', '7'])
def test_what_is_replaced_may_be_anything(tmp_path, before):
    base = tmp_path / 'base.py'
    base.write_text(f'part = {before}\nmodel = dict(head=dict(part={before}))')
    cfg = read_config(base)
    new = dict(type='New', b=2)
    changes = [
        ModelChange(('head',), dict(part=replacing(cfg.model.head, 'part', new))),
        ModelChange(('head',), dict(other=replacing(cfg.model.head, 'other', new))),
        replace_part(cfg, 'part', new),
    ]
    expected = apply_changes(cfg, changes, ['os'])
    assert (expected.part, expected.model.head) == (new, dict(part=new, other=new))
    written = tmp_path / 'new.py'
    written.write_text(render_config('./base.py', cfg, merged_changes(changes), ['os']))
    assert Config.fromfile(written).to_dict() == expected.to_dict()


def test_imports_may_be_none_before(tmp_path):
    base = tmp_path / 'base.py'
    base.write_text('custom_imports = None\nmodel = dict(head=dict(type="Old"))')
    cfg = read_config(base)
    changes = [ModelChange(('head',), dict(type='New'))]
    written = tmp_path / 'new.py'
    written.write_text(render_config('./base.py', cfg, changes, ['os']))
    assert Config.fromfile(written).to_dict() == apply_changes(cfg, changes, ['os']).to_dict()


def test_values_that_python_writes_otherwise_are_read_again(base):
    odd = {'lambda': 1, 'limits': [float('inf'), (float('-inf'),)], 'pair': (1, dict(a=2)), 'e': ()}
    written = base.with_name('new.py')
    change = ModelChange(('head',), dict(odd=odd))
    written.write_text(render_config('./base.py', read_config(base), [change], []))
    assert Config.fromfile(written).model.head.odd.to_dict() == odd


@pytest.mark.parametrize('allowed', [True, False])
def test_imports_may_go_on_failing_where_they_were_allowed_to(allowed):
    imports = dict(imports=['not_there'], allow_failed_imports=allowed)
    merged = merged_imports(Config(dict(custom_imports=imports)), ['os'])
    assert merged == dict(imports=['not_there', 'os'], allow_failed_imports=allowed)
