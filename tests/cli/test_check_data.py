import numpy as np
import pytest
from helpers.segmentation_data import WRITERS, write_benchmark
from helpers.segmentation_recipes import RECIPES, ROOT
from PIL import Image

from paco_seg import cli


def run(benchmark, root, capsys, *arguments):
    """Exit status and printed lines of the tool."""
    config = next(recipe['config'] for recipe in RECIPES if recipe['benchmark'] == benchmark)
    options = [
        f'{loader}.dataset.data_root={root}'
        for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader')
    ]
    with pytest.raises(SystemExit) as exit_info:
        cli.run(
            [
                'check-data',
                str(ROOT / 'configs' / config),
                '--jobs',
                '2',
                *arguments,
                '--cfg-options',
                *options,
            ]
        )
    return exit_info.value.code, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize('name', WRITERS)
def test_a_sound_dataset_passes(name, tmp_path, capsys):
    root = write_benchmark(name, tmp_path, size=(16, 24))
    code, lines = run(name, root, capsys)
    # val and test are the same files: counted once
    assert (code, lines) == (0, ['4 images checked, 0 problems'])


def test_every_bad_file_is_named(tmp_path, capsys):
    root = write_benchmark('ade20k', tmp_path, size=(16, 24), num=6)
    images, labels = root / 'images/training', root / 'annotations/training'

    def name(i):
        return f'ADE_train_{i:08d}'

    (labels / f'{name(1)}.png').unlink()
    (images / f'{name(2)}.jpg').write_bytes(b'no image')
    content = (images / f'{name(3)}.jpg').read_bytes()
    (images / f'{name(3)}.jpg').write_bytes(content[: len(content) // 2])
    Image.fromarray(np.full((16, 24), 200, np.uint8)).save(labels / f'{name(4)}.png')
    Image.fromarray(np.ones((24, 16), np.uint8)).save(labels / f'{name(5)}.png')
    (images / f'{name(6)}.jpg').unlink()
    code, lines = run('ade20k', root, capsys, '--loaders', 'train_dataloader')
    assert code == 1
    assert lines[-1] == '5 images checked, 6 problems'
    expected = [
        f'{labels}/{name(1)}.png: missing label map of {images}/{name(1)}.jpg',
        f'{images}/{name(2)}.jpg: unreadable image',
        f'{images}/{name(3)}.jpg: unreadable image',
        f'{labels}/{name(4)}.png: expected labels in [0, 150) or 255 as loaded '
        '(reduce_zero_label=True), got [199]',
        f'{labels}/{name(5)}.png: expected the size of its image, 24x16, got 16x24',
        f'{labels}/{name(6)}.png: label map without an image',
    ]
    for line, start in zip(lines[:-1], expected, strict=True):
        assert line.startswith(start)


def test_files_of_a_list_may_be_missing(tmp_path, capsys):
    root = write_benchmark('pascal-context-59', tmp_path, size=(16, 24))
    (root / 'JPEGImages/2008_000002.jpg').unlink()
    # Labels outside the lists belong to no split and are no problem.
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(
        root / 'SegmentationClassContext/2009_000001.png'
    )
    code, lines = run('pascal-context-59', root, capsys)
    assert code == 1
    assert len(lines) == 2
    assert lines[0].startswith(f'{root}/JPEGImages/2008_000002.jpg: missing image of')


def test_an_empty_dataset_is_refused(tmp_path, capsys):
    root = write_benchmark('cityscapes', tmp_path, num=0)
    for folder in ('leftImg8bit', 'gtFine'):
        for split in ('train', 'val'):
            (root / folder / split).mkdir(parents=True)
    with pytest.raises(
        ValueError, match=r"train_dataloader\.dataset: expected images, got none in '.*train'"
    ):
        run('cityscapes', root, capsys, '--loaders', 'train_dataloader')


def test_an_unknown_loader_is_refused(tmp_path):
    config = next(recipe['config'] for recipe in RECIPES if recipe['benchmark'] == 'ade20k')
    with pytest.raises(ValueError, match='my_dataloader: expected a dataloader, got none'):
        cli.run(['check-data', str(ROOT / 'configs' / config), '--loaders', 'my_dataloader'])


def test_classes_that_never_occur_are_a_note(tmp_path, capsys):
    root = write_benchmark('ade20k', tmp_path, size=(16, 24))
    config = next(recipe['config'] for recipe in RECIPES if recipe['benchmark'] == 'ade20k')
    options = [f'train_dataloader.dataset.data_root={root}']
    words = ['check-data', str(ROOT / 'configs' / config), '--jobs', '1']
    with pytest.raises(SystemExit):
        cli.run([*words, '--loaders', 'train_dataloader', '--cfg-options', *options])
    assert 'train_dataloader.dataset: 1' in capsys.readouterr().err


def test_classification_is_served_too(tiny_cls, tmp_path, capsys):
    words = ['check-data', str(tiny_cls()), '--jobs', '1']
    with pytest.raises(SystemExit) as exit_info:
        cli.run(words)
    assert exit_info.value.code == 0
    assert capsys.readouterr().out.splitlines() == ['20 images checked, 0 problems']
    (tmp_path / 'data/train/sky/1.png').write_bytes(b'no image')
    with pytest.raises(SystemExit) as exit_info:
        cli.run(words)
    assert exit_info.value.code == 1
    assert 'data/train/sky/1.png: unreadable image' in capsys.readouterr().out


@pytest.mark.parametrize('jobs', [0, -1])
def test_fewer_than_one_process_is_refused(tiny_cls, jobs):
    with pytest.raises(ValueError, match=f'^--jobs: expected at least 1 process, got {jobs}'):
        cli.run(['check-data', str(tiny_cls()), '--jobs', str(jobs)])


def test_training_looks_at_the_data_first(tiny_seg, tiny_cls, tmp_path, run_tool):
    config = tiny_seg()
    path = tmp_path / 'data/labels/train/3.png'
    labels = np.asarray(Image.open(path)).copy()
    labels[0, 0] = 11
    Image.fromarray(labels).save(path)
    with pytest.raises(
        ValueError, match=r'3\.png: .*got \[11\]\. 11 is no class: a void label\? S'
    ):
        cli.run(['train', str(config)])
    assert not (tmp_path / 'work').exists()
