"""A published model needs no training branch, and with --stock no paco_seg."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import MMSegInferencer, inference_model, init_model

from paco_seg import cli
from paco_seg.cli import publish
from paco_seg.engine.model_changes import apply_changes, read_config
from paco_seg.seg.loss_swap import IMPORTS, loss_changes

# Evaluates a checkpoint with plain MMSegmentation and exports it.
PLAIN_PROGRAM = """
import json, sys
sys.modules['paco_seg'] = None  # importing it raises ImportError
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.apis import init_model

config, checkpoint, work_dir = sys.argv[1:]
cfg = Config.fromfile(config)
cfg.merge_from_dict(dict(work_dir=work_dir, load_from=checkpoint))
metrics = Runner.from_cfg(cfg).test()

model = init_model(config, checkpoint, device='cpu')

class Logits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model
    def forward(self, image):
        return self.model(image, mode='tensor')

image = torch.randn(2, 3, 32, 32)
exported = torch.export.export(Logits(), (image,)).module()
with torch.inference_mode():
    equal = torch.allclose(exported(image), Logits()(image), rtol=1e-5, atol=1e-6)
metrics = {key: float(value) for key, value in metrics.items()}
json.dump(dict(metrics=metrics, exported_equals_eager=equal), open(work_dir + '/result.json', 'w'))
"""


@pytest.fixture
def trained(tmp_path, run_tool, tiny_seg):
    """Config and checkpoint of a short GPaCo training."""
    # inference_model reads `test_pipeline`, as every stock dataset config has it.
    stock = read_config(tiny_seg("test_pipeline = load + [dict(type='PackSegInputs')]\n"))
    cfg = apply_changes(stock, loss_changes(stock), IMPORTS)
    path = tmp_path / 'gpaco.py'
    cfg.dump(path)
    run_tool('train', path)
    return path, tmp_path / 'work/iter_6.pth'


@pytest.mark.usefixtures('formatted_configs')
def test_stock_model_equals_the_original_without_the_package(trained, tmp_path, run_tool, capsys):
    config, checkpoint = trained
    run_tool('test', config, checkpoint, '--out', tmp_path / 'original.json')
    out = tmp_path / 'published/model.pth'
    cli.run(['publish', str(checkpoint), '--stock', '-o', str(out)])
    printed = capsys.readouterr().out
    assert 'stripped: decode_head.training_branches.gpaco.' in printed
    text = out.with_suffix('.py').read_text()
    assert 'paco' not in text.lower().replace(str(tmp_path).lower(), '')
    published = torch.load(out, weights_only=True)
    assert not any('training_branches' in name for name in published['state_dict'])
    assert published['meta']['dataset_meta']['classes'] == ('sky', 'road', 'tree', 'car')
    assert out.stat().st_size < checkpoint.stat().st_size

    (tmp_path / 'program.py').write_text(PLAIN_PROGRAM)
    (tmp_path / 'plain').mkdir()
    arguments = ['program.py', out.with_suffix('.py'), out, tmp_path / 'plain']
    done = subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    plain = json.loads((tmp_path / 'plain/result.json').read_text())
    original = json.loads((tmp_path / 'original.json').read_text())['metrics']
    for name in ('mIoU', 'mAcc', 'aAcc'):
        assert plain['metrics'][name] == original[name]
    assert plain['exported_equals_eager']


@pytest.mark.usefixtures('formatted_configs')
def test_model_card_and_no_path_of_this_machine(trained, tmp_path, run_tool, capsys):
    config, checkpoint = trained
    run_tool('test', config, checkpoint, '--out', tmp_path / 'metrics.json')
    out = tmp_path / 'small.pth'
    options = ('--metrics', tmp_path / 'metrics.json', '--license', 'CC BY 4.0')
    run_tool('publish', checkpoint, '-o', out, *options)
    card = out.with_suffix('.md').read_text()
    mean = json.loads((tmp_path / 'metrics.json').read_text())['metrics']['mIoU']
    for text in (
        '# small\n',
        '## Classes (4)',
        'sky, road, tree, car',
        f'{mean:.4g}',
        'CC BY 4.0',
        'BaseSegDataset',
        'paco-seg test small.py small.pth --out metrics.json',
        'iter: 6',
    ):
        assert text in card
    published = torch.load(out, weights_only=True)
    for text in (card, out.with_suffix('.py').read_text(), repr(published['meta'])):
        assert str(tmp_path) not in text
    assert Config.fromfile(out.with_suffix('.py')).val_dataloader.dataset.data_root == 'data'
    assert 'made relative: ' in capsys.readouterr().out


def test_own_files_of_that_name_are_kept(trained, run_tool):
    config, checkpoint = trained
    (config.parent / 'model.py').write_text('own = True')
    with pytest.raises(ValueError, match=r'--out: expected a name beside which there is no model'):
        run_tool('publish', checkpoint, '-o', config.parent / 'model.pth')
    assert (config.parent / 'model.py').read_text() == 'own = True'


def test_metrics_of_something_else_are_refused(trained, tmp_path, run_tool):
    _, checkpoint = trained
    with pytest.raises(FileNotFoundError, match=r'^--metrics: expected an existing file'):
        run_tool('publish', checkpoint, '--metrics', tmp_path / 'none.json')
    (tmp_path / 'other.json').write_text('[]')
    with pytest.raises(ValueError, match=r'^--metrics: expected a file of paco-seg test'):
        run_tool('publish', checkpoint, '--metrics', tmp_path / 'other.json')


def test_inference_apis_read_gpaco_checkpoints(trained):
    config, checkpoint = trained
    image = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    model = init_model(str(config), str(checkpoint), device='cpu')
    expected = inference_model(model, image).pred_sem_seg.data[0].numpy()
    assert expected.shape == (40, 48)
    inferencer = MMSegInferencer(model=str(config), weights=str(checkpoint), device='cpu')
    np.testing.assert_array_equal(inferencer(image, show=False)['predictions'], expected)


def test_without_stock_the_branch_stays(trained, tmp_path):
    _, checkpoint = trained
    cli.run(['publish', str(checkpoint)])
    out = checkpoint.with_name('iter_6_published.pth')
    published = torch.load(out, weights_only=True)
    assert any('training_branches' in name for name in published['state_dict'])
    assert set(published) == {'state_dict', 'meta'}
    head = Config.fromfile(out.with_suffix('.py')).model.decode_head
    assert head.type == 'GPaCoDecodeHead'


@pytest.mark.parametrize('arguments', [[], ['--stock']])
def test_the_run_that_made_the_checkpoint_is_not_published(trained, tmp_path, run_tool, arguments):
    config, checkpoint = trained
    run_tool('train', config, '--resume', checkpoint, '--cfg-options', 'train_cfg.max_iters=7')
    checkpoint = tmp_path / 'work/iter_6.pth'
    content = torch.load(checkpoint, weights_only=False)
    content['meta']['cfg'] += f"resume = True\nload_from = '{checkpoint}'\n"
    torch.save(content, checkpoint)
    out = tmp_path / 'published.pth'
    cli.run(['publish', str(checkpoint), '-o', str(out), *arguments])
    published = Config.fromfile(out.with_suffix('.py'))
    assert not {'resume', 'load_from', 'work_dir', 'launcher'} & set(published)
    assert 'work_dir' not in torch.load(out, weights_only=True)['meta']['cfg']


def test_weights_of_another_config_are_named(trained, tmp_path):
    config, checkpoint = trained
    text = config.read_text().replace('channels=8,', 'channels=12,')
    other = tmp_path / 'other.py'
    other.write_text(text)
    assert text != config.read_text()
    with pytest.raises(ValueError, match=r'weights of another shape: .*--config'):
        cli.run(['publish', str(checkpoint), '--stock', '--config', str(other)])


def test_a_branch_that_acts_at_inference_is_refused(trained, monkeypatch):
    _, checkpoint = trained
    logits = iter([torch.zeros(1), torch.ones(1)])
    monkeypatch.setattr(publish, 'logits_of', lambda *_: next(logits))
    with pytest.raises(ValueError, match='Publish it without --stock'):
        cli.run(['publish', str(checkpoint), '--stock'])
    assert not checkpoint.with_name('iter_6_published.pth').exists()


def test_a_log_prior_at_test_is_no_training_branch(tiny_seg, save_checkpoint, tmp_path):
    """The head subtracts it in predict(), which the logits of its forward pass do not show."""
    frequency = tmp_path / 'frequency.json'
    counts = dict(
        classes=['a', 'b', 'c', 'd'], pixels=[1000, 100, 10, 1], images=[2, 2, 2, 1], num_images=2
    )
    frequency.write_text(json.dumps(counts))
    head = f"type='LogitAdjustedDecodeHead', base_type='FCNHead', frequency_file={str(frequency)!r}"
    config = tiny_seg(f'model["decode_head"].update({head})\n')
    arguments = ['publish', save_checkpoint(config), '--config', config, '--stock']
    with pytest.raises(ValueError, match='got LogitAdjustedDecodeHead, which predicts otherwise'):
        cli.run([str(argument) for argument in arguments])


@pytest.mark.parametrize('arguments', [[], ['--stock']])
def test_what_a_comparison_trained_is_published(
    tiny_seg, save_checkpoint, run_tool, tmp_path, arguments
):
    metric = dict(type='mmengine.ClassConfusion', num_classes=4, measure='IoU', rare=[3])
    config = tiny_seg(
        "custom_imports = dict(imports=['paco_seg.engine.class_confusion'])\n"
        f'val_evaluator = test_evaluator = {metric!r}\n'
    )
    out = tmp_path / 'published.pth'
    checkpoint = save_checkpoint(config)
    content = torch.load(checkpoint, weights_only=True)
    content['meta']['cfg'] = read_config(config).pretty_text
    torch.save(content, checkpoint)
    run_tool('publish', checkpoint, '-o', out, *arguments)
    published = Config.fromfile(out.with_suffix('.py'))
    expected = dict(type='IoUMetric', iou_metrics=['mIoU']) if arguments else metric
    assert published.test_evaluator == published.val_evaluator == expected
    assert ('custom_imports' in published) == (not arguments)


def test_a_checkpoint_without_config_needs_one(tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict={}), path)
    with pytest.raises(ValueError, match=r'weights\.pth: meta\.cfg: expected the config'):
        cli.run(['publish', str(path)])
    torch.save(dict(weights={}), path)
    with pytest.raises(ValueError, match=r'weights\.pth: state_dict: expected weights'):
        cli.run(['publish', str(path)])


@pytest.mark.parametrize('arguments', [[], ['--stock']])
def test_a_config_that_would_run_something_is_refused(tmp_path, arguments):
    path, trace = tmp_path / 'weights.pth', tmp_path / 'trace'
    config = f"model = dict(type='os.system', command='touch {trace}')\n"
    torch.save(dict(state_dict={}, meta=dict(cfg=config)), path)
    with pytest.raises(ValueError, match=r"model\.type: expected a class .*, got 'os\.system'"):
        cli.run(['publish', str(path), *arguments])
    assert not trace.exists()
    assert not path.with_name('weights_published.py').exists()


@pytest.mark.parametrize('with_config', [False, True])
def test_stock_is_for_segmentation_whatever_else_the_config_names(
    tmp_path, run_tool, tiny_cls, with_config
):
    config = tmp_path / 'gpaco.py'
    run_tool('swap', tiny_cls(), '-o', config)
    run_tool('train', config, '--cfg-options', 'train_cfg.max_epochs=1')
    checkpoint = tmp_path / 'work/epoch_1.pth'
    options = ['--config', config] if with_config else []
    with pytest.raises(ValueError, match=r'^--stock: is for segmentation') as caught:
        run_tool('publish', checkpoint, '--stock', *options)
    assert 'custom_hooks' not in str(caught.value)
    # As the message says: the classes of this package are known without the config file.
    run_tool('publish', checkpoint, *options)
    assert (tmp_path / 'work/epoch_1_published.pth').is_file()
