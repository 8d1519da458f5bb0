"""GPaCo for semantic segmentation: projector and pixel-contrastive loss around any head."""

from __future__ import annotations

from typing import Any

from mmseg.registry import MODELS

from paco_seg.seg.heads.branch_decode_head import BranchDecodeHead


@MODELS.register_module()
class GPaCoDecodeHead(BranchDecodeHead):
    """Any decode head with the GPaCo pixel-contrastive loss (arXiv 2209.12400).

    The stock losses stay; the class centers are the weights of the head's own classifier. The
    projector runs in training only.

    Args:
        base_type: name of a registered decode head; all further arguments are its own.
        projector: ``num_layers`` 1x1 convolutions; all but the last are followed by norm and
            ReLU. ``hidden_channels=None`` keeps the width of the feature; ``norm_cfg`` defaults
            to that of the head, else SyncBN.
        loss_contrast: config of :class:`PixelGPaCoLoss`, with the settings of the pixel sampler and
            of the queue, see :class:`GPaCoBranch`.
        training_branches: further branches, see :class:`BranchDecodeHead`.

    Raises:
        ValueError: unknown or unsuitable ``base_type``, or a setting out of range.

    Example:
        >>> model = dict(decode_head=dict(type='GPaCoDecodeHead', base_type='PSPHead'))
    """

    def __init__(
        self,
        *,
        projector: dict | None = None,
        loss_contrast: dict | None = None,
        training_branches: dict[str, dict] | None = None,
        **kwargs: Any,
    ) -> None:
        if 'gpaco' in (training_branches or {}):
            raise ValueError(
                "training_branches.gpaco: expected another name, for 'gpaco' is the branch of this "
                'head. Set projector and loss_contrast, or rename the branch'
            )
        gpaco = dict(type='GPaCoBranch', projector=projector, loss_contrast=loss_contrast)
        super().__init__(training_branches=dict(gpaco=gpaco, **(training_branches or {})), **kwargs)
