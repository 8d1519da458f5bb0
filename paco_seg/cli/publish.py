"""Make a small, self-contained model of a checkpoint.

    paco-seg publish CHECKPOINT [--stock] [-o OUT.pth] [--config CONFIG]
                     [--metrics METRICS.json] [--license TEXT]

Writes ``OUT.pth`` (weights and meta, no optimizer), ``OUT.py`` (the flattened config, absolute
paths made relative) and ``OUT.md`` (a model card: data, classes, groups, the metrics of
``paco-seg test --out METRICS.json``, commands, the licence that you state). With
``--stock`` both need plain MMSegmentation only: training branches are stripped, and the result is
written only if it predicts bit for bit what the original predicts.
"""

import argparse
import copy
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

import paco_seg.seg  # noqa: F401
from paco_seg.comparison.model_card import model_card
from paco_seg.comparison.written_configs import METRIC
from paco_seg.engine.checkpoint import allows_pickle, load_from_local, set_safe_loading
from paco_seg.engine.checkpoint_config import check_config_of_stranger, config_from_text
from paco_seg.engine.cli import PLUGINS, add_allow_pickle, weights_of
from paco_seg.engine.model_changes import build_without_memory, read_config
from paco_seg.engine.stages import stage
from paco_seg.files import check_output, write_text, written_aside
from paco_seg.seg.scores import predicted_scores
from paco_seg.seg.stock_config import input_shape, stock_config
from paco_seg.seg.systems.heads import heads_of_model

# What is kept of a checkpoint's meta: what inference reads, and how long the model was trained.
META = ('dataset_meta', 'epoch', 'iter', 'seed', 'mmengine_version')


# Settings of the run that made the checkpoint, which mean nothing to who uses it.
RUN = ('resume', 'load_from', 'work_dir', 'launcher')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('checkpoint', help='checkpoint of a segmentation training')
    parser.add_argument('-o', '--out', help='default: CHECKPOINT_published.pth')
    parser.add_argument('--config', help='default: the config inside the checkpoint')
    parser.add_argument(
        '--stock', action='store_true', help='for plain MMSegmentation, without this package'
    )
    parser.add_argument('--metrics', help='FILE.json of paco-seg test, for the model card')
    parser.add_argument('--license', help='of the weights, for the model card, e.g. "CC BY 4.0"')
    add_allow_pickle(parser)


def checkpoint_config(checkpoint: dict[str, Any], source: str, *, stock: bool = False) -> Config:
    """Return the config that MMEngine saved in the checkpoint.

    Raises:
        ValueError: there is none, it names what no package registered, or it is not one of a
            segmentor that ``stock`` asks for.
    """
    text = checkpoint.get('meta', {}).get('cfg')
    if not isinstance(text, str):
        raise ValueError(
            f'{source}: meta.cfg: expected the config of the training, got {type(text).__name__}. '
            'Pass the config file with --config.'
        )
    cfg = config_from_text(text, source)
    plugin = PLUGINS.get(str(cfg.get('default_scope')))
    if plugin:
        if stock:
            check_stock_scope(cfg)
        import_module(plugin)  # registers what a config of this task may name
        import_module(METRIC)  # and what `compare` measures its trainings with
    if not allows_pickle():
        check_config_of_stranger(cfg, source)
    return cfg


def check_stock_scope(cfg: Config) -> None:
    """Refuse anything but a segmentor, whatever else its config names."""
    scope = cfg.get('default_scope')
    if scope != 'mmseg':
        raise ValueError(
            '--stock: is for segmentation, to be used in plain MMSegmentation: expected '
            f"default_scope='mmseg', got {scope!r}. Publish it without --stock"
        )


def without_run(cfg: Config) -> Config:
    """Return a config without what belongs to one run on one machine."""
    kept = copy.deepcopy(cfg)
    for key in RUN:
        kept.pop(key, None)
    return kept


def without_paths(cfg: Config) -> tuple[Config, list[str]]:
    """Return a config without absolute paths, and the keys that had one.

    What lies below the current folder stays relative to it; of other paths the last part is kept.
    """
    changed: list[str] = []

    def relative(value: Any, key: str) -> Any:
        if isinstance(value, dict):
            return {name: relative(item, f'{key}.{name}') for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(relative(item, f'{key}.{i}') for i, item in enumerate(value))
        if not isinstance(value, str) or not value.startswith(('/', '~/')):
            return value
        changed.append(key.lstrip('.'))
        path = Path(value).expanduser()
        inside = path.is_relative_to(Path.cwd()) and path != Path.cwd()
        return path.relative_to(Path.cwd()).as_posix() if inside else path.name

    return Config(relative(cfg.to_dict(), '')), changed


def read_metrics(path: str | None) -> dict[str, Any] | None:
    """Read what ``paco-seg test --out`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is something else.
    """
    if path is None:
        return None
    if not Path(path).is_file():
        raise FileNotFoundError(f'--metrics: expected an existing file, got {path!r}')
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except ValueError:
        content = None
    if not isinstance(content, dict) or not isinstance(content.get('metrics'), dict):
        raise ValueError(
            f'--metrics: expected a file of paco-seg test --out FILE.json of one checkpoint, got '
            f'{path!r}. Test the checkpoint that is published'
        )
    return content


def strip_branches(
    weights: dict[str, Tensor], cfg: Config, stock: Config, source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The weights of the stock model, and the names of the others.

    Raises:
        ValueError: the checkpoint is not one of this config, or lacks weights of the stock model.
    """
    trained = build_without_memory(cfg).state_dict()
    wanted = build_without_memory(stock).state_dict()
    shape_of = {name: tuple(value.shape) for name, value in wanted.items()}
    missing = [name for name in wanted if name not in weights]
    unknown = [name for name in weights if name not in trained and name not in wanted]
    other = [
        name
        for name, shape in shape_of.items()
        if name in weights and tuple(weights[name].shape) != shape
    ]
    for problem, names in (
        ('weights missing', missing),
        ('unknown weights', unknown),
        ('weights of another shape', other),
    ):
        if names:
            raise ValueError(
                f'{source}: expected the weights of this config, got {len(names)} {problem}: '
                f'{", ".join(names[:5])}. Pass the config of this training with --config.'
            )
    kept = {name: weights[name] for name in wanted}
    return kept, [name for name in weights if name not in wanted]


def build_for_inference(cfg: Config, weights: dict[str, Tensor]) -> nn.Module:
    """The model of ``cfg`` with ``weights``, on the CPU, in eval mode."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(cfg.model)
    model.load_state_dict(weights)
    return revert_sync_batchnorm(model).eval()


def logits_of(cfg: Config, weights: dict[str, Tensor]) -> Tensor:
    """Logits that one image of noise is predicted from, the same in every call."""
    model = build_for_inference(cfg, weights)
    channels, *size = input_shape(cfg)
    image = torch.randn(1, channels, *size, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(0)  # for heads that start from random bases at inference
        return predicted_scores(model, image, size)


def run(args: argparse.Namespace) -> None:
    """Strips, compares, writes."""
    set_safe_loading(args.allow_pickle)
    out = Path(args.out or Path(args.checkpoint).with_suffix('').as_posix() + '_published.pth')
    inputs = [path for path in (args.checkpoint, args.config) if path and '::' not in path]
    check_output(out, inputs=inputs, suffixes=('.pth',))
    for suffix in ('.py', '.md'):
        beside = out.with_suffix(suffix)
        check_output(beside, inputs=inputs)
        if beside.exists() and not out.exists():  # not of an earlier call
            raise ValueError(
                f'--out: expected a name beside which there is no {beside.name}, which would be '
                f'overwritten, got {str(out)!r}. Choose another name'
            )
    metrics = read_metrics(args.metrics)
    with stage(f'while reading {args.checkpoint}'):
        checkpoint = load_from_local(args.checkpoint, map_location='cpu')
        weights = weights_of(checkpoint, args.checkpoint)
    if args.config:
        cfg = read_config(args.config, to_inherit=False)
    else:
        cfg = checkpoint_config(checkpoint, args.checkpoint, stock=args.stock)
    if args.stock:
        check_stock_scope(cfg)
    published = cfg
    dropped: list[str] = []
    if args.stock:
        published = stock_config(cfg)
        kept, dropped = strip_branches(weights, cfg, published, args.checkpoint)
        if not torch.equal(logits_of(cfg, weights), logits_of(published, kept)):
            _, head = heads_of_model(cfg)[-1]
            raise ValueError(
                f'{args.checkpoint}: expected a head whose training branches vanish at inference, '
                f'got {head["type"]}, which predicts otherwise without them. '
                'Publish it without --stock.'
            )
        weights = kept
    published, paths = without_paths(without_run(published))
    meta = {key: value for key, value in checkpoint.get('meta', {}).items() if key in META}
    text = published.pretty_text
    content = dict(state_dict=weights, meta=dict(meta, cfg=text))
    with written_aside(out) as unfinished:
        torch.save(content, unfinished)
    write_text(out.with_suffix('.py'), text)
    card = model_card(
        out.stem, published, meta, metrics=metrics, licence=args.license, stock=args.stock
    )
    write_text(out.with_suffix('.md'), card)
    print(f'{out}: {len(weights)} tensors, {out.stat().st_size / 2**20:.1f} MiB')
    print(f'{out.with_suffix(".py")}: flattened config')
    print(f'{out.with_suffix(".md")}: model card')
    if paths:
        print(f'made relative: {", ".join(paths)}')
    if dropped:
        print(f'stripped: {", ".join(dropped)}')
