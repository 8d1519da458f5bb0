"""The suites on digit scenes, from data to report with a budget of two iterations."""

import json
from functools import reduce
from pathlib import Path

import pytest
from helpers.resolved_configs import written_systems
from helpers.tiny_comparison import tiny_suite
from mmengine.config import Config

from paco_seg import compat
from paco_seg.comparison import report, runner
from paco_seg.comparison.demo_data.digit_scenes import SceneSettings, write_scenes
from paco_seg.comparison.report import run_suite, summary_table
from paco_seg.comparison.study import resolved_config
from paco_seg.comparison.suites import SUITES
from paco_seg.comparison.suites.segmentation import LEARNING_RATES

pytestmark = [pytest.mark.region_rebalance, pytest.mark.ceco]


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    """A folder with tiny demo data at the place that the configs name."""
    monkeypatch.chdir(tmp_path)
    settings = SceneSettings(max_instances=100, balanced_instances=1)
    write_scenes(Path('data/digit_scenes'), settings)


def test_quickstart_runs_once_and_reports(scenes, tmp_path, monkeypatch):
    suite = tiny_suite(
        'quickstart', **{'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 2}
    )
    out = tmp_path / 'out'
    results = run_suite(suite, out)
    assert json.loads((out / 'results.json').read_text()) == results
    names = ['ce', 'logit-adjusted-ce', 'gpaco']
    assert [method['name'] for method in results['methods']] == names
    for method in results['methods']:
        assert len(method['search']) == len(method['runs']) == 1
        assert method['runs'][0]['test']['metrics']['mIoU'] >= 0
    ce, adjusted, gpaco = (method['runs'][0]['parameters'] for method in results['methods'])
    assert ce == adjusted < gpaco  # the projector

    table = summary_table(results, suite.table)
    assert len(table.splitlines()) == 2 + 3
    text = (out / 'report.md').read_text()
    assert table in text
    for picture in suite.pictures:
        assert (out / picture.file).stat().st_size > 1000
        assert picture.file in text
    assert 'tail: seven, eight, nine' in text

    # a second call repeats neither the trainings nor the pictures
    monkeypatch.setattr(runner, 'watch_command', lambda *args: 1 / 0)
    with monkeypatch.context() as patch:
        patch.setattr(report, 'draw_pictures', lambda *args, **settings: 1 / 0)
        assert run_suite(suite, out) == results

    # a lost picture is drawn again, without a training
    (out / 'curves.png').unlink()
    run_suite(suite, out)
    assert (out / 'curves.png').exists()


def test_demo_suite(scenes, tmp_path):
    out = tmp_path / 'out'
    names = ['gpaco-logit-adjusted-ce', 'gpaco-region-rebalance']
    results = run_suite(tiny_suite('demo-seg', names), out)
    assert [method['name'] for method in results['methods']] == names
    for method in results['methods']:
        assert method['runs'][0]['test']['metrics']['mIoU'] >= 0
    assert len(results['frequencies']) == 11
    assert 'GPaCo + Region Rebalance' in (out / 'report.md').read_text()


def test_settings_are_those_of_the_report():
    """What the text says: equal search and seeds, three systems, another split for choosing."""
    study = SUITES['quickstart'].study
    rates = {system.search['optim_wrapper.optimizer.lr'] for system in study.systems}
    assert rates == {LEARNING_RATES}
    assert len(study.seeds) >= 2
    for system in written_systems('quickstart').values():
        config = Config(resolved_config(system.config, {}))
        assert config.val_dataloader.dataset.data_prefix.img_path == 'images/search'
        assert config.test_dataloader.dataset.data_prefix.img_path == 'images/validation'
        assert config.train_cfg.max_iters == 1000  # search_cost and the names of the configs
        assert config.train_dataloader.batch_size == 4


@pytest.mark.parametrize('name', ['demo-seg', 'demo-cls'])
def test_systems_have_one_budget(name):
    """Same data, length, batch and candidates for all; sources ahead of their users."""
    compat.setup()
    study = SUITES[name].study
    trained = [system for system in study.systems if system.trains]
    assert len({system.search['optim_wrapper.optimizer.lr'] for system in trained}) == 1
    first = None
    seen = set()
    for system in written_systems(name).values():
        assert system.source is None or system.source in seen
        seen.add(system.name)
        config = Config(resolved_config(system.config, {}))
        first = first or config
        for key in (
            'train_cfg',
            'param_scheduler',
            'optim_wrapper',
            'val_dataloader',
            'test_dataloader',
            'test_evaluator',
        ):
            assert config[key] == first[key], (system.name, key)
        assert config.train_dataloader.batch_size == first.train_dataloader.batch_size
        assert config.model.backbone.depth == first.model.backbone.depth
        for key, values in system.search.items():
            if key.endswith('_weight'):  # that of the config, and a tenth of it
                weight = reduce(lambda node, part: node[part], key.split('.'), config)
                assert values == (pytest.approx(weight / 10), weight)
    length = first.train_cfg.max_iters
    assert study.search_cost == study.search_options['train_cfg.max_iters'] / length


@pytest.mark.parametrize('name', ['demo-seg', 'demo-cls'])
def test_logged_time_and_loss_cover_all_iterations(name):
    study = SUITES[name].study
    for system in written_systems(name).values():
        config = Config(resolved_config(system.config, {}))
        interval = config.default_hooks.logger.interval
        assert config.log_processor.window_size == interval
        assert config.train_cfg.max_iters % interval == 0
        assert study.search_options['train_cfg.max_iters'] % interval == 0
