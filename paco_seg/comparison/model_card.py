"""The model card beside a published checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from paco_seg.comparison.document import Block, Heading, Items, Table, Text, as_markdown
from paco_seg.comparison.long_tail import named_groups
from paco_seg.engine.preflight import iter_datasets

UNSTATED = 'not stated'
# What a reader types; a stock model needs nothing but a checkout of MMSegmentation.
COMMANDS = dict(
    use='paco-seg predict {name}.py {name}.pth IMAGES -o DIR',
    train='paco-seg train {name}.py',
    test='paco-seg test {name}.py {name}.pth --out metrics.json',
)
STOCK_COMMANDS = dict(
    use='python demo/image_demo.py IMAGE {name}.py {name}.pth --out-file PAINTED.png',
    train='python tools/train.py {name}.py',
    test='python tools/test.py {name}.py {name}.pth',
)


def model_card(
    name: str,
    cfg: Config,
    meta: Mapping[str, Any],
    *,
    metrics: Mapping[str, Any] | None = None,
    licence: str | None = None,
    stock: bool = False,
) -> str:
    """Return the card as Markdown.

    Args:
        name: of the files, without suffix.
        cfg: the published config.
        meta: of the checkpoint.
        metrics: content of ``paco-seg test --out FILE.json``, or None.
        licence: what the author says about the use of the weights.
        stock: whether plain MMSegmentation is enough.
    """
    model = cfg.model
    head = model.get('decode_head') or model.get('head') or {}
    head = head[-1] if isinstance(head, (list, tuple)) else head
    parts = {
        'model': model.get('type'),
        'backbone': (model.get('backbone') or {}).get('type'),
        'head': head.get('type'),
        'needs': 'MMSegmentation, in whose checkout the commands run'
        if stock
        else f'paco_seg and {cfg.get("default_scope")}',
        'licence of the weights': licence or UNSTATED,
    }
    commands = {
        key: f'`{line.format(name=name)}`'
        for key, line in (STOCK_COMMANDS if stock else COMMANDS).items()
    }
    classes = list((meta.get('dataset_meta') or {}).get('classes') or [])
    blocks: list[Block] = [
        Heading(name, 1),
        Table(['', ''], [[key, str(value)] for key, value in parts.items()]),
        Heading('Use'),
        Text(commands['use']),
        Heading('Data'),
        Items(_data(cfg) or [UNSTATED]),
        Text('The licence of the data is that of their authors.'),
        Heading('Training'),
        Items([commands['train'], *_training(meta)]),
        Heading('Metrics'),
        *_metrics(commands['test'], metrics),
        Heading(f'Classes ({len(classes)})' if classes else 'Classes'),
        Text(', '.join(map(str, classes)) or UNSTATED),
    ]
    per_class = (metrics or {}).get('per_class') or {}
    groups = named_groups(per_class)
    if groups:
        blocks += [
            Heading('Groups of classes by training frequency'),
            Items([f'{group} ({len(own)}): {", ".join(own)}' for group, own in groups.items()]),
        ]
    return as_markdown(blocks)


def _data(cfg: Config) -> list[str]:
    lines = []
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for _, dataset in iter_datasets((cfg.get(loader) or {}).get('dataset'), ''):
            prefix = dataset.get('data_prefix') or dataset.get('ann_file') or dataset.get('split')
            prefix = ', '.join(prefix.values()) if isinstance(prefix, dict) else prefix
            where = f', {prefix}' if prefix else ''
            lines.append(f'{loader.removesuffix("_dataloader")}: `{dataset["type"]}`{where}')
    return lines


def _training(meta: Mapping[str, Any]) -> list[str]:
    return [f'{key}: {meta[key]}' for key in ('epoch', 'iter', 'seed') if meta.get(key) is not None]


def _metrics(test: str, metrics: Mapping[str, Any] | None) -> list[Block]:
    command = Text(test)
    values = (metrics or {}).get('metrics') or {}
    if not values:
        return [Text(f'{UNSTATED.capitalize()}: run'), command]
    rows = [
        [key, f'{value:.4g}' if isinstance(value, float) else str(value)]
        for key, value in values.items()
        if isinstance(value, (int, float))
    ]
    return [command, Table(['metric', 'value'], rows)]
