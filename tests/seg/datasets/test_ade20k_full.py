"""ADE20K-Full from a release of a few images with 300 classes to a training, in 16 bits."""

import copy
import json
import sys

import cv2
import numpy as np
import pytest
import torch
from helpers.file_names import NOT_UTF8, ends_well
from helpers.resolved_configs import load_config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample

import paco_seg.seg  # noqa: F401
from paco_seg import cli
from paco_seg.core.frequency import (
    ClassFrequency,
    load_class_frequency,
    save_class_frequency,
)
from paco_seg.engine.systems import SystemInputs
from paco_seg.seg.systems import SYSTEMS

CLASSES, FIRST = 300, 40  # the release numbers them 40, 47, 54, ...
SIDE = 40


def number_of(label):
    return FIRST + 7 * label


def write_scene(folder, name, labels, only=()):
    """An image of the release: mask in two channels, names in JSON; -1 is no object."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.where(labels < 0, 0, number_of(labels))
    blue = np.random.default_rng(0).integers(0, 256, labels.shape)  # instances, of no meaning
    mask = np.stack([blue, numbers % 256, numbers // 256 * 10 + numbers % 7], axis=-1)
    cv2.imwrite(str(folder / f'{name}_seg.png'), mask.astype(np.uint8))
    cv2.imwrite(str(folder / f'{name}.jpg'), np.full((*labels.shape, 3), 90, np.uint8))
    objects = [
        dict(name_ndx=int(number_of(label)), name=f'thing {label}, it')
        for label in np.unique(labels)
        if label >= 0
    ]
    text = json.dumps(dict(annotation=dict(object=objects)), ensure_ascii=False)
    (folder / f'{name}.json').write_bytes(text.encode('latin-1') + b'\n')


@pytest.fixture(scope='module')
def release(tmp_path_factory):
    root = tmp_path_factory.mktemp('release')
    scenes = root / 'images/ADE'
    # Class c has c + 1 pixels more or less: rising, so that the order is turned round.
    flat = np.repeat(np.arange(CLASSES), 1 + np.arange(CLASSES) // 40)
    flat = np.concatenate([flat, np.full(-len(flat) % SIDE, -1), np.full(SIDE, -1)])
    labels = flat.reshape(-1, SIDE)
    only_here = labels.copy()
    only_here[-1] = 5000
    write_scene(scenes / 'training/urban/street', 'ADE_train_00000001', only_here)
    write_scene(scenes / 'training/work_place/office', 'ADE_train_00000002', labels[:, ::-1])
    write_scene(scenes / 'validation/urban/street', 'ADE_val_00000001', labels)
    return root, labels


@pytest.fixture(scope='module')
def prepared(release, tmp_path_factory):
    out = tmp_path_factory.mktemp('prepared') / 'ade_full'
    cli.run(['prepare', 'ade20k-full', str(release[0]), '--out', str(out), '--classes', '300'])
    return out


@pytest.fixture(scope='module')
def config(prepared):
    cfg = load_config('_base_/benchmarks/ade20k-full_upernet_r50.py')
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[loader].dataset.data_root = str(prepared)
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        head.num_classes = CLASSES
    return cfg


def test_classes_of_both_splits_by_falling_pixels(prepared, release):
    names = (prepared / 'classes.txt').read_text().splitlines()
    assert len(names) == CLASSES  # not what is in training alone
    assert names[:3] == ['thing 280, it', 'thing 281, it', 'thing 282, it']
    assert names[-1] == 'thing 39, it'
    written = cv2.imread(
        str(prepared / 'annotations/validation/ADE_val_00000001.png'), cv2.IMREAD_UNCHANGED
    )
    assert written.dtype == np.uint16
    place = {int(name[6:-4]): label for label, name in enumerate(names)}
    wanted = np.vectorize(lambda label: place.get(label, 65535))(release[1])
    np.testing.assert_array_equal(written, wanted)


def test_large_images_are_reduced_with_their_labels(tmp_path):
    labels = np.zeros((600, 700), np.int64)
    labels[:, 350:] = 1
    for split, name in (('training', 'ADE_train_1'), ('validation', 'ADE_val_1')):
        write_scene(tmp_path / 'r/images/ADE' / split, name, labels)
    out = tmp_path / 'out'
    cli.run(['prepare', 'ade20k-full', str(tmp_path / 'r'), '--out', str(out), '--classes', '2'])
    image = cv2.imread(str(out / 'images/training/ADE_train_1.jpg'))
    written = cv2.imread(str(out / 'annotations/training/ADE_train_1.png'), cv2.IMREAD_UNCHANGED)
    assert image.shape[:2] == written.shape == (512, 597)
    assert set(np.unique(written)) == {0, 1}


@pytest.mark.skipif(sys.platform != 'linux', reason='file names are text on other systems')
def test_images_whose_names_are_not_utf8(tmp_path):
    labels = np.zeros((520, 520), np.int64)  # so large that the image itself is read
    labels[260:] = 1
    for split in ('training', 'validation'):
        folder = tmp_path / 'r/images/ADE' / split
        write_scene(folder, 'a', labels)
        for path in list(folder.iterdir()):
            path.rename(folder / f'ADE_{NOT_UTF8}{path.name[1:]}')
    out = tmp_path / 'out'
    arguments = ['prepare', 'ade20k-full', str(tmp_path / 'r'), '--out', str(out), '--classes', '2']
    assert ends_well(cli.run, [*arguments, '--jobs', '1'])
    for name in (f'images/training/ADE_{NOT_UTF8}.jpg', f'annotations/training/ADE_{NOT_UTF8}.png'):
        assert (out / name).is_file()


def test_check_data_and_statistics_know_all_classes(config, tmp_path, capsys):
    path = tmp_path / 'config.py'
    config.dump(path)
    with pytest.raises(SystemExit) as end:
        cli.run(['check-data', str(path), '--jobs', '1'])
    assert end.value.code == 0, capsys.readouterr().out
    cli.run(['statistics', str(path), '-o', str(tmp_path / 'f.json'), '--jobs', '1'])
    frequency = load_class_frequency(tmp_path / 'f.json')
    assert frequency.num_classes == CLASSES
    assert frequency.images == (2,) * CLASSES
    assert list(frequency.pixels) == sorted(frequency.pixels, reverse=True)


def test_check_data_names_a_loader_of_eight_bits(config, tmp_path, capsys):
    broken = copy.deepcopy(config)
    broken.train_dataloader.dataset.pipeline[1] = dict(type='LoadAnnotations')
    broken.dump(tmp_path / 'config.py')
    with pytest.raises(SystemExit) as end:
        cli.run(['check-data', str(tmp_path / 'config.py'), '--jobs', '1'])
    assert end.value.code == 1
    assert 'LoadLabelMap' in capsys.readouterr().out


def test_the_pipeline_keeps_sixteen_bits_and_the_ignored_label(config):
    train = copy.deepcopy(config.train_dataloader.dataset)
    assert train.pipeline.pop(2).type == 'RandomResize'  # all of an image is in the crop
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(train)
    labels = dataset[0]['data_samples'].gt_sem_seg.data
    assert int(labels[labels != 65535].max()) > 255
    assert (labels == 65535).any()


def test_what_is_missing_is_named(release, tmp_path, capsys):
    root = release[0]
    with pytest.raises(FileNotFoundError, match=r'class_file: .*paco-seg prepare ade20k-full'):
        DATASETS.build(dict(type='mmseg.ADE20KFullDataset', data_root=str(tmp_path)))
    out = str(tmp_path / 'out')
    for arguments, message in (
        ([str(root), '--out', out], 'expected 847 classes that are in both splits, got 300'),
        ([str(tmp_path), '--out', out], 'expected images ADE_*.jpg below images/ADE/training'),
        ([str(root), '--out', str(root)], '--out: expected another folder than the release'),
    ):
        with pytest.raises(SystemExit) as end:
            cli.main(['prepare', 'ade20k-full', *arguments, '--jobs', '1'])
        assert end.value.code == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def scenes_of(labels):
    """Data samples of a batch of label maps."""
    return [SegDataSample(gt_sem_seg=PixelData(data=part[None])) for part in labels]


@pytest.mark.parametrize('name', sorted(name for name in SYSTEMS if SYSTEMS[name].trains))
def test_losses_of_300_classes_know_class_255_and_ignore_65535(name, config, tmp_path):
    """The same label maps with another label for void have the same losses."""
    frequency = ClassFrequency(None, (2,) * CLASSES, tuple(range(1, 1 + CLASSES)), 2)
    save_class_frequency(frequency, tmp_path / 'f.json')
    small = copy.deepcopy(config)
    small.model.pop('auxiliary_head')
    small.model.decode_head = dict(
        type='FCNHead', in_channels=8, in_index=0, channels=8, num_convs=1, num_classes=CLASSES,
        norm_cfg=dict(type='BN'), ignore_index=65535, dropout_ratio=0.0,
    )  # fmt: skip
    changed = SYSTEMS[name].apply(small, {}, SystemInputs(str(tmp_path / 'f.json')))
    labels = torch.arange(256, CLASSES).repeat_interleave(24)[: 2 * 16 * 16].view(2, 16, 16).clone()
    labels[:, 12:] = 255
    features = [torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))]
    found = []
    for void in (65535, 999):
        labels[:, :3] = void
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmseg'):
            built = MODELS.build(dict(changed.model.decode_head, ignore_index=void))
        torch.manual_seed(1)
        losses = built.loss(features, scenes_of(labels), {})
        losses = {key: value for key, value in losses.items() if 'loss' in key}
        total = sum(losses.values())
        total.backward()
        assert (built.conv_seg.bias.grad[255] != 0).all()
        found.append(losses)
    assert all(torch.equal(value, found[1][key]) for key, value in found[0].items())
