"""What is wrong with classification data is named, in the files and in the set as a whole."""

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

import paco_seg.cls  # noqa: F401
from paco_seg.cls.datasets.check import (
    check_files,
    check_images,
    class_statistics,
    image_sets_of,
    topk_problems,
)
from paco_seg.cls.datasets.image_list_dataset import ImageListError
from paco_seg.engine.problems import ProblemGroups

COUNTS = {'bike': 1, 'blue car': 2, 'red car': 3}


def write(root, counts):
    for name, number in counts.items():
        (root / name).mkdir(parents=True)
        for i in range(number):
            image = Image.fromarray(np.full((4, 6, 3), 10 * i, np.uint8))
            image.save(root / name / f'img {i}.png')


@pytest.fixture
def root(tmp_path):
    write(tmp_path / 'train', COUNTS)
    write(tmp_path / 'val', dict.fromkeys(COUNTS, 1))
    return tmp_path


def config(root, head=None, val=None, **dataset):
    base = dict(
        type='CustomDataset',
        data_root=str(root),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='RandomCrop', crop_size=2)],
    )
    loaders = dict(
        train_dataloader=dict(dataset={**base, 'data_prefix': 'train', **dataset}),
        val_dataloader=dict(dataset={**base, 'data_prefix': 'val', **(val or {})}),
    )
    head = dict(type='LinearClsHead', num_classes=3, in_channels=8, **(head or {}))
    return Config(dict(default_scope='mmpretrain', model=dict(head=head), **loaders))


def listed(root, *lines):
    (root / 'train.txt').write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return dict(ann_file='train.txt', metainfo=dict(classes=tuple(COUNTS)))


def problems(cfg, *loaders):
    groups = ProblemGroups()
    check_files(cfg, loaders or ('train_dataloader', 'val_dataloader'), 1, groups)
    return list(groups.lines())


def test_sound_folders_pass(root):
    cfg = config(root)
    assert problems(cfg) == []
    check_images(cfg)


def test_counts_of_folders_with_blanks(root):
    classes, counts, number = class_statistics(config(root), 'train_dataloader')
    assert (classes, counts.tolist(), number) == (tuple(COUNTS), [1, 2, 3], 6)


def test_repeated_images_count_once_and_subsets_as_they_are(root):
    cfg = config(root)
    inner = cfg.train_dataloader.dataset
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=3, dataset=inner)
    assert class_statistics(cfg, 'train_dataloader')[1].tolist() == [1, 2, 3]
    long_tail = dict(
        type='LongTailDataset', imbalance_factor=1.0, max_count=1, dataset=inner.to_dict()
    )
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[long_tail, long_tail])
    assert class_statistics(cfg, 'train_dataloader')[1].tolist() == [2, 2, 2]


def test_bad_images_are_named(root):
    broken = root / 'train/red car/img 0.png'
    broken.write_bytes(broken.read_bytes()[:-30])
    cfg = config(root)
    (line,) = problems(cfg)
    assert line.startswith(f'{broken}: unreadable image (')
    broken.write_bytes(b'text')
    with pytest.raises(ValueError, match=r'red car/img 0\.png: unreadable image'):
        check_images(cfg)
    cfg.data_check = False
    check_images(cfg)


def test_lists_are_checked(root):
    (root / 'outside.png').write_bytes((root / 'train/bike/img 0.png').read_bytes())
    lines = ['bike/img 0.png 0', 'blue car/img 0.png 1', 'red car/img 0.png 2']
    cfg = config(root, **listed(root, *lines))
    assert problems(cfg, 'train_dataloader') == []
    wrong = [f'{root}/outside.png 0', '../outside.png 0', 'bike 1', 'no.png 1', f'{lines[0][:-1]}7']
    cfg = config(root, **listed(root, *lines, *wrong))
    found = problems(cfg, 'train_dataloader')
    for line, message in zip(
        found,
        [
            'outside.png: expected an image below data_prefix',
            'outside.png: expected an image below data_prefix',
            'train/bike: unreadable image (it is a folder)',
            'train/no.png: missing image',
            'bike/img 0.png: expected a label in [0, 3), got 7. Correct the list, or',
        ],
        strict=True,
    ):
        assert message in line
    with pytest.raises(ValueError, match='it is a folder'), pytest.warns(match='below data_prefix'):
        check_images(cfg)


def test_all_labels_are_looked_at_before_training(root):
    lines = ['bike/img 0.png 0', 'bike/img 0.png 9', 'blue car/img 0.png 1', 'red car/img 0.png 2']
    with pytest.raises(ValueError, match=r'expected a label in \[0, 3\), got 9'):
        check_images(config(root, **listed(root, *lines)), files=1)


def test_malformed_lines_are_named(root):
    cfg = config(root, **listed(root, 'bike/img 0.png', 'bike/img 0.png 0'))
    with pytest.raises(ImageListError, match=r"train\.txt:1: 'bike/img 0\.png' is not \"path labe"):
        list(image_sets_of(cfg, 'train_dataloader'))


def test_names_in_another_order_than_the_folders(root):
    names = ('red car', 'bike', 'blue car')
    cfg = config(root, metainfo=dict(classes=names), val=dict(metainfo=dict(classes=names)))
    assert 'metainfo.classes: expected the order of the folders' in problems(cfg)[0]
    with pytest.raises(ValueError, match='expected the order of the folders'):
        check_images(cfg)


def test_other_folders_in_validation(root):
    for path in (root / 'val/bike').iterdir():
        path.unlink()
    (root / 'val/bike').rmdir()
    (line,) = problems(config(root))
    assert line.startswith(
        'val_dataloader.dataset: expected the classes of train_dataloader.dataset, in the same '
        "order, got 2 for 3; missing ['bike'], others []"
    )
    with pytest.raises(ValueError, match='expected the classes of train_dataloader'):
        check_images(config(root))
    # What is advised works; what once was does not.
    assert 'Give both the same class folders, empty ones for what is missing' in line
    cfg = config(root, val=dict(metainfo=dict(classes=tuple(COUNTS))))
    with pytest.raises(ValueError, match=r'number of subfolders \(2\)'):
        problems(cfg)
    (root / 'val/bike').mkdir()
    assert problems(config(root)) == []


def test_a_list_of_other_classes_than_the_folders(root):
    (root / 'val.txt').write_text('bike/img 0.png 0\n')
    val = dict(ann_file='val.txt', metainfo=dict(classes=('bike', 'car')))
    (line,) = problems(config(root, val=val))
    assert (
        "missing ['blue car', 'red car'], others ['car']. Set val_dataloader.dataset.meta" in line
    )
    val['metainfo']['classes'] = tuple(sorted(COUNTS))
    assert problems(config(root, val=val)) == []
    (root / 'train.txt').write_text('bike/img 0.png 0\n')
    train = dict(ann_file='train.txt', metainfo=dict(classes=('bike',)))
    (line,) = problems(config(root, val=val, **train))
    assert line.endswith('Set metainfo.classes of both to the same names')


def test_classes_without_images(root):
    cfg = config(root, **listed(root, 'bike/img 0.png 0', 'red car/img 0.png 2'))
    (line,) = problems(cfg)
    assert "expected images of all 3 classes, got none of ['blue car']" in line
    with pytest.warns(UserWarning, match='expected images of all 3 classes'):
        check_images(cfg)


def test_foreign_settings_are_refused_in_words(root):
    cfg = config(root, metainfo=dict(classes=('a', 'b')))
    with pytest.raises(ValueError, match=r'train_dataloader\.dataset: expected a data set as its'):
        class_statistics(cfg, 'train_dataloader')
    cfg = config(root, type='NoSuchDataset')
    with pytest.raises(ValueError, match=r'dataset\.type: expected a registered classification d'):
        class_statistics(cfg, 'train_dataloader')
    cfg.default_scope = 'mmseg'
    for function in (class_statistics, lambda *args: list(image_sets_of(*args))):
        with pytest.raises(ValueError, match=r"default_scope: expected 'mmpretrain'.* got 'mmseg'"):
            function(cfg, 'train_dataloader')


@pytest.fixture
def multi_label(root):
    infos = [
        dict(img_path='bike/img 0.png', gt_label=[0, 2]),
        dict(img_path='red car/img 0.png', gt_label=[1]),
    ]
    content = dict(metainfo=dict(classes=list(COUNTS)), data_list=infos)
    (root / 'labels.json').write_text(json.dumps(content))
    return dict(type='MultiLabelDataset', ann_file='labels.json')


def test_several_labels_in_a_head_of_one(root, multi_label):
    cfg = config(root, **multi_label)
    with pytest.raises(
        ValueError,
        match=r'train_dataloader\.dataset: expected one label per image, since model\.head is '
        r'LinearClsHead, got \[0, 2\] for .*img 0\.png. Use a multi-label head',
    ):
        check_images(cfg)
    cfg.model.head.type = 'MultiLabelLinearClsHead'
    check_images(cfg)
    cfg.val_evaluator = [dict(type='LongTailAccuracy', train_counts=[8, 2, 2])]
    with pytest.raises(ValueError, match=r'^val_evaluator\.type: expected a metric of several'):
        check_images(cfg)


def test_the_gallery_of_a_retriever_is_no_class(root, multi_label):
    cfg = config(root, **multi_label)
    cfg.model.type = 'mmpretrain.ImageToImageRetriever'
    cfg.val_evaluator = dict(type='RetrievalRecall', topk=10)
    check_images(cfg)


def test_several_labels_are_counted(root, multi_label):
    _, counts, number = class_statistics(config(root, **multi_label), 'train_dataloader')
    assert (counts.tolist(), number) == ([1, 1, 1], 2)


@pytest.mark.parametrize('topk', [(1, 5), 5, 'a', (1, True), (0,), 1.0])
def test_topk_beyond_the_classes(root, topk):
    cfg = config(root)
    cfg.val_evaluator = [dict(type='Accuracy', topk=topk)]
    with pytest.raises(ValueError, match=r'^val_evaluator\.topk: expected whole numbers up to 3'):
        check_images(cfg)


def test_topk_of_the_head_is_a_number(root):
    cfg = config(root, head=dict(topk='a'))
    (problem,) = topk_problems(cfg)
    assert str(problem).startswith("model.head.topk: expected whole numbers from 1, got 'a'")
    assert not list(topk_problems(config(root, head=dict(topk=(1, 5)))))  # not used
    assert list(topk_problems(config(root, head=dict(topk=(1, 5), cal_acc=True))))


def test_a_list_that_is_not_utf8_is_named(root):
    (root / 'train.txt').write_bytes(b'a/b\xe9.png 0\n')
    file = dict(ann_file='train.txt', metainfo=dict(classes=tuple(COUNTS)))
    with pytest.raises(ImageListError, match=r'ann_file: expected text in UTF-8 .* 0xe9 at 3 of'):
        problems(config(root, **file), 'train_dataloader')


def test_a_byte_order_mark_is_named(root):
    file = listed(root, 'bike/img 0.png 0')
    path = root / 'train.txt'
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    with pytest.raises(
        ImageListError, match=r'ann_file: expected a list without a byte order mark'
    ):
        problems(config(root, **file), 'train_dataloader')


def test_a_line_ends_where_the_loader_ends_it(root):
    name = 'bike/a\u2028b.png'
    (root / 'train/bike/img 0.png').rename(root / 'train' / name)
    lines = [f'{name} 0', 'blue car/img 0.png 1', 'red car/img 0.png 2']
    assert problems(config(root, **listed(root, *lines)), 'train_dataloader') == []


def test_an_empty_list_is_named(root):
    file = dict(ann_file='train.txt', metainfo=dict(classes=tuple(COUNTS)))
    (root / 'train.txt').write_text('')
    with pytest.raises(
        ImageListError,
        match=r'^train_dataloader\.dataset\.ann_file: expected lines "path label", got none: \S*'
        r'train\.txt is empty',
    ):
        class_statistics(config(root, **file), 'train_dataloader')


def test_a_set_without_images_is_named(root):
    content = dict(metainfo=dict(classes=list(COUNTS)), data_list=[])
    (root / 'labels.json').write_text(json.dumps(content))
    cfg = config(root, type='MultiLabelDataset', ann_file='labels.json')
    with pytest.raises(ValueError, match=r'^train_dataloader\.dataset: expected images, got none'):
        class_statistics(cfg, 'train_dataloader')
