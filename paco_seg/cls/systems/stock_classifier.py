"""What the systems read from a stock classification config, and the changes they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import ClsHead, MultiLabelClsHead
from mmpretrain.registry import MODELS

from paco_seg.engine.model_changes import ModelChange, replacing, type_name
from paco_seg.engine.systems import refusal

IMPORTS = ('paco_seg.cls',)
# Heads that are one linear layer on a pooled feature; ours keep it under the key `fc`.
LINEAR_HEADS = ('LinearClsHead', 'VisionTransformerClsHead')
# The second is a stock classifier that takes the views of an image as further images.
CLASSIFIERS = ('ImageClassifier', 'GPaCoClassifier')
PREPROCESSORS = ('ClsDataPreprocessor', 'MultiViewClsDataPreprocessor')
# Losses of one class index per image, or of the scores that Mixup makes of two.
CROSS_ENTROPIES = ('CrossEntropyLoss', 'LabelSmoothLoss')


def kind(part: Any) -> str:
    """Return the registered name of a part, without scope or module; '' where it names none."""
    return type_name(part) if part and part.get('type') else ''


def single_label_head(cfg: Config) -> dict[str, Any]:
    """Return ``model.head`` of a classifier of one class per image, whatever its layers.

    Raises:
        ValueError: it is no ``ImageClassifier``, or its head is multi-label or one of ours.
    """
    model = cfg.get('model') or {}
    if kind(model) not in CLASSIFIERS:
        raise refusal(
            'model.type',
            "'ImageClassifier'",
            model.get('type'),
            'The system wants a backbone and a classification head',
        )
    head = dict(model.get('head') or {})
    name = head.get('type')
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope') or 'mmpretrain'):
        head_class = name if isinstance(name, type) else MODELS.get(name) if name else None
    is_single_label = isinstance(head_class, type) and issubclass(head_class, ClsHead)
    if head_class is None or not is_single_label or issubclass(head_class, MultiLabelClsHead):
        raise refusal(
            'model.head.type',
            'a head of one class per image',
            name,
            'Systems for long-tailed data are defined on images with one label',
        )
    if head_class.__module__.startswith('paco_seg.'):
        raise refusal(
            'model.head.type',
            'a stock head',
            name,
            'The config is a system already: start from the stock config that it inherits',
        )
    return head


def linear_head(cfg: Config) -> dict[str, Any]:
    """Return ``model.head`` of a classifier that ends in one linear layer.

    Raises:
        ValueError: :func:`single_label_head` refuses it, or it has other layers.
    """
    head = single_label_head(cfg)
    reason = 'The system works on the rows of one layer, a vector for each class'
    if kind(head) not in LINEAR_HEADS:
        expected = f'a linear head ({" or ".join(LINEAR_HEADS)})'
        raise refusal('model.head.type', expected, head.get('type'), reason)
    if head.get('hidden_dim'):
        raise refusal('model.head.hidden_dim', 'None, a linear head', head['hidden_dim'], reason)
    return head


def cross_entropy(head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head's loss if it is a cross entropy over the classes, or a plain one.

    A binary loss for each class (``use_sigmoid``) becomes the softmax; label smoothing stays.
    """
    loss = dict(head.get('loss') or {})
    if kind(loss) not in CROSS_ENTROPIES or loss.get('mode') == 'multi_label':
        return dict(type='CrossEntropyLoss')
    dropped = ('use_sigmoid', 'class_weight', 'pos_weight')
    return {key: value for key, value in loss.items() if key not in dropped}


def without_other_weights(cfg: Config) -> list[ModelChange]:
    """Return what keeps ``load_from`` of a config from being loaded over those of stage one."""
    return [ModelChange((), dict(load_from=None), root='')] if cfg.get('load_from') else []


def with_loss(cfg: Config, head: Mapping[str, Any], loss: Mapping[str, Any]) -> ModelChange:
    """Return the change of the loss alone.

    Raises:
        ValueError: a hook of the config exchanges the loss during the training.
    """
    check_recipe(cfg, 'loss')
    return ModelChange(('head',), dict(loss=replacing(head, 'loss', loss)))


def linear_settings(head: Mapping[str, Any], *without: str) -> dict[str, Any]:
    """Return those settings of a linear head that ``LinearClsHead`` takes as well."""
    keys = ('num_classes', 'in_channels', 'loss', 'topk', 'cal_acc', 'init_cfg')
    return {key: head[key] for key in keys if key in head and key not in without}


def preprocessor(cfg: Config) -> tuple[bool, dict[str, Any]]:
    """Return whether the preprocessor is part of the model, and its settings."""
    model = cfg.get('model') or {}
    # One in the model goes ahead of the one at the top of the config.
    inside = bool(model.get('data_preprocessor'))
    settings = model['data_preprocessor'] if inside else cfg.get('data_preprocessor') or {}
    return inside, settings


def with_preprocessor(cfg: Config, **settings: Any) -> list[ModelChange]:
    """Return the change of the preprocessor, wherever it is; none for no settings.

    Raises:
        ValueError: it is of a type with other settings.
    """
    if not settings:
        return []
    inside, inherited = preprocessor(cfg)
    if kind(inherited) and kind(inherited) not in PREPROCESSORS:
        raise refusal(
            'model.data_preprocessor.type' if inside else 'data_preprocessor.type',
            f'one of {PREPROCESSORS}',
            inherited['type'],
            'The system has to change what it makes of a batch',
        )
    if inside:
        return [ModelChange((), dict(data_preprocessor=settings))]
    return [ModelChange((), settings, root='data_preprocessor')]


def without_mixed_images(cfg: Config) -> list[ModelChange]:
    """Return what gives every image one class: no Mixup, no CutMix, no scores for labels.

    Raises:
        ValueError: a hook of the config mixes images from some epoch on.
    """
    check_recipe(cfg, 'batch_augments')
    changes = []
    if cfg.model.get('train_cfg'):
        changes.append(ModelChange((), dict(train_cfg=None)))
    _, settings = preprocessor(cfg)
    off = dict(batch_augments=None, to_onehot=False)
    own = {key: value for key, value in off.items() if settings.get(key)}
    return [*changes, *with_preprocessor(cfg, **own)]


def check_recipe(cfg: Config, key: str) -> None:
    """Refuse a config whose ``SwitchRecipeHook`` puts back what a system replaces.

    Args:
        cfg: complete config.
        key: of a step of the hook's schedule: 'train_pipeline', 'batch_augments' or 'loss'.

    Raises:
        ValueError: names the hook and the epoch.
    """
    for index, hook in enumerate(cfg.get('custom_hooks') or []):
        if kind(hook) != 'SwitchRecipeHook':
            continue
        for step in hook.get('schedule') or []:
            if step.get(key):
                raise refusal(
                    f'custom_hooks[{index}]',
                    f'no {key} in the schedule of SwitchRecipeHook',
                    f'one from epoch {step.get("action_epoch")} on',
                    'It would undo the system during the training: leave that step out',
                )


def sampler(cfg: Config, **settings: Any) -> ModelChange:
    """Return the change of the training sampler.

    Raises:
        ValueError: there is no training loader, or it draws whole batches.
    """
    loader = cfg.get('train_dataloader') or {}
    if not loader.get('dataset') or loader.get('batch_sampler'):
        raise refusal(
            'train_dataloader.batch_sampler' if loader else 'train_dataloader',
            'a loader with a sampler of images',
            loader.get('batch_sampler'),
            'The system draws image by image: give the loader a sampler and a batch_size',
        )
    new = replacing(loader, 'sampler', settings)
    return ModelChange(('sampler',), new, root='train_dataloader')
