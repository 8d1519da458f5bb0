import pytest
import torch
from mmseg.registry import MODELS

import paco_seg.seg  # noqa: F401
from paco_seg.core.frequency import ClassFrequency, save_class_frequency

PIXELS = (700, 200, 100)
FCN = dict(
    in_channels=8, in_index=0, channels=8, num_convs=1, concat_input=False, num_classes=3,
    norm_cfg=dict(type='BN'),
)  # fmt: skip
METAS = [dict(img_shape=(16, 16))]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / 'frequency.json'
    save_class_frequency(ClassFrequency(('a', 'b', 'c'), (9, 5, 2), PIXELS, 10), path)
    return str(path)


def head(file, **settings):
    own = dict(type='LogitAdjustedDecodeHead', base_type='FCNHead', frequency_file=file)
    return MODELS.build({**FCN, **own, **settings}).eval()


@pytest.mark.parametrize('tau', [0.0, 0.5, 1.0])
def test_predictions_lose_the_prior(file, tau):
    stock = MODELS.build(dict(FCN, type='FCNHead')).eval()
    ours = head(file, tau=tau)
    # A checkpoint of cross entropy fits as it is.
    assert ours.load_state_dict(stock.state_dict()).missing_keys == []
    features = [torch.randn(1, 8, 8, 8, generator=torch.Generator().manual_seed(0))]
    before, after = (h.predict(features, METAS, {}) for h in (stock, ours))
    shift = tau * (torch.tensor(PIXELS) / sum(PIXELS)).log().view(1, 3, 1, 1)
    torch.testing.assert_close(after, before - shift)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_logits_lose_the_prior_in_float32(file, dtype):
    ours = head(file)
    half = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    ours.forward = lambda inputs: half  # what a network in half precision gives
    ours.predict_by_feat = lambda logits, metas: logits
    shift = (torch.tensor(PIXELS) / sum(PIXELS)).log().view(1, 3, 1, 1)
    torch.testing.assert_close(ours.predict([], METAS, {}), half.float() - shift)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(tau=-1.0), r'tau: expected'),
        (dict(num_classes=4), r'frequency_file: expected 4 classes'),
        (dict(num_classes=2, out_channels=1), 'one channel per class'),
    ],
)
def test_errors(file, settings, message):
    with pytest.raises(ValueError, match=message):
        head(file, **settings)


def test_other_classes_are_refused(file):
    with pytest.raises(ValueError, match='frequency_file'):
        head(file).check_class_names(('a', 'c', 'b'))
