"""LongTailIoUMetric against a pixel-by-pixel reference, and its place in MMEngine."""

import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample
from PIL import Image
from references import rarity

from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.seg.evaluation import LongTailIoUMetric

CLASSES = ('sky', 'road', 'tree', 'car', 'sign')
# shares of the images 1, .5, .05, .02 and .005: head sky road, common tree car, tail sign
FREQUENCY = ClassFrequency(CLASSES, (200, 100, 10, 4, 1), (5000, 3000, 900, 40, 7), 200)
GROUPS = {'head': [0, 1], 'common': [2, 3], 'tail': [4]}


@pytest.fixture
def frequency_file(tmp_path):
    save_class_frequency(FREQUENCY, tmp_path / 'frequency.json')
    return str(tmp_path / 'frequency.json')


@pytest.fixture
def build(frequency_file):
    def build(**settings):
        settings = {'frequency_file': frequency_file, **settings}
        metric = METRICS.build(dict(type='LongTailIoUMetric', **settings))
        metric.dataset_meta = dict(classes=CLASSES)
        return metric

    return build


def random_samples(number=6, present=range(5), seed=0):
    """Samples as a model returns them: prediction, ground truth with ignored pixels, path."""
    rng = np.random.default_rng(seed)
    samples = []
    for index in range(number):
        truth = rng.choice([*present, 255], size=(9, 7))
        guess = np.where(rng.random((9, 7)) < 0.6, truth, rng.choice([*present], size=(9, 7)))
        guess[guess == 255] = present[0]
        sample = SegDataSample(metainfo=dict(img_path=f'{index}.jpg'))
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(truth[None]))
        sample.pred_sem_seg = PixelData(data=torch.from_numpy(guess[None]))
        samples.append(sample)
    return samples


def evaluate(metric, samples):
    for sample in samples:
        metric.process({}, [sample.to_dict()])
    return metric.evaluate(len(samples))


def reference(samples):
    """(C,) IoU and (C,) accuracy in percent, pixel by pixel; nan where a class never occurs."""
    inter, guessed, true = np.zeros(5), np.zeros(5), np.zeros(5)
    for sample in samples:
        truth = sample.gt_sem_seg.data[0].tolist()
        guess = sample.pred_sem_seg.data[0].tolist()
        for truth_row, guess_row in zip(truth, guess, strict=True):
            for t, g in zip(truth_row, guess_row, strict=True):
                if t == 255:
                    continue
                true[t] += 1
                guessed[g] += 1
                inter[t] += t == g
    with np.errstate(invalid='ignore'):
        return 100 * inter / (true + guessed - inter), 100 * inter / true


def test_groups_and_classes_equal_the_reference(build):
    samples = random_samples()
    metrics = evaluate(build(), samples)
    iou, acc = reference(samples)
    for group, members in GROUPS.items():
        assert metrics[f'mIoU_{group}'] == pytest.approx(iou[members].mean(), abs=6e-3)
        assert metrics[f'mAcc_{group}'] == pytest.approx(acc[members].mean(), abs=6e-3)
    np.testing.assert_allclose(metrics['per_class']['IoU'], iou, atol=6e-3)
    np.testing.assert_allclose(metrics['per_class']['Acc'], acc, atol=6e-3)
    assert metrics['mIoU'] == pytest.approx(iou.mean(), abs=6e-3)


def test_reports_all_that_iou_metric_reports(build):
    samples = random_samples()
    names = ['mIoU', 'mDice', 'mFscore']
    stock = IoUMetric(iou_metrics=names)
    stock.dataset_meta = dict(classes=CLASSES)
    ours = evaluate(build(iou_metrics=names), samples)
    theirs = evaluate(stock, samples)
    assert {key: ours[key] for key in theirs} == theirs
    assert {'mDice_tail', 'mFscore_head', 'mPrecision_common', 'mRecall_tail'} <= set(ours)


def test_absent_class_counts_in_no_mean(build):
    samples = random_samples(present=[0, 1, 2])
    metrics = evaluate(build(), samples)
    iou, _ = reference(samples)
    assert metrics['mIoU_common'] == pytest.approx(iou[2], abs=6e-3)  # car is absent
    assert 'mIoU_tail' not in metrics  # its only class is absent
    assert metrics['per_class']['IoU'][3:] == [None, None]
    assert evaluate(build(nan_to_num=0), samples)['mIoU_tail'] == 0


def test_per_class_is_json_in_label_order(build):
    table = evaluate(build(), random_samples())['per_class']
    assert json.loads(json.dumps(table, allow_nan=False)) == table
    assert table['class'] == list(CLASSES)
    assert table['group'] == ['head', 'head', 'common', 'common', 'tail']
    assert table['images'] == list(FREQUENCY.images)
    assert table['pixels'] == list(FREQUENCY.pixels)
    assert 'per_class' not in evaluate(build(per_class=False), random_samples())


def test_group_settings(build):
    metric = build(group_by='pixels', group_thresholds=(0.3, 0.01))
    assert metric.groups == {'head': [0, 1], 'common': [2], 'tail': [3, 4]}


@pytest.mark.parametrize('name', ['by', 'group_treshold', 'ignore_label'])
def test_an_unknown_argument_is_refused(build, name):
    with pytest.raises(TypeError, match=rf'LongTailIoUMetric\.{name}: .*group_by.*ignore_index.*'):
        build(**{name: 'pixels'})


def test_one_group_for_all_is_said_in_words(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.seg.evaluation.long_tail_iou_metric.print_log',
        lambda text, logger, level=None: lines.append(text),
    )
    path = str(tmp_path / 'street.json')
    save_class_frequency(ClassFrequency(CLASSES, (9, 8, 7, 6, 5), (900, 90, 9, 4, 1), 10), path)
    metric = LongTailIoUMetric(frequency_file=path)
    (warning,) = lines
    assert warning.startswith("LongTailIoUMetric.group_by='images', group_thresholds=(0.1, 0.01): ")
    assert "head 5, common 0, tail 0: all classes are 'head'" in warning
    assert "Set group_by='pixels', or thresholds between" in warning
    assert 'no class is in the group' in metric.why_absent('mIoU_tail')
    assert metric.why_absent('mIoU_head') is None
    assert metric.why_absent('mIoU') is None
    LongTailIoUMetric(frequency_file=path, group_by='pixels')
    assert len(lines) == 1


def test_names_may_come_from_the_dataset_alone(tmp_path):
    path = tmp_path / 'counts.json'
    path.write_text(json.dumps(list(FREQUENCY.images)))
    metric = LongTailIoUMetric(frequency_file=str(path))
    metric.dataset_meta = dict(classes=CLASSES)
    assert evaluate(metric, random_samples())['per_class']['class'] == list(CLASSES)


def test_table_is_sorted_by_frequency(build, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.seg.evaluation.long_tail_iou_metric.print_log',
        lambda m, logger, level=None: lines.append(m),
    )
    evaluate(build(group_by='pixels'), random_samples())
    rows = [line.split('|') for line in lines[-1].splitlines() if '%' in line]
    assert [row[2].strip() for row in rows] == ['sky', 'road', 'tree', 'car', 'sign']
    assert rows[0][3].strip() == f'{5000 / 8947:.3%}'


def test_format_only_writes_maps_and_no_metrics(build, tmp_path):
    metric = build(format_only=True, output_dir=str(tmp_path / 'maps'))
    assert evaluate(metric, random_samples(2)) == {}
    assert sorted(path.name for path in (tmp_path / 'maps').iterdir()) == ['0.png', '1.png']


def test_parts_of_two_ranks_equal_the_whole(build):
    # what a distributed evaluation gathers: the results of all ranks in any order
    samples = random_samples()
    whole, first, second = build(), build(), build()
    for metric, part in ((whole, samples), (first, samples[3:]), (second, samples[:3])):
        for sample in part:
            metric.process({}, [sample.to_dict()])
    expected = whole.compute_metrics(whole.results)
    assert second.compute_metrics(first.results + second.results) == expected


def test_other_dataset_is_refused_before_the_first_step(frequency_file):
    evaluator = Evaluator(
        METRICS.build(dict(type='LongTailIoUMetric', frequency_file=frequency_file))
    )
    message = r'LongTailIoUMetric\.frequency_file: expected 2 classes as in the dataset, got 5'
    with pytest.raises(ValueError, match=message):
        evaluator.dataset_meta = dict(classes=('sky', 'road'))


def test_bad_settings(build, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'LongTailIoUMetric\.frequency_file: .*statistics'):
        build(frequency_file=str(tmp_path / 'none.json'))
    with pytest.raises(ValueError, match=r"LongTailIoUMetric\.group_by: .* got 'area'"):
        build(group_by='area')
    with pytest.raises(ValueError, match=r'LongTailIoUMetric\.group_thresholds: .* got \(0.1, 0.5'):
        build(group_thresholds=(0.1, 0.5))


def test_dual_metric_equals_the_reference(build):
    samples = random_samples()
    metrics = evaluate(build(dual_metric=True), samples)
    iou, acc = reference(samples)
    for by in ('images', 'pixels'):
        for group, members in rarity.groups(list(getattr(FREQUENCY, by))).items():
            members = sorted(members)
            wanted = pytest.approx(iou[members].mean(), abs=6e-3)
            assert metrics[f'mIoU_{group}_{by}'] == wanted
            assert metrics[f'mAcc_{group}_{by}'] == pytest.approx(acc[members].mean(), abs=6e-3)
        gini = rarity.gini(list(getattr(FREQUENCY, by)))
        assert metrics[f'gini_{by}'] == pytest.approx(gini, abs=6e-5)
    assert metrics['per_class']['rarity_images'] == ['frequent'] * 3 + ['common', 'rare']
    alone = evaluate(build(), samples)
    assert metrics.items() >= {k: v for k, v in alone.items() if k != 'per_class'}.items()
    assert not any('gini' in key or 'rare' in key for key in alone)


def test_dual_metric_of_one_group_is_the_mean_of_all(tmp_path, build):
    save_class_frequency(ClassFrequency(CLASSES, (7,) * 5, None, 7), tmp_path / 'even.json')
    metric = build(dual_metric=True, frequency_file=str(tmp_path / 'even.json'), group_by='images')
    metrics = evaluate(metric, random_samples())
    assert metrics['mIoU_frequent_images'] == metrics['mIoU']
    assert metrics['gini_images'] == 0
    assert not any(key.endswith('_pixels') or 'rare' in key for key in metrics)
    assert 'none is' in metric.why_absent('mIoU_rare_images')
    assert metric.why_absent('mIoU_frequent_images') is None


def test_dual_metric_of_more_classes_than_a_byte_holds(tmp_path):
    names = tuple(f'class {index}' for index in range(300))
    images = tuple(1 + (7 * index) % 300 for index in range(300))
    save_class_frequency(ClassFrequency(names, images, images, 300), tmp_path / 'many.json')
    metric = LongTailIoUMetric(
        frequency_file=str(tmp_path / 'many.json'),
        dual_metric=True,
        ignore_index=65535,
        output_dir=str(tmp_path / 'maps'),
    )
    metric.dataset_meta = dict(classes=names)
    truth = torch.arange(300).repeat(2).view(1, 20, 30)
    guess = truth.clone()
    guess[0, :10][truth[0, :10] % 2 == 1] = 299  # half of the odd classes are taken for the last
    truth[0, 19, 0], guess[0, 19, 0] = 65535, 255  # ignored: neither 255 nor a class suffers
    sample = SegDataSample(metainfo=dict(img_path='0.jpg'))
    sample.gt_sem_seg, sample.pred_sem_seg = PixelData(data=truth), PixelData(data=guess)
    metrics = evaluate(metric, [sample])
    iou = np.where(np.arange(300) % 2, 0.5, 1.0)
    iou[299] = 2 / 151
    np.testing.assert_allclose(metrics['per_class']['IoU'], iou * 100, atol=6e-3)
    for group, members in rarity.groups(list(images)).items():
        assert metrics[f'mIoU_{group}_pixels'] == pytest.approx(
            100 * iou[sorted(members)].mean(), abs=6e-3
        )
    written = np.asarray(Image.open(tmp_path / 'maps/0.png'))
    assert written.dtype == np.uint16
    assert written.tolist() == guess[0].tolist()


def test_loggers_and_tta_take_it(tiny_seg, run_tool, tmp_path, build):
    """Scalars of a validation are logged; a test with TTA writes groups and classes to JSON."""
    classes = ('sky', 'road', 'tree', 'car')
    save_class_frequency(
        ClassFrequency(classes, (100, 50, 5, 1), (900, 90, 9, 1), 200), tmp_path / 'tiny.json'
    )
    config = tiny_seg(
        f"""
val_evaluator = test_evaluator = dict(
    type='LongTailIoUMetric', frequency_file={str(tmp_path / 'tiny.json')!r})
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
        [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]])]
"""
    )
    run_tool('train', config, '--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
    checkpoint = next((tmp_path / 'work').glob('iter_*.pth'))
    run_tool('test', config, checkpoint, '--tta', '--out', tmp_path / 'out.json')
    out = json.loads((tmp_path / 'out.json').read_text())
    assert out['metrics'].keys() >= {'mIoU', 'mIoU_head', 'mIoU_common', 'mIoU_tail', 'mAcc_tail'}
    assert out['per_class']['group'] == ['head', 'head', 'common', 'tail']
    rows = [
        json.loads(line)
        for file in (tmp_path / 'work').glob('*/vis_data/scalars.json')
        for line in file.read_text().splitlines()
    ]
    validation = next(row for row in rows if 'mIoU' in row)
    assert 'mIoU_tail' in validation
    assert all(np.isscalar(value) for value in validation.values())
