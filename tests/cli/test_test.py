import json
import os
import shutil

import cv2
import mmengine
import pytest
import torch

from paco_seg.cli.test import checkpoints_of
from paco_seg.engine.staged_runner import StagedTestRunner


def test_metrics_of_a_segmentor_with_every_class(tiny_seg, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg()
    run_tool('test', config, save_checkpoint(config), '--out', tmp_path / 'out.json')
    out = json.loads((tmp_path / 'out.json').read_text())
    assert out['config'] == str(config)
    assert out['num_samples'] == 2
    assert set(out['metrics']) >= {'aAcc', 'mIoU', 'mAcc'}
    assert out['per_class']['class'] == ['sky', 'road', 'tree', 'car']
    values = [value for value in out['per_class']['IoU'] if value is not None]
    assert sum(values) / len(values) == pytest.approx(out['metrics']['mIoU'], abs=0.01)


def test_metrics_of_a_classifier_with_every_class(tiny_cls, run_tool, save_checkpoint, tmp_path):
    config = tiny_cls()
    run_tool('test', config, save_checkpoint(config), '--out', tmp_path / 'out.json')
    out = json.loads((tmp_path / 'out.json').read_text())
    assert 'accuracy/top1' in out['metrics']
    assert len(out['per_class']['recall']) == 4


def test_a_work_directory_gives_last_and_best(tiny_cls, run_tool, tmp_path, capsys):
    config = tiny_cls('default_hooks = dict(checkpoint=dict(save_best="accuracy/top1"))\n')
    run_tool('train', config)
    work, out = tmp_path / 'work', tmp_path / 'out.json'
    (best,) = work.glob('best_accuracy_top1_epoch_*.pth')
    os.replace(work / 'epoch_1.pth', best)  # another one than the last, whichever won
    run_tool('test', config, work, '--out', out)
    log = capsys.readouterr()
    both = json.loads(out.read_text())
    for name, path in {'last': work / 'epoch_2.pth', 'best on accuracy_top1': best}.items():
        assert f'{name} ({path.name}): accuracy/top1' in log.out + log.err
        run_tool('test', config, path, '--out', out)
        assert both.pop(name) == json.loads(out.read_text())
    assert not both

    with pytest.raises(ValueError, match=r'checkpoint: expected a file, since predictions'):
        run_tool('test', config, work, '--out', tmp_path / 'out.pkl')
    (work / 'last_checkpoint').unlink()
    with pytest.raises(FileNotFoundError, match=r'expected a folder with the file last_checkpoint'):
        run_tool('test', config, work)


def test_of_two_best_checkpoints_the_later_one_is_tested(tmp_path):
    torch.save(dict(state_dict={}), tmp_path / 'iter_1000.pth')
    (tmp_path / 'last_checkpoint').write_text('iter_1000.pth')
    for name in ('best_mIoU_iter_1000', 'best_mIoU_iter_500', 'best_a_epoch_b'):
        (tmp_path / f'{name}.pth').write_bytes(b'')
    assert {name: path.rpartition('/')[2] for name, path in checkpoints_of(tmp_path).items()} == {
        'last': 'iter_1000.pth',
        'best on mIoU': 'best_mIoU_iter_1000.pth',
        'best on a_epoch_b': 'best_a_epoch_b.pth',
    }


@pytest.mark.parametrize('named', ['best_mIoU_iter_500', None])
def test_the_best_checkpoint_of_an_earlier_training_is_not_tested(tmp_path, named, capsys):
    info = dict(best_ckpt=f'/there/{named}.pth') if named else {}
    content = dict(state_dict={}, message_hub=dict(runtime_info=info))
    torch.save(content, tmp_path / 'iter_1000.pth')
    (tmp_path / 'last_checkpoint').write_text('iter_1000.pth')
    for name in ('best_mIoU_iter_500', 'best_mIoU_iter_6000'):
        (tmp_path / f'{name}.pth').write_bytes(b'')
        os.utime(tmp_path / f'{name}.pth', (0, 0))
    found = checkpoints_of(tmp_path)
    assert found.pop('last') == str(tmp_path / 'iter_1000.pth')
    assert found == ({'best on mIoU': str(tmp_path / f'{named}.pth')} if named else {})
    told = capsys.readouterr()
    assert ('best_mIoU_iter_6000.pth: is of another training' in told.out + told.err) == (not named)


@pytest.mark.parametrize('step', [1000, 1500])
def test_a_best_checkpoint_newer_than_the_last_is_of_its_training(tmp_path, step):
    """A kill came before the last one could name it, or the last one is due."""
    info = dict(best_ckpt='best_mIoU_iter_500.pth')
    last = tmp_path / 'iter_1000.pth'
    torch.save(dict(state_dict={}, message_hub=dict(runtime_info=info)), last)
    (tmp_path / 'last_checkpoint').write_text('iter_1000.pth')
    for number in (500, step):
        (tmp_path / f'best_mIoU_iter_{number}.pth').write_bytes(b'')
    os.utime(tmp_path / 'best_mIoU_iter_500.pth', (0, 0))
    os.utime(last, (1, 1))
    best = str(tmp_path / f'best_mIoU_iter_{step}.pth')
    assert checkpoints_of(tmp_path) == {'last': str(last), 'best on mIoU': best}


def test_best_checkpoints_beside_the_last_one_are_found(tmp_path):
    """Of CheckpointHook.out_dir; what it published is the same once more."""
    work, other = tmp_path / 'work', tmp_path / 'out/work'
    for folder in (work, other):
        folder.mkdir(parents=True)
    last = other / 'iter_1000.pth'
    torch.save(dict(state_dict={}), last)
    (work / 'last_checkpoint').write_text(str(last))
    for name in ('best_mIoU_iter_500.pth', 'best_mIoU_iter_500-0a1b2c3d.pth'):
        (other / name).write_bytes(b'')
    best = str(other / 'best_mIoU_iter_500.pth')
    assert checkpoints_of(str(work)) == {'last': str(last), 'best on mIoU': best}


def test_label_maps_that_would_replace_each_other_are_refused(
    tiny_seg, run_tool, save_checkpoint, tmp_path
):
    config = tiny_seg()
    checkpoint = save_checkpoint(config)
    for kind in ('images', 'labels'):
        (first, _) = sorted((tmp_path / f'data/{kind}/val').iterdir())
        (first.parent / 'more').mkdir()
        shutil.copy(first, first.parent / 'more' / first.name)
    with pytest.raises(ValueError, match=r'--out: expected images of different names.*more/0'):
        run_tool('test', config, checkpoint, '--out', tmp_path / 'maps')
    assert not list((tmp_path / 'maps').iterdir())


def test_pictures_that_replace_each_other_are_named(
    tiny_cls, run_tool, save_checkpoint, tmp_path, capsys
):
    config = tiny_cls()
    for folder in (tmp_path / 'data/val').iterdir():
        os.replace(min(folder.iterdir()), folder / 'same.png')
    run_tool('test', config, save_checkpoint(config), '--show-dir', tmp_path / 'shown')
    assert 'have the same name: of their pictures the later one stays' in ''.join(
        capsys.readouterr()
    )


def test_predictions(tiny_seg, tiny_cls, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg()
    checkpoint = save_checkpoint(config)
    run_tool('test', config, checkpoint, '--out', tmp_path / 'maps')
    maps = sorted((tmp_path / 'maps').iterdir())
    assert [path.name for path in maps] == ['0.png', '1.png']
    labels = tmp_path / 'data/labels/val'
    before = [path.read_bytes() for path in sorted(labels.iterdir())]
    for folder in (labels, labels / 'new'):
        with pytest.raises(ValueError, match=r'^--out: expected a folder outside .*seg_map_path'):
            run_tool('test', config, checkpoint, '--out', folder)
    assert [path.read_bytes() for path in sorted(labels.iterdir())] == before
    predicted = cv2.imread(str(maps[0]), cv2.IMREAD_UNCHANGED)
    run_tool('test', config, checkpoint, '--out', tmp_path / 'out.pkl')
    samples = mmengine.load(tmp_path / 'out.pkl')
    assert (samples[0]['pred_sem_seg']['data'].numpy()[0] == predicted).all()

    with pytest.raises(ValueError, match=r'--out: expected a name that ends in \.json or \.pkl'):
        run_tool('test', tiny_cls(), checkpoint, '--out', 'maps', '--cfg-options', *data(tmp_path))


def data(tmp_path) -> list[str]:
    """The classification config on the folder that the segmentation data already occupies."""
    return [f'test_dataloader.dataset.data_prefix={tmp_path}/data/images/val']


TTA = """
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0., 1.)],
        [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]])]
"""


def test_tta_of_a_segmentor(tiny_seg, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg(TTA)
    checkpoint = save_checkpoint(config)
    run_tool('test', config, checkpoint, '--tta', '--out', tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text())['tta'] is True
    twice = "dict(type='ConcatDataset', datasets=[test_dataloader['dataset']] * 2)"
    run_tool('test', tiny_seg(f"{TTA}test_dataloader['dataset'] = {twice}\n"), checkpoint, '--tta')
    with pytest.raises(ValueError, match=r'config\.py: tta_pipeline: expected a setting'):
        run_tool('test', tiny_seg(), checkpoint, '--tta')


def test_tta_of_a_classifier_averages_over_flips(tiny_cls, run_tool, save_checkpoint, tmp_path):
    config = tiny_cls()
    run_tool('test', config, save_checkpoint(config), '--tta', '--out', tmp_path / 'out.json')
    assert json.loads((tmp_path / 'out.json').read_text())['num_samples'] == 8


@pytest.mark.parametrize(
    'evaluator',
    [
        '[test_evaluator, {}]',
        "dict(type='mmengine.Evaluator', metrics=[test_evaluator, {}])",
    ],
)
def test_of_several_metrics_that_of_iou_writes_label_maps(
    tiny_seg, run_tool, save_checkpoint, tmp_path, evaluator
):
    other = "dict(type='ClassConfusion', num_classes=4, prefix='confusion')"
    config = tiny_seg(f'test_evaluator = {evaluator.format(other)}\n')
    run_tool('test', config, save_checkpoint(config), '--out', tmp_path / 'maps')
    assert len(list((tmp_path / 'maps').iterdir())) == 2
    config = tiny_seg(f'test_evaluator = {other}\n')
    with pytest.raises(ValueError, match=r'^test_evaluator: expected a metric such as IoUMetric'):
        run_tool('test', config, save_checkpoint(config), '--out', tmp_path / 'other')


def test_averaged_weights_are_tested_under_tta_too(tiny_cls, run_tool, tmp_path):
    rate = "optim_wrapper['optimizer']['lr'] = 1.0\n"
    hook = "custom_hooks = [dict(type='EMAHook', momentum=0.5{})]\n"
    run_tool('train', tiny_cls(hook.format('') + rate))
    config = tiny_cls(hook.format(', evaluate_on_origin=True'))
    found = {}
    for name, more in {'plain': [], 'tta': ['--tta']}.items():
        out = tmp_path / f'{name}.pkl'
        run_tool('test', config, tmp_path / 'work/epoch_2.pth', '--out', out, *more)
        found[name] = torch.stack([sample['pred_score'] for sample in mmengine.load(out)])
    weights = torch.load(tmp_path / 'work/epoch_2.pth', weights_only=False)['state_dict']
    plain = tmp_path / 'average.pth'
    torch.save(dict(state_dict=weights), plain)
    for name, more in {'plain': [], 'tta': ['--tta']}.items():
        out = tmp_path / f'expected_{name}.pkl'
        run_tool('test', tiny_cls(), plain, '--out', out, *more)
        expected = torch.stack([sample['pred_score'] for sample in mmengine.load(out)])
        torch.testing.assert_close(found[name], expected)


def test_painted_predictions(tiny_seg, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg()
    run_tool('test', config, save_checkpoint(config), '--show-dir', tmp_path / 'show')
    assert len(list((tmp_path / 'show').rglob('*.png'))) == 2


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [([], 2), (['--show-interval', '2'], 1), (['--show-limit', '1'], 1)],
)
def test_painted_predictions_without_a_hook_in_the_config(
    tiny_seg, run_tool, save_checkpoint, tmp_path, arguments, expected
):
    config = tiny_seg('default_hooks["visualization"] = None\nvisualizer = None\n')
    run_tool('test', config, save_checkpoint(config), '--show-dir', tmp_path / 'show', *arguments)
    assert len(list((tmp_path / 'show').rglob('*.png'))) == expected


def no_space(descriptor):
    raise OSError(28, 'No space left on device')


def test_a_picture_that_is_not_written_ends_the_test(
    tiny_seg, run_tool, save_checkpoint, tmp_path, monkeypatch
):
    config = tiny_seg()
    checkpoint = save_checkpoint(config)
    monkeypatch.setattr(StagedTestRunner, 'dump_config', lambda runner: None)
    monkeypatch.setattr('paco_seg.files.os.fsync', no_space)
    with pytest.raises(OSError, match=r'--show-dir: expected to write .* Check the free space'):
        run_tool('test', config, checkpoint, '--show-dir', tmp_path / 'show')


def test_earlier_predictions_stay_if_new_ones_cannot_be_written(
    tiny_seg, run_tool, save_checkpoint, tmp_path, monkeypatch
):
    config = tiny_seg()
    checkpoint = save_checkpoint(config)
    monkeypatch.setattr(StagedTestRunner, 'dump_config', lambda runner: None)
    monkeypatch.setattr('paco_seg.files.os.fsync', no_space)
    out = tmp_path / 'out.pkl'
    out.write_text('earlier')
    with pytest.raises(OSError, match='No space left'):
        run_tool('test', config, checkpoint, '--out', out)
    assert out.read_text() == 'earlier'
    assert not list(tmp_path.glob('.out*'))


def test_painted_predictions_of_a_classifier(tiny_cls, run_tool, save_checkpoint, tmp_path):
    config = tiny_cls()
    run_tool('test', config, save_checkpoint(config), '--show-dir', tmp_path / 'show')
    # Two images per class share the names 0.png and 1.png across the class folders.
    assert {path.name for path in (tmp_path / 'show').iterdir()} == {'0.png_0.png', '1.png_0.png'}


def test_bad_input_is_refused(tiny_seg, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg()
    checkpoint = save_checkpoint(config)
    with pytest.raises(FileNotFoundError, match=r"checkpoint: expected .*, got 'no\.pth'"):
        run_tool('test', config, 'no.pth')
    with pytest.raises(ValueError, match=r'2 of another shape: decode_head\.conv_seg\.weight'):
        run_tool('test', tiny_seg(num_classes=5), checkpoint)
    with pytest.raises(FileNotFoundError, match=r'test_dataloader\.dataset\.data_prefix\.img_path'):
        run_tool(
            'test',
            tiny_seg('test_dataloader["dataset"]["data_prefix"]["img_path"] = "x"\n'),
            checkpoint,
        )
    with pytest.raises(ValueError, match=r'config\.py: test_dataloader: expected a setting'):
        run_tool('test', tiny_seg('test_dataloader = None\n'), checkpoint)
