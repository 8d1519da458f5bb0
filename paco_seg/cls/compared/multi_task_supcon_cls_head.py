"""The multi-task baseline of GPaCo: cross entropy and supervised contrast."""

from __future__ import annotations

from mmpretrain.registry import MODELS

from paco_seg.cls.heads.gpaco_cls_head import GPaCoClsHead


@MODELS.register_module()
class MultiTaskSupConClsHead(GPaCoClsHead):
    """Linear classifier with cross entropy, and supervised contrast on its projector.

    Views, projector, queue and anchors are those of :class:`GPaCoClsHead`; ``loss`` is the config
    of :class:`MultiTaskSupConLoss`.
    """

    default_loss: dict = dict(type='MultiTaskSupConLoss')
