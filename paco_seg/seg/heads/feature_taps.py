"""How to reach, inside the loss of a decode head, the feature map that its classifier reads.

Nearly all heads of MMSegmentation classify through ``cls_seg`` exactly once per ``loss()``; its
argument is the feature before dropout, as the paper projects it. Four families need a word of
their own. A tap is a mixin placed between a training-branch head and its base head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmengine.model import BaseModule
from mmseg.models.decode_heads import point_head
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.knet_head import IterativeDecodeHead
from mmseg.models.decode_heads.point_head import PointHead
from mmseg.models.decode_heads.segmenter_mask_head import SegmenterMaskTransformerHead
from torch import Tensor, nn

from paco_seg import compat

# Base heads that cannot carry a training branch, by class name (subclasses included).
REFUSED_HEADS = {
    'STDCHead': 'it predicts binary boundaries, not classes; put GPaCo on the main head instead',
    'SideAdapterCLIPHead': 'it classifies masks by text embeddings and has no pixel classifier',
    'VPDDepthHead': 'it regresses depth and has no classes',
}

# Heads that classify masks instead of pixels, through MMDetection.
MASK_HEADS = ('MaskFormerHead', 'Mask2FormerHead')
PIXEL_CLASSIFIER = 'pixel_classifier'


@dataclass
class TappedFeatures:
    """What one forward pass of a head in training showed.

    Attributes:
        features: (B, D, h, w), the input of the classifier; (B, D, P) for sampled points.
        logits: (B, K, h, w) or (B, K, P), what the classifier made of it.
        labels: (B, P) labels of the points; None for maps, whose labels come from the samples.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor | None = None


class ClsSegTap:
    """Heads that classify through ``cls_seg``."""

    # None outside of loss(): inference then costs nothing and keeps nothing alive.
    _taps: list[TappedFeatures] | None = None

    @property
    def tap_channels(self) -> int:
        """Channels D of the tapped feature."""
        return self.conv_seg.in_channels

    def tap_branches(self) -> dict[str, dict]:
        """Branches that the others need beside them: name -> config."""
        return {}

    def cls_seg(self, feat: Tensor) -> Tensor:
        """Classify as the base head, remembering input and output during loss()."""
        logits = super().cls_seg(feat)
        if self._taps is not None:
            self._taps.append(TappedFeatures(feat, logits))
        return logits


class IterativeTap(ClsSegTap):
    """K-Net: features of the kernel-generating head, logits of the last stage."""

    @property
    def tap_channels(self) -> int:
        """Channels D of the tapped feature."""
        return self.kernel_generate_head.conv_seg.in_channels

    def forward(self, inputs: list[Tensor]) -> list[Tensor] | Tensor:
        """Run the base head; a hook taps the classifier of the inner head."""
        if self._taps is None:
            return super().forward(inputs)
        inner = self.kernel_generate_head
        first = inner.conv_seg if inner.dropout is None else inner.dropout
        seen: list[Tensor] = []
        handle = first.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        try:
            stages = super().forward(inputs)
        finally:
            handle.remove()
        last = stages[-1] if isinstance(stages, list) else stages
        self._taps.append(TappedFeatures(seen[0], last))
        return stages


class SegmenterTap(ClsSegTap):
    """Segmenter: patch embeddings before their normalisation, as a map."""

    @property
    def tap_channels(self) -> int:
        """Channels D of the tapped feature."""
        return self.patch_proj.out_features

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Run the base head; a hook taps the patch projection."""
        if self._taps is None:
            return super().forward(inputs)
        seen: list[Tensor] = []
        size = self._transform_inputs(inputs).shape[2:]

        def keep(_: nn.Module, args: tuple, out: Tensor) -> Tensor:
            seen.append(out.transpose(1, 2).unflatten(2, size))  # (B, h w, D) -> (B, D, h, w)
            # The head goes on from the map: the gradient there is that of its own losses too.
            return seen[0].flatten(2).transpose(1, 2)

        handle = self.patch_proj.register_forward_hook(keep)
        try:
            masks = super().forward(inputs)
        finally:
            handle.remove()
        self._taps.append(TappedFeatures(seen[0], masks))
        return masks


class PointTap(ClsSegTap):
    """PointRend: features of the sampled points, labels at the same points."""

    @property
    def tap_channels(self) -> int:
        """Channels D of the tapped feature."""
        return self.fc_seg.in_channels

    def loss_by_feat(
        self, point_logits: Tensor, points: Tensor, batch_data_samples: list, **kwargs
    ) -> dict:
        """Compute the loss of the base head, keeping the labels of the points."""
        if self._taps:
            # The op that the base head sampled its features with; without it none can be built.
            labels = point_head.point_sample(
                self._stack_batch_gt(batch_data_samples).float(),
                points,
                mode='nearest',
                align_corners=self.align_corners,
            )
            self._taps[-1].labels = labels.squeeze(1).long()
        return super().loss_by_feat(point_logits, points, batch_data_samples, **kwargs)


class MaskClassificationTap(ClsSegTap):
    """MaskFormer and Mask2Former: pixel embeddings, and the logits of an auxiliary classifier."""

    @property
    def tap_channels(self) -> int:
        """Channels D of the tapped feature."""
        return self.pixel_decoder.mask_feature.out_channels

    def tap_branches(self) -> dict[str, dict]:
        """Branches that the others need beside them: name -> config."""
        return {PIXEL_CLASSIFIER: dict(type='PixelClassifierBranch')}

    def loss(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Compute the losses of the base head; a hook taps the pixel decoder."""
        if self._taps is None:
            return super().loss(*args, **kwargs)
        handle = self.pixel_decoder.register_forward_hook(
            lambda _, args, out: self._remember(out[0])
        )
        try:
            return super().loss(*args, **kwargs)
        finally:
            handle.remove()

    def _remember(self, features: Tensor) -> None:
        if PIXEL_CLASSIFIER in self.training_branches:
            logits = self.training_branches[PIXEL_CLASSIFIER].classify(features)
        else:  # no branch is there that could ask for them
            batch, _, height, width = features.shape
            logits = features.new_zeros(1).expand(batch, self.num_classes, height, width)
        if self._taps is not None:
            self._taps.append(TappedFeatures(features, logits))


def is_mask_head(base: type) -> bool:
    """Tell whether a head classifies masks (MaskFormer, Mask2Former and subclasses)."""
    return any(ancestor.__name__ in MASK_HEADS for ancestor in base.__mro__)


def tap_for(base: type[nn.Module]) -> type[ClsSegTap]:
    """Return the tap that fits a decode head class.

    Raises:
        ValueError: the head cannot work; names the reason.
    """
    for ancestor in base.__mro__:
        if ancestor.__name__ in REFUSED_HEADS:
            raise ValueError(
                f'base_type: {base.__name__} cannot carry a training branch: '
                f'{REFUSED_HEADS[ancestor.__name__]}'
            )
    if is_mask_head(base):
        if base.__name__ in MASK_HEADS and base.__bases__ == (BaseModule,):
            # MMSegmentation puts this base in place of MMDetection's head, whatever went wrong.
            raise ValueError(
                f'base_type: {base.__name__} cannot be built here: '
                f'{compat.why_no_mask_heads() or "MMDetection could not be imported"}'
            )
        return MaskClassificationTap
    if not issubclass(base, BaseDecodeHead):
        raise ValueError(
            f'base_type: {base.__name__} cannot carry a training branch: it is not a '
            'BaseDecodeHead, so it has no pixel classifier whose weights could be class centers'
        )
    for head, tap in (
        (IterativeDecodeHead, IterativeTap),
        (SegmenterMaskTransformerHead, SegmenterTap),
        (PointHead, PointTap),
    ):
        if issubclass(base, head):
            return tap
    return ClsSegTap
