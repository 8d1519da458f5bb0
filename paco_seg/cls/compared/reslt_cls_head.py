"""ResLT for image classification: three residual branches and one classifier."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from paco_seg.cls.heads.features import check_tensor, hard_labels
from paco_seg.cls.heads.loss_config import with_defaults
from paco_seg.cls.heads.pooled_cls_head import PooledClsHead
from paco_seg.core.checks import check_bool, check_choice, check_range
from paco_seg.core.compared.tau_norm import tau_normalize

BRANCHES = ('conv', 'norm')


@MODELS.register_module()
class ResLTClsHead(PooledClsHead):
    """Branches for all, medium-and-tail and tail classes whose logits add up (arXiv 2101.10633).

    It takes the feature map of the backbone (no pooling neck): the branches come before the
    pooling, ``map -> branches -> pool -> fc``. Branches that no class trains (``loss.groups``) are
    neither trained nor used.

    Args:
        num_classes: C.
        in_channels: D of the map.
        loss: config of :class:`ResLTLoss`, the type may be left out.
        branch: ``'conv'``: 1x1 convolution D -> 3 D without bias, norm, ReLU (ImageNet and the
            like); ``'norm'``: one norm per branch on the same map (CIFAR).
        norm_cfg: of the branches.
        pool_first: pool before the branches, which saves their cost (released ResNet-10). Then it
            also takes features that a neck, or a backbone such as a vision transformer, has pooled.
        test_pool_first: the same at test only, as the released code does for every ImageNet-like
            model. The ReLU makes the results differ from the trained order.
        test_gamma: divide each class vector by its norm to this power at test, and drop the bias;
            None tests the classifier as it was trained. The released code drops the bias of all
            ImageNet-like models, with 0 as well.
        **kwargs: of ``LinearClsHead``.

    Raises:
        ValueError: a setting is out of range; the message starts with ``model.head.<key>``.

    Example:
        >>> model = dict(type='ImageClassifier', backbone=..., neck=None, head=dict(
        ...     type='ResLTClsHead', num_classes=1000, in_channels=2048,
        ...     loss=dict(groups=(825, 220), alpha=0.99)))
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        *,
        loss: dict | nn.Module,
        branch: str = 'conv',
        norm_cfg: dict | None = None,
        pool_first: bool = False,
        test_pool_first: bool = False,
        test_gamma: float | None = None,
        **kwargs: Any,
    ) -> None:
        loss = with_defaults(loss, type='ResLTLoss')
        super().__init__(num_classes, in_channels, loss=loss, **kwargs)
        check_choice('model.head.branch', branch, BRANCHES)
        check_range(
            'model.head.loss.groups[0]', self.loss_module.groups[0], low=0, high=num_classes
        )
        self.loss_module.class_counts.check_length(num_classes)
        if test_gamma is not None:
            check_range('model.head.test_gamma', test_gamma, low=0.0)
        self.conv = None
        if branch == 'conv':
            self.conv = nn.Conv2d(in_channels, 3 * in_channels, 1, bias=False)
        # One norm over the channels of all branches is one norm per branch.
        self.norm = build_norm_layer(norm_cfg or dict(type='BN'), 3 * in_channels)[1]
        if not isinstance(self.norm, _BatchNorm):
            raise ValueError(
                f'model.head.norm_cfg: expected a BatchNorm, got {norm_cfg}. Others mix the '
                'channels of the branches'
            )
        check_bool('model.head.pool_first', pool_first)
        check_bool('model.head.test_pool_first', test_pool_first)
        self.pool_first = pool_first
        self.test_pool_first = test_pool_first
        self.test_gamma = test_gamma

    @property
    def fewest_images(self) -> int:
        """Fewest images of a batch: what is pooled is one place for the BatchNorm."""
        return 2 if self.pool_first and isinstance(self.norm, nn.BatchNorm2d) else 1

    def pre_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Pooled features of the head, medium and tail branch, (N, 3, D).

        Raises:
            ValueError: the last stage is no map of D channels, and with ``pool_first`` no D
                pooled channels either.
        """
        features = feats[-1]
        check_tensor(features)
        if self.pool_first and features.dim() == 2:
            features = features[..., None, None]  # a map of one place
        if features.dim() != 4 or features.shape[1] != self.in_channels:
            remedy = (
                f'Set model.head.in_channels={features.shape[1]}'
                if features.dim() == 4
                else 'Set model.neck=None: the head pools'
            )
            raise ValueError(
                f'model.head.in_channels: expected a map (N, {self.in_channels}, H, W), got '
                f'{tuple(features.shape)}. {remedy}'
            )
        if self.pool_first or (self.test_pool_first and not self.training):
            features = features.mean((2, 3), keepdim=True)
        if self.conv is None:
            branches = self.norm(features.repeat(1, 3, 1, 1))
        else:
            branches = F.relu(self.norm(self.conv(features)))
        return branches.mean((2, 3)).unflatten(1, (3, self.in_channels))

    def branch_logits(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Compute the logits of each branch, (3, N, C)."""
        features = self.pre_logits(feats)
        if self.training or self.test_gamma is None:
            logits = self.fc(features)
        else:
            logits = F.linear(features, tau_normalize(self.fc.weight, self.test_gamma))
        return logits.transpose(0, 1)

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        """Sum the logits of the branches that are trained, (N, C)."""
        return self._summed(self.branch_logits(feats))

    def _summed(self, logits: Tensor) -> Tensor:
        return logits[: self.loss_module.num_branches].sum(dim=0)

    def loss(self, feats: tuple[Tensor, ...], data_samples: list[DataSample]) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Args:
            feats: stages; the last one is (N, D, H, W).
            data_samples: N samples with ``gt_label``.

        Returns:
            ``loss``.
        """
        labels = hard_labels(data_samples, self)
        logits = self.branch_logits(feats)
        loss = self.loss_module(logits, labels)
        return dict(loss=loss, **self.accuracies(self._summed(logits), labels))
