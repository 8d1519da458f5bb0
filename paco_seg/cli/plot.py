"""Compare the per-class results of runs in one picture, or look into a trained model.

    paco-seg test CONFIG CHECKPOINT --out ce.json        # once per run
    paco-seg plot CE=ce.json GPaCo=gpaco.json -o comparison.png

Left: gain of every class over the first run against its training frequency. Right: means of the
head, common and tail classes (many, medium and few in classification) of every run. The same means
are printed. Frequencies and groups are those that ``LongTailIoUMetric`` or ``LongTailAccuracy``
stored in the files, or come from ``--frequency-file``.

With the name of another picture first:

    paco-seg plot gain CE=ce.json GPaCo=gpaco.json     a line per class, with its name
    paco-seg plot gain COMPARISON                      the same from a folder of paco-seg compare
    paco-seg plot confusion ce.json                    what each class is taken for: of a file of
                                                       paco-seg test --confusion --out ce.json
    paco-seg plot confusion COMPARISON --system gpaco  the same of a comparison, all seeds
    paco-seg plot embeddings CONFIG CHECKPOINT         t-SNE of what the classifier reads
    paco-seg plot centers CONFIG CHECKPOINT            cosines between the class centers

Classes are in the order of their training frequency, where it is known.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from paco_seg.cli.arguments import PICTURES, at_least
from paco_seg.comparison import long_tail
from paco_seg.core.diagnostics import center_geometry
from paco_seg.core.embeddings import unit_rows
from paco_seg.core.frequency import GROUP_THRESHOLDS, load_class_frequency
from paco_seg.engine.cli import (
    add_model_arguments,
    check_checkpoint,
    load_config,
    require_keys,
)
from paco_seg.files import check_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='[NAME=]FILE.json',
        help='first the run to compare with; or gain, confusion, embeddings or centers and what '
        'it is drawn from, see above',
    )
    parser.add_argument('-o', '--out', help='picture to write; default: long_tail.png, gain.png...')
    parser.add_argument('--metric', help='per-class column, default: IoU or accuracy')
    parser.add_argument('--by', choices=list(GROUP_THRESHOLDS), default='images')
    parser.add_argument('--frequency-file', help='class frequencies; default: those in the runs')
    parser.add_argument('--system', help='confusion of a comparison: default its first system')
    parser.add_argument(
        '--samples', type=at_least(2), default=1500, help='embeddings: points in the picture'
    )
    parser.add_argument(
        '--images', type=at_least(1), default=500, help='embeddings: test images to read at most'
    )
    parser.add_argument('--device', help='of the model; default: cuda where there is one, else cpu')
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Draw the picture that is asked for."""
    kind, *sources = args.runs
    draw = KINDS.get(kind)
    if draw is None:
        plot_runs(args)
        return
    out = args.out = args.out or f'{kind}.png'
    check_output(out, inputs=[_file(source) for source in sources], suffixes=PICTURES)
    draw(args, sources)
    print(out)


def plot_runs(args: argparse.Namespace) -> None:
    """Read the runs, print the means, draw."""
    if len(args.runs) < 2:
        raise ValueError(
            f'runs: expected at least two runs, got {len(args.runs)}. Name another file'
        )
    args.out = args.out or 'long_tail.png'
    runs = [long_tail.read_run(text, args.metric) for text in args.runs]
    check_output(args.out, inputs=[run.file for run in runs], suffixes=PICTURES)
    metric = long_tail.common_metric(runs, args.metric)
    frequency = long_tail.frequencies(runs, args.by, args.frequency_file)
    print(long_tail.means_text(runs, metric, frequency.groups))
    long_tail.draw(args.out, runs, metric, args.by, frequency)
    print(args.out)


def plot_gain(args: argparse.Namespace, sources: Sequence[str]) -> None:
    """Draw the gain of every class."""
    from paco_seg.comparison.class_plots import draw_gain
    from paco_seg.comparison.plot_sources import read_gains

    _expect(sources, 1, 'gain', 'two files, or the folder of a comparison')
    found = read_gains(sources, args.metric, args.by, args.frequency_file)
    draw_gain(args.out, found.gains, classes=found.classes, groups=found.groups, xlabel=found.label)


def plot_confusion(args: argparse.Namespace, sources: Sequence[str]) -> None:
    """Draw which class is taken for which, and print the worst."""
    from paco_seg.comparison.class_plots import draw_matrix
    from paco_seg.comparison.plot_sources import most_confused, read_confusion, row_shares

    _expect(sources, 1, 'confusion', 'one file, or the folder of a comparison', most=1)
    found = read_confusion(sources[0], args.system)
    order = _order(found.groups, len(found.classes), found.classes, args)
    print('\n'.join(most_confused(found)))
    draw_matrix(
        args.out,
        row_shares(found.matrix)[np.ix_(order, order)],
        classes=[found.classes[index] for index in order],
        title=f'{found.name}: percent of each label',
        labels=(_axis('label', found.groups, args), 'prediction'),
        limits=(0, 100),
        cmap='Blues',
        form='.0f',
    )


def plot_centers(args: argparse.Namespace, sources: Sequence[str]) -> None:
    """Draw the cosines between the class centers, and print how far they are from a simplex."""
    from paco_seg.comparison.class_plots import draw_matrix

    model = _load(args, sources, 'centers')
    groups = {} if model.grouping is None else model.grouping.groups
    order = _order(groups, len(model.classes), model.classes, args)
    centers = model.centers.double()
    text = 'one class'
    if len(centers) > 1:
        geometry = center_geometry(centers)
        text = (
            f'cosines of centers: mean {float(geometry.mean):.3f}, spread '
            f'{float(geometry.spread):.3f}; a simplex: {geometry.simplex:.3f}, 0'
        )
    print(text)
    rows = unit_rows(centers)[order]
    draw_matrix(
        args.out,
        (rows @ rows.T).numpy(),
        classes=[model.classes[index] for index in order],
        title=text,
        labels=(_axis('class', groups, args), ''),
        limits=(-1, 1),
        cmap='RdBu_r',
        form='.1f',
    )


def plot_embeddings(args: argparse.Namespace, sources: Sequence[str]) -> None:
    """Draw what the classifier reads, by t-SNE, with the centers among it."""
    from sklearn.manifold import TSNE

    from paco_seg.comparison.class_plots import draw_points

    model = _load(args, sources, 'embeddings')
    features, labels = model.features(args.samples, args.images)
    # Of unit length, as the softmax of a normalised classifier and the contrast compare them.
    rows = unit_rows(torch.cat([features, model.centers])).numpy()
    if len(rows) < 5:
        raise ValueError(f'--samples: expected enough for a picture, got {len(labels)} samples')
    tsne = TSNE(
        perplexity=min(30.0, (len(rows) - 1) / 3), init='pca', random_state=0, method='barnes_hut'
    )
    points = tsne.fit_transform(rows)
    number = len(labels)
    print(f'{number} samples of {len(labels.unique())} classes')
    draw_points(
        args.out,
        points[:number],
        labels.numpy(),
        classes=model.classes,
        centers=points[number:],
        title=f'{Path(sources[1]).name}: {number} samples of the test set, t-SNE of unit features',
    )


KINDS: dict[str, Callable[[argparse.Namespace, Sequence[str]], None]] = {
    'gain': plot_gain,
    'confusion': plot_confusion,
    'embeddings': plot_embeddings,
    'centers': plot_centers,
}


def _load(args: argparse.Namespace, sources: Sequence[str], kind: str):
    """Build the model of ``CONFIG CHECKPOINT``, after the checks that need nothing."""
    from paco_seg.comparison.trained_model import load_trained
    from paco_seg.engine.prediction import pick_device
    from paco_seg.engine.preflight import check_imports
    from paco_seg.engine.stages import stage

    _expect(sources, 2, kind, 'CONFIG CHECKPOINT', most=2)
    config, checkpoint = sources
    check_checkpoint(checkpoint)
    device = pick_device(args.device)
    cfg = load_config(args, config)
    keys = ('model', 'test_dataloader') if kind == 'embeddings' else ('model',)
    require_keys(cfg, config, keys)
    check_imports(cfg)
    with stage(f'while loading {checkpoint}'):
        return load_trained(cfg, checkpoint, device)


def _expect(
    sources: Sequence[str], least: int, kind: str, what: str, most: int | None = None
) -> None:
    if len(sources) < least or (most is not None and len(sources) > most):
        raise ValueError(
            f'runs: expected {what} after {kind}, got {" ".join(sources) or "nothing"}. See '
            'paco-seg plot --help'
        )


def _order(
    groups: dict[str, list[int]], number: int, classes: Sequence[str], args: argparse.Namespace
) -> list[int]:
    """Return the classes from frequent to rare, or as they are."""
    if args.frequency_file:
        key = '--frequency-file'
        frequency = load_class_frequency(args.frequency_file, key=key, classes=classes)
        order: list[int] = np.argsort(-frequency.counts(args.by, key=key), kind='stable').tolist()
        return order
    found = [index for members in groups.values() for index in members]
    return found if len(found) == number else list(range(number))


def _axis(name: str, groups: dict[str, list[int]], args: argparse.Namespace) -> str:
    known = args.frequency_file or groups
    return f'{name}, {"frequent to rare" if known else "in the order of the labels"}'


def _file(source: str) -> str:
    """Return the file of ``[NAME=]FILE``."""
    return source.partition('=')[2] if '=' in source and not Path(source).exists() else source
