"""What is wrong with segmentation data is named, in the files and in the set as a whole."""

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import TRANSFORMS
from PIL import Image

from paco_seg.engine.problems import ProblemGroups
from paco_seg.seg.datasets.check import (
    check_files,
    check_label_maps,
    datasets_of,
    unused_label_maps,
)
from paco_seg.seg.datasets.label_counts import count_labels, fingerprint
from paco_seg.seg.datasets.label_maps import NoLabelMapsError, label_maps_of

HEIGHT, WIDTH = 8, 12
SAVERS = {
    'png': lambda labels, path: Image.fromarray(labels).save(path.with_suffix('.png')),
    'tif': lambda labels, path: Image.fromarray(labels).save(path.with_suffix('.tif')),
    'jpg': lambda labels, path: cv2.imwrite(str(path.with_suffix('.jpg')), labels),
}


class Scenes:
    """Tiny images and label maps in a folder, and the config of a training on them."""

    def __init__(self, root):
        self.root = root
        self.number = 0
        for folder in ('img', 'ann'):
            (root / folder).mkdir()

    def add(self, labels, *, kind='png', size=None, orientation=None):
        """Write one label map and an image of (H, W) ``size``, by default that of the labels."""
        name = f'{self.number:03d}'
        self.number += 1
        SAVERS[kind](labels, self.root / 'ann' / name)
        rng = np.random.default_rng(self.number)
        image = Image.fromarray(rng.integers(0, 256, (*(size or labels.shape[:2]), 3), np.uint8))
        exif = Image.Exif()
        if orientation:
            exif[0x0112] = orientation
        image.save(self.root / 'img' / f'{name}.jpg', exif=exif, quality=95)

    def config(self, classes=('a', 'b', 'c'), *, suffix='.png', head=None, steps=None, **dataset):
        """Config with a head; ``head`` and ``dataset`` are further settings."""
        head = dict(type='FCNHead', num_classes=len(classes), **(head or {}))
        dataset = dict(
            type='BaseSegDataset',
            data_root=str(self.root),
            data_prefix=dict(img_path='img', seg_map_path='ann'),
            seg_map_suffix=suffix,
            metainfo=dict(classes=tuple(classes)),
            pipeline=[dict(type='LoadImageFromFile'), *(steps or [dict(type='LoadAnnotations')])],
            **dataset,
        )
        return Config(
            dict(
                default_scope='mmseg',
                model=dict(decode_head=head, auxiliary_head=[dict(head)]),
                train_dataloader=dict(dataset=dataset),
            )
        )

    def problems(self, cfg, shown=5):
        """Lines of the thorough check."""
        groups = ProblemGroups(shown)
        check_files(datasets_of(cfg, ['train_dataloader']), cfg, 1, groups)
        return list(groups.lines())


@pytest.fixture
def scenes(tmp_path):
    return Scenes(tmp_path)


def blocks(*values, dtype=np.uint8, size=(HEIGHT, WIDTH)):
    """Label map of the values, in columns."""
    columns = np.arange(size[1]) * len(values) // size[1]
    return np.tile(np.array(values, dtype=dtype)[columns], (size[0], 1))


def expect(scenes, cfg, *messages):
    """The thorough check names all, the check before training refuses the first one."""
    lines = scenes.problems(cfg)
    assert len(lines) == len(messages), lines
    for line, message in zip(lines, messages, strict=True):
        assert message in line
    with pytest.raises(ValueError, match='data_check=False trains without') as error_info:
        check_label_maps(cfg)
    assert messages[0].split(', got')[0] in str(error_info.value)
    cfg.data_check = False
    check_label_maps(cfg)


def test_sound_data_pass(scenes, recwarn):
    scenes.add(blocks(0, 1, 2))
    scenes.add(blocks(0, 255))
    cfg = scenes.config()
    assert scenes.problems(cfg) == []
    check_label_maps(cfg)
    assert not [w for w in recwarn if 'expected' in str(w.message)]


def test_a_class_that_the_data_set_alone_ignores_is_counted_and_told(scenes):
    scenes.add(blocks(0, 1, 2))
    scenes.add(blocks(0, 1, 1))
    cfg = scenes.config(ignore_index=0)
    (line,) = scenes.problems(cfg)
    assert 'train_dataloader.dataset.ignore_index: expected a label that the heads ignore' in line
    assert "got 0, 'a', on which they train" in line
    counted = count_labels(list(label_maps_of(cfg, 'train_dataloader')), cfg, scenes.root / 'x', 1)
    assert counted.pixels == (64, 96, 32)
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head[0]):
        head.ignore_index = 0
    assert scenes.problems(cfg) == []
    counted = count_labels(list(label_maps_of(cfg, 'train_dataloader')), cfg, scenes.root / 'y', 1)
    assert counted.pixels == (0, 96, 32)


def test_a_folder_of_label_maps_that_is_missing_is_named_once(scenes):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    cfg.train_dataloader.dataset.data_prefix = dict(img_path='img')
    with pytest.raises(
        ValueError, match=r'dataset\.data_prefix\.seg_map_path: expected the folder'
    ):
        check_label_maps(cfg)
    cfg.test_dataloader = cfg.pop('train_dataloader')
    cfg.train_dataloader = scenes.config().train_dataloader
    with pytest.warns(UserWarning, match=r'^test_dataloader is left out: .*seg_map_path'):
        assert len(datasets_of(cfg, ['train_dataloader', 'test_dataloader'])) == 1


@TRANSFORMS.register_module()
class LoadBesideImage(LoadAnnotations):
    """Finds the label map by the name of the image."""

    def transform(self, results):
        results['seg_map_path'] = results['img_path'].replace('img', 'ann').replace('jpg', 'png')
        return super().transform(results)


def test_a_step_that_finds_the_label_map_by_the_image_needs_no_folder(scenes):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config(steps=[dict(type='LoadBesideImage')])
    cfg.train_dataloader.dataset.data_prefix = dict(img_path='img')
    check_label_maps(cfg)
    counted = count_labels(list(label_maps_of(cfg, 'train_dataloader')), cfg, scenes.root / 'x', 1)
    assert counted.pixels == (32, 32, 32)


def test_the_same_files_below_another_folder_are_the_same_data(scenes, tmp_path_factory):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    before = fingerprint(list(label_maps_of(cfg, 'train_dataloader')))
    moved = tmp_path_factory.mktemp('moved') / 'data'
    shutil.copytree(scenes.root, moved)
    cfg.train_dataloader.dataset.data_root = f'{moved}/'
    assert fingerprint(list(label_maps_of(cfg, 'train_dataloader'))) == before
    (moved / 'ann' / '000.png').rename(moved / 'ann' / '001.png')
    (moved / 'img' / '000.jpg').rename(moved / 'img' / '001.jpg')
    assert fingerprint(list(label_maps_of(cfg, 'train_dataloader'))) != before


def test_labels_that_wrap_around(scenes):
    scenes.add(blocks(0, 256, 513, 1, dtype=np.uint16))
    expect(
        scenes,
        scenes.config(),
        '000.png: expected whole labels in [0, 255], since they are loaded in 8 bits, got 256 '
        "which loads as 0, 513 which loads as 1. Load with dict(type='LoadLabelMap'",
    )


def test_wrapped_labels_are_seen_behind_reduced_and_custom_classes(scenes):
    scenes.add(blocks(1, 257, 258, 3, dtype=np.uint16))
    expect(scenes, scenes.config(reduce_zero_label=True), 'got 257 which loads as 0, 258 which')


def test_sixteen_bits_of_small_labels_pass(scenes):
    scenes.add(blocks(0, 1, 2, 65535, dtype=np.uint16))  # 65535 becomes 255, which is ignored
    assert scenes.problems(scenes.config()) == []


def test_more_classes_than_a_byte_holds(scenes):
    scenes.add(blocks(0, 1, 254))
    names = [f'class {i}' for i in range(300)]
    expect(
        scenes,
        scenes.config(names),
        'train_dataloader.dataset.pipeline: expected a step that loads labels up to 299, got 8 '
        'bits per label',
        'model.decode_head.ignore_index, model.auxiliary_head.0.ignore_index: expected a value '
        "that is none of the 300 classes, got 255, which is 'class 255'",
    )


def test_sixteen_bit_sets_pass_with_the_wide_loader(scenes):
    scenes.add(blocks(0, 255, 256, 299, 65535, dtype=np.uint16))
    cfg = scenes.config(
        [f'class {i}' for i in range(300)],
        steps=[dict(type='LoadLabelMap', ignore_index=65535)],
        ignore_index=65535,
        head=dict(ignore_index=65535),
    )
    assert scenes.problems(cfg) == []
    check_label_maps(cfg)


def test_foreground_stored_as_the_ignored_label(scenes):
    scenes.add(blocks(0, 255))
    scenes.add(blocks(255, 0))
    expect(
        scenes,
        scenes.config(['background', 'road']),
        'train_dataloader.dataset: expected at least two of the 2 classes in the label maps, got '
        "'background' beside ignored pixels (255) in 2 label maps. If 255 stands for a class",
    )


def test_every_pixel_is_ignored(scenes):
    scenes.add(blocks(255))
    expect(scenes, scenes.config(), 'got none beside ignored pixels (255) in 1 label maps')


def test_a_rare_class_is_looked_for_before_it_is_missed(scenes):
    for number in range(12):
        scenes.add(blocks(0, 1) if number == 7 else blocks(0, 255))
    cfg = scenes.config(['background', 'road'])
    check_label_maps(cfg, files=2)
    assert scenes.problems(cfg) == []


def test_a_background_that_is_reduced_and_still_named(scenes):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config(['background', 'cat', 'dog'], reduce_zero_label=True)
    expect(
        scenes,
        cfg,
        'train_dataloader.dataset: expected names without the background, since '
        "reduce_zero_label=True ignores label 0 and shifts the others, got 'background' as class "
        "0 and no pixel of the last class 'dog'",
    )
    # LoveDA: 0 = no data, and the background is a class.
    scenes.add(blocks(1, 2, 3))
    assert scenes.problems(cfg) == []


@pytest.mark.parametrize('orientation', [2, 3, 4])
def test_images_that_exif_turns_in_place(scenes, orientation):
    scenes.add(blocks(0, 1, 2), orientation=orientation)
    cfg = scenes.config()
    (line,) = scenes.problems(cfg)
    expected = f'label maps do not follow, got {orientation}, and the size does not tell'
    assert '000.jpg: expected an image without EXIF orientation, which ' + expected in line
    # A sound set may look the same: training goes on.
    with pytest.warns(UserWarning, match='expected an image without EXIF orientation'):
        check_label_maps(cfg)


def test_square_images_that_exif_turns(scenes):
    scenes.add(blocks(0, 1, 2, size=(12, 12)), orientation=6)
    (line,) = scenes.problems(scenes.config())
    assert 'expected an image without EXIF orientation' in line


def test_images_that_exif_turns_by_a_quarter(scenes):
    scenes.add(blocks(0, 1, 2, size=(8, 12)), orientation=6)
    expect(
        scenes,
        scenes.config(),
        '000.png: expected labels turned as its image by EXIF orientation 6, got them as stored',
    )


def test_label_maps_of_turned_images_pass(scenes):
    scenes.add(blocks(0, 1, 2, size=(12, 8)), size=(8, 12), orientation=6)
    assert scenes.problems(scenes.config()) == []


def test_images_that_are_loaded_as_stored_pass(scenes):
    scenes.add(blocks(0, 1, 2), orientation=3)
    cfg = scenes.config()
    cfg.train_dataloader.dataset.pipeline[0].color_type = 'color_ignore_orientation'
    assert scenes.problems(cfg) == []


@pytest.mark.parametrize(
    ('values', 'dtype', 'found'),
    [
        ((0.5, 1, 2), np.float32, 'got 0.5 which loads as 0'),
        ((-1, 1, 2), np.int32, 'got -1 which loads as 255'),
        ((0, 1, 70000), np.int32, 'got 70000 which loads as 112'),
    ],
)
def test_values_that_are_no_labels(scenes, values, dtype, found):
    scenes.add(blocks(*values, dtype=dtype), kind='tif')
    expect(scenes, scenes.config(suffix='.tif'), found)


def test_lossy_label_maps(scenes):
    scenes.add(blocks(0, 1, 2), kind='jpg')
    expect(scenes, scenes.config(suffix='.jpg'), '000.jpg: expected a lossless format, got JPEG')


def test_label_maps_of_twice_the_size(scenes):
    scenes.add(blocks(0, 1, 2, size=(16, 24)), size=(8, 12))
    expect(scenes, scenes.config(), 'expected the size of its image, 12x8, got 24x16')


def test_colours_and_equal_channels(scenes):
    grey = np.repeat(blocks(0, 1, 2)[..., None], 3, axis=2)
    scenes.add(grey)
    cfg = scenes.config()
    (line,) = scenes.problems(cfg)
    assert 'one channel of labels, got (8, 12, 3). The channels are equal: write one' in line
    with pytest.raises(ValueError, match='one channel of labels'):
        check_label_maps(cfg)


def test_a_void_label_names_the_keys_that_ignore_it(scenes):
    for _ in range(7):
        scenes.add(blocks(0, 1, 2, 11))
    expect(
        scenes,
        scenes.config(),
        '7 files: expected labels in [0, 3) or 255 as loaded (reduce_zero_label=False), got 11 '
        '(in 7). 11 is no class: a void label? Set ignore_index=11 in model.decode_head, '
        'model.auxiliary_head.0, train_dataloader.dataset and val_evaluator',
    )


FROM_ONE = (
    'No label map that was read holds 0: labels from 1 to 3? Set reduce_zero_label=True in every '
    'dataset. If they start at 0, 3 is no class: a void label? '
)


@pytest.mark.parametrize(
    ('maps', 'otherwise'),
    [
        ([(1, 2), (2, 3)], 'Set ignore_index=3 in model.decode_head, '),
        ([(1, 2, 255), (2, 3)], 'Write void as 255 everywhere'),
    ],
)
def test_labels_that_start_at_one(scenes, maps, otherwise):
    for values in maps:
        scenes.add(blocks(*values))
    expect(scenes, scenes.config(), f'got [3]. {FROM_ONE}{otherwise}')
    assert scenes.problems(scenes.config(reduce_zero_label=True)) == []


@pytest.mark.parametrize('values', [(0, 1), (1, 4)])
def test_other_labels_do_not_start_at_one(scenes, values):
    scenes.add(blocks(1, 2, 3))
    scenes.add(blocks(*values))  # a class 0, and a label beyond the number of classes
    assert not any('reduce_zero_label=True' in line for line in scenes.problems(scenes.config()))


def test_labels_from_one_on_whose_last_class_is_ignored(scenes):
    for values in ((1, 2), (2, 3)):
        scenes.add(blocks(*values))
    cfg = scenes.config(head=dict(ignore_index=3), ignore_index=3)
    (line,) = scenes.problems(cfg)
    assert line == (
        "train_dataloader.dataset: expected class 0, 'a', in the label maps, got no pixel of it in "
        '2 label maps, while 3, the number of classes, is ignored. If labels go from 1 to 3, set '
        'reduce_zero_label=True in every dataset and ignore_index=255 in model.decode_head, '
        'model.auxiliary_head.0, train_dataloader.dataset and val_evaluator. If 3 is void and '
        "'a' is absent, all is well"
    )
    # A sound set may look the same: training goes on.
    with pytest.warns(UserWarning, match="expected class 0, 'a', in the label maps"):
        check_label_maps(cfg)
    scenes.add(blocks(0, 1))
    assert scenes.problems(cfg) == []


def test_two_classes_of_which_the_last_is_ignored(scenes):
    scenes.add(blocks(1, 2))
    cfg = scenes.config(('a', 'b'), head=dict(ignore_index=2), ignore_index=2)
    (line,) = scenes.problems(cfg)
    assert 'in 1 label maps. If labels go from 1 to 2, set reduce_zero_label=True' in line


ONE_VOID = (
    'is no class: a void label? Write void as {} everywhere, since one label alone is ignored, or '
    'correct metainfo.classes'
)


@pytest.mark.parametrize(
    ('maps', 'ignored', 'wrong'),
    [
        ([(0, 1, 2, 254, 255)], 255, 254),
        ([(0, 1, 2, 254, 255)], 254, 255),
        ([(0, 1, 254), (1, 2, 255)], 255, 254),  # no file tells it alone
        ([(0, 1, 254), (1, 2, 255)], 254, 255),
        ([(0, 1, 2, 253, 254)], 255, 253),  # neither is ignored yet
    ],
)
@pytest.mark.parametrize('files', [1, 7])
def test_several_void_labels_are_written_as_one(scenes, maps, ignored, wrong, files):
    for values in maps * files:  # named one by one, and as one kind
        scenes.add(blocks(*values))
    cfg = scenes.config(ignore_index=ignored, head=dict(ignore_index=ignored))
    lines = scenes.problems(cfg)
    assert lines
    assert all(ONE_VOID.format(ignored) in line for line in lines)
    assert f'{wrong} {ONE_VOID.format(ignored)}' in lines[0]
    with pytest.raises(ValueError, match=f'Write void as {ignored} everywhere') as error_info:
        check_label_maps(cfg)
    assert 'Set ignore_index' not in str(error_info.value)


def test_void_labels_of_the_data_set_and_of_the_head_are_written_as_one(scenes):
    scenes.add(blocks(0, 1, 2, 11, 255))
    lines = scenes.problems(scenes.config(ignore_index=11, head=dict(ignore_index=255)))
    assert len(lines) == 2
    for line in lines:
        assert 'void, 11, got 255. Write void as 255 everywhere, since one label' in line


def test_a_head_that_ignores_another_label(scenes):
    scenes.add(blocks(0, 1, 2, 11))
    cfg = scenes.config(ignore_index=11)
    lines = scenes.problems(cfg)
    assert len(lines) == 2
    assert lines[0].startswith(
        'model.decode_head.ignore_index: expected the label that the label maps hold for void, '
        '11, got 255. Set ignore_index=11 in model.decode_head'
    )
    with pytest.raises(ValueError, match=r'model\.decode_head\.ignore_index: expected the label'):
        check_label_maps(cfg)
    # The heads decide; the dataset's own value is at its default.
    assert scenes.problems(scenes.config(head=dict(ignore_index=11))) == []


def test_ten_problems_of_a_kind_are_one_line(scenes):
    for _ in range(10):
        scenes.add(blocks(0, 1, 2), size=(4, 4))
    cfg = scenes.config()
    (line,) = scenes.problems(cfg)
    assert line.startswith('10 files: expected the size of its image, 4x4, got 12x8. Resize')
    assert line.endswith('000.png, ' + f'{scenes.root}/ann/001.png, {scenes.root}/ann/002.png')
    assert len(scenes.problems(cfg, shown=None)) == 10


@pytest.mark.parametrize('factor', [1, 3])
def test_decompression_bombs_are_named(scenes, monkeypatch, factor):
    scenes.add(blocks(0, 1, 2))
    # Above the limit Pillow warns, above twice the limit it raises.
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', HEIGHT * WIDTH // factor - 1)
    lines = scenes.problems(scenes.config())
    assert len(lines) == 2
    assert '000.jpg: unreadable image (expected at most' in lines[0]
    assert '000.png: unreadable label map (expected at most' in lines[1]


def test_a_folder_in_place_of_an_image(scenes):
    scenes.add(blocks(0, 1, 2))
    (scenes.root / 'ann' / '000.png').unlink()
    (scenes.root / 'ann' / '000.png').mkdir()
    (line, *_) = scenes.problems(scenes.config())
    assert '000.png: missing label map of' in line


def test_a_single_class_has_nothing_beside_it(scenes):
    scenes.add(blocks(0, 255))
    expect(scenes, scenes.config(classes=('a',)), "expected at least two classes, got 'a' alone")


def test_a_test_set_without_labels_is_left_out(scenes):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    dataset = dict(cfg.train_dataloader.dataset, pipeline=[dict(type='LoadImageFromFile')])
    cfg.test_dataloader = dict(dataset=dataset)
    with pytest.warns(UserWarning, match=r'^test_dataloader is left out: .* LoadAnnotations step'):
        (found,) = datasets_of(cfg, ['train_dataloader', 'test_dataloader'])
    assert found.key == 'train_dataloader.dataset'
    with pytest.raises(NoLabelMapsError):
        datasets_of(cfg, ['test_dataloader'])


def test_a_validation_without_labels_is_refused_before_training(scenes):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    steps = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    cfg.val_dataloader = dict(dataset=dict(cfg.train_dataloader.dataset, pipeline=steps))
    check_label_maps(cfg, ['val_dataloader'])  # whoever counts nothing needs no labels
    cfg.val_evaluator = [dict(type='LongTailIoUMetric')]
    with pytest.raises(ValueError, match=r'^val_dataloader\.dataset\.pipeline: .* LoadAnnotations'):
        check_label_maps(cfg, ['val_dataloader'])


def test_nothing_to_check_is_refused():
    with pytest.raises(ValueError, match=r'--loaders: expected a loader with a data set, got val'):
        datasets_of(Config(dict(default_scope='mmseg')), ['val_dataloader'])


def evaluation(scenes, classes=('a', 'b', 'c'), **settings):
    cfg = scenes.config(classes, **settings)
    cfg.val_dataloader = cfg.pop('train_dataloader')
    return cfg


def lines_of(cfg, *loaders):
    groups = ProblemGroups(5)
    check_files(datasets_of(cfg, loaders), cfg, 1, groups)
    return list(groups.lines())


def test_a_metric_that_counts_void_as_mistakes(scenes):
    scenes.add(blocks(0, 1, 2, 11))
    cfg = evaluation(scenes, head=dict(ignore_index=11))
    cfg.val_evaluator = [dict(type='IoUMetric'), dict(type='Other')]
    (line,) = lines_of(cfg, 'val_dataloader')
    assert line == (
        'val_evaluator.ignore_index: expected the label that the label maps hold for void, 11, got '
        '255, with which void counts as mistakes. Set ignore_index=11 in val_evaluator'
    )
    with pytest.raises(ValueError, match='with which void counts as mistakes'):
        check_label_maps(cfg)
    cfg.val_evaluator = dict(type='IoUMetric', ignore_index=11)
    assert lines_of(cfg, 'val_dataloader') == []


def test_a_main_head_of_fewer_classes(scenes):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    cfg.model.decode_head.num_classes = 2
    (line,) = scenes.problems(cfg)
    assert line == (
        'model.decode_head.num_classes: expected 3 (the classes of BaseSegDataset), got 2. Set it '
        'to 3, or correct train_dataloader.dataset.metainfo'
    )


@pytest.mark.parametrize('kind', ['FCNHead', 'mmseg.EncHead', FCNHead])
def test_an_auxiliary_head_of_fewer_classes(scenes, kind):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    cfg.model.auxiliary_head = dict(type=kind, num_classes=2)
    expect(
        scenes,
        cfg,
        'model.auxiliary_head.num_classes: expected 3 (the classes of BaseSegDataset), got 2. Set '
        'it to 3, or correct train_dataloader.dataset.metainfo',
    )


@pytest.mark.parametrize('place', ['decode_head', 'auxiliary_head'])
def test_a_head_of_more_classes_is_named_without_blaming_the_data(scenes, place):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    cfg.model[place] = dict(cfg.model.decode_head, num_classes=19)
    (line,) = scenes.problems(cfg)
    assert line.startswith(f'model.{place}.num_classes: expected 3 (the classes of')
    # Nothing is wrong with the data; NumClassCheckHook refuses the model.
    with pytest.warns(UserWarning, match=rf'model\.{place}\.num_classes: expected 3'):
        check_label_maps(cfg)


def test_the_first_heads_of_a_cascade_have_the_classes_too(scenes):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    main = dict(cfg.model.decode_head)
    cfg.model.decode_head = [dict(main, num_classes=2), main]
    (line,) = scenes.problems(cfg)
    assert line.startswith('model.decode_head.0.num_classes: expected 3')


class EdgeHead(FCNHead):
    """A head of somebody's own, of which only its instances tell that it has no classes."""

    boundary_threshold = 0.1


@pytest.mark.parametrize(
    'head',
    [
        dict(type='STDCHead', num_classes=2, boundary_threshold=0.1),
        dict(type='STDCHead', num_classes=2),
        dict(type='FCNHead', num_classes=2, out_channels=1),
        dict(type='FCNHead', num_classes=1),
        dict(type=EdgeHead, num_classes=2),
        dict(type='NobodysHead', num_classes=2),
    ],
)
def test_auxiliary_heads_without_an_axis_of_classes_pass(scenes, head):
    scenes.add(blocks(0, 1, 2))
    cfg = scenes.config()
    cfg.model.auxiliary_head = [dict(cfg.model.auxiliary_head[0]), head]
    assert scenes.problems(cfg) == []
    check_label_maps(cfg)


def test_places_that_are_padded_with_a_label_that_counts_are_warned_of(scenes):
    scenes.add(blocks(0, 1, 2, 11))
    cfg = scenes.config(head=dict(ignore_index=11))
    assert scenes.problems(cfg) == []  # nothing is padded
    cfg.model.data_preprocessor = dict(type='SegDataPreProcessor', size=(8, 8))
    with pytest.warns(UserWarning, match='seg_pad_val: expected the label that model.decode_head'):
        check_label_maps(cfg)
    cfg.model.data_preprocessor.seg_pad_val = 11
    assert scenes.problems(cfg) == []


def test_label_maps_of_images_that_are_not_chosen_are_no_orphans(scenes):
    for _ in range(4):
        scenes.add(blocks(0, 1, 2))
    assert scenes.problems(scenes.config(indices=2)) == []


def test_parts_of_a_data_set_share_a_folder_of_label_maps(scenes):
    for _ in range(2):
        scenes.add(blocks(0, 1, 2))
    first = scenes.root / 'img' / '000.jpg'
    Image.open(first).save(first.with_suffix('.png'))
    first.unlink()
    cfg = scenes.config()
    part = cfg.train_dataloader.dataset
    parts = [dict(part, img_suffix=suffix) for suffix in ('.jpg', '.png')]
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=parts)
    assert scenes.problems(cfg) == []


def test_a_data_set_without_a_folder_of_label_maps_has_no_orphans(tmp_path, monkeypatch):
    (tmp_path / 'x.png').touch()
    monkeypatch.chdir(tmp_path)
    dataset = SimpleNamespace(data_prefix=dict(img_path='img'), seg_map_suffix='.png')
    assert list(unused_label_maps(SimpleNamespace(dataset=dataset, infos=[]), set())) == []


def test_labels_that_the_inner_head_of_knet_ignores(scenes):
    scenes.add(blocks(0, 1, 2, 11))
    cfg = scenes.config()
    inner = dict(cfg.model.decode_head, ignore_index=11)
    cfg.model.auxiliary_head = []
    cfg.model.decode_head = dict(type='IterativeDecodeHead', kernel_generate_head=inner)
    assert scenes.problems(cfg) == []
    del cfg.model.decode_head.kernel_generate_head['ignore_index']
    (line,) = scenes.problems(cfg)
    assert 'in model.decode_head.kernel_generate_head' in line


def test_a_head_without_an_ignored_label(scenes):
    scenes.add(blocks(0, 1))
    cfg = evaluation(scenes, ('a', 'b'), head=dict(ignore_index=None))
    assert lines_of(cfg, 'val_dataloader') == []


def test_one_logit_of_two_classes(scenes):
    scenes.add(blocks(0, 1))
    cfg = scenes.config(('a', 'b'))
    cfg.model.decode_head.update(num_classes=1, out_channels=1)
    assert scenes.problems(cfg) == []


def test_a_last_class_that_is_ignored_needs_no_output(scenes):
    scenes.add(blocks(0, 1, 2, 3))
    cfg = scenes.config(('a', 'b', 'c', 'clutter'))
    for head in (cfg.model.decode_head, *cfg.model.auxiliary_head):
        head.update(num_classes=3, ignore_index=3)
    assert [line for line in scenes.problems(cfg) if 'num_classes' in line] == []


def test_two_void_labels_of_which_a_metric_ignores_one(scenes):
    scenes.add(blocks(0, 1, 11, 255))
    cfg = evaluation(scenes, head=dict(ignore_index=11))
    cfg.val_evaluator = dict(type='IoUMetric')
    with pytest.warns(UserWarning, match='Write void as 255 everywhere'):
        check_label_maps(cfg)
