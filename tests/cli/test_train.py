import pytest
import torch
from mmengine.config import Config

from paco_seg.engine.checkpoint import load_from_local


@pytest.fixture
def stop(monkeypatch):
    """Training stops before its first iteration: what is tested happens earlier."""
    from mmengine.runner import IterBasedTrainLoop

    class ReachedTraining(Exception):
        pass

    def run(self):
        raise ReachedTraining

    monkeypatch.setattr(IterBasedTrainLoop, 'run', run)
    return ReachedTraining


def test_trains_a_segmentation_config(tiny_seg, run_tool, tmp_path):
    run_tool('train', tiny_seg())
    assert {'iter_3.pth', 'iter_6.pth', 'last_checkpoint', 'config.py'} <= {
        path.name for path in (tmp_path / 'work').iterdir()
    }


def test_trains_a_classification_config_with_scaled_learning_rate(tiny_cls, run_tool, tmp_path):
    config = tiny_cls('train_cfg = dict(by_epoch=True, max_epochs=1)\nparam_scheduler = None\n')
    run_tool('train', config, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr.base_batch_size=8')
    checkpoint = load_from_local(str(tmp_path / 'work/epoch_1.pth'))
    assert checkpoint['optimizer']['param_groups'][0]['lr'] == pytest.approx(0.05 * 4 / 8)


def test_auto_resume_starts_then_continues(tiny_seg, run_tool, tmp_path, capsys):
    config = tiny_seg('train_cfg["max_iters"] = 3\n')
    run_tool('train', config, '--resume')
    run_tool('train', config, '--resume', 'auto', '--cfg-options', 'train_cfg.max_iters=4')
    assert 'resumed epoch: 0, iter: 3' in capsys.readouterr().out


def test_auto_resume_without_a_checkpoint_keeps_load_from(
    tiny_seg, run_tool, stop, tmp_path, capsys
):
    with pytest.raises(stop):
        run_tool('train', tiny_seg(), '--cfg-options', 'default_hooks.checkpoint.interval=9')
    config = tiny_seg(f'load_from = {str(tmp_path / "start.pth")!r}\n')
    from mmengine.registry import MODELS

    with MODELS.switch_scope_and_registry('mmseg'):
        model = MODELS.build(Config.fromfile(config).model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'start.pth')
    with pytest.raises(stop):
        run_tool('train', config, '--resume')
    assert f'Load checkpoint from {tmp_path / "start.pth"}' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('extra', 'arguments', 'error', 'message'),
    [
        ('', ['--amp'], ValueError, '--amp: expected a GPU, got none'),
        (
            'optim_wrapper["type"] = "Other"\n',
            ['--amp'],
            ValueError,
            r"optim_wrapper\.type: expected 'OptimWrapper', since --amp was given, got 'Other'",
        ),
        ('', ['--auto-scale-lr'], ValueError, r'auto_scale_lr\.base_batch_size: expected'),
        (
            'optim_wrapper = None\n',
            [],
            ValueError,
            r'config\.py: optim_wrapper: expected a setting',
        ),
        (
            '',
            ['--cfg-options', 'train_dataloader.dataset.data_root=/nowhere'],
            FileNotFoundError,
            r"train_dataloader\.dataset\.data_root: expected an existing folder, got '/nowhere'",
        ),
        ('', ['--resume', 'no.pth'], FileNotFoundError, r'expected an existing file, got no\.pth'),
        (
            '',
            ['--cfg-options', 'model.decode_head.num_classes=19'],
            ValueError,
            r'model\.decode_head\.num_classes: expected 4 .*, got 19',
        ),
        (
            '',
            ['--cfg-options', 'default_hooks.checkpoint.save_best=miou'],
            ValueError,
            r"checkpoint\.save_best: expected one of aAcc, mAcc, mIoU, got 'miou'",
        ),
        (
            '',
            ['--cfg-options', 'optim_wrapper.accumulative_counts=2.5'],
            ValueError,
            r'optim_wrapper\.accumulative_counts: expected .* got 2\.5',
        ),
        ('', ['--cfg-options', 'train_cfg.val_begin=x'], ValueError, r'train_cfg\.val_begin: exp'),
        (
            '',
            ['--cfg-options', 'log_level=bogus'],
            ValueError,
            r"log_level: expected .* got 'bogus'",
        ),
        ('', ['--cfg-options', 'work_dir=5'], ValueError, r'work_dir: expected the path .* got 5'),
    ],
)
def test_bad_input_is_refused_before_the_first_step(
    tiny_seg, run_tool, monkeypatch, extra, arguments, error, message
):
    from mmengine.runner import IterBasedTrainLoop

    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(IterBasedTrainLoop, 'run_iter', None)
    with pytest.raises(error, match=message):
        run_tool('train', tiny_seg(extra), *arguments)


def test_a_number_of_classes_is_checked_for_classifiers_too(tiny_cls, run_tool):
    with pytest.raises(ValueError, match=r'model\.head\.num_classes: expected 4 .*, got 7'):
        run_tool('train', tiny_cls(num_classes=7))


def test_a_checkpoint_of_another_model_is_not_resumed(tiny_seg, run_tool, stop, tmp_path):
    torch.save({'state_dict': {'weight': torch.ones(1)}, 'meta': {}}, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=r'of another model\.\n  \d+ missing: backbone\.'):
        run_tool('train', tiny_seg(), '--resume', tmp_path / 'other.pth')


def test_amp_on_a_gpu_chooses_the_wrapper(tiny_seg, run_tool, monkeypatch):
    from mmengine.runner import Runner

    class Built(Exception):
        pass

    def from_cfg(cfg):
        assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
        assert cfg.optim_wrapper.loss_scale == 'dynamic'
        raise Built

    monkeypatch.setattr('paco_seg.engine.launch.get_device', lambda: 'cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)  # MMEngine's logger asks for it
    monkeypatch.setattr(Runner, 'from_cfg', from_cfg)
    with pytest.raises(Built):
        run_tool('train', tiny_seg(), '--amp')


def test_the_config_that_a_resumed_training_leaves_is_not_bound_to_its_checkpoint(
    tiny_seg, run_tool, tmp_path
):
    config = tiny_seg('train_cfg["max_iters"] = 3\n')
    run_tool('train', config)
    run_tool('train', config, '--resume', '--cfg-options', 'train_cfg.max_iters=4')
    left = Config.fromfile(tmp_path / 'work/config.py')
    assert (left.resume, left.load_from, left.train_cfg.max_iters) == (False, None, 4)


def test_a_second_training_in_a_folder_says_what_it_replaces(tiny_seg, run_tool, capsys):
    config = tiny_seg('train_cfg["max_iters"] = 3\n')
    for expected in (False, True):
        run_tool('train', config)
        told = 'has checkpoints of an earlier training, the last one iter_3.pth'
        assert (told in ''.join(capsys.readouterr())) == expected


def test_a_config_that_nobody_trained_with_is_not_replaced(tiny_seg, run_tool, stop, tmp_path):
    config, mine = tiny_seg(), tmp_path / 'mine' / 'config.py'
    mine.parent.mkdir()
    mine.write_text('# mine')
    with pytest.raises(stop):
        run_tool('train', config, '--work-dir', mine.parent)
    assert mine.read_text() == '# mine'
    assert len(list(mine.parent.glob('*/config.py'))) == 1


def test_brackets_that_do_not_match_are_named(tiny_seg, run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('train', tiny_seg(), '--cfg-options', 'model.test_cfg.crop_size=[1,2')
    assert 'model.test_cfg.crop_size: expected a value with balanced brackets' in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize('name', ['mIoU', 'auto', 'val_loss'])
def test_values_that_a_validation_may_report_are_taken(tiny_seg, run_tool, stop, name):
    # A measure may stand without a list; val_loss is that of a model with losses in a validation.
    extra = 'val_evaluator = dict(type="IoUMetric", iou_metrics="mIoU")\n'
    options = [f'default_hooks.checkpoint.save_best={name}', 'default_hooks.checkpoint.rule=less']
    with pytest.raises(stop):
        run_tool('train', tiny_seg(extra), '--cfg-options', *options)
