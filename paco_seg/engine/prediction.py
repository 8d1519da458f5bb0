"""What the predictors of both tasks have in common: classes, weights, and what comes out."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.fileio import list_from_file
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from paco_seg.engine.checkpoint import load_from_local
from paco_seg.engine.hooks.checkpoint_match_hook import load_matching
from paco_seg.engine.preflight import dataset_class, iter_datasets
from paco_seg.engine.required_hooks import prepare_prediction
from paco_seg.engine.stages import first_line


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image.

    Args:
        probabilities: (C,) of the image for a classifier; for a segmentor the mean confidence of
            the pixels that were given to each class, 0 where there are none.
        shares: (C,) share of the pixels that were given to each class; None for a classifier.
        label_map: (H, W) class of each pixel; None for a classifier.
    """

    probabilities: np.ndarray
    shares: np.ndarray | None = None
    label_map: np.ndarray | None = None

    @property
    def top(self) -> int:
        """Index of the class of the image, or of most of its pixels."""
        return int(np.argmax(self.probabilities if self.shares is None else self.shares))

    def describe(self, classes: Sequence[str], most: int = 5) -> dict[str, dict[str, float]]:
        """Return class -> confidence (and share of the pixels), the largest first."""
        if self.shares is None:
            order = np.argsort(-self.probabilities, kind='stable')[:most]
            return {
                classes[index]: dict(confidence=round(float(self.probabilities[index]), 4))
                for index in order
            }
        order = np.argsort(-self.shares, kind='stable')[: np.count_nonzero(self.shares)]
        return {
            classes[index]: dict(
                share=round(float(self.shares[index]), 4),
                confidence=round(float(self.probabilities[index]), 4),
            )
            for index in order
        }


def summarise_pixels(label_map: np.ndarray, confidence: np.ndarray, num_classes: int) -> Prediction:
    """Return the prediction of a label map, (H, W), with a confidence of each pixel, (H, W)."""
    flat = label_map.ravel()
    counts = np.bincount(flat, minlength=num_classes)
    sums = np.bincount(flat, weights=confidence.ravel(), minlength=num_classes)
    return Prediction(
        probabilities=sums / np.maximum(counts, 1),
        shares=counts / flat.size,
        label_map=label_map,
    )


def load_weights(model: nn.Module, checkpoint: str, cfg: Config) -> Mapping[str, Any]:
    """Load a checkpoint file for prediction, and return its ``meta``.

    Args:
        model: of the config.
        checkpoint: file.
        cfg: complete; tells what prediction needs and the checkpoint does not know.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint, or one of another model; or what prediction needs of the
            training set cannot be had.
    """
    content = load_from_local(checkpoint, map_location='cpu')
    load_matching(model, content, 'inference')
    prepare_prediction(model, cfg)
    return content.get('meta') or {}


def build_trained(cfg: Config, checkpoint: str) -> tuple[Any, Mapping[str, Any]]:
    """Build the model of a config with the weights of a checkpoint, on the CPU, in eval mode.

    Returns:
        The model, and the ``meta`` of the checkpoint.

    Raises:
        FileNotFoundError, ValueError: as of :func:`load_weights`.
    """
    settings = dict(cfg.model)
    if cfg.get('data_preprocessor') is not None:
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(settings)
    meta = load_weights(model, checkpoint, cfg)
    return revert_sync_batchnorm(model).eval(), meta


def class_names(meta: Mapping[str, Any], cfg: Config) -> tuple[list[str] | None, Any]:
    """Return names and palette of the classes: of the checkpoint, else of the test data.

    Args:
        meta: of the checkpoint.
        cfg: the config.

    Returns:
        Both None where neither knows them.
    """
    # MM 0.x wrote CLASSES and PALETTE.
    saved = dict(classes=meta.get('CLASSES'), palette=meta.get('PALETTE'))
    known = [meta.get('dataset_meta') or {}, saved]
    for _, dataset in iter_datasets((cfg.get('test_dataloader') or {}).get('dataset'), ''):
        cls = dataset_class(dataset, cfg.get('default_scope'))
        known += [dataset.get('metainfo') or {}, getattr(cls, 'METAINFO', None) or {}]
    for names in known:
        classes = names.get('classes') or names.get('CLASSES')
        if isinstance(classes, str):  # a file, in a config
            classes = list_from_file(classes)
        if classes:
            return list(classes), names.get('palette')
    return None, None


def config_for_inferencer(cfg: Config, source: str) -> Config:
    """Return a copy whose test data set is the one with the transforms, whatever wraps it.

    Raises:
        ValueError: there are no transforms.
    """
    loader = cfg.get('test_dataloader') or {}
    for _, dataset in iter_datasets(loader.get('dataset'), ''):
        if dataset.get('pipeline'):
            bare = copy.deepcopy(cfg)
            bare.test_dataloader.dataset = copy.deepcopy(dataset)
            return bare
    raise ValueError(
        f'{source}: test_dataloader.dataset.pipeline: expected the transforms of an image, got '
        'none. Add it, or inherit a complete config'
    )


def named(classes: list[str] | None, number: int, source: str) -> list[str]:
    """Return a name for each of ``number`` classes, none of them twice.

    ImageNet has two classes that are called crane: the index tells them apart.

    Raises:
        ValueError: there are names of another number of classes.
    """
    if classes is None:
        return [f'class {index}' for index in range(number)]
    if len(classes) != number:
        raise ValueError(
            f'{source}: expected as many class names as the model has classes, {number}, got '
            f'{len(classes)}. Use the config that the checkpoint was trained with'
        )
    often = Counter(classes)
    return [f'{name} ({index})' if often[name] > 1 else name for index, name in enumerate(classes)]


def pick_device(device: str | None) -> str:
    """Return the device to predict on.

    Raises:
        ValueError: it is not there.
    """
    if device is None:
        return 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f'--device: expected a device of this machine, got {device!r} ({first_line(error)}). '
            'Try cpu'
        ) from None
    return device
