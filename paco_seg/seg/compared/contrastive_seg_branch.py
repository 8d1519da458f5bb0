"""ContrastiveSeg beside a decode head: projector, anchors, memory and one call of the loss."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from mmengine.logging import MessageHub
from mmseg.registry import MODELS
from torch import Tensor, nn

from paco_seg.core.checks import check_choice, check_count, check_range, check_shape
from paco_seg.core.class_queues import ClassQueues
from paco_seg.core.compared.pixel_contrast import MINING, choose_anchors, pixel_contrast_loss
from paco_seg.core.compared.region import region_means
from paco_seg.core.embeddings import unit_rows
from paco_seg.core.sampling import per_class_mask
from paco_seg.seg.heads.projector import conv_projector
from paco_seg.seg.heads.training_branch import BranchInputs, TrainingBranch
from paco_seg.seg.losses.loss_name import check_loss_name

KEY = 'ContrastiveSegBranch'


@MODELS.register_module()
class ContrastiveSegBranch(TrainingBranch):
    """Cross-image pixel contrast (arXiv 2101.11939); nothing of it runs at inference.

    Pixels of all images of a rank are contrasted with each other and, with ``memory_size``, with
    pixels and regions (mean embeddings of a class in an image) of earlier images, of all ranks.
    The defaults are those of the released Cityscapes config, without its warm-up.

    The memory is not the released one, with which results fall below the baseline: pixels come
    from places of their class, every class has one (the released code drops class 0), a write of K
    keys moves the position by K, all ranks hold the same, slots are empty until they are written,
    and no entry is taken for the anchor itself.

    Args:
        in_channels: D of the tapped feature; the head fills it in.
        num_classes: C; the head fills it in.
        norm_cfg: norm of the projector; default that of the head, else SyncBN.
        out_channels: length of an embedding.
        temperature: T > 0.
        base_temperature: the loss is multiplied by ``temperature / base_temperature``.
        max_samples: anchors of a rank, at most.
        max_views: anchors of a class in an image, at most.
        min_pixels: pixels (of the feature map) that a class needs to have anchors in an image. The
            released code wants more than ``max_views``, so that small classes never have any.
        mining: 'all' positives and negatives count, or the 'hardest', or some of the hardest
            ('semi-hard'): see :func:`pixel_contrast_loss`. The paper describes it, the released
            code lacks it.
        hard_share: share of the positives and negatives that 'semi-hard' draws from.
        num_negatives: negatives of an anchor under a mining.
        num_positives: positives of an anchor under a mining.
        memory_size: slots of each class, as many for pixels as for regions; 0 = no memory.
        memory_pixels: pixels of each class that an image adds to the memory.
        memory_samples: keys of each class that a step draws from either part of the memory. All of
            5000 slots would be a matrix of ``max_samples`` by 190 000 on Cityscapes.
        start_iter: iterations before the loss counts; the released configs wait for 5000, and fill
            their memory meanwhile.
        start_share: share of the training before the loss counts, in [0, 1), where that is later
            than ``start_iter``. 5000 of the released 40k iterations are 0.125.
        loss_weight: factor of the loss, >= 0. With 0 the branch does not run at all, so that
            training is bit for bit that of the base head.
        loss_name: key of the loss in the log.

    Raises:
        TypeError: a number is of the wrong kind.
        ValueError: a setting is out of range, or the memory does not fit.

    Example:
        >>> decode_head = dict(
        ...     type='BranchDecodeHead',
        ...     base_type='FCNHead',
        ...     training_branches=dict(contrastive_seg=dict(type='ContrastiveSegBranch')))
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        norm_cfg: dict | None = None,
        out_channels: int = 256,
        temperature: float = 0.1,
        base_temperature: float = 0.07,
        max_samples: int = 1024,
        max_views: int = 100,
        min_pixels: int = 1,
        mining: str = 'all',
        hard_share: float = 0.1,
        num_negatives: int = 2048,
        num_positives: int = 1024,
        memory_size: int = 0,
        memory_pixels: int = 10,
        memory_samples: int = 100,
        start_iter: int = 0,
        start_share: float = 0.0,
        loss_weight: float = 0.1,
        loss_name: str = 'loss_contrast',
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        check_range(f'{KEY}.base_temperature', base_temperature, low=0.0, low_open=True)
        check_choice(f'{KEY}.mining', mining, MINING)
        check_range(f'{KEY}.hard_share', hard_share, low=0.0, high=1.0, low_open=True)
        check_count(f'{KEY}.out_channels', out_channels, low=1)
        for name, value, low in (
            ('max_samples', max_samples, 1),
            ('max_views', max_views, 1),
            ('min_pixels', min_pixels, 1),
            ('num_negatives', num_negatives, 1),
            ('num_positives', num_positives, 1),
            ('memory_size', memory_size, 0),
            ('memory_pixels', memory_pixels, 1),
            ('memory_samples', memory_samples, 1),
            ('start_iter', start_iter, 0),
        ):
            check_count(f'{KEY}.{name}', value, low=low)
        check_range(f'{KEY}.start_share', start_share, low=0.0, high=1.0 - 1e-12)
        check_range(f'{KEY}.loss_weight', loss_weight, low=0.0)
        check_loss_name(f'{KEY}.loss_name', loss_name)
        self.num_classes = num_classes
        self.max_samples = max_samples
        self.max_views = max_views
        self.min_pixels = min_pixels
        self.temperature = temperature
        self.base_temperature = base_temperature
        self.mining = mining
        self.hard_share = hard_share
        self.num_negatives = num_negatives
        self.num_positives = num_positives
        self.memory_pixels = memory_pixels
        self.memory_samples = memory_samples
        self.start_iter = start_iter
        self.start_share = start_share
        self.loss_weight = loss_weight
        self.loss_name = loss_name
        self.projector = conv_projector(
            in_channels,
            num_layers=2,
            out_channels=out_channels,
            norm_cfg=norm_cfg or dict(type='SyncBN', requires_grad=True),
        )
        self.pixel_memory, self.region_memory = (
            ClassQueues(num_classes, memory_size, out_channels) if memory_size else None
            for _ in range(2)
        )

    def forward(self, inputs: BranchInputs) -> dict[str, Tensor]:
        """Compute one loss, under ``loss_name``.

        Raises:
            ShapeError: features, logits and labels are not on one grid.
            ValueError: a label is neither a class nor the ignored one.
        """
        if self.loss_weight == 0:
            zero = inputs.features.new_zeros((), dtype=torch.float32)
            # DDP expects a gradient of every parameter.
            return {self.loss_name: sum((0 * p.sum() for p in self.parameters()), start=zero)}
        features = inputs.features
        batch, _, *size = features.shape
        check_shape('labels', inputs.feature_labels, (batch, *size))
        check_shape('logits', inputs.logits, (batch, 'C', *size))
        # The norm of the projector sees all pixels; its last layer only those that are needed.
        points = features.dim() == 3  # sampled points as a map of width 1
        hidden = self.projector[:-1](features.unsqueeze(-1) if points else features)
        hidden = hidden.flatten(2).transpose(1, 2)  # (B, P, K)
        labels = inputs.feature_labels.flatten(1).long()
        wrong = inputs.logits.detach().argmax(dim=1).flatten(1) != labels
        indices, valid = choose_anchors(
            labels,
            wrong,
            self.num_classes,
            max_samples=self.max_samples,
            max_views=self.max_views,
            min_pixels=self.min_pixels,
        )
        anchors = self._embedded(hidden.reshape(-1, hidden.shape[2])[indices])
        keys, key_labels = self._drawn()
        loss = pixel_contrast_loss(
            anchors,
            labels.flatten()[indices],
            temperature=self.temperature,
            base_temperature=self.base_temperature,
            valid=valid,
            keys=keys,
            key_labels=key_labels,
            mining=self.mining,
            hard_share=self.hard_share,
            num_negatives=self.num_negatives,
            num_positives=self.num_positives,
        )
        self._remember(hidden, labels, inputs.ignore_index)
        return {self.loss_name: loss * (self.loss_weight * self._has_started())}

    def _embedded(self, rows: Tensor) -> Tensor:
        """Apply the last 1x1 convolution to rows (..., K) and normalise them."""
        layer = cast(nn.Conv2d, self.projector[-1])
        return unit_rows(F.linear(rows, layer.weight.flatten(1), layer.bias))

    def _drawn(self) -> tuple[Tensor | None, Tensor | None]:
        """Draw keys and their labels from both parts of the memory."""
        if self.pixel_memory is None or self.region_memory is None:
            return None, None
        drawn = [part.draw(self.memory_samples) for part in (self.pixel_memory, self.region_memory)]
        keys, labels = zip(*drawn, strict=True)
        return torch.cat(keys), torch.cat(labels)

    @torch.no_grad()
    def _remember(self, hidden: Tensor, labels: Tensor, ignore_index: int) -> None:
        """Add pixels and regions of these images, for later steps."""
        if self.pixel_memory is None or self.region_memory is None:
            return
        if not self.training:  # a loss on validation data leaves no trace
            return
        rows = self._embedded(hidden)
        chosen = per_class_mask(labels, self.num_classes, self.memory_pixels).flatten()
        # How many were chosen only the device knows; the host knows how many there can be.
        most = len(labels) * self.num_classes * self.memory_pixels
        first = chosen.byte().argsort(descending=True, stable=True)[:most]
        flat = rows.flatten(0, 1)[first]
        self.pixel_memory.enqueue(flat, labels.flatten()[first], chosen[first])
        means, present = region_means(
            rows.transpose(1, 2).unsqueeze(-1),
            labels.unsqueeze(-1),
            self.num_classes,
            ignore_index=ignore_index,
            grouping='image',
        )
        classes = torch.arange(self.num_classes, device=labels.device).expand_as(present)
        self.region_memory.enqueue(
            unit_rows(means).flatten(0, 1), classes.flatten(), present.flatten()
        )

    def _has_started(self) -> bool:
        """Tell whether the loss counts at the current iteration of the runner."""
        # MMEngine's RuntimeInfoHook writes the iteration before every step, also after resume.
        info = MessageHub.get_current_instance().runtime_info
        # Rounded, since 0.55 * 100 is a little more than 55.
        start = max(self.start_iter, round(self.start_share * info.get('max_iters', 0), 6))
        return info.get('iter', 0) >= start
