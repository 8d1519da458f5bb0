import json
import os
import re

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmpretrain.datasets import CustomDataset
from mmpretrain.registry import DATASETS
from PIL import Image

from paco_seg.cli.export import channel_order
from paco_seg.cls.prediction import ClassificationPredictor
from paco_seg.comparison.gallery import overlay, palette_of
from paco_seg.engine.media import Media

CLASSES = ('sky', 'road', 'tree', 'car')


def test_label_maps_are_those_of_the_model(tiny_seg, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg()
    checkpoint = save_checkpoint(config)
    run_tool('test', config, checkpoint, '--out', tmp_path / 'expected')
    out = tmp_path / 'out'
    run_tool('predict', config, checkpoint, tmp_path / 'data/images/val', '-o', out)
    rows = json.loads((out / 'predictions.json').read_text())['images']
    assert sorted(rows) == ['0', '1']
    for name, row in rows.items():
        labels = cv2.imread(str(out / f'labels/{name}.png'), cv2.IMREAD_UNCHANGED)
        expected = cv2.imread(str(tmp_path / f'expected/{name}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(labels, expected)
        shares = np.bincount(labels.ravel(), minlength=4) / labels.size
        for label, values in row['classes'].items():
            assert values['share'] == pytest.approx(shares[CLASSES.index(label)], abs=1e-4)
            assert 0.25 <= values['confidence'] <= 1
        assert cv2.imread(str(out / f'pictures/{name}.png')).shape[1] == 2 * 4 * labels.shape[1]
    page = (out / 'index.html').read_text()
    assert set(re.findall(r'src="([^"]+)"', page)) == {'pictures/0.png', 'pictures/1.png'}
    assert '://' not in page


def test_two_models_side_by_side(tiny_seg, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg()
    first, second = save_checkpoint(config, 'a.pth', 0), save_checkpoint(config, 'b.pth', 1)
    images = tmp_path / 'data/images/val'
    out = tmp_path / 'out'
    options = ('--compare', second, '--show-interval', 2)
    run_tool('predict', config, first, images, '-o', out, *options)
    run_tool('predict', config, second, images, '-o', tmp_path / 'other', '--show-limit', 0)
    rows = json.loads((out / 'predictions.json').read_text())['images']
    others = json.loads((tmp_path / 'other/predictions.json').read_text())['images']
    for name, row in rows.items():
        assert row['compare'] == others[name]['classes']
        a, b = (
            cv2.imread(str(folder / f'labels/{name}.png'), cv2.IMREAD_UNCHANGED)
            for folder in (out, tmp_path / 'other')
        )
        assert row['differs'] == pytest.approx((a != b).mean(), abs=1e-4)
    assert [path.name for path in (out / 'pictures').iterdir()] == ['0.png']
    assert cv2.imread(str(out / 'pictures/0.png')).shape[1] == 4 * 4 * a.shape[1]
    assert not (tmp_path / 'other/pictures').exists()


def test_a_classifier_names_the_classes_of_images(tiny_cls, run_tool, save_checkpoint, tmp_path):
    config = tiny_cls()
    checkpoint = save_checkpoint(config)
    run_tool('test', config, checkpoint, '--out', tmp_path / 'expected.pkl')
    out = tmp_path / 'out'
    run_tool('predict', config, checkpoint, tmp_path / 'data/val', '-o', out)
    rows = json.loads((out / 'predictions.json').read_text())['images']
    assert set(rows) == {f'{name}/{i}' for name in CLASSES for i in range(2)}
    expected = mmengine.load(tmp_path / 'expected.pkl')
    assert [row['classes'] for row in rows.values()] == [
        {
            sorted(CLASSES)[index]: dict(confidence=round(float(sample['pred_score'][index]), 4))
            for index in sample['pred_score'].argsort(descending=True, stable=True).tolist()
        }
        for sample in expected
    ]
    assert not (out / 'labels').exists()
    assert len(list((out / 'pictures').rglob('*.png'))) == 8


def test_a_prior_that_a_test_counts_is_counted_for_a_prediction_too(
    tiny_cls, run_tool, save_checkpoint, tmp_path
):
    checkpoint = save_checkpoint(tiny_cls())
    config, out = tmp_path / 'prior.py', tmp_path / 'out'
    run_tool('swap', tmp_path / 'config.py', '--system', 'log-prior-test', '-o', config)
    run_tool('test', config, checkpoint, '--out', tmp_path / 'expected.pkl')
    run_tool('predict', config, checkpoint, tmp_path / 'data/val', '-o', out)
    rows = json.loads((out / 'predictions.json').read_text())['images']
    expected = mmengine.load(tmp_path / 'expected.pkl')
    names = sorted(CLASSES)
    for row, sample in zip(rows.values(), expected, strict=True):
        found = [row['classes'][name]['confidence'] for name in names]
        np.testing.assert_allclose(found, sample['pred_score'].numpy(), atol=1e-4)
    # Where the training images are not, the message says what is unknown and what to give.
    elsewhere = "train_dataloader = dict(dataset=dict(data_root='none'))\n"
    config.write_text(config.read_text() + elsewhere)
    with pytest.raises(ValueError, match=r"class_prior: expected class counts, got 'auto', and"):
        run_tool('predict', config, checkpoint, tmp_path / 'data/val', '-o', tmp_path / 'none')


def test_what_ends_a_prediction_early_leaves_what_was_predicted(
    tiny_cls, run_tool, save_checkpoint, tmp_path, monkeypatch
):
    config = tiny_cls()
    checkpoint = save_checkpoint(config)
    predict, calls = ClassificationPredictor.__call__, []

    def fail_at_the_third(self, image):
        calls.append(image)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(self, image)

    monkeypatch.setattr(ClassificationPredictor, '__call__', fail_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_tool('predict', config, checkpoint, tmp_path / 'data/val', '-o', tmp_path / 'out')
    rows = json.loads((tmp_path / 'out/predictions.json').read_text())['images']
    assert list(rows) == ['car/0', 'car/1']
    page = (tmp_path / 'out/index.html').read_text()
    assert re.findall(r'src="([^"]+)"', page) == ['pictures/car/0.png', 'pictures/car/1.png']


def test_a_prediction_that_ended_early_is_repeated(
    tiny_seg, run_tool, save_checkpoint, tmp_path, monkeypatch
):
    config = tiny_seg()
    checkpoint, images, out = save_checkpoint(config), tmp_path / 'data/images/val', tmp_path / 'o'
    with monkeypatch.context() as patched:
        patched.setattr('paco_seg.cli.predict.paint', interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_tool('predict', config, checkpoint, images, '-o', out)
    assert len(list((out / 'labels').iterdir())) == 1
    run_tool('predict', config, checkpoint, images, '-o', out)
    assert len(json.loads((out / 'predictions.json').read_text())['images']) == 2


def interrupt(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize('task', ['seg', 'cls'])
def test_a_damaged_image_does_not_stop_the_others(
    tiny_seg, tiny_cls, run_tool, save_checkpoint, tmp_path, monkeypatch, task
):
    config = tiny_seg() if task == 'seg' else tiny_cls()
    images, out = tmp_path / 'images', tmp_path / 'out'
    images.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ('a.png', 'b.png', 'c.jpg', 'd.jpg'):
        cv2.imwrite(str(images / name), pixels)
    for name in ('b.png', 'c.jpg'):
        path = images / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    checkpoint = save_checkpoint(config)
    with pytest.raises(ValueError, match=r'got 2 that cannot: \S*b\.png .*, \S*c\.jpg .*other 2'):
        run_tool('predict', config, checkpoint, images, '-o', out)
    content = json.loads((out / 'predictions.json').read_text())
    assert list(content['images']) == ['a', 'd']
    assert list(content['unreadable']) == [str(images / 'b.png'), str(images / 'c.jpg')]
    page = (out / 'index.html').read_text()
    assert re.findall(r'src="([^"]+)"', page) == ['pictures/a.png', 'pictures/d.png']
    # What Pillow forgives, OpenCV may not; a fault of the model is none of the image.
    monkeypatch.setattr('paco_seg.cli.predict.damage_of', lambda file: '')
    monkeypatch.setattr('paco_seg.cli.predict.opencv_reads', lambda file: 'c.jpg' not in file)
    with pytest.raises(ValueError, match=r'got 1 that cannot: \S*c\.jpg \(OpenCV cannot'):
        run_tool('predict', config, checkpoint, images / 'c.jpg', '-o', tmp_path / 'one')
    assert not (tmp_path / 'one/predictions.json').exists()
    monkeypatch.setattr('paco_seg.cli.predict.opencv_reads', lambda file: True)
    with pytest.raises(AssertionError, match='failed to load image'):
        run_tool('predict', config, checkpoint, images / 'c.jpg', '-o', tmp_path / 'one')


def test_pictures_lie_as_the_pipeline_loads_them(tiny_seg, run_tool, save_checkpoint, tmp_path):
    extra = "['dataset']['pipeline'][0]['color_type'] = 'color_ignore_orientation'\n"
    config = tiny_seg(f'test_dataloader{extra}')
    exif = Image.Exif()
    exif[0x112] = 6
    stored = np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(stored).save(tmp_path / 'a.png', exif=exif)
    try:  # as an archive from an old Windows leaves it
        os.rename(tmp_path / 'a.png', os.fsencode(tmp_path) + b'/b\xe4r.png')
    except OSError:
        os.rename(tmp_path / 'a.png', tmp_path / 'bär.png')
    images = tmp_path / 'images'
    images.mkdir()
    for path in tmp_path.glob('b*r.png'):
        path.rename(images / path.name)
    out = tmp_path / 'out'
    run_tool('predict', config, save_checkpoint(config), images, '-o', out)
    (name,) = json.loads((out / 'predictions.json').read_text())['images']
    assert name == 'bär'
    assert cv2.imread(str(out / 'labels/bär.png')).shape[:2] == stored.shape[:2]
    picture = cv2.imread(str(out / 'pictures/bär.png'))[-3 * 40 :, : 3 * 60]
    np.testing.assert_array_equal(picture[1::3, 1::3, ::-1], stored)


@pytest.mark.parametrize('kind', ['LoadLabelMap', 'mmseg.LoadAnnotations'])
def test_no_step_that_loads_labels_is_run(tiny_seg, run_tool, save_checkpoint, tmp_path, kind):
    config = tiny_seg(f"test_dataloader['dataset']['pipeline'][1] = dict(type={kind!r})\n")
    out = tmp_path / 'out'
    run_tool('predict', config, save_checkpoint(config), tmp_path / 'data/images/val', '-o', out)
    assert len(json.loads((out / 'predictions.json').read_text())['images']) == 2


def test_a_classifier_loads_images_as_its_pipeline_does(
    tiny_cls, run_tool, save_checkpoint, tmp_path
):
    config = tiny_cls(
        "model['backbone']['in_channels'] = 1\n"
        'data_preprocessor.update(mean=[128.0], std=[64.0])\n'
        "test_dataloader['dataset']['pipeline'][0]['color_type'] = 'grayscale'\n"
    )
    checkpoint = save_checkpoint(config)
    run_tool('test', config, checkpoint, '--out', tmp_path / 'expected.pkl')
    out = tmp_path / 'out'
    run_tool('predict', config, checkpoint, tmp_path / 'data/val', '-o', out, '--show-limit', 0)
    rows = json.loads((out / 'predictions.json').read_text())['images']
    for row, sample in zip(rows.values(), mmengine.load(tmp_path / 'expected.pkl'), strict=True):
        assert next(iter(row['classes'].values()))['confidence'] == pytest.approx(
            float(sample['pred_score'].max()), abs=1e-4
        )


def check_files_are_seen_as_the_test_set(run_tool, config, checkpoint, tmp_path):
    run_tool('test', config, checkpoint, '--out', tmp_path / 'expected.pkl')
    out = tmp_path / 'out'
    run_tool('predict', config, checkpoint, tmp_path / 'data/val', '-o', out, '--show-limit', 0)
    rows = json.loads((out / 'predictions.json').read_text())['images']
    found = [
        [row['classes'][name]['confidence'] for name in sorted(CLASSES)] for row in rows.values()
    ]
    scores = [sample['pred_score'].tolist() for sample in mmengine.load(tmp_path / 'expected.pkl')]
    np.testing.assert_allclose(found, scores, atol=1e-4)


@DATASETS.register_module()
class RGBInMemory(CustomDataset):
    """Images in memory as CIFAR has them."""

    def load_data_list(self):
        infos = super().load_data_list()
        return [
            dict(img=cv2.imread(info['img_path'])[..., ::-1], gt_label=info['gt_label'])
            for info in infos
        ]


@pytest.mark.parametrize('swaps', [False, True])
def test_a_classifier_of_images_in_memory_sees_files_as_those(
    tiny_cls, run_tool, save_checkpoint, tmp_path, swaps
):
    """Nothing loads them, and they are RGB."""
    config = tiny_cls(
        "data = test_dataloader['dataset']\n"
        "data.update(type='RGBInMemory', pipeline=[dict(type='PackInputs')])\n"
        f'data_preprocessor.update(to_rgb={swaps})\n'
    )
    check_files_are_seen_as_the_test_set(run_tool, config, save_checkpoint(config), tmp_path)
    order = channel_order(Config.fromfile(config), dict(to_rgb=swaps))
    assert order == ('BGR' if swaps else 'RGB')


@DATASETS.register_module()
class GreyInMemory(CustomDataset):
    """Images in memory as MNIST has them, without a channel."""

    def load_data_list(self):
        infos = super().load_data_list()
        return [
            dict(img=cv2.imread(info['img_path'], cv2.IMREAD_GRAYSCALE), gt_label=info['gt_label'])
            for info in infos
        ]


def test_a_classifier_of_grey_images_in_memory(tiny_cls, run_tool, save_checkpoint, tmp_path):
    config = tiny_cls(
        "data = test_dataloader['dataset']\n"
        "data.update(type='GreyInMemory', pipeline=[dict(type='PackInputs')])\n"
        'data_preprocessor.update(mean=[128.0], std=[64.0], to_rgb=False)\n'
        "model['backbone'].update(in_channels=1)\n"
    )
    for file in (tmp_path / 'data/val').rglob('*.png'):  # the same whatever weighs the channels
        cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
    check_files_are_seen_as_the_test_set(run_tool, config, save_checkpoint(config), tmp_path)


@pytest.fixture
def video(tmp_path):
    """Three grey frames of 48 x 32, eight a second."""
    path = tmp_path / 'clip.mp4'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 8, (48, 32))
    for level in (0, 120, 240):
        writer.write(np.full((32, 48, 3), level, np.uint8))
    writer.release()
    return path


def read_video(path):
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 8
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def test_frames_of_a_video(tiny_seg, run_tool, save_checkpoint, video, tmp_path):
    config = tiny_seg()
    checkpoint = save_checkpoint(config)
    out = tmp_path / 'out'
    run_tool('predict', config, checkpoint, video, '-o', out, '--show-limit', 1)
    names = [f'clip_{i:06d}' for i in range(3)]
    assert list(json.loads((out / 'predictions.json').read_text())['images']) == names
    assert sorted(path.stem for path in (out / 'labels').iterdir()) == names
    assert [path.stem for path in (out / 'pictures').iterdir()] == names[:1]
    assert 'clip.mp4' in (out / 'index.html').read_text()
    painted = read_video(out / 'clip.mp4')
    palette = palette_of(4)
    for name, image, frame in zip(names, read_video(video), painted, strict=True):
        labels = cv2.imread(str(out / f'labels/{name}.png'), cv2.IMREAD_UNCHANGED)
        difference = cv2.absdiff(frame, overlay(image, labels, palette))
        assert difference.mean() < 12  # the codec is lossy; another colour is 60 away and more

    run_tool(
        'predict', config, checkpoint, video, '-o', out, '--show-limit', 0, '--compare', checkpoint
    )
    beside = read_video(out / 'clip.mp4')
    assert [frame.shape for frame in beside] == [(32, 96, 3)] * 3


def test_a_video_that_ends_early_is_told_once_its_frames_are_predicted(
    tiny_seg, run_tool, save_checkpoint, video, tmp_path, monkeypatch
):
    monkeypatch.setattr(Media, '__len__', lambda media: 7)
    config, out = tiny_seg(), tmp_path / 'out'
    expected = r'clip\.mp4 \(it says that it has 7 frames, .* 3 can be read\)\. The other 3 are'
    with pytest.raises(ValueError, match=expected):
        run_tool('predict', config, save_checkpoint(config), video, '-o', out)
    found = json.loads((out / 'predictions.json').read_text())
    assert len(found['images']) == 3
    assert list(found['unreadable']) == [str(video)]
    assert len(read_video(out / 'clip.mp4')) == 3


def test_a_video_is_not_written_over_itself(tiny_seg, run_tool, save_checkpoint, video):
    config, before = tiny_seg(), video.read_bytes()
    with pytest.raises(ValueError, match=r'^--out: expected another file than the input'):
        run_tool('predict', config, save_checkpoint(config), video, '-o', video.parent)
    assert video.read_bytes() == before


def linked(folder, name):
    """The same folder under a name that the command writes to."""
    (folder.parent / name).symlink_to(folder)
    return folder.parent / name


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (lambda a: a.update(images='nowhere'), r'^IMAGES: expected an existing file or folder'),
        (lambda a: a.update(checkpoint='no.pth'), r'^checkpoint: expected an existing file'),
        (lambda a: a.update(out=a['images'] / 'out'), r'^--out: expected a folder outside IMAGES'),
        (
            lambda a: a.update(out=a['images'].parent, images=linked(a['images'], 'pictures')),
            r"^--out: expected a folder whose 'pictures' has none of IMAGES",
        ),
        (
            lambda a: a.update(
                out=a['images'].parent, images=linked(a['images'], 'labels') / '0.png'
            ),
            r"^--out: expected a folder whose 'labels' has none of IMAGES",
        ),
        (
            lambda a: a.update(out=a['images'].parent.parent),  # data/images beside data/labels
            r"^--out: .* earlier prediction, got .*which has 'labels' and no predictions\.json",
        ),
        (lambda a: a.update(out=a['checkpoint']), r'^--out: expected a folder, got'),
        (lambda a: a.update(images=a['checkpoint']), r'^IMAGES: .* or a video'),
        (lambda a: (a['images'] / 'bad.png').write_bytes(b'no'), r'1 that cannot: \S*bad\.png'),
        (lambda a: a.update(more=['--device', 'tpu9']), r'^--device: expected a device'),
        (lambda a: a.update(more=['--compare-config', 'c.py']), r'^--compare-config: expected'),
        (lambda a: torch.save(dict(state_dict={}), a['checkpoint']), r'of another model'),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(
    tiny_seg, run_tool, save_checkpoint, tmp_path, spoil, message
):
    config = tiny_seg()
    arguments = dict(
        checkpoint=save_checkpoint(config),
        images=tmp_path / 'data/images/val',
        out=tmp_path / 'out',
        more=[],
    )
    spoil(arguments)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_tool(
            'predict',
            config,
            arguments['checkpoint'],
            arguments['images'],
            '-o',
            arguments['out'],
            *arguments['more'],
        )
    assert not (tmp_path / 'out').exists()
