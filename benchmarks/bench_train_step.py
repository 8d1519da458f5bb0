"""One training step: cross entropy, with GPaCo, and with the released formulation of GPaCo.

    python benchmarks/bench_train_step.py --preset cpu      # one line per model, JSON
    python benchmarks/bench_train_step.py --preset gpu
    python benchmarks/bench_train_step.py --preset cpu --only quickstart

Random images, labels and weights; the configs, optimizers and head are those of training.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import Any

import common
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from published_formulation import published_formulation
from torch import Tensor, nn

from paco_seg import compat

CONFIGS = Path(__file__).parents[1] / 'configs'
# Config, crop (height, width), images per step. Two is the least that BatchNorm of a 1 x 1 map
# (pyramid and image pooling) can train on, and what the recipes have per GPU.
MODELS = {
    'quickstart': ('quickstart/gpaco-fcn_r18-tiny_*_digit-scenes-96x96.py', (96, 96), 4),
    'upernet-swin-t': ('gpaco/gpaco-upernet_swin-tiny-*_ade20k-512x512.py', (512, 512), 2),
    'deeplabv3plus-r50': (
        'gpaco/gpaco-deeplabv3plus_r50-d8_*_cityscapes-512x1024.py',
        (512, 1024),
        2,
    ),
}
VARIANTS = ('ce', 'gpaco', 'authors')
# Time ratio of GPaCo over cross entropy that we hold ourselves to.
TARGETS = {('cpu', 'quickstart'): 1.15, ('cuda', 'upernet-swin-t'): 1.05}


def register_authors_loss() -> None:
    """Register PixelGPaCoLoss with the released formulation behind the same pixel selection."""
    from mmseg.registry import MODELS as REGISTRY

    from paco_seg.seg.losses import PixelGPaCoLoss

    class AuthorsPixelLoss(PixelGPaCoLoss):
        """The selection of pixels is ours in both columns; only the loss of a set differs."""

        def forward(
            self,
            embeddings: Tensor,
            labels: Tensor,
            logits: Tensor,
            *,
            ignore_index: int = 255,
            **_: Any,
        ) -> Tensor:
            loss = published_formulation(
                embeddings,
                labels,
                logits,
                alpha=self.alpha.resolve(self._set_size(labels)),
                temperature=self.settings.temperature,
                ignore_index=ignore_index,
            )
            return loss * (float(self.loss_weight) * self._warmup_factor())

    REGISTRY.register_module(module=AuthorsPixelLoss, force=True)


def build(case: dict[str, Any], variant: str) -> tuple[nn.Module, Any]:
    """Model with random weights and its optimizer wrapper."""
    from mmseg.registry import MODELS as REGISTRY

    cfg = load(case['config'])
    model = copy.deepcopy(cfg.model)
    model.pretrained = None
    model.backbone.pop('init_cfg', None)
    head = model.decode_head
    if variant == 'ce':
        head.type = head.pop('base_type')
        for key in ('projector', 'loss_contrast'):
            head.pop(key, None)
    elif variant == 'authors':
        head.loss_contrast.type = 'AuthorsPixelLoss'
    torch.manual_seed(0)
    module = revert_sync_batchnorm(REGISTRY.build(model)).to(case['device']).train()
    settings = copy.deepcopy(cfg.optim_wrapper)
    if case['amp']:
        settings.type, settings.dtype = 'AmpOptimWrapper', 'bfloat16'
    return module, build_optim_wrapper(module, settings)


def load(pattern: str) -> Config:
    """The one config of ours that matches the pattern, with the CE head's registry loaded."""
    (path,) = CONFIGS.glob(pattern)
    compat.setup()
    cfg = Config.fromfile(path)
    from mmengine.registry import init_default_scope

    init_default_scope('mmseg')
    return cfg


def batch(case: dict[str, Any], num_classes: int) -> dict[str, list]:
    """Random images and labels, one pixel in twenty ignored."""
    from mmseg.structures import SegDataSample

    rng = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for _ in range(case['images']):
        height, width = case['crop']
        inputs.append(torch.randint(0, 256, (3, height, width), generator=rng, dtype=torch.uint8))
        labels = torch.randint(0, num_classes, (1, height, width), generator=rng)
        labels[torch.rand(1, height, width, generator=rng) < 0.05] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=(height, width), ori_shape=(height, width)))
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}


def step(model: Any, wrapper: Any, data: dict[str, list], device: str) -> list[float]:
    """Milliseconds of preprocessing, forward, backward and update."""
    common.synchronize(device)
    laps = common.Laps(device)
    model.train_step(copy.copy(data), wrapper)
    laps.mark()
    return laps.milliseconds()


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Time of all variants in turn, or peak memory of one; for a fresh process."""
    device = case['device']
    num_classes = load(case['config']).model.decode_head.num_classes
    register_authors_loss()
    data = batch(case, num_classes)
    if 'variant' in case:
        # From before the model exists: weights, gradients, optimizer state and activations.
        peak = common.PeakMemory(device)
        model, wrapper = build(case, case['variant'])
        for _ in range(2):  # the optimizer state of the first step meets the second's activations
            step(model, wrapper, data, device)
        return {'peak_mib': peak.mib()}
    # A GPU's allocator is exact, so that one process serves; a CPU needs fresh ones.
    found: dict[str, Any] = {}
    if device == 'cuda':
        found['peak_mib'] = {
            variant: measure(case | {'variant': variant})['peak_mib'] for variant in VARIANTS
        }
    models = [build(case, variant) for variant in VARIANTS]

    def round_of_steps() -> list[float]:
        # In turn, so that a slow moment of the machine meets all variants.
        return [step(model, wrapper, data, device)[0] for model, wrapper in models]

    round_of_steps()
    laps = common.repeat(round_of_steps, seconds=case['seconds'], least=2)
    return found | {
        variant: common.summary([lap[i] for lap in laps]) for i, variant in enumerate(VARIANTS)
    }


def main() -> int:
    """Parse the arguments and run the preset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--preset', choices=['cpu', 'gpu'], default='cpu')
    parser.add_argument('--only', choices=MODELS, nargs='+', default=list(MODELS))
    parser.add_argument('--seconds', type=float, default=20.0, help='of steps per model (20)')
    parser.add_argument('--case', help=argparse.SUPPRESS)  # one case in a process of its own
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(json.loads(args.case))))
        return 0
    device = 'cuda' if args.preset == 'gpu' else 'cpu'
    if device == 'cuda' and not torch.cuda.is_available():
        parser.error('--preset: expected a CUDA device for gpu, got none. Use --preset cpu')

    path = common.RESULTS / f'train_step_{args.preset}.json'
    # Models that are not run this time keep their figures.
    kept = json.loads(path.read_text())['models'] if path.exists() else {}
    rows = []
    for name in args.only:
        pattern, crop, images = MODELS[name]
        for amp in (False, True) if device == 'cuda' else (False,):
            case = dict(config=pattern, crop=crop, images=images, device=device, amp=amp)
            record: dict[str, Any] = dict(crop=crop, images=images, amp=amp)
            case['seconds'] = args.seconds
            if device == 'cuda':
                found = measure(case)
                torch.cuda.empty_cache()
            else:
                found = common.run_case(__file__, case)
            record['time'] = {variant: found[variant] for variant in VARIANTS}
            record['peak_mib'] = found.get('peak_mib') or {
                variant: common.run_case(__file__, case | {'variant': variant})['peak_mib']
                for variant in VARIANTS
            }
            ce = record['time']['ce']['median_ms']
            record['over_ce'] = {v: record['time'][v]['median_ms'] / ce for v in VARIANTS}
            record['environment'] = common.environment(device)
            label = name + '-amp' * amp
            kept[label] = record
            for variant in VARIANTS:
                time = record['time'][variant]
                rows.append(
                    [
                        f'{label} {variant}',
                        f'{time["median_ms"]:.1f}',
                        f'{time["p20_ms"]:.1f}-{time["p80_ms"]:.1f}',
                        str(time['repeats']),
                        f'{record["over_ce"][variant]:.3f}',
                        f'{record["peak_mib"][variant]:.0f}',
                    ]
                )
            print(f'measured {label}', flush=True)
            common.write_results(path.stem, {'models': kept})
    print(common.table(['step', 'ms', '20-80 %', 'repeats', 'over CE', 'peak MiB'], rows))
    missed = False
    for (where, name), limit in TARGETS.items():
        if where != device or name not in args.only:
            continue
        for label in (name, f'{name}-amp') if device == 'cuda' else (name,):
            ratio = kept[label]['over_ce']['gpaco']
            missed |= ratio > limit
            verdict = 'met' if ratio <= limit else 'MISSED'
            print(f'{verdict}: {label}, GPaCo over CE: {ratio:.3f} (wanted <= {limit})')
    return int(missed)


if __name__ == '__main__':
    sys.exit(main())
