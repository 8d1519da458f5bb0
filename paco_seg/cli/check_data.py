"""Check the files of a data set.

    paco-seg check-data CONFIG

Reads every image of the train, val and test loaders as training does, with its label map or
label, compares each label map with what is stored in its file, and looks at the classes of each
set as a whole. Names every bad file, those of a frequent kind together, and exits with status 1
if there is one.
"""

import argparse
import sys

from paco_seg.engine.cli import LOADERS
from paco_seg.engine.config_options import ConfigOptions
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.parallel import check_jobs
from paco_seg.engine.problems import ProblemGroups


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument('--loaders', nargs='+', default=list(LOADERS), help='default: all three')
    parser.add_argument('--jobs', type=int, help='processes; default: one per CPU core')
    parser.add_argument(
        '--every-file', action='store_true', help='name all files, also of a frequent problem'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help='as in paco-seg train'
    )


def run(args: argparse.Namespace) -> None:
    """Check all loaders, print the problems."""
    jobs = check_jobs(args.jobs)
    cfg, scope = read_data_config(args.config, args.cfg_options, to_inherit=False)
    groups = ProblemGroups(shown=None if args.every_file else 5)
    if scope == 'mmseg':
        from paco_seg.seg.datasets import check as seg_check

        datasets = seg_check.datasets_of(cfg, args.loaders)
        for summary in seg_check.check_files(datasets, cfg, jobs, groups):
            absent = summary.absent()
            if absent:
                names = ', '.join(absent[:10]) + (', ...' if len(absent) > 10 else '')
                note = f'{len(absent)} classes in no label map ({names})'
                print(f'{summary.check.maps.key}: {note}', file=sys.stderr)
        images = sum(len(maps.infos) for maps in datasets)
    else:
        from paco_seg.cls.datasets import check as cls_check

        sets = cls_check.check_files(cfg, args.loaders, jobs, groups)
        images = sum(len(images.infos) for images in sets)
    for line in groups.lines():
        print(line)
    print(f'{images} images checked, {groups.total} problems')
    sys.exit(1 if groups.total else 0)
