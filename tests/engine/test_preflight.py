import pytest
from mmengine.config import Config

from paco_seg.engine.preflight import check_data_folders, check_settings, expand_home


def config(scope: str = 'mmseg', **dataset: object) -> Config:
    return Config({'default_scope': scope, 'train_dataloader': {'dataset': dataset}})


@pytest.fixture
def root(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'list.txt').write_text('a\n')
    return str(tmp_path)


def test_complete_data_passes(root):
    dataset = dict(
        type='BaseSegDataset',
        data_root=root,
        data_prefix=dict(img_path='images', seg_map_path=''),
        ann_file='list.txt',
    )
    check_data_folders(config(**dataset), ['train_dataloader', 'val_dataloader'])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            dict(data_root='/nowhere'),
            r"train_dataloader\.dataset\.data_root: expected an existing folder, got '/nowhere'",
        ),
        (
            dict(data_prefix=dict(img_path='pictures')),
            r'train_dataloader\.dataset\.data_prefix\.img_path: expected an existing folder, got '
            r"'.*/pictures' \(data_root='.*'\)\. Prepare the data set there",
        ),
        (dict(data_prefix='list.txt'), r'dataset\.data_prefix: expected an existing folder'),
        (dict(ann_file='names.txt'), r'dataset\.ann_file: expected an existing file'),
    ],
)
def test_what_is_missing_is_named(root, change, message):
    dataset = {'type': 'BaseSegDataset', 'data_root': root, **change}
    with pytest.raises(FileNotFoundError, match=message):
        check_data_folders(config(**dataset), ['train_dataloader'])


def test_wrappers_are_entered(root):
    inner = [dict(type='BaseSegDataset', data_root=root), dict(type='A', data_root='/nowhere')]
    wrapped = dict(
        type='RepeatDataset', times=2, dataset=dict(type='ConcatDataset', datasets=inner)
    )
    with pytest.raises(FileNotFoundError, match=r'dataset\.dataset\.datasets\[1\]\.data_root'):
        check_data_folders(config(**wrapped), ['train_dataloader'])


@pytest.mark.parametrize(
    ('scope', 'example'), [('mmseg', 'BaseSegDataset'), ('mmpretrain', 'CustomDataset')]
)
def test_a_dataset_without_a_type_is_named_before_its_folders(scope, example):
    message = (
        r'^train_dataloader\.dataset{}\.type: expected a registered dataset, got none\. Set it, '
        rf"e\.g\. to '{example}': _delete_=True drops"
    )
    bare = dict(data_root='/nowhere')
    with pytest.raises(ValueError, match=message.format('')):
        check_data_folders(config(scope, **bare), ['train_dataloader'])
    with pytest.raises(ValueError, match=message.format('')):
        check_data_folders(config(scope, type=None, backend_args=dict(a=1)), ['train_dataloader'])
    repeated = dict(times=2, dataset=dict(type='A', **bare))
    with pytest.raises(ValueError, match=message.format('')):
        check_data_folders(config(scope, **repeated), ['train_dataloader'])
    parts = dict(type='ConcatDataset', datasets=[dict(type='A', backend_args=dict(a=1)), bare])
    with pytest.raises(ValueError, match=message.format(r'\.datasets\[1\]')):
        check_data_folders(config(scope, **parts), ['train_dataloader'])


def test_a_tilde_is_the_home_folder(monkeypatch, root):
    monkeypatch.setenv('HOME', root)
    cfg = config(type='ConcatDataset', datasets=[dict(type='BaseSegDataset', data_root='~/images')])
    expand_home(cfg)
    assert cfg.train_dataloader.dataset.datasets[0].data_root == f'{root}/images'
    check_data_folders(cfg, ['train_dataloader'])


def test_remote_and_self_downloading_data_are_left_alone():
    remote = dict(type='BaseSegDataset', data_root='s3://bucket/a', ann_file='b.txt')
    check_data_folders(config(**remote), ['train_dataloader'])
    petrel = dict(type='A', data_root='a', backend_args=dict(backend='petrel'))
    check_data_folders(config(**petrel), ['train_dataloader'])
    cifar = dict(type='CIFAR10', data_root='/nowhere', split='train')
    check_data_folders(config('mmpretrain', **cifar), ['train_dataloader'])
    with pytest.raises(FileNotFoundError, match='data_root'):
        check_data_folders(config('mmpretrain', download=False, **cifar), ['train_dataloader'])


def heads(decode_head=None, **model):
    return Config(dict(model=dict(decode_head=decode_head, **model)))


BACKBONE = dict(type='ResNetV1c', out_indices=(2, 3))


@pytest.mark.parametrize(
    ('model', 'place'),
    [
        (dict(decode_head=dict(in_index=2)), 'decode_head'),
        (dict(decode_head=dict(in_index=-3)), 'decode_head'),
        (dict(decode_head=dict(in_index=[0, 1, 2])), 'decode_head'),
        (dict(decode_head=[dict(in_index=0), dict(in_index=2)]), r'decode_head\[1\]'),
        (dict(decode_head=dict(), auxiliary_head=dict(in_index=5)), 'auxiliary_head'),
    ],
)
def test_a_head_that_takes_no_feature_is_named(model, place):
    cfg = heads(backbone=BACKBONE, **model)
    message = rf'^model\.{place}\.in_index: expected indices below 2, since model\.backbone\.out'
    with pytest.raises(ValueError, match=message):
        check_settings(cfg)


@pytest.mark.parametrize(
    'model',
    [
        dict(decode_head=dict(in_index=1), backbone=BACKBONE),
        dict(decode_head=dict(in_index=[0, 1]), backbone=BACKBONE),
        dict(decode_head=dict(), auxiliary_head=[dict(in_index=-2)], backbone=BACKBONE),
        dict(decode_head=dict(in_index=3), backbone=BACKBONE, neck=dict(type='FPN')),
        dict(decode_head=dict(in_index=3), backbone=dict(type='HRNet')),
        dict(decode_head=dict(in_index=3), backbone=dict(type='Own', out_indices=1)),
    ],
)
def test_heads_whose_features_exist_or_are_not_known_pass(model):
    check_settings(heads(**model))
