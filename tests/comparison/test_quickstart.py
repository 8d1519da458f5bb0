"""The quickstart from data to report with a budget of two iterations."""

import json
from dataclasses import replace

import pytest
from helpers.tiny_comparison import ROOT, TINY, first_candidates

from tests.conftest import TOOLS, load_script


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    """The tool, in a folder with tiny demo data at the place that the configs name."""
    monkeypatch.chdir(tmp_path)
    load_script(TOOLS / 'make_demo_data.py').main(
        ['--out', 'data/digit_scenes', '--max-instances', '100', '--balanced-instances', '1']
    )
    return load_script(TOOLS / 'quickstart.py')


@pytest.fixture
def comparison(quickstart):
    methods = first_candidates(quickstart.METHODS)
    tiny_search = {'train_cfg.max_iters': 1}
    return replace(
        quickstart.COMPARISON,
        methods=methods,
        seeds=(0,),
        options={**TINY, 'train_cfg.val_interval': 1, 'train_dataloader.batch_size': 2},
        search_options=tiny_search,
    )


def test_runs_once_and_reports(quickstart, comparison, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    results = quickstart.run(out, comparison)
    assert json.loads((out / 'results.json').read_text()) == results
    assert [method['name'] for method in results['methods']] == ['ce', 'logit_adjusted_ce', 'gpaco']
    for method in results['methods']:
        assert len(method['search']) == len(method['runs']) == 1
        assert method['runs'][0]['test']['metrics']['mIoU'] >= 0
    ce, adjusted, gpaco = (method['runs'][0]['parameters'] for method in results['methods'])
    assert ce == adjusted < gpaco  # the projector

    table = quickstart.summary_table(results)
    assert len(table.splitlines()) == 2 + 3
    text = (out / 'report.md').read_text()
    assert table in text
    for name in quickstart.PICTURES:
        assert (out / name).stat().st_size > 1000
        assert name in text
    assert 'tail: seven, eight, nine' in text

    # a second call repeats neither the trainings nor the pictures
    monkeypatch.setattr(quickstart, 'draw_pictures', lambda *args: 1 / 0)
    monkeypatch.setattr('paco_seg.engine.experiment.run_tool', lambda *args: 1 / 0)
    assert quickstart.run(out, comparison) == results

    # a lost picture is drawn again, without a training
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('paco_seg.engine.experiment.run_tool', lambda *args: 1 / 0)
    (out / 'curves.png').unlink()
    quickstart.run(out, comparison)
    assert (out / 'curves.png').exists()


def test_settings_are_those_of_the_report(quickstart):
    """What the text says: equal search and seeds, three methods, another split for choosing."""
    rates = {method.search['optim_wrapper.optimizer.lr'] for method in quickstart.METHODS}
    assert rates == {quickstart.LEARNING_RATES}
    assert len(quickstart.SEEDS) >= 2
    from mmengine.config import Config

    from paco_seg import compat

    compat.setup()
    for method in quickstart.METHODS:
        config = Config.fromfile(ROOT / method.config, import_custom_modules=False)
        assert config.val_dataloader.dataset.data_prefix.img_path == 'images/search'
        assert config.test_dataloader.dataset.data_prefix.img_path == 'images/validation'
        assert config.train_cfg.max_iters == 1000  # search_cost and the names of the configs
        assert config.train_dataloader.batch_size == 4
