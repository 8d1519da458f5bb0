"""CamVid and CIFAR-100 from their original files, as the configs of ``configs/evidence`` read them.

Nothing is downloaded: the sources are folders that the user has.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from paco_seg.comparison.demo_data.cifar_files import read_cifar_file
from paco_seg.comparison.demo_data.writing import write_image, write_set
from paco_seg.engine.pictures import read_picture
from paco_seg.files import write_json, write_text

PARTS = ('train', 'val', 'test')
MOST = 500  # images of the largest class: all that CIFAR-100 has
SEARCHED = 10  # test images of a class on which settings are chosen
# Parts of CIFAR-100-LT: number of classes and imbalance ratio.
SUBSETS = ((10, 100), (30, 100), (10, 10), (30, 10), (100, 10))


def write_camvid(source: Path, out: Path, *, force: bool = False) -> None:
    """Write CamVid from the folder ``CamVid`` of the SegNet tutorial.

    Args:
        source: with ``train`` and ``trainannot``, the same for ``val`` and ``test``: PNG files of
            480 x 360 pixels, labels 0 to 11.
        out: becomes ``images/{train,val,test}/*.jpg`` and ``masks/{train,val,test}/*.png``.
        force: replace a set that exists.

    Raises:
        FileNotFoundError: a folder of the source does not exist, or an image has no labels.
        ValueError: see :func:`.writing.write_set`.
    """
    for folder in (name + ending for name in PARTS for ending in ('', 'annot')):
        _check_source(source / folder, 'the folder CamVid of the SegNet tutorial')

    def write(root: Path) -> None:
        counts = {}
        for part in PARTS:
            for name in ('images', 'masks'):
                (root / name / part).mkdir(parents=True)
            paths = sorted((source / part).glob('*.png'))
            for path in paths:
                labels = source / f'{part}annot' / path.name
                _check_source(labels, 'the labels of an image')
                write_image(root / 'images' / part / f'{path.stem}.jpg', _read(path))
                write_image(root / 'masks' / part / path.name, _read(labels, cv2.IMREAD_UNCHANGED))
            counts[part] = len(paths)
        write_json(root / 'statistics.json', dict(settings=dict(kind='camvid'), images=counts))

    write_set(out, dict(kind='camvid'), write, force=force)


def write_cifar100(source: Path, out: Path, *, force: bool = False, seed: int = 0) -> None:
    """Write CIFAR-100-LT with imbalance ratio 100, and lists of parts of it.

    Args:
        source: folder ``cifar-100-python`` with ``train``, ``test`` and ``meta``: pickles, of which
            nothing is executed.
        out: becomes ``{train,test}/CLASS/*.png``, ``classes.txt``, ``train_ir100.txt``,
            ``search.txt``, ``test.txt`` and the lists of :func:`write_subsets`.
        force: replace a set that exists.
        seed: of the draw.

    Raises:
        FileNotFoundError: a file of the source does not exist.
        ValueError: see :func:`.cifar_files.read_cifar_file` and :func:`.writing.write_set`.
    """
    for name in ('train', 'test', 'meta'):
        _check_source(source / name, 'the folder cifar-100-python')
    settings = dict(kind='cifar100-lt', seed=seed)

    def write(root: Path) -> None:
        classes = read_cifar_file(source / 'meta', ['fine_label_names'])['fine_label_names']
        rng = random.Random(seed)
        lists: dict[str, list[str]] = dict(train_ir100=[], search=[], test=[])
        for part in ('train', 'test'):
            content = read_cifar_file(source / part, ['data', 'fine_labels', 'filenames'])
            images = np.asarray(content['data']).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            for label, name in enumerate(classes):
                own = np.flatnonzero(np.asarray(content['fine_labels']) == label).tolist()
                own.sort(key=lambda index: content['filenames'][index])
                if part == 'train':
                    own = sorted(rng.sample(own, min(len(own), profile(label, len(classes), 100))))
                (root / part / name).mkdir(parents=True)
                lines = []
                for index in own:
                    file = Path(part, name, content['filenames'][index])
                    write_image(root / file, np.ascontiguousarray(images[index][..., ::-1]))
                    lines.append(f'{file.as_posix()} {label}')
                if part == 'train':
                    lists['train_ir100'] += lines
                else:
                    chosen = set(rng.sample(lines, min(SEARCHED, len(lines) // 2)))
                    lists['search'] += [line for line in lines if line in chosen]
                    lists['test'] += [line for line in lines if line not in chosen]
        for name, lines in lists.items():
            write_text(root / f'{name}.txt', '\n'.join(lines) + '\n')
        write_text(root / 'classes.txt', '\n'.join(classes) + '\n')
        write_subsets(root, seed=seed)
        write_json(
            root / 'statistics.json',
            dict(settings=settings, images={name: len(lines) for name, lines in lists.items()}),
        )

    write_set(out, settings, write, force=force)


def profile(label: int, classes: int, ratio: float, most: int = MOST) -> int:
    """Return how many images a class has in the exponential profile.

    Args:
        label: 0 for the most frequent class.
        classes: their number.
        ratio: largest over smallest class.
        most: images of the largest class.
    """
    # the smallest excess keeps 500 * 100 ** -1 at 5
    return int(most * ratio ** (-label / max(classes - 1, 1)) + 1e-9)


def write_subsets(
    root: Path, subsets: Sequence[tuple[int, int]] = SUBSETS, *, seed: int = 0
) -> None:
    """Write lists of fewer classes, or of another imbalance, beside those of CIFAR-100-LT.

    Of C classes and ratio R there are ``classes_cC-irR.txt``, ``train_cC-irR.txt``, and ``search``
    and ``test`` of the same ending. The classes are spread over as much of the profile of ratio 100
    as has the ratio R: the largest has 500 images. All 100 classes at a smaller ratio start at 500
    divided by what is missing in the ratio, since no more images of the rare ones are there.

    Args:
        root: folder that :func:`write_cifar100` wrote.
        subsets: number of classes and ratio of each; those of more classes than there are are left
            out.
        seed: of the draw.
    """
    classes = (root / 'classes.txt').read_text(encoding='utf-8').split()
    for number, ratio in subsets:
        if number > len(classes):
            continue
        everything = number == len(classes)
        reach = (len(classes) - 1) * (1.0 if everything else math.log(ratio) / math.log(100))
        kept = [int(i * reach / (number - 1) + 1e-9) for i in range(number)]
        most = MOST * ratio // 100 if everything else MOST
        new = {str(old): label for label, old in enumerate(kept)}
        ending = f'c{number}-ir{ratio}'
        write_text(root / f'classes_{ending}.txt', '\n'.join(classes[old] for old in kept) + '\n')
        rng = random.Random(seed)
        for part in ('train', 'search', 'test'):
            source = 'train_ir100' if part == 'train' else part
            by_class: dict[int, list[str]] = {label: [] for label in range(number)}
            for line in (root / f'{source}.txt').read_text(encoding='utf-8').splitlines():
                file, _, old = line.rpartition(' ')
                if old in new:
                    by_class[new[old]].append(f'{file} {new[old]}')
            lines = []
            for label, own in by_class.items():
                if part == 'train':
                    wanted = min(len(own), profile(label, number, ratio, most))
                    own = sorted(rng.sample(own, wanted))
                lines += own
            write_text(root / f'{part}_{ending}.txt', '\n'.join(lines) + '\n')


def _read(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    image = read_picture(path, flags)
    if image is None:
        raise ValueError(f'{path}: expected an image, got an unreadable file. Replace it')
    return image


def _check_source(path: Path, what: str) -> None:
    if not path.exists():
        raise FileNotFoundError(
            f'--source: expected {what}, got {str(path)!r}, which does not exist. '
            'docs/evidence.md says where the data come from'
        )
