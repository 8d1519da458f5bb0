import cv2
import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from paco_seg.cls.datasets import ImageListDataset, ImageListError, class_counts
from paco_seg.cls.datasets.image_list_dataset import read_lines

PATHS = ['train/a/0.jpg', 'train/a/1 2.jpg', 'train/b/0.jpg', 'val/c.jpg']


@pytest.fixture
def root(tmp_path):
    for path in PATHS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / path), np.zeros((4, 4, 3), np.uint8))
    return tmp_path


def write(root, *lines):
    (root / 'list.txt').write_text('\n'.join(lines) + '\n')
    return dict(data_root=str(root), ann_file='list.txt')


def test_reads_paths_with_blanks_and_labels(root):
    data = DATASETS.build(
        dict(
            type='ImageListDataset',
            num_classes=3,
            every_class=True,
            pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')],
            **write(
                root, *(f'{path} {label}' for path, label in zip(PATHS, (0, 0, 2, 1), strict=True))
            ),
        )
    )
    assert data.get_gt_labels().tolist() == [0, 0, 2, 1]
    assert data[1]['data_samples'].img_path == str(root / 'train/a/1 2.jpg')
    assert data.metainfo['classes'] == ('0', '1', '2')
    assert class_counts(data).tolist() == [2, 1, 1]


def test_class_names_are_kept(root):
    config = write(root, 'val/c.jpg 1')
    data = ImageListDataset(num_classes=2, metainfo=dict(classes=('x', 'y')), **config)
    assert data.metainfo['classes'] == ('x', 'y')


def test_class_names_are_an_argument_or_a_file(root):
    config = write(root, 'val/c.jpg 1')
    assert ImageListDataset(num_classes=2, classes=['x', 'y'], **config).CLASSES == ['x', 'y']
    (root / 'names.txt').write_text('cat\nbig dog\n')
    file = str(root / 'names.txt')
    for names in (dict(classes=file), dict(metainfo=dict(classes=file))):
        data = ImageListDataset(num_classes=2, **names, **config)
        assert list(data.metainfo['classes']) == ['cat', 'big dog']
    with pytest.raises(ValueError, match='expected 3 names, got 2'):
        ImageListDataset(num_classes=3, classes=file, **config)


def test_a_byte_order_mark_is_no_part_of_a_path(root):
    (root / 'list.txt').write_bytes(b'\xef\xbb\xbfval/c.jpg 1\r\n')
    data = ImageListDataset(num_classes=2, data_root=str(root), ann_file='list.txt')
    assert data.get_data_info(0)['img_path'] == str(root / 'val/c.jpg')


def test_every_malformed_line_is_named(root):
    config = write(
        root, 'val/c.jpg 0', 'val/c.jpg', 'val/c.jpg,1', 'val/c.jpg -1', '', 'val/c.jpg 2'
    )
    with pytest.raises(ImageListError) as error:
        ImageListDataset(num_classes=2, **config)
    assert [entry.split(': ')[0].rpartition(':')[2] for entry in error.value.entries] == list(
        '23456'
    )
    assert str(root / 'list.txt') + ':3: \'val/c.jpg,1\' is not "path label"' in str(error.value)
    assert 'list.txt:6: label 2 is outside [0, 2)' in str(error.value)
    assert '5 malformed of 6 lines' in str(error.value)


def test_a_label_of_thousands_of_digits_is_out_of_range(root):
    config = write(root, 'val/c.jpg ' + '9' * 5000, 'val/c.jpg ' + '0' * 5000 + '1', 'x' * 10**5)
    with pytest.raises(ImageListError) as error:
        ImageListDataset(num_classes=2, **config)
    label, line = error.value.entries
    wanted = f'{root / "list.txt"}:1: label {"9" * 200}... (5000 characters) is outside [0, 2)'
    assert label == wanted
    assert f'list.txt:3: \'{"x" * 200}... (100000 characters)\' is not "path label"' in line


def test_a_list_that_is_no_text_is_named(root):
    (root / 'list.txt').write_bytes(b'val/c.jpg 0\n\xff\xfe 0\n')
    with pytest.raises(ImageListError, match=r'text in UTF-8 .* got byte 0xff at 12') as error:
        ImageListDataset(num_classes=2, data_root=str(root), ann_file='list.txt')
    assert f'at 12 of {root / "list.txt"}. Name the list' in str(error.value)
    assert not str(error.value).endswith('\n')


def test_a_line_ends_where_the_loader_ends_it(root):
    (root / 'list.txt').write_text('a\u2028b.jpg 0\r\nc d.jpg 1\n', encoding='utf-8')
    assert read_lines(str(root / 'list.txt')) == ['a\u2028b.jpg 0', 'c d.jpg 1']


def test_an_empty_list(root):
    (root / 'list.txt').write_text('')
    with pytest.raises(ImageListError, match='expected lines "path label"'):
        ImageListDataset(num_classes=2, data_root=str(root), ann_file='list.txt')


def test_classes_without_images(root):
    config = write(root, 'val/c.jpg 0', 'val/c.jpg 3')
    assert len(ImageListDataset(num_classes=5, **config)) == 2
    with pytest.raises(ImageListError, match='images of 5 classes, got 2') as error:
        ImageListDataset(num_classes=5, every_class=True, **config)
    assert error.value.entries == ['1', '2', '4']


def test_all_missing_images_are_named(root):
    lines = [f'gone/{i}.jpg 0' for i in range(120)]
    config = write(root, 'val/c.jpg 0', 'val/d.jpg 0', *lines)
    with pytest.raises(ImageListError, match='122 images on disk, got 1') as error:
        ImageListDataset(num_classes=1, **config)
    assert len(error.value.entries) == 121
    assert str(root / 'val/d.jpg') in str(error.value)
    assert str(root / 'gone/98.jpg') in str(error.value)
    assert 'and 21 more' in str(error.value)
    assert len(ImageListDataset(num_classes=1, check_files=False, **config)) == 122


def test_bad_settings(root):
    config = write(root, 'val/c.jpg 0')
    with pytest.raises(ValueError, match=r'metainfo\.classes: expected 2 names, got 1'):
        ImageListDataset(num_classes=2, metainfo=dict(classes=('x',)), **config)
    with pytest.raises(ValueError, match='num_classes: expected >= 1, got 0'):
        ImageListDataset(num_classes=0, **config)
    for name in ('every_class', 'check_files'):
        with pytest.raises(TypeError, match=f"^{name}: expected True or False, got 'no'"):
            ImageListDataset(num_classes=2, **{name: 'no'}, **config)
    with pytest.raises(TypeError, match=r'^num_classes: expected an integer, got 2\.0'):
        ImageListDataset(num_classes=2.0, **config)
