"""Settings of a system with a head and a loss of its own, as a command line gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from paco_seg.cls.losses import GPaCoLoss
from paco_seg.core.paco import PaCoSettings
from paco_seg.engine.signatures import named_arguments
from paco_seg.engine.systems import refusal

PROJECTOR = 'projector'
# Of a loss, but filled in by the head, or refused by every loss of images.
_FILLED_IN = ('num_classes', 'channels')
_OF_PIXELS = ('key', 'contrast_ignored')


def checked_settings(
    name: str, settings: Mapping[str, Any], loss: str, further: Sequence[str]
) -> dict[str, Any]:
    """Return settings of a system that passes on those of its loss.

    Args:
        name: of the system, for messages.
        settings: as they are given; ``projector.X`` is the setting X of the projector.
        loss: type of the loss.
        further: settings that are not of the loss.

    Raises:
        ValueError: a setting is unknown, or the projector is not given by its settings.

    Example:
        >>> settings = {'alpha': 0.01, 'projector.num_layers': 2}
        >>> checked_settings('gpaco', settings, 'GPaCoLoss', ('projector',))
        {'alpha': 0.01, 'projector': {'num_layers': 2}}
    """
    given = {key: value for key, value in settings.items() if not key.startswith(f'{PROJECTOR}.')}
    parts = {
        key.removeprefix(f'{PROJECTOR}.'): value
        for key, value in settings.items()
        if key not in given
    }
    projector = given.get(PROJECTOR)
    if projector is not None and not isinstance(projector, Mapping):
        raise refusal(
            f'{name}.{PROJECTOR}',
            f'its settings one by one, such as {PROJECTOR}.num_layers=2',
            projector,
            'Give each by its name',
        )
    if parts:
        given[PROJECTOR] = {**(projector or {}), **parts}
    known = tuple(dict.fromkeys((*further, *_settings_of(loss))))
    for key, value in given.items():
        if key not in known:
            raise refusal(f'{name}.{key}', f'a setting of {known}', value, 'Correct the name')
    return given


def _settings_of(loss: str) -> list[str]:
    """Name what a config may say of a loss."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        kind = MODELS.get(loss)
    assert kind is not None, loss
    names = [name for name in named_arguments([kind]) if name not in _FILLED_IN]
    if issubclass(kind, GPaCoLoss):  # which takes further ones
        names += [field.name for field in fields(PaCoSettings) if field.name not in _OF_PIXELS]
    return names
