"""The classification quickstart from data to report with a budget of two iterations."""

import json
from dataclasses import replace

import pytest
from helpers.tiny_comparison import ROOT, TINY, first_candidates

from tests.conftest import TOOLS, load_script


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return load_script(TOOLS / 'quickstart_cls.py')


@pytest.fixture
def comparison(quickstart):
    methods = first_candidates(
        method
        for method in quickstart.METHODS
        if method.name in ('ce', 'logit_adjusted_ce', 'gpaco')
    )
    return replace(
        quickstart.COMPARISON,
        methods=methods,
        seeds=(0,),
        options=TINY,
        search_options={'train_cfg.max_iters': 1, 'train_cfg.val_interval': 1},
    )


def test_runs_once_and_reports(quickstart, comparison, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    results = quickstart.run(out, comparison)
    assert json.loads((out / 'results.json').read_text()) == results
    runs = {method['name']: method['runs'][0] for method in results['methods']}
    assert list(runs) == [method.name for method in comparison.methods]
    for run in runs.values():
        assert 0 <= run['test']['metrics']['long-tail/top1'] <= 100
        assert run['test']['num_samples'] == 440
        assert len(run['test']['per_class']['accuracy']) == 10
    projector = 64 * 64 + 64 + 64 * 32 + 32
    assert runs['gpaco']['parameters'] == runs['ce']['parameters'] + projector

    # the same weights as CE, tested with another head
    adjusted = runs['logit_adjusted_ce']
    assert adjusted['loss'] == runs['ce']['loss']
    assert adjusted['train_seconds'] == runs['ce']['train_seconds']
    assert adjusted['test']['checkpoint'].endswith('ce/seed_0/final.pth')
    assert not (out / 'logit_adjusted_ce' / 'seed_0' / 'final.pth').exists()

    table = quickstart.summary_table(results)
    assert len(table.splitlines()) == 2 + len(comparison.methods)
    text = (out / 'report.md').read_text()
    assert table in text
    for name in quickstart.PICTURES:
        assert (out / name).stat().st_size > 1000
        assert name in text

    # a second call repeats neither the trainings nor the pictures
    monkeypatch.setattr(quickstart, 'draw_pictures', lambda *args: 1 / 0)
    monkeypatch.setattr('paco_seg.engine.experiment.run_tool', lambda *args: 1 / 0)
    assert quickstart.run(out, comparison) == results


def test_settings_are_those_of_the_report(quickstart):
    """What the text says: equal search, another split for choosing, equal budgets and views."""
    from mmengine.config import Config

    from paco_seg import compat

    trained = [method for method in quickstart.METHODS if method.trains]
    rates = {method.search['optim_wrapper.optimizer.lr'] for method in trained}
    assert rates == {quickstart.RATES['optim_wrapper.optimizer.lr']}
    assert {len(method.candidates()) for method in trained} == {2}
    alphas = [m.search[quickstart.ALPHA] for m in trained if quickstart.ALPHA in m.search]
    assert alphas == [('auto',), (0.05,)]
    assert len(quickstart.SEEDS) == 3

    compat.setup()
    configs = [
        Config.fromfile(ROOT / method.config, import_custom_modules=False)
        for method in quickstart.METHODS
    ]
    for config in configs:
        assert config.val_dataloader.dataset.ann_file == 'search.txt'
        assert config.test_dataloader.dataset.ann_file == 'validation.txt'
        assert config.train_cfg.max_iters == 300  # search_cost and the names of the configs
        assert config.train_dataloader == configs[0].train_dataloader
        assert config.train_dataloader.batch_size == 32
        assert config.model.backbone == configs[0].model.backbone
        assert config.model.type == 'GPaCoClassifier'
