"""Mask2Former's head of MMSegmentation with the parts of MMDetection's that it builds upon.

MMDetection is not needed: its head is a pixel decoder, queries, and losses of masks, here in a few
lines. ``loss`` and ``predict`` are MMSegmentation's own.
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.registry import MODELS
from torch import nn


class PixelDecoder(nn.Module):
    """(mask features, multi-scale features) of a map."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.mask_feature = nn.Conv2d(channels, channels, 1)

    def forward(self, maps):
        hidden = self.body(maps[0]).relu()
        return self.mask_feature(hidden), [hidden]


@MODELS.register_module(force=True)
class TinyMask2FormerHead(Mask2FormerHead):
    """Queries that see the mean of the pixel embeddings; every class is the business of one."""

    def __init__(self, num_classes, channels=8, num_queries=6, ignore_index=255):
        BaseModule.__init__(self)
        self.num_classes = self.out_channels = num_classes
        self.align_corners, self.ignore_index = False, ignore_index
        self.pixel_decoder = PixelDecoder(channels)
        self.query_embed = nn.Embedding(num_queries, channels)
        self.cls_embed = nn.Linear(channels, num_classes + 1)
        self.mask_embed = nn.Linear(channels, channels)

    def forward(self, x, batch_data_samples):
        mask_features, _ = self.pixel_decoder(x)
        queries = self.query_embed.weight + mask_features.mean(dim=(2, 3)).unsqueeze(1)
        masks = torch.einsum('bqc,bchw->bqhw', self.mask_embed(queries), mask_features)
        return [self.cls_embed(queries)], [masks]

    def loss_by_feat(self, all_cls_scores, all_mask_preds, batch_gt_instances, batch_img_metas):
        scores, masks = all_cls_scores[-1], all_mask_preds[-1]
        wanted = torch.full(scores.shape[:2], self.num_classes)
        mask_loss = masks.sum() * 0
        for image, truth in enumerate(batch_gt_instances):
            for label, mask in zip(truth.labels, truth.masks, strict=True):
                query = int(label) % scores.shape[1]
                wanted[image, query] = label
                target = F.interpolate(mask[None, None].float(), masks.shape[2:])[0, 0]
                mask_loss = mask_loss + F.binary_cross_entropy_with_logits(
                    masks[image, query], target
                )
        loss_cls = F.cross_entropy(scores.flatten(0, 1), wanted.flatten())
        return dict(loss_cls=loss_cls, loss_mask=mask_loss)
