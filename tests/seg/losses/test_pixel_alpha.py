"""alpha='auto' and the report of alpha |P| for pixels."""

from __future__ import annotations

import logging

import pytest
import torch
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.seg.heads.training_branch import BranchInputs
from paco_seg.seg.losses import pixel_alpha
from paco_seg.seg.losses.pixel_alpha import PixelAlpha, pixel_shares

# 100 images of 1000 pixels: grass fills half of each, a bird 2 % of one image in twenty.
FREQUENCY = ClassFrequency(
    classes=('grass', 'tree', 'bird'),
    images=(100, 60, 5),
    pixels=(50_000, 49_900, 100),
    num_images=100,
)


@pytest.fixture
def file(tmp_path):
    save_class_frequency(FREQUENCY, tmp_path / 'frequency.json')
    return str(tmp_path / 'frequency.json')


def test_shares_within_an_image_are_those_of_the_images_with_the_class():
    shares = pixel_shares(FREQUENCY, within_image=True)
    torch.testing.assert_close(shares, torch.tensor([0.5, 49_900 / 60_000, 0.02]).double())
    across = pixel_shares(FREQUENCY, within_image=False)
    torch.testing.assert_close(across, torch.tensor([0.5, 0.499, 0.001]).double())


def test_auto_sets_the_product_of_the_most_frequent_class_to_one(file):
    alpha = PixelAlpha('auto', file, within_image=True)
    assert alpha.resolve(1001) == pytest.approx(1 / (49_900 / 60_000 * 1000))
    assert PixelAlpha('auto', file, within_image=False).resolve(1001) == pytest.approx(1 / 500)


def test_auto_counts_the_queue_to_which_every_image_adds_alike(file):
    alpha = PixelAlpha('auto', file, within_image=True)
    positives = torch.tensor([0.5, 49_900 / 60_000, 0.02]).double() * 1000
    positives += 8192 * torch.tensor([100, 60, 5]).double() / 165
    assert alpha.resolve(1001, 8192) == pytest.approx(1 / positives.max().item())
    assert alpha.resolve(1001) == pytest.approx(1 / (49_900 / 60_000 * 1000))


@pytest.mark.parametrize('queue_size', [0, 400, 2048])
def test_the_most_frequent_class_meets_alpha_p_of_one_with_any_queue(tmp_path, queue_size):
    torch.manual_seed(0)
    shares, num_images = (0.4, 0.3, 0.2, 0.1), 100
    counted = ClassFrequency(tuple('abcd'), (num_images,) * 4, (40, 30, 20, 10), num_images)
    save_class_frequency(counted, tmp_path / 'four.json')
    settings = dict(
        alpha='auto',
        frequency_file=str(tmp_path / 'four.json'),
        num_pixels=100,
        queue_size=queue_size,
    )
    branch = MODELS.build(
        dict(
            type='GPaCoBranch',
            in_channels=4,
            num_classes=4,
            norm_cfg=dict(type='BN'),
            projector=dict(out_channels=8),
            loss_contrast=settings,
        )
    )
    met = []
    loss = branch.loss_contrast.contrast_batch

    def spied(embeddings, labels, logits, **kwargs):
        batch = loss(embeddings, labels, logits, **kwargs)
        for image in batch.labels:
            rows = torch.cat([image] if batch.key_labels is None else [image, batch.key_labels])
            met.append(batch.settings.alpha * ((rows == 0).sum() - 1).item())
        return batch

    branch.loss_contrast.contrast_batch = spied
    counts = [round(400 * share) for share in shares]
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor(counts))
    for _ in range(30):  # 80 pixels join the queue at each
        maps = torch.stack([labels[torch.randperm(400)] for _ in range(2)]).reshape(2, 20, 20)
        features, logits = torch.randn(2, 4, 20, 20), torch.randn(2, 4, 20, 20)
        branch(BranchInputs(features, logits, maps, maps, 255))
    assert sum(met[-10:]) / 10 == pytest.approx(1.0, abs=0.1)


def test_a_number_stays_and_is_reported_once(file, monkeypatch):
    log = []
    monkeypatch.setattr(pixel_alpha, 'print_log', lambda line, **_: log.append(line))
    alpha = PixelAlpha(0.01, file, within_image=True)
    assert [alpha.resolve(rows) for rows in (1001, 1001, 50)] == [0.01] * 3
    reports = [line for line in log if 'alpha |P|' in line]
    assert len(reports) == 1
    assert 'head (2 classes)' in reports[0]
    assert 'common (1 classes) 0.2' in reports[0]


def test_outside_the_published_range_warns(file, monkeypatch):
    log = []
    monkeypatch.setattr(
        pixel_alpha,
        'print_log',
        lambda line, level=logging.INFO, **_: log.append((level, line)),
    )
    PixelAlpha(5.0, file, within_image=True).resolve(1001)
    (message,) = (line for level, line in log if level == logging.WARNING)
    assert message.startswith('loss_contrast.alpha: expected alpha |P| of the most')


GPACO_CONFIG = """
custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)
model['decode_head'].update(
    type='GPaCoDecodeHead', base_type='FCNHead', projector=dict(out_channels=8),
    loss_contrast=dict(num_pixels=64, alpha={alpha}, frequency_file={file!r}))
train_cfg['max_iters'] = 3
"""


@pytest.mark.parametrize('alpha', [1.0, 50.0])
def test_the_log_of_a_training_has_the_report_and_its_warning(tiny_seg, run_tool, tmp_path, alpha):
    names = ('sky', 'road', 'tree', 'car')
    path = tmp_path / 'four.json'
    save_class_frequency(ClassFrequency(names, (7, 7, 6, 5), (900, 800, 700, 300), 7), path)
    run_tool('train', tiny_seg(GPACO_CONFIG.format(alpha=alpha, file=str(path))))
    (log,) = (tmp_path / 'work').rglob('*.log')
    lines = log.read_text().splitlines()
    assert sum(f'INFO - alpha |P| at alpha={alpha:g}, mean' in line for line in lines) == 1
    warned = [line for line in lines if 'WARNING - loss_contrast.alpha: expected alpha |P|' in line]
    assert len(warned) == (alpha == 50.0)


def test_without_a_file_the_log_says_how_to_get_the_report(tiny_seg, run_tool, tmp_path):
    run_tool('train', tiny_seg(GPACO_CONFIG.format(alpha=0.01, file=None)))
    (log,) = (tmp_path / 'work').rglob('*.log')
    lines = [line for line in log.read_text().splitlines() if 'INFO - loss_contrast.alpha' in line]
    assert len(lines) == 1
    assert 'set loss_contrast.frequency_file' in lines[0]
    assert 'paco-seg statistics' in lines[0]


def test_the_loss_uses_it(file):
    torch.manual_seed(0)
    rows = torch.randn(2, 25, 6), torch.randint(0, 3, (2, 25)), torch.randn(2, 25, 3)
    settings = dict(type='PixelGPaCoLoss')
    auto = MODELS.build(dict(alpha='auto', frequency_file=file, **settings))
    fixed = MODELS.build(dict(alpha=auto.alpha.resolve(25), **settings))
    torch.testing.assert_close(auto(*rows), fixed(*rows))


def test_auto_without_a_file_names_the_key():
    message = r"loss_contrast.frequency_file: expected a file because alpha is 'auto', got None"
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(type='PixelGPaCoLoss', alpha='auto'))


def test_image_counts_do_for_a_number_alone(tmp_path, monkeypatch):
    path = tmp_path / 'images_only.json'
    save_class_frequency(ClassFrequency(('a', 'b'), (3, 1), None, 3), path)
    with pytest.raises(ValueError, match=r"frequency_file: expected 'pixels' counts"):
        PixelAlpha('auto', str(path), within_image=True)
    lines = []
    monkeypatch.setattr(pixel_alpha, 'print_log', lambda text, **_: lines.append(text))
    alpha = PixelAlpha(0.02, str(path), within_image=True)
    assert alpha.resolve(100) == 0.02
    assert 'set loss_contrast.frequency_file to one that counts pixels' in lines[0]
    with pytest.raises(ValueError, match='expected class 0 to be'):
        alpha.check_class_names(['b', 'a'])


def test_a_file_of_other_classes_is_refused_when_the_head_is_built(file):
    head = dict(type='GPaCoDecodeHead', base_type='FCNHead', in_channels=4, channels=4)
    loss = dict(type='PixelGPaCoLoss', frequency_file=file)
    message = r'loss_contrast.frequency_file: expected 4 classes as in the head, got 3'
    with pytest.raises(ValueError, match=message):
        MODELS.build(dict(num_classes=4, loss_contrast=loss, **head))


def test_permuted_or_foreign_classes_are_refused(file):
    loss = MODELS.build(dict(type='PixelGPaCoLoss', alpha='auto', frequency_file=file))
    loss.check_class_names(FREQUENCY.classes)
    with pytest.raises(ValueError, match=r'^loss_contrast\.frequency_file: expected class 0 to be'):
        loss.check_class_names(FREQUENCY.classes[::-1])
    with pytest.raises(ValueError, match=r'^loss_contrast\.frequency_file: expected 2 classes'):
        loss.check_class_names(FREQUENCY.classes[:2])
    MODELS.build(dict(type='PixelGPaCoLoss')).check_class_names(['any', 'name'])


@pytest.mark.parametrize('alpha', [float('inf'), float('nan'), True, 'a number > 0', None])
def test_alpha_that_is_none(alpha):
    with pytest.raises((TypeError, ValueError), match=r'^loss_contrast\.alpha: expected'):
        PixelAlpha(alpha, None, within_image=True)
