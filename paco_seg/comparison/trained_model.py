"""What the classifier of a trained model reads, and its rows, the class centers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

from paco_seg.core.grouping import Grouping
from paco_seg.engine.class_centers import centers_of, classifier_beside
from paco_seg.engine.prediction import build_trained, class_names, named

# Parts of a feature map of one image that a class may give to its share: of several images.
_IMAGES_PER_CLASS = 4


@dataclass(frozen=True)
class TrainedModel:
    """A model of either task with its weights, in evaluation mode.

    Args:
        model: without SyncBN.
        classifier: its last layer.
        classes: C names.
        grouping: of the classes by frequency, if the loss of the model knows it.
        device: where the model is.
        cfg: of the training.
    """

    model: Any
    classifier: nn.Module
    classes: list[str]
    grouping: Grouping | None
    device: str
    cfg: Config

    @property
    def centers(self) -> Tensor:
        """(C, D) float32 on the CPU."""
        return centers_of(self.classifier).float().cpu()

    @torch.no_grad()
    def features(self, num_samples: int, max_images: int) -> tuple[Tensor, Tensor]:
        """Collect inputs of the classifier on the test set, as many of each class.

        Args:
            num_samples: to collect at most, all classes together.
            max_images: to read at most.

        Returns:
            (N, D) float32 and the (N,) int64 labels, in the order of the classes.

        Raises:
            ValueError: the head does not run this classifier, or the test set has no labels.
        """
        seen: list[Tensor] = []
        handle = self.classifier.register_forward_pre_hook(
            lambda _, args: seen.append(args[0].detach())
        )
        number = len(self.classes)
        share = max(1, num_samples // number)
        found: dict[int, list[Tensor]] = {label: [] for label in range(number)}
        room = dict.fromkeys(found, share)
        generator = torch.Generator().manual_seed(0)
        try:
            images = 0
            with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
                loader = Runner.build_dataloader(self.cfg.test_dataloader, seed=0)
            for batch in loader:
                seen.clear()
                data = self.model.data_preprocessor(batch, False)
                labels = self._run(data)
                if not seen:
                    raise ValueError(
                        f'model: expected a head that classifies by its layer at inference, got '
                        f'{type(self.classifier).__name__} that does not run. Draw the centers'
                    )
                rows, labels = _rows(seen[-1].float().cpu(), labels)
                for label in labels.unique().tolist():
                    if not room.get(label):
                        continue
                    places = (labels == label).nonzero().squeeze(1)
                    order = torch.randperm(len(places), generator=generator)
                    most = min(room[label], -(-share // _IMAGES_PER_CLASS) * len(data['inputs']))
                    taken = rows[places[order[:most]]]
                    found[label].append(taken)
                    room[label] -= len(taken)
                images += len(data['inputs'])
                if images >= max_images or not any(room.values()):
                    break
        finally:
            handle.remove()
        parts = [torch.cat(part) for part in found.values() if part]
        if not parts:
            raise ValueError(
                'test_dataloader: expected images with labels, got none of any class. Set '
                'test_dataloader to a set with labels, such as that of val_dataloader'
            )
        counts = [sum(map(len, part)) for part in found.values()]
        return torch.cat(parts), torch.arange(number).repeat_interleave(torch.tensor(counts))

    def _run(self, data: Mapping[str, Any]) -> Tensor:
        """Let the head classify a batch, and return its labels: (B,) or (B, 1, H, W)."""
        inputs, samples = data['inputs'], data['data_samples']
        segmentation = self.cfg.default_scope == 'mmseg'
        name = 'gt_sem_seg' if segmentation else 'gt_label'
        if not all(name in sample for sample in samples):
            raise ValueError(
                f'test_dataloader.dataset: expected samples with {name}, got none. Load the '
                'annotations in its pipeline'
            )
        if not segmentation:
            self.model(inputs, mode='tensor')
            return torch.stack([sample.gt_label[0] for sample in samples]).cpu()
        self.model.encode_decode(inputs, [sample.metainfo for sample in samples])
        return torch.stack([sample.gt_sem_seg.data for sample in samples]).cpu()


def load_trained(cfg: Config, checkpoint: str, device: str) -> TrainedModel:
    """Build the model of a config with the weights of a checkpoint.

    Args:
        cfg: config of the training.
        checkpoint: file of its weights.
        device: where it runs.

    Raises:
        ValueError: the checkpoint is of another model, or the model has no linear classifier.
    """
    model, meta = build_trained(cfg, checkpoint)
    model = model.to(device)
    name = 'decode_head' if cfg.default_scope == 'mmseg' else 'head'
    head = getattr(model, name, None)
    if isinstance(head, nn.ModuleList):
        name = f'{name}.{len(head) - 1}'
    classifier = None if head is None else classifier_beside(model, name)
    if classifier is None:
        raise ValueError(
            f'{name}: expected a linear layer or 1x1 convolution as the classifier, got none in '
            f'{type(head).__name__}. Its rows are the class centers: take another model'
        )
    names, _ = class_names(meta, cfg)
    classes = named(names, len(centers_of(classifier)), checkpoint)
    groupings = (m.class_groups() for m in model.modules() if hasattr(m, 'class_groups'))
    return TrainedModel(model, classifier, classes, next(groupings, None), device, cfg)


def _rows(features: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return samples (N, D) and labels (N,) of a feature map, or of pooled features as they are."""
    if features.dim() == 2:
        return features, labels.flatten()
    # Nearest in float32 is exact for class indices.
    on_grid = F.interpolate(labels.float(), size=features.shape[2:], mode='nearest').long()
    return features.flatten(2).transpose(1, 2).flatten(0, 1), on_grid.flatten()
