"""The label maps of a dataset config, loaded exactly as training loads them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from mmseg.registry import DATASETS, TRANSFORMS

from paco_seg.engine.data_config import datasets_of
from paco_seg.engine.loading_steps import LoadingSteps
from paco_seg.engine.preflight import dataset_class, repetitions
from paco_seg.engine.stages import first_line

# Images on which a pipeline is tried whose annotation step cannot be told by its class.
_TRIED = 5


class NoLabelMapsError(ValueError):
    """A dataset has no classes or label maps that could be looked at."""


class UnlabelledError(NoLabelMapsError):
    """The pipeline of a dataset packs images without label maps."""


class LabelMaps:
    """Images and label maps of one MMSegmentation dataset, without augmentation.

    The pipeline's own steps load them, whatever they are called: the first step that adds
    ``img`` for images, the first that adds ``gt_seg_map`` for label maps.

    Args:
        config: config of a dataset (no wrapper).
        key: its config key, for errors.
        times: how often one pass over the training data delivers it.

    Attributes:
        classes: C class names, in the order of the label values.
        ignore_index: label value that is not a class.
        infos: one dict per image, as ``load_data_list`` returns it.

    Raises:
        NoLabelMapsError: the dataset is not one of MMEngine's kind, has no classes, or its
            pipeline loads no label maps; or it is a test set without their folder.
        ValueError: it has no images, or no folder of label maps.
    """

    def __init__(self, config: dict, key: str = 'dataset', times: int = 1) -> None:
        self.key = key
        self.times = times
        self._steps = LoadingSteps(
            config.get('pipeline') or (), TRANSFORMS, 'mmseg', f'{key}.pipeline'
        )
        with DefaultScope.overwrite_default_scope('mmseg'):
            kind = dataset_class(config, 'mmseg')
            if kind is None:
                raise ValueError(
                    f'{key}.type: expected a registered segmentation dataset, got '
                    f'{config.get("type")!r}. Check the name and custom_imports'
                )
            if isinstance(kind, type) and not issubclass(kind, BaseDataset):
                raise NoLabelMapsError(
                    f'{key}.type: expected a dataset that extends BaseSegDataset, got '
                    f'{kind.__name__}, whose files are not known'
                )
            self.dataset: BaseDataset = DATASETS.build(
                dict(copy.deepcopy(config), pipeline=[], serialize_data=False)
            )
        self.classes = tuple(self.dataset.metainfo.get('classes') or ())
        if not self.classes:
            raise NoLabelMapsError(
                f'{key}.metainfo.classes: expected class names, got none. Set '
                'metainfo=dict(classes=(...)), or use a dataset class that has them.'
            )
        self.ignore_index: int = getattr(self.dataset, 'ignore_index', 255)
        self.reduce_zero_label = bool(getattr(self.dataset, 'reduce_zero_label', False))
        self.backend_args: dict | None = getattr(self.dataset, 'backend_args', None)
        self.infos = [self.dataset.get_data_info(i) for i in range(len(self.dataset))]
        for info in self.infos:
            info.pop('sample_idx', None)
        if not self.infos:
            folder = (getattr(self.dataset, 'data_prefix', None) or {}).get('img_path')
            raise ValueError(
                f'{key}: expected images, got none in {folder!r}. Check data_root, '
                'data_prefix.img_path, img_suffix and ann_file'
            )
        self._annotation = self._find_annotation_step()
        self._annotation_is_alone = True
        if not any('seg_map_path' in info for info in self.infos):
            self._check_folder()

    def labels(self, info: dict) -> np.ndarray:
        """Label map after ``reduce_zero_label`` and the map of custom classes, mostly (H, W)."""
        if self._annotation_is_alone:
            try:
                return self._annotated(copy.deepcopy(info))
            except KeyError:  # a loader that builds on the image, e.g. on its shape
                results = self._before_annotation(info)
                self._annotation_is_alone = False
                return self._annotated(results)
        return self._annotated(self._before_annotation(info))

    def _check_folder(self) -> None:
        """Refuse a step that wants the path of a label map which no image has."""
        try:
            self.labels(self.infos[0])
        except KeyError as error:
            if error.args != ('seg_map_path',):
                return
            # The test images of a benchmark come without labels.
            kind = NoLabelMapsError if self.key.startswith('test') else ValueError
            raise kind(
                f'{self.key}.data_prefix.seg_map_path: expected the folder of the label maps, got '
                'none. Set it'
            ) from error
        except Exception:  # decoders raise anything; who reads the files says so
            return

    def image(self, info: dict) -> tuple[np.ndarray, tuple[int, ...]]:
        """Image as the pipeline loads it, ahead of any resizing, and its (H, W)."""
        results = self._steps.until(info, 'img', 'LoadImageFromFile')
        shape = results.get('img_shape') or results['img'].shape[:2]
        return results['img'], tuple(int(side) for side in shape)

    def image_size(self, info: dict) -> tuple[int, ...]:
        """(H, W) of the image as the pipeline loads it; (Z, Y, X) of a volume."""
        return self.image(info)[1]

    @property
    def stock_image_loader(self) -> LoadImageFromFile | None:
        """The pipeline's first step if it is MMCV's reader of image files."""
        if len(self._steps) and self._steps.kind(0) is LoadImageFromFile:
            return self._steps.step(0)
        return None

    def _find_annotation_step(self) -> int:
        for index in range(len(self._steps)):
            if self._is_file_annotation(index):
                return index
        error: Exception | None = None
        is_packed = False
        for info in self.infos[:_TRIED]:
            results = copy.deepcopy(info)
            for index in range(len(self._steps)):
                try:
                    results = self._steps.run(index, results)
                except Exception as caught:  # steps of strangers raise anything
                    error = caught
                    break
                if 'gt_seg_map' in results:
                    return index
            sample = results.get('data_samples')
            is_packed |= isinstance(sample, BaseDataElement) and 'gt_sem_seg' not in sample
        kind = UnlabelledError if is_packed else NoLabelMapsError
        raise kind(
            f'{self.key}.pipeline: expected a LoadAnnotations step, or another that adds '
            f'gt_seg_map, got none{f" ({first_line(error)})" if error else ""}. Add it.'
        )

    def _is_file_annotation(self, index: int) -> bool:
        return issubclass(self._steps.kind(index), BaseLoadAnnotations)

    def _before_annotation(self, info: dict) -> dict:
        results = copy.deepcopy(info)
        for index in range(self._annotation):
            results = self._steps.run(index, results)
        return results

    def _annotated(self, results: dict) -> np.ndarray:
        results = self._steps.run(self._annotation, results)
        if 'gt_seg_map' not in results:
            raise ValueError(
                f'{self.key}.pipeline.{self._annotation}: expected a step that adds gt_seg_map, '
                'got one that does not. Let it load the segmentation'
            )
        return np.asarray(results['gt_seg_map'])


def label_maps_of(cfg: Config, loader: str) -> Iterator[LabelMaps]:
    """Yield the datasets of a loader, inside wrappers too.

    Args:
        cfg: a complete segmentation config.
        loader: e.g. ``'train_dataloader'``.

    Raises:
        FileNotFoundError: a folder or list of the dataset does not exist.
        ValueError: the config is not one of segmentation or has no such loader; see also
            :class:`LabelMaps`.
    """
    found = list(datasets_of(cfg, loader, 'mmseg'))
    times = repetitions(cfg[loader].dataset, f'{loader}.dataset')
    for key, config in found:
        yield LabelMaps(config, key, times[key])


def heads_of(cfg: Config) -> Sequence[tuple[str, dict]]:
    """Config key and config of every decode and auxiliary head of a model.

    Of K-Net, whose outer head has no classes, those of the inner head.
    """
    heads: list[tuple[str, dict]] = []
    model = cfg.get('model') or {}
    for name in ('decode_head', 'auxiliary_head'):
        head = model.get(name)
        if isinstance(head, (list, tuple)):
            heads += [(f'model.{name}.{i}', part) for i, part in enumerate(head)]
        elif isinstance(head, dict):
            heads.append((f'model.{name}', head))
    inner = 'kernel_generate_head'
    return [
        (f'{key}.{inner}', head[inner]) if isinstance(head.get(inner), dict) else (key, head)
        for key, head in heads
    ]
