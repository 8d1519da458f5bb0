"""Test checkpoints of a segmentor or a classifier.

    paco-seg test CONFIG CHECKPOINT [--tta] [--out FILE_OR_FOLDER] [--show-dir DIR] ...
    paco-seg test CONFIG WORK_DIR [--out FILE.json] ...          (its last and its best)
    paco-seg test CONFIG --ensemble CHECKPOINT CHECKPOINT ...    (classification)

``--out`` takes its meaning from the name:
    FILE.json  the metrics, with the values of every class where the metric computes them;
    FILE.pkl   the predictions of all samples (MMEngine's DumpResults);
    FOLDER     segmentation only: one PNG of predicted labels per image.
"""

import argparse
import logging
import re
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.logging import print_log
from mmengine.registry import DefaultScope

from paco_seg.engine.checkpoint import load_from_local
from paco_seg.engine.cli import (
    add_common_arguments,
    build_runner,
    check_checkpoint,
    load_config,
    require_keys,
    use_test_time_augmentation,
)
from paco_seg.engine.pictures import images_of_one_name, select_pictures
from paco_seg.engine.preflight import (
    check_data_folders,
    check_downloads,
    check_imports,
    check_loader,
    check_work_dir,
    data_folders,
    iter_datasets,
    iter_metrics,
)
from paco_seg.engine.results import (
    ConfusionRecorder,
    DumpPredictions,
    PerClassRecorder,
    describe_metrics,
    write_metrics,
)
from paco_seg.engine.resume import LAST, PUBLISHED, newest_checkpoint
from paco_seg.engine.safeguards import guard_test
from paco_seg.engine.signatures import named_arguments
from paco_seg.engine.strategies import drop_strategy
from paco_seg.files import check_output

# What --out may end in; any other name is a folder.
FILES = ('.json', '.pkl', '.pickle')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='checkpoint file; or a work directory: both its last checkpoint and the best ones on '
        'the validation set (save_best) are tested, FILE.json holds all results by name',
    )
    parser.add_argument(
        '--ensemble',
        nargs='+',
        metavar='CHECKPOINT',
        help='classification: sum the logits of these checkpoints',
    )
    parser.add_argument(
        '--out',
        help='FILE.json: metrics and per-class values; FILE.pkl: predictions; FOLDER: predicted '
        'label maps (segmentation)',
    )
    parser.add_argument(
        '--confusion',
        action='store_true',
        help='count which class is taken for which into FILE.json, for paco-seg plot confusion',
    )
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='folder for painted predictions')
    parser.add_argument(
        '--show-interval', type=int, default=1, help='paint one image out of so many, default: all'
    )
    parser.add_argument('--show-limit', type=int, help='paint at most so many images')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds per window')
    parser.add_argument(
        '--tta',
        action='store_true',
        help="test-time augmentation by the config's tta_model and tta_pipeline",
    )
    add_common_arguments(parser)
    parser.set_defaults(usage_error=parser.error)


def checkpoints_of(work_dir: str) -> dict[str, str]:
    """The last checkpoint of a training, and the best one by each metric of ``save_best``."""
    last = newest_checkpoint(work_dir) if (Path(work_dir) / LAST).is_file() else None
    if last is None:
        raise FileNotFoundError(
            f'checkpoint: expected a folder with the file last_checkpoint, got {work_dir!r}. Pass '
            'the work directory of a training, or a checkpoint file'
        )
    best: dict[str, list[tuple[int, Path]]] = {}
    # CheckpointHook.out_dir may be another folder.
    places = (Path(work_dir), Path(last).parent)
    folders = {folder.resolve(): folder for folder in places}.values()
    for path in (path for folder in folders for path in folder.glob('best_*.pth')):
        if re.search(f'{PUBLISHED}$', path.name):
            continue
        name = re.fullmatch(r'best_(.*?)(?:_(?:epoch|iter)_(\d+))?', path.stem)
        assert name is not None
        best.setdefault(name[1], []).append((int(name[2] or 0), path))
    found = {'last': last}
    for metric, paths in sorted(best.items()):
        chosen = _best_of(sorted(paths), last)
        if chosen is not None:
            found[f'best on {metric}'] = str(chosen)
    return found


def _best_of(paths: list[tuple[int, Path]], last: str) -> Path | None:
    """Return which of the best checkpoints by one metric is of the training that wrote ``last``.

    Args:
        paths: (step, file), the latest at the end.
        last: the last checkpoint, which says which was the best when it was written.
    """
    step, path = paths[-1]
    ended = re.search(r'(\d+)\.pth$', last)
    if len(paths) == 1 and (ended is None or step <= int(ended[1])):
        return path
    written = Path(last).stat().st_mtime
    newer = [one for _, one in paths if one.stat().st_mtime > written]
    if newer:  # whose training was killed, or the last checkpoint is due
        return newer[-1]
    hub = load_from_local(last, map_location='cpu').get('message_hub') or {}
    named = {
        Path(value).name
        for key, value in (hub.get('runtime_info') or {}).items()
        if key.startswith('best_ckpt') and isinstance(value, str)
    }
    for _, one in reversed(paths):
        if one.name in named:
            return one
    if ended is None or step <= int(ended[1]):
        return path
    print_log(
        f'{path}: is of another training than {last}, and is not tested. Pass it as the checkpoint '
        'to test it',
        'current',
        logging.WARNING,
    )
    return None


def check_outputs(args: argparse.Namespace, kind: str, inputs: list[str]) -> None:
    """Refuse what cannot be written before the evaluation starts."""
    files = [path for path in inputs if '://' not in path]
    if args.out and kind in FILES:
        check_output(args.out, inputs=files)
    elif args.out:
        check_output_folder(args.out, files, '--out')
    if args.show_dir:
        check_output_folder(args.show_dir, files, '--show-dir')
    for key, value in (('--show-interval', args.show_interval), ('--show-limit', args.show_limit)):
        if value is not None and value < 1:
            raise ValueError(f'{key}: expected at least 1, got {value}. Give another value')


def check_output_folder(folder: str, inputs: list[str], key: str) -> None:
    """Refuse an input file in the place of a folder, with the words for a file."""
    if Path(folder).is_file():
        check_output(folder, inputs=inputs, key=key)
    check_work_dir(folder, key)


def use_ensemble(cfg: Config, checkpoints: list[str]) -> None:
    """Puts one model per checkpoint into an ensemble, unless the config describes it already."""
    if cfg.default_scope != 'mmpretrain':
        raise ValueError('--ensemble: expected a classification config, got one of segmentation')
    if cfg.model.type != 'EnsembleClassifier':
        ensemble = dict(type='EnsembleClassifier', members=[cfg.model] * len(checkpoints))
        if cfg.model.get('data_preprocessor'):  # else that of the config, as for one model
            ensemble['data_preprocessor'] = cfg.model.data_preprocessor
        cfg.model = ensemble
    cfg.model.checkpoints = checkpoints


def use_visualization(cfg: Config, args: argparse.Namespace) -> None:
    """Switch the visualization hook on; its words differ between the two packages.

    MMSegmentation has the hook in its schedules, not in its default runtime: a config without
    gets it here.
    """
    segmentation = cfg.default_scope == 'mmseg'
    hooks = cfg.get('default_hooks') or {}
    if hooks.get('visualization') is None:
        kind = 'SegVisualizationHook' if segmentation else 'VisualizationHook'
        cfg.default_hooks = dict(hooks, visualization=dict(type=kind))
    hook = cfg.default_hooks.visualization
    hook.show = args.show
    hook.wait_time = args.wait_time
    if not segmentation:
        hook.update(enable=True, interval=1, out_dir=args.show_dir)
        return
    hook.draw = True
    if args.show_dir:
        visualizer = dict(
            cfg.get('visualizer') or dict(type='SegLocalVisualizer', name='visualizer')
        )
        backends = visualizer.get('vis_backends') or [dict(type='LocalVisBackend')]
        visualizer['vis_backends'] = [
            dict(backend, type='CheckedLocalVisBackend')
            if backend['type'] == 'LocalVisBackend'
            else backend
            for backend in backends
        ]
        cfg.visualizer = dict(visualizer, save_dir=args.show_dir)


def use_out_folder(cfg: Config, out: str) -> None:
    """Makes the metric write label maps, as MMSegmentation's tool does."""
    if cfg.default_scope != 'mmseg':
        raise ValueError(
            f'--out: expected a name that ends in .json or .pkl, got {out!r}. Label maps exist '
            'in segmentation only'
        )
    target = Path(out).resolve()
    for key, dataset in iter_datasets(cfg.test_dataloader.dataset, 'test_dataloader.dataset'):
        for name, prefix in data_folders(dataset).items():
            folder = Path(dataset.get('data_root') or '', prefix).expanduser().resolve()
            if target == folder or folder in target.parents:
                raise ValueError(
                    f'--out: expected a folder outside the data, got {out!r}, where files of '
                    f'{key}.{name} would be written over. Choose another folder'
                )
    from mmseg.registry import METRICS

    writers = []
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        for metric in iter_metrics(cfg.test_evaluator):
            kind = metric.get('type')
            kind = METRICS.get(kind) if isinstance(kind, str) else kind
            if isinstance(kind, type) and 'output_dir' in named_arguments(kind.__mro__):
                writers.append(metric)
    if not writers:
        raise ValueError(
            f'test_evaluator: expected a metric such as IoUMetric, which writes the label maps of '
            f'--out {out!r}, got none. Add one, or take a name that ends in .pkl'
        )
    for metric in writers:
        metric['output_dir'] = out


def check_names(dataset: Any, *, label_maps: bool) -> None:
    """Refuse label maps of which some would replace others; of pictures, say so.

    Raises:
        ValueError: names two such images.
    """
    same = images_of_one_name(dataset, 'stem' if label_maps else 'name')
    if same is None:
        return
    if label_maps:
        raise ValueError(
            f'--out: expected images of different names, since a label map is called after its '
            f'image, got {same[0]} and {same[1]}. paco-seg predict keeps the folders: give it the '
            'folder of the images'
        )
    print_log(
        f'--show-dir: {same[0]} and {same[1]} have the same name: of their pictures the later one '
        'stays. paco-seg predict keeps the folders',
        'current',
        logging.WARNING,
    )


def use_confusion(evaluator: Evaluator) -> ConfusionRecorder:
    """Add a metric that counts which class is taken for which.

    Raises:
        ValueError: the test set does not know its classes.
    """
    meta = evaluator.dataset_meta or {}
    if not meta.get('classes'):
        raise ValueError(
            '--confusion: expected a test set that knows its classes, got none. Set '
            'test_dataloader.dataset.metainfo.classes'
        )
    ignored = (getattr(metric, 'ignore_index', None) for metric in evaluator.metrics)
    ignore_index = next((index for index in ignored if index is not None), 255)
    recorder = ConfusionRecorder(
        len(meta['classes']), ignore_index=ignore_index, prefix='confusion'
    )
    recorder.dataset_meta = meta
    evaluator.metrics.append(recorder)
    return recorder


def run(args: argparse.Namespace) -> None:
    """Checks what can be checked, then tests."""
    if (args.checkpoint is None) == (args.ensemble is None):
        args.usage_error('expected either a checkpoint or --ensemble with several')
    cfg = load_config(args)
    require_keys(cfg, args.config, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'))
    kind = Path(args.out).suffix if args.out else ''
    if args.confusion and kind != '.json':
        raise ValueError(
            f'--confusion: expected --out FILE.json, which it is written to, got {args.out!r}. Set '
            '--out'
        )
    several = args.checkpoint is not None and Path(args.checkpoint).is_dir()
    if several and (args.show or args.show_dir or (args.out and kind != '.json')):
        raise ValueError(
            f'checkpoint: expected a file, since predictions are shown or saved, got the folder '
            f'{args.checkpoint!r}. Pass one of its checkpoints'
        )
    results = checkpoints_of(args.checkpoint) if several else {'': args.checkpoint}
    tested = args.ensemble or list(results.values())
    check_outputs(args, kind, [args.config, *tested])
    for path in tested:
        if '://' not in path:
            check_checkpoint(path)
    check_loader('test_dataloader', cfg.test_dataloader)
    check_imports(cfg)
    check_work_dir(cfg.work_dir)
    check_data_folders(cfg, ('test_dataloader',))
    cfg.load_from = results.get('last', args.checkpoint)
    cfg.resume = False
    # Pretrained weights are where a training starts: a test reads the checkpoint alone.
    check_downloads(Config(dict(load_from=cfg.load_from)))
    if args.ensemble:
        use_ensemble(cfg, args.ensemble)
    if args.show or args.show_dir:
        use_visualization(cfg, args)
    if args.tta:
        use_test_time_augmentation(cfg, args.config)
    label_maps = bool(args.out) and kind not in FILES
    if label_maps:
        use_out_folder(cfg, args.out)
    guard_test(cfg)

    drop_strategy(cfg)
    runner = build_runner(cfg, to_test=True)
    if args.show or args.show_dir:
        select_pictures(runner.hooks, args.show_interval, args.show_limit)
    # Building the loop now gives access to its metrics; Runner.test() takes it as it is.
    runner._test_loop = runner.build_test_loop(runner._test_loop)
    # MMSegmentation numbers its pictures.
    if label_maps or (args.show_dir and cfg.default_scope == 'mmpretrain'):
        check_names(runner.test_dataloader.dataset, label_maps=label_maps)
    evaluator = runner.test_evaluator
    if kind in ('.pkl', '.pickle'):
        evaluator.metrics.append(DumpPredictions(out_file_path=args.out))
    recorder = PerClassRecorder(evaluator.metrics)
    confusion = use_confusion(evaluator) if args.confusion else None
    contents = {}
    for name, checkpoint in results.items():
        runner._load_from, runner._has_loaded = checkpoint, False
        metrics = runner.test()
        contents[name] = describe_metrics(
            metrics,
            per_class=recorder.values,
            classes=(evaluator.dataset_meta or {}).get('classes'),
            config=args.config,
            checkpoint=args.ensemble or checkpoint,
            tta=args.tta,
            num_samples=len(runner.test_dataloader.dataset),
        )
        if confusion is not None and confusion.matrix is not None:
            classes = list(evaluator.dataset_meta['classes'])
            contents[name]['confusion'] = dict(classes=classes, matrix=confusion.matrix)
    for name, content in contents.items() if several else ():
        values = ', '.join(
            f'{key} {value:.4g}'
            for key, value in content['metrics'].items()
            if isinstance(value, (int, float))
        )
        print_log(f'{name} ({Path(content["checkpoint"]).name}): {values}', 'current')
    if kind == '.json' and is_main_process():
        write_metrics(args.out, contents if several else contents[''])
