"""The comparison: systems with a budget of two iterations, subsets, resuming, bad names."""

import json
import math
import re
from dataclasses import replace
from functools import reduce
from pathlib import Path

import pytest
from helpers.tiny_comparison import ROOT, TINY, first_candidates
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from paco_seg import compat
from tests.conftest import TOOLS, forget_runs, load_script

pytestmark = [
    pytest.mark.region_rebalance,
    pytest.mark.ceco,
    pytest.mark.reslt,
    pytest.mark.hybrid,
    pytest.mark.supcon,
    pytest.mark.ldam,
    pytest.mark.crt,
]


@pytest.fixture
def compare(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return load_script(TOOLS / 'compare.py')


def tiny(compare, name, methods, **options):
    """A suite with one seed, one candidate and two iterations."""
    suite = compare.SUITES[name]
    methods = [
        replace(method, search_options={}) if method.trains else method
        for method in first_candidates(compare.choose(suite.comparison.methods, methods))
    ]
    comparison = replace(
        suite.comparison,
        methods=methods,
        seeds=(0,),
        options={**TINY, **options},
        search_options={'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1},
    )
    return replace(suite, comparison=comparison)


def test_compares_and_resumes(compare, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    suite = tiny(compare, 'demo-cls', ['tau-norm', 'crt', 'balanced-softmax'])
    results = compare.run('demo-cls', suite, out)
    assert json.loads((out / 'results.json').read_text()) == results
    names = ['ce', 'tau-norm', 'crt', 'balanced-softmax']
    assert [method['name'] for method in results['methods']] == names
    runs = {method['name']: method['runs'][0] for method in results['methods']}
    tests = [
        json.loads((out / f'tau-norm/{cell}/test.json').read_text())
        for cell in ('search_tau-0.0', 'seed_0')
    ]
    searched, tested = (test['num_samples'] for test in tests)
    splits = [Path(f'data/digits_lt/{split}.txt').read_text() for split in ('search', 'validation')]
    assert [searched, tested] == [len(split.splitlines()) for split in splits]
    for run in runs.values():
        assert 0 <= run['test']['metrics']['long-tail/top1'] <= 100
        assert 50 < run['peak_memory_mib'] < 20_000
        assert run['train_seconds'] > 0
    assert runs['crt']['train_seconds'] > runs['ce']['train_seconds']  # both stages
    assert runs['crt']['loss'] != runs['ce']['loss']
    weights = Config.fromfile(next((out / 'crt/seed_0').glob('2*/vis_data/config.py')))
    assert (ROOT / weights.model.backbone.init_cfg.checkpoint).exists()
    assert results['frequencies'] == [100, 65, 42, 27, 18, 11, 7, 5, 3, 2]

    table = compare.summary_table(results, suite.columns)
    assert len(table.splitlines()) == 2 + 4
    text = (out / 'report.md').read_text()
    assert table in text
    for name in compare.FILES[1:]:
        assert (out / name).stat().st_size > 1000
        assert name in text

    # another choice of systems uses what is finished
    monkeypatch.setattr('paco_seg.engine.experiment.run_tool', lambda *args: 1 / 0)
    part = tiny(compare, 'demo-cls', ['balanced-softmax'])
    again = compare.run('demo-cls', part, out, reported=out / 'part')
    assert [method['name'] for method in again['methods']] == ['balanced-softmax']
    assert again['methods'][0] == results['methods'][3]
    assert json.loads((out / 'part/results.json').read_text()) == again
    assert '| cRT' not in (out / 'part/report.md').read_text()
    assert json.loads((out / 'results.json').read_text()) == results


@pytest.fixture
def digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_script(TOOLS / 'make_demo_digits.py').main(['--out', 'data/digits_lt'])
    forget_runs()
    yield
    forget_runs()


CLS_TRAINED = [method for method in load_script(TOOLS / 'compare.py').CLS_SYSTEMS if method.trains]


@pytest.mark.parametrize('name', [method.name for method in CLS_TRAINED])
def test_classification_systems_train(compare, digits, name):
    compat.setup()
    (method,) = (method for method in compare.CLS_SYSTEMS if method.name == name)
    config = Config.fromfile(ROOT / method.config)
    config.work_dir = 'out'
    config.train_dataloader.batch_size = 4
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.default_hooks.logger.interval = 1
    if name in ('crt', 'lws'):  # without the weights of a first stage
        config.model.backbone.pop('init_cfg', None)
        config.load_from = None
    if name == 'ldam-drw':
        config.model.head.loss.drw_start_epoch = 0
    Runner.from_cfg(config).train()
    rows = [
        json.loads(line)
        for path in Path('out').rglob('scalars.json')
        for line in path.read_text().splitlines()
    ]
    assert [row['step'] for row in rows] == [1, 2]
    assert all(math.isfinite(row['loss']) for row in rows)


def test_segmentation_suite(compare, tmp_path):
    load_script(TOOLS / 'make_demo_data.py').main(
        ['--out', 'data/digit_scenes', '--max-instances', '100', '--balanced-instances', '1']
    )
    out = tmp_path / 'out'
    names = ['gpaco-logit-adjusted-ce', 'gpaco-region-rebalance']
    results = compare.run('demo-seg', tiny(compare, 'demo-seg', names), out)
    assert [method['name'] for method in results['methods']] == names
    for method in results['methods']:
        assert method['runs'][0]['test']['metrics']['mIoU'] >= 0
    assert len(results['frequencies']) == 11
    assert 'GPaCo + Region Rebalance' in (out / 'report.md').read_text()


def test_table_has_mean_and_deviation(compare):
    def run(top1, memory):
        return {
            'test': {'metrics': {'long-tail/top1': top1}},
            'train_seconds': 10.0,
            'peak_memory_mib': memory,
            'parameters': 1500,
        }

    methods = [
        {'title': 'A', 'runs': [run(50.0, 300.0), run(52.0, 310.0)]},
        {'title': 'B', 'runs': [run(50.0, None)]},
    ]
    table = compare.summary_table({'methods': methods}, {'top-1': 'long-tail/top1'})
    rows = [re.split(r'\s*\|\s*', line)[1:-1] for line in table.splitlines()]
    assert rows[2] == ['A', '51.0 ± 1.4', '10 s', '310 MiB', '0.002 M']
    assert rows[3] == ['B', '50.0', '10 s', '-', '0.002 M']


def test_part_of_a_suite_is_reported_elsewhere(compare):
    suite = compare.SUITES['demo-cls']
    everything = suite.comparison.methods
    some = compare.choose(everything, ['gpaco', 'crt'])
    out = Path('out')
    assert compare.report_folder(out, suite, everything, 3) == out
    assert compare.report_folder(out, suite, everything, 1) == out / 'subset-all-1-seeds'
    assert compare.report_folder(out, suite, some, 3) == out / 'subset-ce-crt-gpaco-3-seeds'


def test_choice_of_systems(compare, capsys):
    systems = compare.SUITES['demo-cls'].comparison.methods
    assert [method.name for method in compare.choose(systems, ['gpaco', 'crt'])] == [
        'ce',
        'crt',
        'gpaco',
    ]
    assert compare.choose(systems, None) == list(systems)
    with pytest.raises(SystemExit):
        compare.main(['--suite', 'demo-seg', '--methods', 'ce', 'nonsense'])
    assert '--methods: expected some of ce, ' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        compare.main(['--suite', 'demo-seg', '--seeds', '0'])
    assert '--seeds: expected at least 1, got 0' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['demo-seg', 'demo-cls'])
def test_systems_have_one_budget(compare, name):
    """Same data, length, batch and candidates for all; sources ahead of their users."""
    compat.setup()
    comparison = compare.SUITES[name].comparison
    trained = [method for method in comparison.methods if method.trains]
    assert len({method.search['optim_wrapper.optimizer.lr'] for method in trained}) == 1
    first = None
    seen = set()
    for method in comparison.methods:
        assert method.source is None or method.source in seen
        seen.add(method.name)
        config = Config.fromfile(ROOT / method.config, import_custom_modules=False)
        first = first or config
        for key in (
            'train_cfg',
            'param_scheduler',
            'optim_wrapper',
            'val_dataloader',
            'test_dataloader',
            'test_evaluator',
        ):
            assert config[key] == first[key], (method.name, key)
        assert config.train_dataloader.batch_size == first.train_dataloader.batch_size
        assert config.model.backbone.depth == first.model.backbone.depth
        for key, values in method.search.items():
            if key.endswith('_weight'):  # that of the config, and a tenth of it
                weight = reduce(lambda node, part: node[part], key.split('.'), config)
                assert values == (pytest.approx(weight / 10), weight)
    length = first.train_cfg.max_iters
    assert comparison.search_cost == comparison.search_options['train_cfg.max_iters'] / length


@pytest.mark.parametrize('method', CLS_TRAINED, ids=lambda method: method.name)
def test_search_and_final_training_fit_the_loss(compare, method):
    """What TrainingProgressHook says before the first step of both is accepted."""
    compat.setup()
    comparison = compare.SUITES['demo-cls'].comparison
    batches = math.ceil(280 / 32)  # of the training split
    fractions = []
    for options in ({**comparison.search_options, **method.search_options}, {}):
        config = Config.fromfile(ROOT / method.config)
        config.merge_from_dict(options)
        length = config.train_cfg.max_iters / batches
        model = MODELS.build(config.model)
        for part in model.modules():
            if hasattr(part, 'set_progress'):
                part.set_progress(0, length)
                fractions.append(getattr(part, 'drw_start_epoch', 0) / length)
    assert len(fractions) == (2 if method.name in ('ldam-drw', 'hybrid-sc', 'hybrid-psc') else 0)
    if fractions:
        assert fractions[0] == pytest.approx(fractions[1], abs=0.05)


@pytest.mark.parametrize('name', ['demo-seg', 'demo-cls'])
def test_logged_time_and_loss_cover_all_iterations(compare, name):
    compat.setup()
    comparison = compare.SUITES[name].comparison
    for method in comparison.methods:
        config = Config.fromfile(ROOT / method.config, import_custom_modules=False)
        interval = config.default_hooks.logger.interval
        assert config.log_processor.window_size == interval
        assert config.train_cfg.max_iters % interval == 0
        assert comparison.search_options['train_cfg.max_iters'] % interval == 0
