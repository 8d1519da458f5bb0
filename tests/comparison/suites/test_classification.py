"""The suites on long-tailed digits, from data to report with a budget of two iterations."""

import json
import math
from pathlib import Path

import pytest
from helpers.resolved_configs import written_systems
from helpers.tiny_comparison import tiny_suite
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from paco_seg import compat
from paco_seg.comparison import report, runner
from paco_seg.comparison.demo_data.digits import DigitSettings, write_digits
from paco_seg.comparison.report import run_suite, summary_table
from paco_seg.comparison.study import resolved_config
from paco_seg.comparison.suites import SUITES
from paco_seg.comparison.suites.classification import ALPHA, RATES
from tests.conftest import forget_runs

pytestmark = [
    pytest.mark.reslt,
    pytest.mark.hybrid,
    pytest.mark.supcon,
    pytest.mark.ldam,
    pytest.mark.crt,
]
TRAINED = [system for system in SUITES['demo-cls'].study.systems if system.trains]


def config_of(system):
    """Its config with the plugins that it names imported."""
    compat.setup()
    config = written_systems('demo-cls')[system.name].config
    return Config.fromfile(Config._get_cfg_path(config, '')[0] if '::' in config else config)


@pytest.fixture
def digits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_digits(Path('data/digits_lt'), DigitSettings())
    forget_runs()
    yield
    forget_runs()


def test_quickstart_runs_once_and_reports(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # without data: they are written
    suite = tiny_suite('quickstart-cls', ['ce', 'logit-adjusted-ce', 'gpaco'])
    out = tmp_path / 'out'
    results = run_suite(suite, out)
    assert json.loads((out / 'results.json').read_text()) == results
    runs = {method['name']: method['runs'][0] for method in results['methods']}
    assert list(runs) == [system.name for system in suite.study.systems]
    for run in runs.values():
        assert 0 <= run['test']['metrics']['long-tail/top1'] <= 100
        assert run['test']['num_samples'] == 440
        assert len(run['test']['per_class']['accuracy']) == 10
    projector = 64 * 64 + 64 + 64 * 32 + 32
    assert runs['gpaco']['parameters'] == runs['ce']['parameters'] + projector

    # the same weights as CE, tested with another head
    adjusted = runs['logit-adjusted-ce']
    assert adjusted['loss'] == runs['ce']['loss']
    assert adjusted['train_seconds'] == runs['ce']['train_seconds']
    assert adjusted['test']['checkpoint'].endswith('ce/seed_0/final.pth')
    assert not (out / 'logit-adjusted-ce' / 'seed_0' / 'final.pth').exists()

    table = summary_table(results, suite.table)
    assert len(table.splitlines()) == 2 + len(suite.study.systems)
    text = (out / 'report.md').read_text()
    assert table in text
    for picture in suite.pictures:
        assert (out / picture.file).stat().st_size > 1000
        assert picture.file in text
    assert 'Training images of the digits 0 to 9: 100, 65, 42, 27, 18, 11, 7, 5, 3, 2.' in text
    assert 'sets this product to 0.15 for' in text

    # a second call repeats neither the trainings nor the pictures
    monkeypatch.setattr(report, 'draw_pictures', lambda *args, **settings: 1 / 0)
    monkeypatch.setattr(runner, 'watch_command', lambda *args: 1 / 0)
    assert run_suite(suite, out) == results


def test_quickstart_settings_are_those_of_the_report():
    """What the text says: equal search, another split for choosing, equal budgets and views."""
    study = SUITES['quickstart-cls'].study
    trained = [system for system in study.systems if system.trains]
    rates = {system.search['optim_wrapper.optimizer.lr'] for system in trained}
    assert rates == {RATES['optim_wrapper.optimizer.lr']}
    assert {len(system.candidates()) for system in trained} == {2}
    alphas = [system.search[ALPHA] for system in trained if ALPHA in system.search]
    assert alphas == [('auto',), (0.05,)]
    assert len(study.seeds) == 3

    systems = written_systems('quickstart-cls').values()
    configs = [Config(resolved_config(system.config, {})) for system in systems]
    for config in configs:
        assert config.val_dataloader.dataset.ann_file == 'search.txt'
        assert config.test_dataloader.dataset.ann_file == 'validation.txt'
        assert config.train_cfg.max_iters == 300  # search_cost and the names of the configs
        assert config.train_dataloader == configs[0].train_dataloader
        assert config.train_dataloader.batch_size == 32
        assert config.model.backbone == configs[0].model.backbone
        assert config.model.type == 'GPaCoClassifier'


def test_demo_suite_compares_and_resumes(digits, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    suite = tiny_suite('demo-cls', ['tau-norm', 'crt', 'balanced-softmax'])
    results = run_suite(suite, out)
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
    assert Path(weights.model.backbone.init_cfg.checkpoint).exists()
    assert results['frequencies'] == [100, 65, 42, 27, 18, 11, 7, 5, 3, 2]
    # as `paco-seg plot` needs it
    groups = ['many'] * 3 + ['medium'] * 3 + ['few'] * 4
    assert all(run['test']['per_class']['group'] == groups for run in runs.values())

    table = summary_table(results, suite.table)
    assert len(table.splitlines()) == 2 + 4
    text = (out / 'report.md').read_text()
    assert table in text
    for picture in suite.pictures:
        assert (out / picture.file).stat().st_size > 1000
        assert picture.file in text

    # another choice of systems uses what is finished
    monkeypatch.setattr(runner, 'watch_command', lambda *args: 1 / 0)
    again = run_suite(tiny_suite('demo-cls', ['balanced-softmax']), out, reported=out / 'part')
    assert [method['name'] for method in again['methods']] == ['balanced-softmax']
    assert again['methods'][0] == results['methods'][3]
    assert json.loads((out / 'part/results.json').read_text()) == again
    assert '| cRT' not in (out / 'part/report.md').read_text()
    assert json.loads((out / 'results.json').read_text()) == results


@pytest.mark.parametrize('system', TRAINED, ids=lambda system: system.name)
def test_systems_train(digits, system):
    config = config_of(system)
    config.work_dir = 'out'
    config.train_dataloader.batch_size = 4
    config.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2)
    config.val_dataloader = config.val_cfg = config.val_evaluator = None
    config.default_hooks.logger.interval = 1
    if system.name in ('crt', 'lws'):  # without the weights of a first stage
        config.model.backbone.pop('init_cfg', None)
        config.load_from = None
    if system.name == 'ldam-drw':
        config.model.head.loss.drw_start_epoch = 0
    Runner.from_cfg(config).train()
    rows = [
        json.loads(line)
        for path in Path('out').rglob('scalars.json')
        for line in path.read_text().splitlines()
    ]
    assert [row['step'] for row in rows] == [1, 2]
    assert all(math.isfinite(row['loss']) for row in rows)


@pytest.mark.parametrize('system', TRAINED, ids=lambda system: system.name)
def test_search_and_final_training_fit_the_loss(system):
    """What TrainingProgressHook says before the first step of both is accepted."""
    study = SUITES['demo-cls'].study
    batches = math.ceil(280 / 32)  # of the training split
    fractions = []
    for options in ({**study.search_options, **system.search_options}, {}):
        config = config_of(system)
        config.merge_from_dict(options)
        length = config.train_cfg.max_iters / batches
        model = MODELS.build(config.model)
        for part in model.modules():
            if hasattr(part, 'set_progress'):
                part.set_progress(0, length)
                fractions.append(getattr(part, 'drw_start_epoch', 0) / length)
    names = ('ldam-drw', 'hybrid-sc', 'hybrid-psc', 'proco')
    assert len(fractions) == (2 if system.name in names else 0)
    if fractions:
        assert fractions[0] == pytest.approx(fractions[1], abs=0.05)
