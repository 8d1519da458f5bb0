"""Any MMPretrain classification config with GPaCo instead of its head, on two views."""

from __future__ import annotations

import os
from typing import Any

from mmengine.config import Config

from paco_seg.core.checks import check_choice
from paco_seg.engine.model_changes import ModelChange, apply_changes, read_config

IMPORTS = ('paco_seg.cls',)
HOOKS = ('ClassCountHook',)  # fills class_prior='auto' and reports the scale of alpha
METHODS = ('gpaco',)
TAKES_FREQUENCIES = False  # the hook counts the training set
FREQUENCY_METHODS = ()
# Heads that are one linear layer on a pooled feature; GPaCoClsHead keeps it under the key `fc`.
LINEAR_HEADS = ('LinearClsHead', 'VisionTransformerClsHead')


def swap_loss(
    cfg: Config | str | os.PathLike, *, method: str = 'gpaco', heads: str = 'main', **loss: Any
) -> Config:
    """Make a config like ``cfg`` that trains with GPaCo on two views of each image.

    Both views run through the augmentations of the config. Mixup and CutMix are switched off: a
    mixed image has no positives.

    Args:
        cfg: a config, a file, or a packaged config such as ``mmpretrain::resnet/....py``.
        method: key of ``METHODS``.
        heads: 'main'; a classifier has one head ('all' is the same).
        **loss: settings of ``GPaCoLoss``, e.g. ``alpha=0.02``, ``class_prior=None``. Unless given,
            ``alpha`` is 'auto', which fits any number of classes and any queue; the fixed values
            of the paper belong to its recipes.

    Raises:
        ValueError: ``cfg`` is not an ``ImageClassifier`` with a linear head, or its training
            pipeline is not an ordinary one (with the reason).

    Example:
        >>> cfg = swap_loss('mmpretrain::resnet/resnet50_8xb32_in1k.py', alpha=0.02)
        >>> cfg.model.head.type
        'GPaCoClsHead'
    """
    if not isinstance(cfg, Config):
        cfg = read_config(cfg)
    changes = loss_changes(cfg, method=method, heads=heads, **loss)
    return apply_changes(cfg, changes, IMPORTS, HOOKS)


def loss_changes(
    cfg: Config, *, method: str = 'gpaco', heads: str = 'main', **loss: Any
) -> list[ModelChange]:
    """List what :func:`swap_loss` changes; same arguments and errors."""
    check_choice('method', method, METHODS)
    check_choice('heads', heads, ('main', 'all'))
    model = cfg.get('model') or {}
    if model.get('type') != 'ImageClassifier':
        raise ValueError(
            f"model.type: expected 'ImageClassifier', got {model.get('type')!r}. GPaCo wants a "
            'backbone and a linear classifier'
        )
    head = model.get('head') or {}
    if head.get('type') not in LINEAR_HEADS or head.get('hidden_dim'):
        raise ValueError(
            f'model.head.type: expected a linear head {LINEAR_HEADS} without hidden_dim, got '
            f'{head.get("type")!r}. The rows of its layer become the class centers'
        )
    settings = dict(
        type='GPaCoClassifier',
        head=dict(
            _delete_=True,
            type='GPaCoClsHead',
            num_classes=head['num_classes'],
            in_channels=head['in_channels'],
            loss=dict(type='GPaCoLoss', **{'class_prior': 'auto', 'alpha': 'auto', **loss}),
        ),
        train_cfg=None,
    )
    # A preprocessor in the model goes ahead of the one at the top of the config.
    if model.get('data_preprocessor'):
        return [ModelChange((), dict(settings, data_preprocessor=_TWO_VIEWS)), _two_views(cfg)]
    preprocessor = ModelChange((), _TWO_VIEWS, root='data_preprocessor')
    return [ModelChange((), settings), preprocessor, _two_views(cfg)]


def advice(cfg: Config, *, method: str = 'gpaco', **loss: Any) -> list[str]:
    """List what to know before training: nothing, for the loss replaces that of the head."""
    return []


_TWO_VIEWS = dict(type='MultiViewClsDataPreprocessor', num_views=2)


def _two_views(cfg: Config) -> ModelChange:
    """Return the training pipeline with everything between loading and packing run twice."""
    path: tuple[str, ...] = ('dataset',)
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    while 'pipeline' not in dataset and isinstance(dataset.get('dataset'), dict):
        path, dataset = (*path, 'dataset'), dataset['dataset']  # a wrapper around the data set
    pipeline = list(dataset.get('pipeline') or [])
    key = '.'.join(['train_dataloader', *path, 'pipeline'])
    kinds = [step.get('type') for step in pipeline]
    if len(pipeline) < 2 or kinds[-1] != 'PackInputs' or 'MultiView' in kinds:
        raise ValueError(
            f"{key}: expected transforms of one view that end in 'PackInputs', got {kinds}. Write "
            'the two views by hand, as configs/gpaco does'
        )
    start = 1 if str(kinds[0]).startswith('LoadImage') else 0
    view = pipeline[start:-1]
    views = dict(type='MultiView', num_views=[1, 1], transforms=[view, view])
    settings = dict(pipeline=[*pipeline[:start], views, pipeline[-1]])
    return ModelChange(path, settings, root='train_dataloader')
