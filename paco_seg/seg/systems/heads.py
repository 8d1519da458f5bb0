"""What the systems of segmentation share: heads of a config, their branches and losses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.config import Config
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.knet_head import IterativeDecodeHead
from mmseg.models.decode_heads.point_head import PointHead
from mmseg.registry import MODELS

from paco_seg.core.checks import check_choice
from paco_seg.engine.model_changes import Key, ModelChange, replacing, type_name
from paco_seg.engine.systems import refusal
from paco_seg.seg.heads import BranchDecodeHead
from paco_seg.seg.heads.branch_decode_head import branch_head_class
from paco_seg.seg.heads.feature_taps import REFUSED_HEADS, is_mask_head

IMPORTS = ('paco_seg.seg',)
HEADS = ('main', 'all')
# Setting of every system that changes heads: 'main' is the head that predicts (the last one of a
# cascade; of PointRend see change_heads), 'all' also the earlier heads of a cascade and the
# auxiliary heads, as far as they can.
SETTINGS = dict(heads='main')

# What systems act on; two that act on the same do not combine.
FREQUENCY = 'the frequency of the classes: corrected twice, rare ones are favoured'
HARD_PIXELS = 'the weight of hard pixels'
REGIONS = 'the mean features of class regions'

HeadPath = tuple[Key, ...]


class Attachment(NamedTuple):
    """How a branch is put around a head.

    Attributes:
        head: registered type of the head; it takes ``base_type``.
        path: where in the head's arguments the loss or branch is configured.
        type: registered type of that loss or branch; '' where the head has one of its own.
    """

    head: str
    path: tuple[str, ...]
    type: str


def heads_of_model(cfg: Config) -> list[tuple[HeadPath, dict]]:
    """List (path, config) of every head; the main one, which predicts, comes last.

    Raises:
        ValueError: the config has no decode head.
    """
    model = cfg.get('model') or {}
    if not model.get('decode_head'):
        raise ValueError(
            f'model.decode_head: expected the decode head of a segmentor, got a model of type '
            f'{model.get("type")!r} without one. The loss is attached to a decode head'
        )
    return list(_heads(model))


def _heads(model: dict) -> Iterator[tuple[HeadPath, dict]]:
    for key in ('auxiliary_head', 'decode_head'):
        head = model.get(key)
        if isinstance(head, (list, tuple)):
            yield from (((key, i), item) for i, item in enumerate(head))
        elif head:
            yield (key,), head


def change_heads(
    cfg: Config, heads: str, settings_of: Callable[[str, dict], dict[str, Any]]
) -> list[ModelChange]:
    """List the changes of the head that predicts, or of all heads that can take them.

    Of PointRend, whose last head predicts some uncertain points anew, losses change in the head
    before it as well, which predicts the rest; with 'all' the last one may refuse.

    Args:
        cfg: a segmentation config.
        heads: one of :data:`HEADS`.
        settings_of: (config key of a head, its config) -> its new settings.

    Raises:
        ValueError: the config has no decode head, or the main one cannot take the change.
    """
    check_choice('heads', heads, HEADS)
    *others, main = heads_of_model(cfg)
    coarse = [place for place in others if place[0][0] == 'decode_head'][-1:]
    needed = coarse[0] if coarse and heads == 'all' and _refines(main) else main
    changes = []
    for place in [main, *others] if heads == 'all' else [main]:
        try:
            changes.append(_change(place, settings_of))
        except ValueError:
            if place is needed:
                raise  # another one, of another kind, stays what it is
    if heads == 'main' and _refines(main) and 'loss_decode' in changes[0].settings:
        changes += [_change(place, settings_of) for place in coarse]
    return [change for change in changes if change.settings]


def _refines(place: tuple[HeadPath, dict]) -> bool:
    head = place[1]
    if not isinstance(head.get('type'), str):
        return False
    known = _class_of(head)
    return known is not None and issubclass(known, PointHead)


def _class_of(head: dict) -> type | None:
    """Return the class of a head, branches around it or not; None if it is not registered."""
    known = MODELS.get(head['base_type'] if has_branches(head) else head['type'])
    return known if isinstance(known, type) else None


def _change(
    place: tuple[HeadPath, dict], settings_of: Callable[[str, dict], dict[str, Any]]
) -> ModelChange:
    path, head = place
    key = '.'.join(['model', *map(str, path)])
    if not isinstance(head.get('type'), str):
        raise ValueError(
            f'{key}.type: expected the registered name of a head, got {head.get("type")!r}. '
            'Write the name as a string'
        )
    return ModelChange(path, settings_of(key, head))


def has_branches(head: dict) -> bool:
    """Tell whether a head is one of this package around a stock one."""
    known = MODELS.get(head['type'])
    return isinstance(known, type) and issubclass(known, BranchDecodeHead)


def base_type(key: str, head: dict, partners: Collection[str] = ()) -> str:
    """Return the registered name of the stock head, which partners have put a branch around.

    Raises:
        ValueError: the head has branches already, and nobody to share it with.
    """
    if not has_branches(head):
        return head['type']
    if not partners:
        raise ValueError(
            f'{key}.type: expected a stock head, got {head["type"]!r}, which has training branches '
            'already. Change its settings instead'
        )
    return head['base_type']


def with_branch(
    key: str,
    head: dict,
    attached: Attachment,
    loss: dict[str, Any],
    partners: Collection[str] = (),
) -> dict[str, Any]:
    """Return the settings of a head that gets a branch.

    Args:
        key: config key of the head.
        head: its config.
        attached: the branch.
        loss: settings of the branch.
        partners: systems that may have changed the head before.

    Raises:
        ValueError: the head cannot carry the branch, with the reason.
    """
    base = base_type(key, head, partners)
    # Refuses a head that cannot work, with the reason, before anything is built.
    branch_head_class(MODELS.get(attached.head), base)
    settings: dict[str, Any] = dict(type=attached.type, **loss) if attached.type else dict(loss)
    for name in reversed(attached.path):
        settings = {name: settings}
    if has_branches(head):  # any branch head takes further branches
        return settings
    return dict(type=attached.head, base_type=base, **settings)


def classifies_masks(head: dict) -> bool:
    """Tell whether a head is one of MaskFormer or Mask2Former, branches around it or not."""
    known = _class_of(head)
    return known is not None and is_mask_head(known)


def pixel_classifier(key: str, head: dict) -> type[BaseDecodeHead]:
    """Return the class of a head that classifies pixels by a softmax.

    Raises:
        ValueError: it does something else, with the reason.
    """
    name = head['base_type'] if has_branches(head) else head['type']
    known = MODELS.get(name)
    if known is None:
        raise refusal(
            f'{key}.type', 'the name of a registered decode head', name, 'Import it with the config'
        )
    for ancestor in known.__mro__:
        if ancestor.__name__ in REFUSED_HEADS:
            raise refusal(
                f'{key}.type', 'a classifier of pixels', name, REFUSED_HEADS[ancestor.__name__]
            )
    if is_mask_head(known):
        raise refusal(
            f'{key}.type',
            'a classifier of pixels',
            name,
            'It classifies masks, and its losses are those of masks: take gpaco, region-rebalance, '
            'ceco, contrastive-seg or log-prior-test',
        )
    if not issubclass(known, BaseDecodeHead):
        raise refusal(
            f'{key}.type', 'a classifier of pixels', name, 'It is not a BaseDecodeHead of MMSeg'
        )
    if head.get('out_channels') == 1:
        raise refusal(
            f'{key}.out_channels',
            'one channel per class',
            1,
            'A sigmoid of one logit is no softmax over classes: leave out_channels out',
        )
    return known


def with_losses(
    key: str, head: dict, replace: Callable[[dict[str, Any]], list[dict[str, Any]]]
) -> dict[str, Any]:
    """Return the settings of a head whose softmax cross entropies are replaced.

    Other losses in its list stay.

    Args:
        key: config key of the head.
        head: its config.
        replace: a cross entropy -> what stands in its place.

    Raises:
        ValueError: the head has no softmax cross entropy.
    """
    base = pixel_classifier(key, head)
    # K-Net computes its losses with the inner head.
    inner = ('kernel_generate_head',) if issubclass(base, IterativeDecodeHead) else ()
    holder = head
    for name in inner:
        holder = holder[name]
    present = holder.get('loss_decode')
    losses = list(present) if isinstance(present, (list, tuple)) else [present or STOCK_LOSS]
    replaced: list[dict[str, Any]] = []
    found = False
    for loss in losses:
        plain = copy.deepcopy(dict(loss))
        if is_softmax(plain):
            replaced += replace(plain)
            found = True
        else:
            replaced.append(plain)
    where = '.'.join([key, *inner, 'loss_decode'])
    if not found or takes_losses_by_place(base):
        raise refusal(
            where,
            'a softmax CrossEntropyLoss of the prediction',
            [
                f'sigmoid {loss["type"]}' if loss.get('use_sigmoid') else loss['type']
                for loss in losses
            ],
            'Only that loss can be replaced without changing what the others mean',
        )
    new: Any = replaced[0] if len(replaced) == 1 else replaced
    if isinstance(new, dict):
        new = replacing(holder, 'loss_decode', new)
    settings: dict[str, Any] = dict(loss_decode=new)
    for name in reversed(inner):
        settings = {name: settings}
    return settings


STOCK_LOSS = dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0)


def is_softmax(loss: dict) -> bool:
    """Tell whether a loss is MMSegmentation's cross entropy of a softmax."""
    is_own = type_name(loss) == 'CrossEntropyLoss'
    return is_own and not (loss.get('use_sigmoid') or loss.get('use_mask'))


def takes_losses_by_place(base: type) -> bool:
    """Tell whether a head takes its losses by their places in the list (PIDNet, DDRNet)."""
    return any(cls.__name__ in ('PIDHead', 'DDRHead') for cls in base.__mro__)


def with_loss_beside(key: str, head: dict, loss: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Return the settings of a head whose softmax cross entropies get a loss beside them.

    Args:
        key: config key of the head.
        head: its config.
        loss: takes no weights of pixels.
        reason: why it takes none.

    Raises:
        ValueError: the head weights its pixels, or has no softmax cross entropy.
    """
    if head.get('sampler'):
        raise refusal(f'{key}.sampler', 'none', head['sampler'], reason)
    return with_losses(key, head, lambda own: [{'loss_name': 'loss_ce', **own}, dict(loss)])
