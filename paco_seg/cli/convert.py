"""Convert a checkpoint of the authors' code.

    paco-seg convert CONFIG IN.pth OUT.pth

Understands their classification programs (a wrapped encoder, classifier, projector, momentum
encoder and queue), MAE fine-tuning (names of timm), and MMSegmentation checkpoints. The file is
read without running code from it. A line is printed for every entry of the file and of the model;
OUT.pth is written only if everything that prediction needs is there.
"""

import argparse
import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from mmengine.runner import save_checkpoint
from mmengine.utils import import_modules_from_strings
from torch import Tensor

from paco_seg.engine.checkpoint import load_from_local, set_safe_loading
from paco_seg.engine.cli import PLUGINS, scope_of, weights_of
from paco_seg.engine.hooks.checkpoint_match_hook import TRAINING_ONLY
from paco_seg.engine.model_changes import build_without_memory, read_config
from paco_seg.engine.stages import failing_part, stage
from paco_seg.files import check_output, written_aside

# Encoders are torchvision's ResNets, whose classifier `fc` (`linear` in the CIFAR network) was
# replaced by the projection MLP; the classifier proper is `linear` beside the encoder. The first
# rule that matches wins; None drops the entry.
CLASSIFICATION: list[tuple[str, str | None]] = [
    (r'encoder_k\.(?:fc|linear)\.(\d+\..*)', r'momentum_encoder.projector.\1'),
    (r'encoder_k\.(.*)', r'momentum_encoder.backbone.\1'),
    (r'(?:encoder_q|encoder)\.(?:fc|linear)\.(\d+\..*)', r'head.projector.\1'),
    (r'(?:encoder_q|encoder)\.(.*)', r'backbone.\1'),
    (r'linear\.(weight|bias)', r'head.fc.\1'),
    (r'linear_k\..*', None),  # a momentum copy of the classifier that the authors never use
    (r'queue', 'head.queue.keys'),
    (r'queue_l', 'head.queue.labels'),
    (r'queue_ptr', 'head.queue.position'),
]
# Vision transformers of timm 0.3.2 as the MAE fine-tuning code builds them; the projection MLP is
# `mlp` beside the blocks.
TRANSFORMER: list[tuple[str, str | None]] = [
    (r'(cls_token|pos_embed)', r'backbone.\1'),
    (r'patch_embed\.proj\.(.*)', r'backbone.patch_embed.projection.\1'),
    (r'blocks\.(\d+)\.norm([12])\.(.*)', r'backbone.layers.\1.ln\2.\3'),
    (r'blocks\.(\d+)\.attn\.(.*)', r'backbone.layers.\1.attn.\2'),
    (r'blocks\.(\d+)\.mlp\.fc1\.(.*)', r'backbone.layers.\1.ffn.layers.0.0.\2'),
    (r'blocks\.(\d+)\.mlp\.fc2\.(.*)', r'backbone.layers.\1.ffn.layers.1.\2'),
    (r'fc_norm\.(.*)', r'backbone.ln2.\1'),
    (r'head\.(weight|bias)', r'head.fc.\1'),
    (r'mlp\.(\d+\..*)', r'head.projector.\1'),
    (r'queue', 'head.queue.keys'),
    (r'queue_l', 'head.queue.labels'),
    (r'queue_ptr', 'head.queue.position'),
]
# MMSegmentation has used these names since 0.17.
SEGMENTATION: list[tuple[str, str | None]] = [
    (r'((?:backbone|neck|decode_head|auxiliary_head)\..*)', r'\1')
]


class Conversion(NamedTuple):
    """Entries for our model, and what became of the others.

    Attributes:
        state: entries of our model, by our names.
        renamed: (old name, new name) of every entry in ``state``.
        dropped: (old name, reason) of every other entry of the file.
        missing: names of our model that the file does not provide.
    """

    state: dict[str, Tensor]
    renamed: list[tuple[str, str]]
    dropped: list[tuple[str, str]]
    missing: list[str]

    @property
    def missing_for_prediction(self) -> list[str]:
        """Missing names that prediction needs."""
        return [
            name
            for name in self.missing
            if not TRAINING_ONLY.search(name) and not name.endswith('num_batches_tracked')
        ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config of the model that will use the checkpoint')
    parser.add_argument('source', help='checkpoint to read')
    parser.add_argument('target', help='checkpoint to write')
    parser.add_argument(
        '--allow-pickle',
        action='store_true',
        help='read a checkpoint that contains code, and run it: only for files you trust',
    )


def rules_for(names: Sequence[str]) -> list[tuple[str, str | None]]:
    """The rules of the program that wrote these names.

    Raises:
        ValueError: it is none of the known ones.
    """
    starts = {name.split('.')[0] for name in names}
    if starts & {'encoder', 'encoder_q'}:
        return CLASSIFICATION
    if 'patch_embed' in starts and 'blocks' in starts:
        return TRANSFORMER
    if 'decode_head' in starts:
        return SEGMENTATION
    raise ValueError(
        'checkpoint: expected entries encoder.* or encoder_q.* (PaCo, GPaCo), blocks.* (MAE) or '
        f'decode_head.* (segmentation), got {sorted(starts)[:8]}. Checkpoints of our tools need no '
        'conversion'
    )


def convert(source: dict[str, Tensor], expected: dict[str, tuple[int, ...]]) -> Conversion:
    """Rename the entries of a state dict.

    Args:
        source: entries of the checkpoint, with or without the prefix ``module.``.
        expected: names and shapes of our model.

    Raises:
        ValueError: the names are of no known program, or an entry has another shape than ours
            (lists them).
    """
    source = {re.sub(r'^module\.', '', name): value for name, value in source.items()}
    rules = rules_for(list(source))
    state: dict[str, Tensor] = {}
    renamed, dropped, misshaped = [], [], []
    for name, value in source.items():
        target = _rename(name, rules)
        if target is None:
            dropped.append((name, 'the published code does not use it'))
            continue
        if target not in expected:
            dropped.append((name, 'no counterpart in this model'))
            continue
        if target == 'head.queue.position':
            value = value.reshape(())
        if tuple(value.shape) != expected[target]:
            misshaped.append(f'{name} {tuple(value.shape)}, {target} {expected[target]}')
            continue
        state[target] = value
        renamed.append((name, target))
    if misshaped:
        raise ValueError(
            'checkpoint: expected the shapes of the config, got others. Take the config of this '
            'checkpoint (backbone, number of classes, queue). Theirs and ours:\n  '
            + '\n  '.join(misshaped)
        )
    # The keys of a queue belong to the projector that made them, and to their labels.
    needed = ('head.projector.', 'head.queue.')
    if any(name.startswith(needed) and name not in state for name in expected):
        for old, new in list(renamed):
            if new.startswith('head.queue.'):
                del state[new]
                renamed.remove((old, new))
                dropped.append((old, 'its projector or a part of the queue is not in the file'))
    if any(name.startswith('momentum_encoder.backbone.') for name in state):
        # the momentum encoder has moved already: its first update must not copy the encoder
        state['momentum_encoder.updates'] = torch.ones((), dtype=torch.long)
    missing = [name for name in expected if name not in state]
    return Conversion(state, renamed, dropped, missing)


def _rename(name: str, rules: list[tuple[str, str | None]]) -> str | None:
    """Our name; None for what is to be dropped; the old name where no rule matches."""
    for pattern, target in rules:
        match = re.fullmatch(pattern, name)
        if match:
            return None if target is None else match.expand(target)
    return name


def report(conversion: Conversion) -> None:
    """Print one line per entry, and the sums."""
    for old, new in conversion.renamed:
        print(f'{old} -> {new}')
    for old, reason in conversion.dropped:
        print(f'{old} dropped: {reason}')
    needed = set(conversion.missing_for_prediction)
    for name in conversion.missing:
        print(f'{name} missing: {"NEEDED" if name in needed else "only training uses it"}')
    print(
        f'{len(conversion.renamed)} taken, {len(conversion.dropped)} dropped, '
        f'{len(conversion.missing)} missing, {len(needed)} of them needed'
    )


def run(args: argparse.Namespace) -> None:
    """Converts, reports, and writes if the result can predict."""
    set_safe_loading(args.allow_pickle)
    inputs = [path for path in (args.config, args.source) if '::' not in path]
    check_output(args.target, inputs=inputs, suffixes=('.pth', '.pt'), key='target')
    cfg = read_config(args.config, to_inherit=False)
    import_modules_from_strings([PLUGINS[scope_of(cfg, args.config)]])
    with stage(f'while reading {args.source}'):
        checkpoint = load_from_local(args.source, map_location='cpu')
        source = weights_of(checkpoint, args.source, keys=('state_dict', 'model'), bare=True)
    with stage(
        lambda error: f'{args.config}: while building {failing_part(error, cfg.model, "model")}'
    ):
        model = build_without_memory(cfg)
    expected = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    with stage(f'while converting {args.source}'):
        conversion = convert(
            {name: value for name, value in source.items() if isinstance(value, Tensor)}, expected
        )
    report(conversion)
    if conversion.missing_for_prediction:
        raise ValueError(
            f'{args.source}: expected everything that prediction needs, got '
            f'{len(conversion.missing_for_prediction)} entries too few. Nothing was written; take '
            'the config of this checkpoint'
        )
    with written_aside(args.target) as unfinished:
        save_checkpoint(dict(state_dict=conversion.state, meta={}), str(unfinished))
