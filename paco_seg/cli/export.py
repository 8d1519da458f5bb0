"""Export a trained model to ONNX or torch.export, and check that its outputs agree.

    paco-seg export CONFIG CHECKPOINT -o FILE.onnx [--size H W] [--batch-size N]
    paco-seg export CONFIG CHECKPOINT -o FILE.pt2

The file takes images as the data preprocessor of the config returns them, (N, channels, H, W), and
returns logits: of every pixel, (N, C, H, W), or of the image, (N, C). N is free unless --batch-size
is given. Projector, auxiliary heads and losses are left out. FILE.json beside it says what an image
has to look like: size, mean, std, order of the channels, and the classes.

It is written only if it returns what the model returns on other images. ONNX needs
the extra `export` (pip install '.[export]' in a checkout), .pt2 (torch.export) nothing.
TorchScript is deprecated in PyTorch.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from paco_seg.cli.arguments import at_least
from paco_seg.engine.cli import (
    add_model_arguments,
    check_checkpoint,
    load_config,
    require_keys,
)
from paco_seg.engine.export import TOLERANCE, check_format, export
from paco_seg.engine.model_changes import type_name
from paco_seg.engine.preflight import check_imports, iter_datasets
from paco_seg.engine.stages import stage
from paco_seg.files import check_output, write_json

# default_scope -> module and class: images -> scores.
SCORES = {
    'mmseg': ('paco_seg.seg.scores', 'SegmentationScores'),
    'mmpretrain': ('paco_seg.cls.scores', 'ClassificationScores'),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('-o', '--out', required=True, help='FILE.onnx or FILE.pt2')
    parser.add_argument(
        '--size',
        nargs=2,
        type=at_least(1),
        metavar=('H', 'W'),
        help='of an image; default: that of the config, 224 x 224 for classification',
    )
    parser.add_argument(
        '--batch-size', type=at_least(1), help='fix the number of images; default: any'
    )
    add_model_arguments(parser)


def channel_order(cfg: Config, preprocessor: Mapping[str, Any]) -> str:
    """Return the order of the channels that the network sees, ``'RGB'`` or ``'BGR'``."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    steps = [step for _, leaf in iter_datasets(dataset, '') for step in leaf.get('pipeline') or ()]
    loading = [step for step in steps if type_name(step) == 'LoadImageFromFile']
    # MM reads files as BGR; data sets in memory, such as CIFAR, are RGB.
    is_rgb = bool(steps) and not loading
    is_rgb ^= bool(loading) and loading[0].get('channel_order') == 'rgb'
    for step in steps:
        kind = type_name(step)
        is_rgb ^= kind == 'NumpyToPIL' and bool(step.get('to_rgb'))
        is_rgb ^= kind == 'PILToNumpy' and bool(step.get('to_bgr'))
    # Each of them exchanges the two, whatever its name says.
    is_rgb ^= any(preprocessor.get(key) for key in ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb'))
    return 'RGB' if is_rgb else 'BGR'


def describe_input(cfg: Config, shape: tuple[int, ...], batch_size: int | None) -> dict[str, Any]:
    """Say what an image has to look like."""
    model = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    return dict(
        name='images',
        shape=[batch_size or 'any', *shape],
        dtype='float32',
        channels=channel_order(cfg, model),
        mean=model.get('mean'),
        std=model.get('std'),
    )


def run(args: argparse.Namespace) -> None:
    """Check, load, export, compare, write."""
    check_format(args.out)
    out = Path(args.out)
    about = out.with_name(f'{out.name}.json')
    inputs = [path for path in (args.config, args.checkpoint) if '::' not in path]
    for path in (out, about):
        check_output(path, inputs=inputs)
    check_checkpoint(args.checkpoint)
    cfg = load_config(args)
    require_keys(cfg, args.config, ('model',))
    check_imports(cfg)
    module, name = SCORES[cfg.default_scope]
    size = tuple(args.size) if args.size else None
    with stage(f'while loading {args.checkpoint}'):
        model = getattr(import_module(module), name)(cfg, args.checkpoint, size).eval()
    example = torch.randn(args.batch_size or 2, *model.shape)
    with stage(f'while exporting to {args.out}'):
        difference = export(model, example, args.out, fixed_batch=args.batch_size is not None)
    content = dict(
        input=describe_input(cfg, model.shape, args.batch_size),
        output=dict(name='scores', meaning='logits'),
        classes=model.classes,
        largest_difference=difference,
        torch=torch.__version__,
    )
    write_json(about, content)
    print(f'{out}: {out.stat().st_size / 2**20:.1f} MiB')
    print(f'{about}: size, mean, std, classes')
    print(f'scores agree: largest difference {difference:.1g} of the largest (at most {TOLERANCE})')
