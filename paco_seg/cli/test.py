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
import re
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.logging import print_log
from mmengine.runner import find_latest_checkpoint

from paco_seg.engine.cli import (
    add_common_arguments,
    add_hook,
    build_runner,
    load_config,
    require_keys,
    use_test_time_augmentation,
)
from paco_seg.engine.preflight import check_data_folders
from paco_seg.engine.results import PerClassRecorder, describe_metrics, write_metrics


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
    parser.add_argument('--show', action='store_true', help='show predictions in a window')
    parser.add_argument('--show-dir', help='folder for painted predictions')
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
    last = find_latest_checkpoint(work_dir)
    if last is None:
        raise FileNotFoundError(
            f'checkpoint: expected a folder with the file last_checkpoint, got {work_dir!r}. Pass '
            'the work directory of a training, or a checkpoint file'
        )
    # by its name: the folder may have moved since
    found = {'last': str(Path(work_dir) / Path(last).name)}
    for path in sorted(Path(work_dir).glob('best_*.pth')):
        metric = re.sub(r'_(epoch|iter)_\d+$', '', path.stem).removeprefix('best_')
        found[f'best on {metric}'] = str(path)
    return found


def use_ensemble(cfg: Config, checkpoints: list[str]) -> None:
    """Puts one model per checkpoint into an ensemble, unless the config describes it already."""
    if cfg.default_scope != 'mmpretrain':
        raise ValueError('--ensemble: expected a classification config, got one of segmentation')
    if cfg.model.type != 'EnsembleClassifier':
        cfg.model = dict(type='EnsembleClassifier', members=[cfg.model] * len(checkpoints))
    cfg.model.checkpoints = checkpoints


def use_visualization(cfg: Config, args: argparse.Namespace) -> None:
    """Switches the visualization hook on; its words differ between the two packages."""
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise ValueError(
            f'{args.config}: default_hooks.visualization: expected a hook, since --show or '
            '--show-dir was given, got none. Inherit default_runtime.py'
        )
    hook.show = args.show
    hook.wait_time = args.wait_time
    if cfg.default_scope == 'mmpretrain':
        hook.update(enable=True, interval=1, out_dir=args.show_dir)
        return
    hook.draw = True
    if args.show_dir:
        cfg.visualizer.save_dir = args.show_dir


def use_out_folder(cfg: Config, out: str) -> None:
    """Makes the metric write label maps, as MMSegmentation's tool does."""
    if cfg.default_scope != 'mmseg':
        raise ValueError(
            f'--out: expected a name that ends in .json or .pkl, got {out!r}. Label maps exist '
            'in segmentation only'
        )
    evaluators = cfg.test_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        evaluator.output_dir = out


def run(args: argparse.Namespace) -> None:
    """Checks what can be checked, then tests."""
    if (args.checkpoint is None) == (args.ensemble is None):
        args.usage_error('expected either a checkpoint or --ensemble with several')
    cfg = load_config(args)
    require_keys(cfg, args.config, ('model', 'test_dataloader', 'test_cfg', 'test_evaluator'))
    kind = Path(args.out).suffix if args.out else ''
    several = args.checkpoint is not None and Path(args.checkpoint).is_dir()
    if several and (args.show or args.show_dir or (args.out and kind != '.json')):
        raise ValueError(
            f'checkpoint: expected a file, since predictions are shown or saved, got the folder '
            f'{args.checkpoint!r}. Pass one of its checkpoints'
        )
    results = checkpoints_of(args.checkpoint) if several else {'': args.checkpoint}
    for path in args.ensemble or results.values():
        if '://' not in path and not Path(path).expanduser().is_file():
            raise FileNotFoundError(f'checkpoint: expected an existing file, got {path!r}')
    check_data_folders(cfg, ('test_dataloader',))
    cfg.load_from = results.get('last', args.checkpoint)
    cfg.resume = False
    if args.ensemble:
        use_ensemble(cfg, args.ensemble)
    if args.show or args.show_dir:
        use_visualization(cfg, args)
    if args.tta:
        use_test_time_augmentation(cfg, args.config)
    if args.out and kind not in ('.json', '.pkl', '.pickle'):
        use_out_folder(cfg, args.out)
    add_hook(cfg, type='CheckpointMatchHook', require='inference')

    runner = build_runner(cfg)
    # Building the loop now gives access to its metrics; Runner.test() takes it as it is.
    runner._test_loop = runner.build_test_loop(runner._test_loop)
    evaluator = runner.test_evaluator
    if kind in ('.pkl', '.pickle'):
        evaluator.metrics.append(DumpResults(out_file_path=args.out))
    recorder = PerClassRecorder(evaluator.metrics)
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
    for name, content in contents.items() if several else ():
        values = ', '.join(
            f'{key} {value:.4g}'
            for key, value in content['metrics'].items()
            if isinstance(value, (int, float))
        )
        print_log(f'{name} ({Path(content["checkpoint"]).name}): {values}', 'current')
    if kind == '.json' and is_main_process():
        write_metrics(args.out, contents if several else contents[''])
