from pathlib import Path

import mmseg
import pytest
from mmengine.config import Config

from paco_seg.cli import swap

STOCK = Path(mmseg.__file__).parent / '.mim/configs'


def test_writes_a_short_config_that_inherits(tmp_path, run_tool, tiny_seg, capsys):
    config = tiny_seg()
    out = tmp_path / 'elsewhere/new.py'
    run_tool('swap', config, '-o', out, '--alpha', 0.02, '--loss-options', 'num_pixels=64')
    text = out.read_text()
    assert text.startswith("_base_ = '../config.py'")
    assert len(text.splitlines()) < 15
    head = Config.fromfile(out).model.decode_head
    assert head.loss_contrast == dict(type='PixelGPaCoLoss', num_pixels=64, alpha=0.02)
    assert head.channels == 8
    printed = capsys.readouterr().out
    assert f'{out}: inherits ../config.py; the model builds.' in printed
    assert "model.decode_head: type='GPaCoDecodeHead', base_type='FCNHead'" in printed
    assert sorted(path.name for path in out.parent.iterdir()) == ['new.py']
    # What was written trains.
    run_tool('train', out)
    assert (tmp_path / 'work/iter_6.pth').is_file()


def test_prints_without_out(run_tool, capsys):
    name = 'mmseg::ocrnet/ocrnet_hr18_4xb2-160k_cityscapes-512x1024.py'
    run_tool('swap', name)
    printed = capsys.readouterr().out
    assert printed.startswith(f'_base_ = {name!r}\n')
    assert '_base_.model.decode_head[0],' in printed
    assert '_base_.model.decode_head[1],' in printed


def test_a_model_that_does_not_build_is_not_written(tmp_path, run_tool, tiny_seg):
    config = tiny_seg(extra="model['decode_head']['channels'] = -1\n")
    with pytest.raises(Exception, match='negative dimension'):
        run_tool('swap', config, '-o', tmp_path / 'new.py')
    assert not (tmp_path / 'new.py').exists()


@pytest.mark.parametrize(
    ('name', 'state', 'reason'),
    [
        ('stdc/stdc1_4xb12-80k_cityscapes-512x1024.py', 'swapped', ''),
        ('knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_ade20k-512x512.py', 'swapped', ''),
        ('segmenter/segmenter_vit-s_mask_8xb1-160k_ade20k-512x512.py', 'swapped', ''),
        ('unet/unet-s5-d16_fcn_4xb4-160k_hsidrive-192x384.py', 'not buildable', 'bgr_to_rgb'),
    ],
)
def test_stock_config(name, state, reason):
    outcome = swap.try_stock_config(str(STOCK / name), STOCK, dict(alpha=0.02))
    assert (outcome.name, outcome.state) == (name, state)
    assert reason in outcome.reason
    assert '\n' not in outcome.reason


def test_a_refusal_is_told_from_a_broken_stock_model():
    name = 'fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'
    outcome = swap.try_stock_config(str(STOCK / name), STOCK, dict(alpha=-1.0))
    assert outcome.state == 'refused'
    assert 'alpha: expected > 0, got -1' in outcome.reason


def test_check_all_counts_and_lists(tmp_path, monkeypatch, capsys):
    """With a package of three stock configs."""
    configs = tmp_path / '.mim/configs'
    for folder, text in (
        ('_base_', 'model = dict()'),
        ('good', f'_base_ = {str(STOCK / "fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py")!r}'),
        ('bad', "default_scope = 'mmseg'\nmodel = dict(type='EncoderDecoder', backbone=dict())"),
    ):
        (configs / folder).mkdir(parents=True)
        (configs / folder / 'config.py').write_text(text)
    monkeypatch.setattr(mmseg, '__file__', str(tmp_path / '__init__.py'))
    swap.check_all('mmseg', jobs=2, options={})
    lines = capsys.readouterr().out.split('\n')
    assert lines[-2].startswith('1 of 2 stock configs of mmseg swapped and built; 0 refused; 1')
    assert any(line.startswith('not buildable: bad/config.py: stock model: ') for line in lines)


def test_config_or_check_all(run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('swap')
    assert 'expected either CONFIG or --check-all' in capsys.readouterr().err
