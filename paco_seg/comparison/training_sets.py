"""The data sets that a config trains on, as they lie below their wrappers."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from paco_seg.engine.model_changes import ModelChange
from paco_seg.engine.preflight import (
    is_wrapper,
    iter_datasets,
    kind_of,
    repetitions,
    walk_datasets,
)

TRAIN = 'train_dataloader'
# Wrappers that train on a part of their data set -> where they keep its positions.
SELECTING = {'LongTailDataset': 'indices', 'KFoldDataset': '_ori_indices'}
# Wrappers that train on all of it.
WHOLE = (
    'ClassBalancedDataset',
    'ConcatDataset',
    'DualSamplingDataset',
    'MultiImageMixDataset',
    'RareClassDataset',
    'RepeatDataset',
    'TailMemoryDataset',
)


@dataclass
class Samples:
    """A training data set without wrapper: its files, and the pixels or image of every class.

    Args:
        key: config key of what the data set stands for: itself, or a wrapper that trains on a
            part of it.
        config: of the data set; with the positions of that part, where it is one.
        dataset: the same, built, in whole.
        infos: what is known of each sample that is trained on.
        times: how often one pass delivers it.
        is_part: whether the key is that of a wrapper.
        counts: class -> pixels, per sample.
    """

    key: str
    config: dict
    dataset: Any
    infos: Sequence[dict]
    times: int = 1
    is_part: bool = False
    counts: list[dict[int, int]] = field(default_factory=list)

    def change(self, settings: Mapping[str, Any], path: tuple[str | int, ...]) -> ModelChange:
        """Return the change that makes the loader read other samples of it."""
        if self.is_part:  # the data set takes the place of its wrapper
            settings = {'_delete_': True, **self.config, **settings}
        return ModelChange(path, dict(settings), TRAIN)


def training_sets(cfg: Config, scope: str) -> tuple[list[Any], list[Samples]]:
    """Return the data sets of the training loader, as the task reads them and as samples.

    Args:
        cfg: the config, its modules imported.
        scope: ``'mmseg'`` or ``'mmpretrain'``.

    Raises:
        FileNotFoundError: a folder or list of the data does not exist.
        ValueError: class names differ, or a wrapper chooses images in a way that is not known.
    """
    key = f'{TRAIN}.dataset'
    config = cfg[TRAIN].dataset
    leaves, times = dict(iter_datasets(config, key)), repetitions(config, key)
    found: list[Any]
    if scope == 'mmseg':
        from paco_seg.seg.datasets.label_maps import label_maps_of

        found = list(label_maps_of(cfg, TRAIN))
    else:
        from paco_seg.cls.datasets.check import image_sets_of

        found = list(image_sets_of(cfg, TRAIN))
    classes = found[0].classes
    for other in found:
        if not other.classes or other.classes != classes:
            raise ValueError(
                f'{other.key}.metainfo.classes: expected the class names of all training data, in '
                f'one order, got {other.classes or None!r:.80}. Set metainfo=dict(classes=(...))'
            )
    sets = [Samples(s.key, plain(leaves[s.key]), s.dataset, s.infos, times[s.key]) for s in found]
    for place, wrapper in wrappers(config, key):
        if kind_of(wrapper) in SELECTING:
            (samples,) = (s for s in sets if s.key.startswith(f'{place}.'))
            _select(samples, place, wrapper, scope)
    _check_unknown(config, key, sets, scope)
    return found, sets


def wrappers(config: Any, key: str) -> Iterator[tuple[str, dict]]:
    """Yield key and config of the wrappers of a data set, the outermost first."""
    return (found for found in walk_datasets(config, key) if is_wrapper(found[1]))


def positions_of(config: Mapping[str, Any]) -> Sequence[int] | None:
    """Return what a data set keeps of its files by its setting ``indices``; None for all."""
    own = config.get('indices')
    if isinstance(own, int):  # the first ones, or the last ones
        return range(own) if own >= 0 else range(own, 0)
    return own


def plain(value: Any) -> Any:
    """Return a part of a config as dicts, lists and values."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return tuple(plain(item) for item in value) if isinstance(value, tuple) else value


def _build(config: Mapping[str, Any], scope: str) -> Any:
    with DefaultScope.overwrite_default_scope(scope):
        return DATASETS.build(copy.deepcopy(config))


def _select(samples: Samples, place: str, wrapper: dict, scope: str) -> None:
    """Reduce samples to those that a wrapper keeps of them."""
    built = _build(wrapper, scope)
    built.full_init()
    kept = [int(index) for index in getattr(built, SELECTING[kind_of(wrapper)])]
    own = positions_of(samples.config)
    samples.config['indices'] = [own[index] for index in kept] if own is not None else kept
    samples.infos = [samples.infos[index] for index in kept]
    samples.key, samples.is_part = place, True


def _check_unknown(config: Any, key: str, sets: Sequence[Samples], scope: str) -> None:
    """Refuse a wrapper of somebody else's that trains on another number of images."""
    unknown = [
        (place, kind_of(wrapper))
        for place, wrapper in wrappers(config, key)
        if kind_of(wrapper) not in (*SELECTING, *WHOLE)
    ]
    if not unknown:
        return
    number = sum(samples.times * len(samples.infos) for samples in sets)
    found = len(_build(config, scope))
    if not number or found % number:
        place, kind = unknown[0]
        raise ValueError(
            f'{place}: expected a wrapper that trains on every image, got {kind}, and {found} '
            f'images for the {number} inside. Write those that it keeps into a list (ann_file) or '
            'positions (indices), and leave it out'
        )
