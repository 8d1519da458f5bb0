"""How to reach, inside the loss of a decode head, the feature map that its classifier reads.

Nearly all heads of MMSegmentation classify through ``cls_seg`` exactly once per ``loss()``; its
argument is the feature before dropout, as the paper projects it. Three families need a word of
their own. A tap is a mixin placed between a training-branch head and its base head.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmseg.models.decode_heads import point_head
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.decode_heads.knet_head import IterativeDecodeHead
from mmseg.models.decode_heads.point_head import PointHead
from mmseg.models.decode_heads.segmenter_mask_head import SegmenterMaskTransformerHead
from torch import Tensor, nn

# Base heads that cannot carry a training branch, by class name (subclasses included).
REFUSED_HEADS = {
    'STDCHead': 'it predicts binary boundaries, not classes; put GPaCo on the main head instead',
    'SideAdapterCLIPHead': 'it classifies masks by text embeddings and has no pixel classifier',
    'VPDDepthHead': 'it regresses depth and has no classes',
}


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
        handle = self.patch_proj.register_forward_hook(lambda _, args, out: seen.append(out))
        try:
            masks = super().forward(inputs)
        finally:
            handle.remove()
        # (B, h w, D) -> (B, D, h, w)
        features = seen[0].transpose(1, 2).unflatten(2, masks.shape[2:])
        self._taps.append(TappedFeatures(features, masks))
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
