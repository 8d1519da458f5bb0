"""Predict images with a trained model: label maps, confidences, pictures, a gallery.

    paco-seg predict CONFIG CHECKPOINT IMAGES -o DIR
    paco-seg predict CONFIG CHECKPOINT VIDEO.mp4 -o DIR --show-interval 25
    paco-seg predict CONFIG CHECKPOINT IMAGES -o DIR --compare OTHER_CHECKPOINT [--compare-config C]

IMAGES is a folder (with folders in it), an image or a video. DIR gets
    index.html        the gallery: opens in a browser, without a network
    pictures/         painted predictions beside the image, one of --show-interval
    labels/           segmentation: predicted classes as PNG, 16 bits for more than 256 classes
    predictions.json  per image the classes with their confidence (and share of the pixels)
    VIDEO.mp4         segmentation of a video: every frame, painted
With --compare the pictures show both models, and where they differ.

A damaged image, or a video that ends early, does not stop the others: it is named at the end, and
in ``predictions.json`` under ``unreadable``, and the exit status is not 0.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import cv2
import mmcv
import numpy as np
from mmengine.config import Config
from mmengine.utils import ProgressBar

from paco_seg.cli.arguments import at_least
from paco_seg.comparison.document import Picture
from paco_seg.comparison.gallery import (
    beside,
    differences,
    overlay,
    palette_of,
    write_gallery,
    written_video,
)
from paco_seg.engine.cli import (
    add_model_arguments,
    check_checkpoint,
    load_config,
    require_keys,
)
from paco_seg.engine.media import (
    Media,
    damage_of,
    find_media,
    opencv_reads,
    readable_name,
    refusal_of_damaged,
    shortfall_of,
)
from paco_seg.engine.pictures import write_picture
from paco_seg.engine.prediction import Prediction, pick_device
from paco_seg.engine.preflight import check_imports, iter_datasets
from paco_seg.engine.stages import stage
from paco_seg.files import check_folder, check_output, write_json

# default_scope -> module and class that predicts.
PREDICTORS = {
    'mmseg': ('paco_seg.seg.prediction', 'SegmentationPredictor'),
    'mmpretrain': ('paco_seg.cls.prediction', 'ClassificationPredictor'),
}


class Predictor(Protocol):
    """A trained model of either task."""

    classes: list[str] | None
    palette: Any

    def __call__(self, image: str | np.ndarray) -> Prediction:
        """Predict a file or a picture."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('images', help='folder, image or video')
    parser.add_argument('-o', '--out', required=True, help='folder for what is written')
    parser.add_argument('--compare', metavar='CHECKPOINT', help='show another model beside it')
    parser.add_argument('--compare-config', metavar='CONFIG', help='its config, if it is another')
    parser.add_argument(
        '--show-interval',
        type=at_least(1),
        default=1,
        help='paint one image out of so many, default: all',
    )
    parser.add_argument('--show-limit', type=at_least(0), help='paint at most so many images')
    parser.add_argument('--device', help='default: cuda where there is one, else cpu')
    add_model_arguments(parser)


def read_config_of(args: argparse.Namespace, source: str) -> Config:
    """Read a config as the other commands do, and check what a prediction needs of it."""
    cfg = load_config(args, source)
    require_keys(cfg, source, ('model', 'test_dataloader'))
    check_imports(cfg)
    return cfg


def build(cfg: Config, checkpoint: str, device: str) -> Predictor:
    """Build the predictor of a config and a checkpoint."""
    module, name = PREDICTORS[cfg.default_scope]
    with stage(f'while loading {checkpoint}'):
        return getattr(import_module(module), name)(cfg, checkpoint, device)


def check_arguments(args: argparse.Namespace) -> None:
    """Refuse what can be refused before anything is loaded."""
    if args.compare_config and not args.compare:
        raise ValueError(
            '--compare-config: expected --compare with a checkpoint of it, got none. Add --compare'
        )
    for key, path in (('checkpoint', args.checkpoint), ('--compare', args.compare)):
        if path is not None:
            check_checkpoint(path, key)
    check_folder(args.out)
    out, images = Path(args.out).resolve(), Path(args.images).expanduser().resolve()
    # The next call would take the pictures for images.
    if images.is_dir() and (out == images or images in out.parents):
        raise ValueError(
            f'--out: expected a folder outside IMAGES, got {args.out!r}. Choose another folder'
        )
    for name in ('pictures', 'labels'):
        written = (out / name).resolve()  # a link leads elsewhere
        if written == images or written in images.parents:
            raise ValueError(
                f'--out: expected a folder whose {name!r} has none of IMAGES, got {args.out!r}, '
                'where they would be written over. Choose another folder'
            )
    check_is_ours(out, args.out)


def check_is_ours(out: Path, given: str) -> None:
    """Refuse a folder whose label maps, pictures or page are not those of a prediction."""
    if (out / 'predictions.json').is_file():
        return
    for name in ('labels', 'pictures', 'index.html'):
        path = out / name
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise ValueError(
                f'--out: expected a new folder, or that of an earlier prediction, got {given!r}, '
                f'which has {name!r} and no predictions.json: files in it could be written over. '
                'Choose another folder'
            )


def claim(out: Path) -> None:
    """Make a folder that of a prediction, which it stays however the prediction ends."""
    if not (out / 'predictions.json').is_file():
        write_json(out / 'predictions.json', dict(classes=[], images={}))


def titles_of(args: argparse.Namespace) -> list[str]:
    """Name the models after their checkpoints, with the folder where the names are the same."""
    paths = [Path(path) for path in (args.checkpoint, args.compare) if path]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        names = [f'{path.parent.name}/{path.stem}' for path in paths]
    return names if len(set(names)) == len(names) else ['first', 'second']


def run(args: argparse.Namespace) -> None:
    """Check, predict, write."""
    check_arguments(args)
    media = find_media(args.images)
    if media.video:
        check_output(video_of(args, media), inputs=[media.video])
    device = pick_device(args.device)
    cfg = read_config_of(args, args.config)
    models = [build(cfg, args.checkpoint, device)]
    if args.compare:
        other = read_config_of(args, args.compare_config) if args.compare_config else cfg
        if other.default_scope != cfg.default_scope:
            raise ValueError(
                f'--compare-config: expected a config of the same task, got one of '
                f'{other.default_scope}. Compare models of one task'
            )
        models.append(build(other, args.compare, device))
    segmentation = cfg.default_scope == 'mmseg'
    video = video_of(args, media) if media.video and segmentation else None
    rows: dict[str, dict[str, Any]] = {}
    damaged: dict[str, str] = {}
    pictures: list[Picture] = []
    try:
        with ExitStack() as stack:
            frames = stack.enter_context(written_video(video, media.fps)) if video else None
            found = predict(args, media, models, damaged, frames, reading_flag(cfg))
            for name, row, picture in found:
                rows[name] = row
                pictures += [picture] if picture else []
    finally:  # what ends a prediction early takes nothing of it away
        if rows:
            write_results(
                args, models[0], rows, damaged, pictures, video, segmentation=segmentation
            )
    if damaged:
        raise refusal_of_damaged(damaged, len(rows))


def write_results(
    args: argparse.Namespace,
    model: Predictor,
    rows: dict[str, dict[str, Any]],
    damaged: dict[str, str],
    pictures: list[Picture],
    video: Path | None,
    *,
    segmentation: bool,
) -> None:
    """Write ``predictions.json`` and the gallery.

    Args:
        args: of the command line.
        model: whose classes and colours they are.
        rows: what is known of each image, by its name.
        damaged: why a file could not be read.
        pictures: of the gallery.
        video: the painted one, or None.
        segmentation: whether classes have a colour in the pictures.
    """
    classes = model.classes or []
    colours = palette_of(len(classes), model.palette)
    out = Path(args.out)
    write_json(
        out / 'predictions.json',
        dict(config=args.config, checkpoint=args.checkpoint, compare=args.compare)
        | dict(classes=classes, images=rows)
        | (dict(unreadable=damaged) if damaged else {}),
    )
    shown = {name for row in rows.values() for name in row['classes']}
    about = f'{len(rows)} images, {len(pictures)} pictures. Numbers: `predictions.json`.'
    if video:
        about += f' Every frame, painted: `{video.name}`.'
    write_gallery(
        out,
        f'Predictions of {" and ".join(titles_of(args))}',
        [about],
        pictures,
        [(name, colours[i].tolist()) for i, name in enumerate(classes) if name in shown]
        if segmentation
        else (),
    )
    print(f'\n{out / "index.html"}: {len(rows)} images, {len(pictures)} pictures')


def reading_flag(cfg: Config) -> str:
    """Return the flag of MMCV with which a picture lies as the pipeline of the config loads it."""
    for _, dataset in iter_datasets(cfg.test_dataloader.get('dataset'), ''):
        for step in dataset.get('pipeline') or ():
            # As MMCV: all others leave the EXIF orientation aside.
            if step.get('color_type', 'color') not in ('color', 'grayscale'):
                return 'color_ignore_orientation'
    return 'color'


def video_of(args: argparse.Namespace, media: Media) -> Path:
    """Return the file of the painted video."""
    return Path(args.out) / f'{Path(str(media.video)).stem}.mp4'


def predict(
    args: argparse.Namespace,
    media: Media,
    models: list[Predictor],
    damaged: dict[str, str],
    frames: Callable[[np.ndarray], None] | None = None,
    flag: str = 'color',
) -> Iterator[tuple[str, dict[str, Any], Picture | None]]:
    """Predict every image, write label maps and pictures.

    Args:
        args: of the command line.
        media: what to predict.
        models: one, or two to compare.
        damaged: gets the files that cannot be decoded, and why; they are passed over.
        frames: gets the painted frames of a video.
        flag: how MMCV reads the images that are painted.

    Yields:
        The name of each image, what ``predictions.json`` says of it, and its picture for the
        gallery if it has one.
    """
    titles, out, number_shown, delivered = titles_of(args), Path(args.out), 0, 0
    progress = ProgressBar(len(media))
    for number, (name, image) in enumerate(media):
        delivered += 1
        with stage(f'while predicting {name}'):
            found = predict_one(models, image, damaged)
        if not found:
            progress.update()
            continue
        classes = models[0].classes or []
        if len(models) > 1 and models[1].classes != classes:
            raise ValueError(
                f'--compare: expected a model of the same classes, got {models[1].classes} beside '
                f'{classes}. Compare models of one data set'
            )
        row: dict[str, Any] = dict(classes=found[0].describe(classes))
        if len(found) > 1:
            row['compare'] = found[1].describe(classes)
            row['differs'] = differing(found)
        claim(out)
        label_map = found[0].label_map
        if label_map is not None:
            kind = np.uint8 if len(classes) <= 256 else np.uint16
            write_picture(out / 'labels' / f'{name}.png', label_map.astype(kind))
        limit = args.show_limit
        shown = number % args.show_interval == 0 and (limit is None or number_shown < limit)
        if shown or frames is not None:
            palette = palette_of(len(classes), models[0].palette)
            panels = paint(image, found, titles, palette, flag)
        if frames is not None:
            frames(np.concatenate([panels[title] for title in titles], axis=1))
        picture = None
        if shown:
            write_picture(out / 'pictures' / f'{name}.png', beside(panels))
            picture = Picture(f'pictures/{name}.png', caption_of(name, row, titles))
            number_shown += 1
        progress.update()
        yield name, row, picture
    missing = shortfall_of(media, delivered)
    if missing:
        damaged[readable_name(str(media.video))] = missing


def predict_one(
    models: list[Predictor], image: str | np.ndarray, damaged: dict[str, str]
) -> list[Prediction]:
    """Return what each model says of an image; nothing if its file is damaged."""
    if not isinstance(image, str):
        return [model(image) for model in models]
    # Before the models: some versions of OpenCV fill with grey what is missing.
    why = damage_of(image)
    if not why:
        try:
            return [model(image) for model in models]
        except Exception:
            if opencv_reads(image):
                raise
            why = 'OpenCV cannot decode it'
    damaged[readable_name(image)] = why
    return []


def differing(found: list[Prediction]) -> float:
    """Return the share of pixels (0 or 1 for an image) on which two predictions differ."""
    first, second = found
    if first.label_map is None or second.label_map is None:
        return float(first.top != second.top)
    return round(float((first.label_map != second.label_map).mean()), 4)


def paint(
    image: str | np.ndarray,
    found: list[Prediction],
    titles: list[str],
    palette: np.ndarray,
    flag: str,
) -> dict[str, np.ndarray]:
    """Return the panels of a picture by title; ``flag`` says how MMCV reads a file."""
    # Not cv2.imread: a file name that is not UTF-8 ends the process there.
    pixels: np.ndarray | None = mmcv.imread(image, flag)
    if pixels is None:
        raise ValueError(f'{image}: expected an image that OpenCV reads. Convert it first')
    panels = {'image': pixels}
    maps = [prediction.label_map for prediction in found]
    for title, label_map in zip(titles, maps, strict=True):
        if label_map is not None:
            # A pipeline may turn an image that its EXIF orientation does not.
            if label_map.shape != pixels.shape[:2]:
                pixels = cv2.resize(pixels, label_map.shape[::-1])
                panels['image'] = pixels
            panels[title] = overlay(pixels, label_map, palette)
    if len(maps) == 2 and maps[0] is not None and maps[1] is not None:
        panels['different'] = differences(maps[0], maps[1])
    return panels


def caption_of(name: str, row: dict[str, Any], titles: list[str]) -> str:
    """Say under a picture what the models found."""
    parts = []
    for title, key in zip(titles, ('classes', 'compare'), strict=False):
        found = [
            f'{label} {values.get("share", values["confidence"]):.0%}'
            for label, values in list(row[key].items())[:4]
        ]
        parts.append((f'{title}: ' if len(titles) > 1 else '') + ', '.join(found))
    return f'{name}: {"; ".join(parts)}'
