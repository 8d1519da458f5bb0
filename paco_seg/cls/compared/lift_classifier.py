"""A frozen vision transformer with an adapter in each block."""

from __future__ import annotations

from typing import Any

from mmpretrain.models import ImageClassifier
from mmpretrain.models.backbones import BEiTViT, VisionTransformer
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from paco_seg.cls.compared.frozen_feature_classifier import FrozenFeatureClassifier
from paco_seg.core.compared import lift

# Blocks of MMPretrain with one norm ahead of their MLP and one residual stream.
TRANSFORMERS = (VisionTransformer, BEiTViT)
NORMS = ('ln1', 'ln2', 'norm1', 'norm2')  # of a block, whatever the backbone calls them


@MODELS.register_module()
class LIFTClassifier(FrozenFeatureClassifier):
    """``ImageClassifier`` on a frozen vision transformer that learns adapters and the head.

    The adapter of a block sees what its MLP sees and adds to what the block returns (arXiv
    2309.10019). The weights of the transformer come from a file: ``stage_one``, a checkpoint of a
    whole classifier whose head is left out, or ``backbone.init_cfg``. Its keys stay those of the
    stock model. It is in evaluation mode throughout, without stochastic depth.

    Args:
        backbone: config of a ``VisionTransformer``, a subclass of it (``DeiT3``, ``ViTEVA02``) or a
            ``BEiTViT``.
        adapter_width: of the bottlenecks; None = :func:`paco_seg.core.compared.lift.adapter_width`
            of the classes and blocks.
        **kwargs: of :class:`FrozenFeatureClassifier`; the head is a :class:`LIFTClsHead`.

    Raises:
        TypeError: the backbone is no vision transformer.
        ValueError: the width is below 1.

    Example:
        >>> model = dict(type='LIFTClassifier', stage_one='vit-base.pth',
        ...     backbone=dict(type='VisionTransformer', arch='b'),
        ...     head=dict(type='LIFTClsHead', num_classes=1000, in_channels=768))
    """

    def __init__(self, backbone: dict, *, adapter_width: int | None = None, **kwargs: Any) -> None:
        super().__init__(backbone, **kwargs)
        if not isinstance(self.backbone, TRANSFORMERS):
            raise TypeError(
                'model.backbone.type: expected a plain vision transformer '
                f'({", ".join(kind.__name__ for kind in TRANSFORMERS)}), got '
                f'{type(self.backbone).__name__}. Adapters go into the blocks of one'
            )
        layers = self.backbone.layers
        if adapter_width is None:
            adapter_width = lift.adapter_width(self.head.num_classes, len(layers))
        adapters = [_BlockAdapter(self.backbone.embed_dims, adapter_width) for _ in layers]
        for layer, adapter in zip(layers, adapters, strict=True):
            adapter.attach(layer)
        self.adapters = nn.ModuleList(adapters)

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict:
        """Compute the loss; gradient flows through the transformer to the adapters."""
        return ImageClassifier.loss(self, inputs, data_samples)


class _BlockAdapter(lift.ResidualAdapter):
    """An adapter that hooks into a block; a copy of the model takes its own one along."""

    def attach(self, layer: nn.Module) -> None:
        # Bound methods: unlike closures, they follow a deep copy of the model.
        # The last norm that runs is the one of the MLP; in DeiT3 it is that of the attention again.
        for name, part in layer.named_children():
            if name in NORMS:
                part.register_forward_pre_hook(self._keep)
        layer.register_forward_hook(self._add)
        self._tokens: Tensor | None = None

    def _keep(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._tokens = args[0]

    def _add(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        tokens, self._tokens = self._tokens, None
        assert tokens is not None  # a norm has run within the block
        return output + self(tokens)
