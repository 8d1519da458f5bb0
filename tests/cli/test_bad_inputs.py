"""Wrong inputs end in a line that names the config key or the file, and in exit code 2."""

import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from paco_seg import cli

GPACO = (
    "custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)\n"
    "model['decode_head'].update(type='GPaCoDecodeHead', base_type='FCNHead')\n"
)


@pytest.fixture
def refused(monkeypatch, capsys):
    """``refused(*argv)`` -> standard error of a command that ends with exit code 2."""
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(*argv):
        from tests.conftest import forget_runs

        forget_runs()
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in argv])
        printed = capsys.readouterr().err
        assert end.value.code == 2, printed
        assert 'Traceback (most recent call last)' not in printed
        return printed

    return run


SETTINGS = [
    ('train_dataloader.batch_size=-1', 'train_dataloader.batch_size'),
    ('train_dataloader.batch_size=2.5', 'train_dataloader.batch_size'),
    ('train_dataloader.num_workers=two', 'train_dataloader.num_workers'),
    ('val_dataloader.num_workers=-1', 'val_dataloader.num_workers'),
    ('train_cfg.max_iters=0', 'train_cfg.max_iters'),
    ('train_cfg.max_iters=-5', 'train_cfg.max_iters'),
    ('train_cfg.max_iters=1e3', 'train_cfg.max_iters'),
    ('train_cfg.max_iters=many', 'train_cfg.max_iters'),
    ('train_cfg.val_interval=0', 'train_cfg.val_interval'),
    ('randomness.seed=-1', 'randomness.seed'),
    ('randomness.seed=99999999999999', 'randomness.seed'),
    ('randomness.seed=1.5', 'randomness.seed'),
    ('optim_wrapper.optimizer.lr=-1', 'optim_wrapper.optimizer.lr'),
    ('optim_wrapper.optimizer.lr=1e30', 'optim_wrapper.optimizer.lr'),
    ('optim_wrapper.optimizer.lr=nan', 'optim_wrapper.optimizer.lr'),
    ('optim_wrapper.optimizer.lr=fast', 'optim_wrapper.optimizer.lr'),
    ('optim_wrapper.optimizer.type=SDG', 'optim_wrapper.optimizer.type.*SGD'),
    ('param_scheduler.0.end=-3', r'param_scheduler\[0\]'),
    ('default_hooks.checkpoint.interval=0', 'default_hooks.checkpoint.interval'),
    ('default_hooks.checkpoint.max_keep_ckpts=few', 'default_hooks.checkpoint.max_keep_ckpts'),
    ('default_hooks.checkpoint.max_keep_ckpts=None', 'default_hooks.checkpoint.max_keep_ckpts'),
    ('optim_wrapper=SGD', 'optim_wrapper: expected a dict'),
    ('custom_hooks=[EMAHook]', r'custom_hooks\[0\]: expected a dict'),
    ('default_hooks.checkpoint.type=CheckpointHok', 'default_hooks.checkpoint'),
    ('model.data_preprocessor.size=[32]', 'model.data_preprocessor.size'),
    ('load_from=http://127.0.0.1:9/x.pth', 'load_from.*http://127.0.0.1:9/x.pth'),
    ('model.backbone.depth=19', 'model.backbone.*depth'),
    ('model.backbone.type=ResNetV1x', 'model.backbone.*ResNetV1x'),
    ('custom_imports.imports=[nope_module]', 'custom_imports.imports.*nope_module'),
    ('model.decode_head.num_classes=4.0', 'model.decode_head'),
    ('model.decode_head.dropout_ratio=2', 'model.decode_head.*dropout'),
    ('train_dataloader.dataset.seg_map_suffix=.gif', r'labels/train/\d+\.gif'),
    ('val_dataloader.dataset.img_suffix=.gif', 'val_dataloader'),
    ('val_evaluator.type=IoUMetrics', 'val_evaluator.*IoUMetrics'),
]


@pytest.mark.parametrize(('option', 'named'), SETTINGS, ids=[row[0] for row in SETTINGS])
def test_train_names_the_setting(tiny_seg, refused, option, named):
    assert re.search(named, refused('train', tiny_seg(), '--cfg-options', option))


@pytest.mark.parametrize('command', ['train', 'check-data', 'statistics'])
@pytest.mark.parametrize('tiny', ['tiny_seg', 'tiny_cls'])
def test_a_dataset_that_lost_its_type_is_named(request, tmp_path, refused, tiny, command):
    config = request.getfixturevalue(tiny)(
        "train_dataloader['dataset'] = dict(data_root='/nowhere', pipeline=[])\n"
    )
    out = ['--out', tmp_path / 'frequency.json'] if command == 'statistics' else []
    printed = refused(command, config, *out)
    assert 'train_dataloader.dataset.type: expected a registered dataset, got none' in printed


HEADS = [
    ("norm_cfg=dict(type='BNN')", 'model.decode_head'),
    ("num_classes='4'", 'model.decode_head.num_classes'),
    ("loss_contrast=dict(type='PixelGPaCoLoss', queue_size=10**13)", 'model.decode_head'),
    ('projector=dict(hidden_channels=2.5)', 'model.decode_head'),
    ("projector=dict(norm_cfg=dict(type='BNN'))", 'model.decode_head'),
    ('base_type=3', 'model.decode_head'),
    ('in_index=3', 'model.decode_head.in_index'),
    ("training_branches=['ceco']", 'model.decode_head'),
    ("loss_decode=dict(type='LogitAdjustedCrossEntropyLoss')", 'model.decode_head.*frequency_file'),
]


@pytest.mark.parametrize(('setting', 'named'), HEADS)
def test_train_names_the_part_of_the_head(tiny_seg, refused, setting, named):
    config = tiny_seg(f"{GPACO}model['decode_head'].update({setting})\n")
    assert re.search(named, refused('train', config))


CONFIGS = [
    ('nope.py', None),
    ('name_error.py', 'x = undefined_name\n'),
    ('syntax_error.py', 'x = (\n'),
    ('no_base.py', "_base_ = './nope_base.py'\n"),
    ('text.txt', 'hello\n'),
    ('broken.json', '{"a": \n'),
    ('without_model.py', "default_scope = 'mmseg'\nmodel = None\n"),
    ('no_scope.py', 'model = dict()\n'),
]


@pytest.mark.parametrize(('name', 'text'), CONFIGS, ids=[row[0] for row in CONFIGS])
def test_every_command_names_the_config(tmp_path, refused, name, text):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert name in refused('train', path)
    torch.save({'state_dict': {'encoder_q.x': torch.zeros(1)}}, tmp_path / 'a.pth')
    if name != 'without_model.py':  # nothing is wrong with it for a command that swaps no loss
        assert name in refused('swap', path)
        assert name in refused('convert', path, tmp_path / 'a.pth', tmp_path / 'b.pth')


@pytest.mark.parametrize('command', ['train', 'swap', 'check-data'])
def test_a_module_beside_the_config_is_named_with_the_remedy(tiny_seg, refused, command):
    path = tiny_seg("custom_imports = dict(imports=['my_mod'], allow_failed_imports=False)\n")
    (path.parent / 'my_mod.py').write_text('')
    printed = refused(command, path)
    assert f'while reading {path}: custom_imports.imports: expected modules' in printed
    assert "got 'my_mod' (No module named 'my_mod'). Install it, or set PYTHONPATH to" in printed


def test_a_work_dir_that_cannot_be_written_to(tiny_seg, refused, tmp_path):
    (tmp_path / 'afile').write_text('')
    for folder in (tmp_path / 'afile', tmp_path / 'afile' / 'below', '/proc/nope'):
        assert 'work_dir: expected a folder' in refused('train', tiny_seg(), '--work-dir', folder)


@pytest.mark.parametrize(
    ('variables', 'named'),
    [
        (dict(LOCAL_RANK='abc'), 'LOCAL_RANK: expected a whole number .* got .abc'),
        (dict(RANK='3', WORLD_SIZE='2'), 'RANK: expected .* below WORLD_SIZE=2, got .3'),
        (dict(RANK='-1', WORLD_SIZE='2'), 'RANK: expected'),
        (dict(RANK='0', WORLD_SIZE='none'), 'WORLD_SIZE: expected'),
    ],
)
def test_a_wrong_rank_is_refused_at_once(tiny_seg, refused, monkeypatch, variables, named):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    launcher = ['--launcher', 'pytorch'] if 'RANK' in variables else []
    assert re.search(named, refused('train', tiny_seg(), *launcher))


def test_pretrained_weights_without_a_network(tiny_seg, refused, monkeypatch):
    def offline(*_, **__):
        raise OSError(-2, 'Name or service not known')

    monkeypatch.setattr('socket.create_connection', offline)
    for setting, key in (
        ("['pretrained'] = 'open-mmlab://resnet18_v1c'", 'model.pretrained'),
        (
            "['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='torchvision://resnet18')",
            'model.backbone.init_cfg',
        ),
    ):
        printed = refused('train', tiny_seg(f'model{setting}\n'))
        assert f'{key}: expected a file or an address within reach' in printed
        assert f'Set {key}=None, or to the path of a file' in printed


def test_pretrained_weights_are_no_matter_of_a_test(tiny_seg, run_tool, monkeypatch, tmp_path):
    config = tiny_seg()
    with DefaultScope.overwrite_default_scope('mmseg'):
        model = MODELS.build(Config.fromfile(config).model)
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')

    def offline(*_, **__):
        raise OSError(-2, 'Name or service not known')

    monkeypatch.setattr('socket.create_connection', offline)
    extra = (
        "model['pretrained'] = 'open-mmlab://resnet18_v1c'\nload_from = 'https://x.invalid/a.pth'\n"
    )
    run_tool('test', tiny_seg(extra), tmp_path / 'model.pth')
    with pytest.raises(ValueError, match=r'^load_from: expected a file or an address within reach'):
        run_tool('test', config, 'https://x.invalid/a.pth')


CLS = [
    ('model.head.num_classes=0', 'model.head.*num_classes'),
    ('model.backbone.depth=19', 'model.backbone'),
]


@pytest.mark.parametrize(('option', 'named'), CLS)
def test_train_names_the_setting_of_a_classifier(tiny_cls, refused, option, named):
    assert re.search(named, refused('train', tiny_cls(), '--cfg-options', option))


def test_a_folder_in_the_place_of_an_image(tiny_cls, refused, tmp_path):
    config = tiny_cls('data_check = False\n')
    (tmp_path / 'data/train/sky/0.png').unlink()
    (tmp_path / 'list.txt').write_text('sky 0\nroad/0.png 1\n')
    for line in ('sky 0', '/etc/passwd 0'):
        (tmp_path / 'list.txt').write_text(f'{line}\nroad/0.png 1\n' * 2)
        printed = refused(
            'train',
            config,
            '--cfg-options',
            f'train_dataloader.dataset.ann_file={tmp_path}/list.txt',
        )
        assert re.search(rf'train_dataloader.dataset: item \d: .*{line.split()[0]}', printed)


def test_test_names_what_it_cannot_write_or_read(tiny_seg, refused, tmp_path):
    (tmp_path / 'afile').write_text('')
    checkpoint = tmp_path / 'model.pth'
    torch.save({'state_dict': {'x': torch.zeros(1)}}, checkpoint)
    for out in (
        '/proc/x/out.json',
        tmp_path / 'afile/out.json',
        '/proc/x',
        tmp_path / 'afile/maps',
    ):
        assert '--out: expected' in refused('test', tiny_seg(), checkpoint, '--out', out)
    for folder in ('/proc/x', tmp_path / 'afile'):
        printed = refused('test', tiny_seg(), checkpoint, '--show-dir', folder)
        assert '--show-dir: expected' in printed
    printed = refused('test', tiny_seg(), checkpoint, '--out', checkpoint)
    assert '--out: expected' in printed
    assert 'nope.pth' in refused('test', tiny_seg(), 'nope.pth')
    config = tiny_seg("test_dataloader['dataset']['img_suffix'] = '.gif'\n")
    printed = refused('test', config, checkpoint)
    assert 'while building test_dataloader.dataset: expected items, got none' in printed


def test_swap_names_the_argument_or_file(tiny_seg, refused, tmp_path):
    config = tiny_seg()
    before = config.read_text()
    (tmp_path / 'afile').write_text('')
    for value in ('nan', 'inf', 'much'):
        assert '--alpha: expected' in refused('swap', config, '--alpha', value)
    assert '--temperature: expected' in refused('swap', config, '--temperature', 'inf')
    assert 'afile' in refused('swap', config, '-o', tmp_path / 'afile/new.py')
    assert 'config.py' in refused('swap', config, '-o', config)
    (tmp_path / 'link.py').symlink_to(config)
    assert 'link.py' in refused('swap', config, '-o', tmp_path / 'link.py')
    assert '.py' in refused('swap', config, '-o', tmp_path / 'new.pth')
    assert config.read_text() == before


@pytest.fixture
def files(tmp_path):
    (tmp_path / 'text.pth').write_text('hello')
    (tmp_path / 'empty.pth').touch()
    torch.save([1], tmp_path / 'list.pth')
    torch.save({'state_dict': 7}, tmp_path / 'number.pth')
    torch.save({'state_dict': {'encoder_q.a': torch.zeros(1)}, 'meta': {}}, tmp_path / 'good.pth')
    return tmp_path


@pytest.mark.parametrize('name', ['text.pth', 'empty.pth', 'list.pth', 'number.pth', 'nope.pth'])
def test_publish_and_convert_name_the_checkpoint(files, tiny_seg, refused, name):
    config = tiny_seg()
    assert name in refused('publish', files / name, '--config', config)
    assert name in refused('convert', config, files / name, files / 'out.pth')
    assert not (files / 'out.pth').exists()


def test_publish_and_convert_name_the_output(files, tiny_seg, refused):
    config, good = tiny_seg(), files / 'good.pth'
    content = good.read_bytes()
    (files / 'folder').mkdir()
    outputs = (good, files / 'x.py', files / 'folder', '/proc/x/out.pth', files / 'text.pth/a.pth')
    for out in outputs:
        printed = refused('publish', good, '--config', config, '-o', out)
        assert re.search(rf"--out: expected .*'({out}|/proc|{files}/text.pth)'", printed)
        printed = refused('convert', config, good, out)
        assert re.search(rf"target: expected .*'({out}|/proc|{files}/text.pth)'", printed)
    assert str(files) in refused(
        'publish', good, '--config', config, '-o', config.with_suffix('.pth')
    )
    assert good.read_bytes() == content
    assert config.read_text().startswith('\n_base_')


def test_the_traceback_is_in_a_file_or_asked_for(tiny_seg, refused, tmp_path, capsys):
    config = tiny_seg("model['decode_head']['dropout_ratio'] = 2\n")
    printed = refused('train', config)
    place = (
        printed.splitlines()[-1].removeprefix('Traceback: ').removesuffix(', or add --traceback')
    )
    assert place.startswith(str(tmp_path / 'work'))
    assert 'Traceback (most recent call last)' in Path(place).read_text()
    from tests.conftest import forget_runs

    forget_runs()
    with pytest.raises(SystemExit) as end:
        cli.main(['train', str(config), '--traceback'])
    assert end.value.code == 2
    assert 'Traceback (most recent call last)' in capsys.readouterr().err


def test_a_fault_in_a_step_keeps_its_traceback_and_names_the_step(tiny_seg, monkeypatch, capsys):
    from mmseg.models import EncoderDecoder

    def fail(self, *_):
        raise RuntimeError('no such kernel')

    monkeypatch.setattr(EncoderDecoder, 'loss', fail)
    with pytest.raises(SystemExit) as end:
        cli.main(['train', str(tiny_seg())])
    assert end.value.code == 1
    printed = capsys.readouterr().err
    assert 'Traceback (most recent call last)' in printed
    last = printed.splitlines()[-1]
    assert last == 'paco-seg train: in iteration 1: RuntimeError: no such kernel'


def test_the_failing_rank_is_named(tiny_seg, refused, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    monkeypatch.setenv('RANK', '1')
    printed = refused('train', tiny_seg(), '--cfg-options', 'train_cfg.max_iters=0')
    assert printed.startswith('paco-seg train: rank 1: ')


def test_an_interruption_says_how_to_continue(tiny_seg, monkeypatch, capsys):
    from mmengine.runner import IterBasedTrainLoop

    run_iter = IterBasedTrainLoop.run_iter

    def interrupted(self, batch):
        if self.iter == 4:
            raise KeyboardInterrupt
        run_iter(self, batch)

    monkeypatch.setattr(IterBasedTrainLoop, 'run_iter', interrupted)
    with pytest.raises(SystemExit) as end:
        cli.main(['train', str(tiny_seg())])
    assert end.value.code == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == 'paco-seg train: interrupted at iteration 4: continue with --resume'
