"""The training pipeline of a stock config, with any number of views of each image."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from paco_seg.cls.systems.stock_classifier import (
    check_recipe,
    kind,
    preprocessor,
    with_preprocessor,
)
from paco_seg.engine.model_changes import Key, ModelChange
from paco_seg.engine.systems import refusal


@dataclass(frozen=True)
class TrainingViews:
    """A training pipeline: loading, what makes the views of an image, packing.

    Args:
        path: from ``train_dataloader`` to the data set that has the pipeline.
        before: transforms of the image as it is, such as loading it.
        views: transforms of each view; one list in a pipeline without ``MultiView``.
        after: packing.
    """

    path: tuple[Key, ...]
    before: list[Any]
    views: list[list[Any]]
    after: list[Any]

    def pipeline(self, num_views: int) -> list[Any]:
        """Return the pipeline with so many views; the last transforms make the further ones."""
        if num_views == 1:
            return [*self.before, *self.views[0], *self.after]
        views = [*self.views, *[self.views[-1]] * num_views][:num_views]
        step = dict(type='MultiView', num_views=[1] * num_views, transforms=views)
        return [*self.before, step, *self.after]


def training_views(cfg: Config) -> list[TrainingViews]:
    """Read the pipelines of the training set, one of each data set that has one.

    Raises:
        ValueError: a pipeline does not consist of loading, transforms of a view, packing.
    """
    loader = cfg.get('train_dataloader') or {}
    found = list(_with_pipeline(loader.get('dataset'), ('dataset',)))
    if not found:
        raise refusal(
            'train_dataloader.dataset.pipeline',
            'a training pipeline',
            None,
            'Inherit a data set config',
        )
    return [_read(dataset, path) for path, dataset in found]


def with_views(cfg: Config, num_views: int) -> list[ModelChange]:
    """Return the changes that give the model ``num_views`` views; none if it has them.

    Raises:
        ValueError: pipeline or preprocessor cannot be extended, or a hook exchanges the pipeline
            during the training.
    """
    changes = [
        ModelChange(part.path, dict(pipeline=part.pipeline(num_views)), root='train_dataloader')
        for part in training_views(cfg)
        if len(part.views) != num_views
    ]
    if changes:
        check_recipe(cfg, 'train_pipeline')
    return [*with_num_views(cfg, num_views), *changes]


def with_num_views(cfg: Config, num_views: int) -> list[ModelChange]:
    """Return the change of the preprocessor to ``num_views``; none if it expects them."""
    _, settings = preprocessor(cfg)
    # GPaCoClassifier takes the preprocessor of views where the config names none.
    is_multi = kind(settings) == 'MultiViewClsDataPreprocessor'
    is_multi = is_multi or (not kind(settings) and kind(cfg.model) == 'GPaCoClassifier')
    if (settings.get('num_views', 2) if is_multi else 1) == num_views:
        return []
    new = dict(type='MultiViewClsDataPreprocessor', num_views=num_views)
    return with_preprocessor(cfg, **new)


def _with_pipeline(dataset: Any, path: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], Any]]:
    """List the data sets with a pipeline, through wrappers."""
    if not isinstance(dataset, dict):
        return
    if 'pipeline' in dataset:
        yield path, dataset
        return
    yield from _with_pipeline(dataset.get('dataset'), (*path, 'dataset'))
    for index, part in enumerate(dataset.get('datasets') or []):
        yield from _with_pipeline(part, (*path, 'datasets', index))


def _read(dataset: Any, path: tuple[Key, ...]) -> TrainingViews:
    pipeline = copy.deepcopy(list(dataset['pipeline'] or []))
    kinds = [kind(step) for step in pipeline]
    several = [index for index, name in enumerate(kinds) if name == 'MultiView']
    if len(pipeline) < 2 or kinds[-1] != 'PackInputs' or len(several) > 1:
        raise refusal(
            '.'.join(map(str, ('train_dataloader', *path, 'pipeline'))),
            "transforms of one view that end in 'PackInputs'",
            kinds,
            'Write the two views by hand, as configs/gpaco does',
        )
    if not several:
        start = 1 if kinds[0].startswith('LoadImage') else 0
        return TrainingViews(path, pipeline[:start], [pipeline[start:-1]], pipeline[-1:])
    (at,) = several
    step = pipeline[at]
    numbers, transforms = step['num_views'], step['transforms']
    numbers = [numbers] if isinstance(numbers, int) else list(numbers)
    views = [
        list(steps)
        for number, steps in zip(numbers, transforms, strict=True)
        for _ in range(number)
    ]
    return TrainingViews(path, pipeline[:at], views, pipeline[at + 1 :])
