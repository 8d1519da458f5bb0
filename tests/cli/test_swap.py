import json
from importlib import import_module
from pathlib import Path

import mmseg
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from paco_seg.cli.statistics import fingerprint
from paco_seg.cli.stock_configs import check_all, try_stock_config
from paco_seg.core.frequency import load_class_frequency
from paco_seg.engine.data_config import read_data_config
from paco_seg.seg import swap_loss

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


@pytest.mark.parametrize('given', ['list', 'file'])
@pytest.mark.parametrize(
    ('system', 'key', 'place'),
    [
        ('balanced-softmax', 'class_prior', ('loss',)),
        ('log-prior-test', 'class_prior', ()),
        ('ldam-drw', 'class_counts', ('loss',)),
        ('gpaco', 'class_prior', ('loss',)),
    ],
)
def test_class_counts_are_given_by_hand(tmp_path, run_tool, tiny_cls, system, key, place, given):
    (tmp_path / 'counts.json').write_text('[20, 10, 4, 1]')
    value = '[20,10,4,1]' if given == 'list' else str(tmp_path / 'counts.json')
    out = tmp_path / 'new.py'
    run_tool('swap', tiny_cls(), '--system', system, '--set', f'{key}={value}', '-o', out)
    part = Config.fromfile(out).model.head
    for name in place:
        part = part[name]
    assert part[key] == ([20, 10, 4, 1] if given == 'list' else value)


def test_a_config_written_through_a_link_finds_its_base(tmp_path, run_tool, tiny_seg):
    (tmp_path / 'deep/folder').mkdir(parents=True)
    (tmp_path / 'link').symlink_to(tmp_path / 'deep/folder')
    run_tool('swap', tiny_seg(), '-o', tmp_path / 'link/new.py')
    for folder in ('link', 'deep/folder'):
        head = Config.fromfile(tmp_path / folder / 'new.py').model.decode_head
        assert head.type == 'GPaCoDecodeHead'


def test_a_folder_with_an_apostrophe(tmp_path, run_tool, tiny_seg):
    (tmp_path / 'plain').mkdir()
    (tmp_path / "it's a link").symlink_to(tmp_path / 'plain')
    for folder in ("it's mine", "it's a link"):
        out = tmp_path / folder / 'new.py'
        run_tool('swap', tiny_seg(), '--system', 'log-prior', '-o', out)
        loss = Config.fromfile(out).model.decode_head.loss_decode
        assert Path(loss.frequency_file).is_file()


def test_prints_without_out(run_tool, capsys, monkeypatch):
    if Path('/proc/self').exists():  # a folder that nobody can write to
        monkeypatch.chdir('/proc')
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
    (outcome,) = try_stock_config(str(STOCK / name), STOCK, ['gpaco'], dict(alpha=0.02))
    assert (outcome.name, outcome.state) == (name, state)
    assert reason in outcome.reason
    assert '\n' not in outcome.reason


def test_a_refusal_is_told_from_a_broken_stock_model():
    name = 'fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py'
    (outcome,) = try_stock_config(str(STOCK / name), STOCK, ['gpaco'], dict(alpha=-1.0))
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
    check_all('mmseg', ['gpaco'], {}, jobs=2)
    lines = capsys.readouterr().out.split('\n')
    assert lines[-2].startswith('1 of 2 stock configs of mmseg swapped and built; 0 refused; 1')
    assert any(line.startswith('not buildable: bad/config.py: stock model: ') for line in lines)


@pytest.mark.parametrize('method', ['ceco', 'region_rebalance'])
def test_a_method_about_a_prior_gets_its_frequencies(method, tmp_path, run_tool, tiny_seg, capsys):
    config, out = tiny_seg(), tmp_path / 'new/swapped.py'
    run_tool('swap', config, '-o', out, '--method', method)
    counted = out.parent / 'config_class-frequency.json'
    assert load_class_frequency(counted).num_images == 7
    assert sorted(path.name for path in out.parent.iterdir()) == [counted.name, out.name]
    branch = Config.fromfile(out).model.decode_head.training_branches[method]
    assert branch.frequency_file == str(counted)
    assert str(tmp_path) not in out.read_text()
    captured = capsys.readouterr()
    assert 'counting the training set' in captured.err
    # The file that is there is taken as it is, and both move together.
    run_tool('swap', config, '-o', out, '--method', method)
    assert 'counting' not in capsys.readouterr().err
    out.parent.rename(tmp_path / 'moved')
    run_tool('train', tmp_path / 'moved/swapped.py')


def test_without_data_a_method_about_a_prior_is_refused(tmp_path, run_tool, tiny_seg):
    config, out = tiny_seg(), tmp_path / 'new.py'
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')
    command = f'paco-seg statistics {config} -o config_class-frequency.json'
    with pytest.raises(ValueError, match=f'--frequency-file: expected .*{command}'):
        run_tool('swap', config, '-o', out, '--method', 'ceco')
    assert not out.exists()
    run_tool('swap', config, '-o', out, '--method', 'ceco', '--loss-options', 'frequency_file=None')
    assert Config.fromfile(out).model.decode_head.training_branches.ceco.frequency_file is None


def test_a_head_that_cannot_carry_a_method_is_refused_before_counting(tmp_path, run_tool, tiny_seg):
    config = tiny_seg("model['decode_head']['type'] = 'NoHead'\n")
    with pytest.raises(ValueError, match="got 'NoHead'"):
        run_tool('swap', config, '-o', tmp_path / 'new.py', '--method', 'ceco')
    assert not list(tmp_path.glob('*.json'))


def test_alpha_is_derived_where_frequencies_are_known(tmp_path, run_tool, tiny_seg, capsys):
    config, out = tiny_seg(), tmp_path / 'new.py'
    run_tool('swap', config, '-o', out)
    assert 'alpha' not in Config.fromfile(out).model.decode_head.loss_contrast
    assert 'loss_contrast.alpha: 0.01' in capsys.readouterr().out
    given = tmp_path / 'given.json'
    run_tool('swap', config, '-o', out, '--frequency-file', given)  # asked for: it is counted
    assert Config.fromfile(out).model.decode_head.loss_contrast == dict(
        type='PixelGPaCoLoss', alpha='auto', frequency_file=str(given)
    )
    assert 'loss_contrast.alpha' not in capsys.readouterr().out
    content = json.loads(given.read_text())
    images_only = tmp_path / 'images_only.json'
    images_only.write_text(json.dumps(dict(content, pixels=None)))
    run_tool('swap', config, '-o', out, '--frequency-file', images_only)
    assert 'alpha' not in Config.fromfile(out).model.decode_head.loss_contrast
    given.rename(tmp_path / 'config_class-frequency.json')
    run_tool('swap', config, '-o', out, '--alpha', 0.02)
    loss = Config.fromfile(out).model.decode_head.loss_contrast
    assert loss.alpha == 0.02
    assert loss.frequency_file == str(tmp_path / 'config_class-frequency.json')


def test_printed_configs_name_the_file_from_the_current_folder(
    tmp_path, run_tool, tiny_seg, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    run_tool('swap', tiny_seg(), '--frequency-file', 'given.json')
    assert "frequency_file='given.json'" in capsys.readouterr().out
    with pytest.raises(ValueError, match='--frequency-file: expected one file, got'):
        run_tool(
            'swap', 'config.py', '--frequency-file', 'a.json', '--loss-options', 'frequency_file=b'
        )


def test_from_scratch_the_weight_or_a_warm_up_is_offered(tmp_path, run_tool, tiny_seg, capsys):
    config, out = tiny_seg(), tmp_path / 'new.py'
    run_tool('swap', config, '-o', out)
    assert 'loss_contrast.loss_weight: 1, and the config names no pretrained weights' in (
        capsys.readouterr().out
    )
    for option in ('loss_weight=0.2', 'warmup_iters=3'):
        run_tool('swap', config, '-o', out, '--loss-options', option)
        assert 'from scratch' not in capsys.readouterr().out.lower()
    for extra in (
        "load_from = 'start.pth'\n",
        "model['pretrained'] = 'open-mmlab://resnet18_v1c'\n",
        "model['backbone']['init_cfg'] = [dict(type='Pretrained', checkpoint='resnet18.pth')]\n",
    ):
        run_tool('swap', tiny_seg(extra), '-o', out)
        printed = capsys.readouterr().out
        assert 'from scratch' not in printed.lower()
        assert '--set loss_weight=0.1 num_pixels=1024' in printed
    run_tool('swap', tiny_seg(extra), '-o', out, '--set', 'loss_weight=0.1')
    assert 'loss_contrast.loss_weight' not in capsys.readouterr().out


def test_classification_takes_no_frequency_file(tmp_path, run_tool, tiny_cls):
    with pytest.raises(ValueError, match='--frequency-file: expected none for a classification'):
        run_tool('swap', tiny_cls(), '--frequency-file', tmp_path / 'a.json')


@pytest.mark.parametrize(('system', 'key'), [('crt', 'model.stage_one'), ('lws', 'load_from')])
def test_a_second_stage_says_which_file_it_expects(
    system, key, tmp_path, run_tool, tiny_cls, capsys
):
    config = tiny_cls()
    run_tool('swap', config, '--system', system, '-o', tmp_path / 'new.py')
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(f'{key}: ')]
    assert "'WEIGHTS-OF-ce.pth' stands for a checkpoint of 'ce', trained on the same con" in line
    assert line.endswith('or give --weights FILE here')
    run_tool('swap', config, '--system', system, '--weights', 'a.pth', '-o', tmp_path / 'new.py')
    assert 'stands for' not in capsys.readouterr().out


def test_config_or_check_all(run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('swap')
    assert 'expected either CONFIG or --check-all' in capsys.readouterr().err


def test_an_option_of_check_all_alone(run_tool, capsys):
    with pytest.raises(SystemExit):
        run_tool('swap', 'config.py', '--with-ops')
    assert '--with-ops: expected --check-all' in capsys.readouterr().err


def test_list_prints_the_systems_of_both_tasks(run_tool, capsys):
    run_tool('swap', '--list')
    lines = capsys.readouterr().out.splitlines()
    start = lines.index('classification:')
    for scope, part in (('seg', lines[:start]), ('cls', lines[start:])):
        systems = import_module(f'paco_seg.{scope}.systems').SYSTEMS
        shown = [line.split()[0] for line in part[1 : 1 + len(systems)]]
        assert shown == list(systems)
    assert 'gpaco+log-prior' in lines[start - 1]


def test_a_combination_with_settings_of_both(tmp_path, run_tool, tiny_seg):
    out = tmp_path / 'new.py'
    settings = ('gpaco.loss_weight=0.2', 'log-prior.tau=0.5')
    run_tool('swap', tiny_seg(), '-o', out, '--system', 'gpaco+log-prior', '--set', *settings)
    head = Config.fromfile(out).model.decode_head
    assert head.loss_contrast.loss_weight == 0.2
    assert head.loss_contrast.class_prior == 0.5
    assert head.loss_decode.tau == 0.5
    assert Path(head.loss_decode.frequency_file).is_file()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--system', 'other'], "system: expected one of ce, .*got 'other'"),
        (['--system', 'focal+ohem'], 'focal combines with gpaco; ohem combines with no other'),
        (['--system', 'focal', '--set', 'alpha=1'], r'focal\.alpha: expected a setting of'),
        (['--system', 'dice', '--frequency-file', 'a.json'], "expected none for 'dice'"),
        (['--system', 'gpaco', '--weights', 'a.pth'], "--weights: expected none for 'gpaco'"),
        (
            ['--system', 'class-weighted-ce', '--weights', 'effective'],
            'its setting of that name is --set weights=VALUE',
        ),
    ],
)
def test_what_makes_no_sense_is_refused(options, message, run_tool, tiny_seg):
    with pytest.raises(ValueError, match=message):
        run_tool('swap', tiny_seg(), *options)


def test_frequencies_are_counted_beside_the_former_when_the_data_have_changed(
    tmp_path, run_tool, tiny_seg, capsys
):
    config, out = tiny_seg(), tmp_path / 'new.py'
    file = tmp_path / 'config_class-frequency.json'
    for _ in range(2):
        run_tool('swap', config, '-o', out, '--system', 'log-prior')
    assert capsys.readouterr().err.count('counting') == 1
    before = load_class_frequency(file)
    for folder in ('images', 'labels'):
        (tmp_path / 'data' / folder / 'train/0.png').unlink()
    first = out.read_text()
    for expected in (1, 0):
        run_tool('swap', config, '-o', out, '--system', 'log-prior')
        told = capsys.readouterr().err
        assert told.count(f'{file}: is of other data; counting into') == expected
    (other,) = tmp_path.glob('config-*_class-frequency.json')
    assert load_class_frequency(other).num_images == before.num_images - 1
    assert load_class_frequency(file) == before  # of configs that name it
    assert (file.name in first, other.name in out.read_text()) == (True, True)
    (tmp_path / 'data').rename(tmp_path / 'elsewhere')  # nothing to compare with: the newest
    run_tool('swap', config, '-o', out, '--system', 'log-prior')
    assert 'counting' not in capsys.readouterr().err
    assert other.name in out.read_text()


def test_label_maps_that_were_painted_over_are_counted_again(tmp_path, run_tool, tiny_seg, capsys):
    config, out = tiny_seg(), tmp_path / 'new.py'
    file = tmp_path / 'config_class-frequency.json'
    run_tool('swap', config, '-o', out, '--system', 'log-prior')
    before = load_class_frequency(file)
    path = tmp_path / 'data/labels/train/0.png'
    labels = np.array(Image.open(path))
    labels[: len(labels) // 2] = 3
    Image.fromarray(labels).save(path)
    capsys.readouterr()
    run_tool('swap', config, '-o', out, '--system', 'log-prior')
    assert f'{file}: is of other data; counting into' in capsys.readouterr().err
    (other,) = tmp_path.glob('config-*_class-frequency.json')
    assert load_class_frequency(other).pixels[3] > before.pixels[3]


def test_a_given_file_of_other_data_is_refused_and_kept(tmp_path, run_tool, tiny_seg):
    config, given = tiny_seg(), tmp_path / 'full.json'
    options = ['--system', 'log-prior', '--frequency-file', given]
    run_tool('swap', config, '-o', tmp_path / 'one.py', *options)
    content = given.read_bytes()
    part = tmp_path / 'part.py'
    part.write_text("_base_ = 'config.py'\ntrain_dataloader = dict(dataset=dict(indices=2))\n")
    with pytest.raises(ValueError, match=r'--frequency-file: expected .*full\.json, which is of'):
        run_tool('swap', part, '-o', tmp_path / 'two.py', *options)
    assert given.read_bytes() == content
    assert not (tmp_path / 'two.py').exists()


def test_counts_of_a_namesake_in_the_current_folder_are_left_alone(
    tmp_path, run_tool, tiny_seg, monkeypatch
):
    config = tiny_seg()
    (tmp_path / 'here').mkdir()
    monkeypatch.chdir(tmp_path / 'here')
    run_tool('statistics', config)
    other = Path('config_class-frequency.json')
    content = other.read_bytes()
    for folder in ('images', 'labels'):
        (tmp_path / 'data' / folder / 'train/0.png').unlink()
    run_tool('swap', config, '-o', tmp_path / 'there/new.py', '--system', 'log-prior')
    assert other.read_bytes() == content
    assert (tmp_path / 'there' / other.name).is_file()


def test_frequencies_of_classification(tmp_path, run_tool, tiny_cls, capsys):
    config, out = tiny_cls(), tmp_path / 'new.py'
    for _ in range(2):
        run_tool('swap', config, '-o', out, '--system', 'class-weighted-ce')
    assert capsys.readouterr().err.count('counting') == 1
    assert len(Config.fromfile(out).model.head.loss.class_weight) == 4


def test_check_all_of_several_systems(tmp_path, monkeypatch, capsys):
    configs = tmp_path / '.mim/configs'
    configs.mkdir(parents=True)
    stock = str(STOCK / 'pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py')
    (configs / 'pid.py').write_text(f'_base_ = {stock!r}')
    (configs / 'bad.py').write_text("model = dict(type='EncoderDecoder', backbone=dict())")
    monkeypatch.setattr(mmseg, '__file__', str(tmp_path / '__init__.py'))
    check_all('mmseg', ['ce', 'focal'], {}, jobs=1, out=str(tmp_path / 'out.json'))
    assert 'refused: pid.py: ValueError: model.decode_head.loss_decode' in capsys.readouterr().out
    found = json.loads((tmp_path / 'out.json').read_text())
    assert (found['scope'], found['configs']) == ('mmseg', 2)
    assert list(found['not_buildable']) == ['bad.py']
    assert found['systems']['ce'] == dict(swapped=1, refused={})
    assert found['systems']['focal']['swapped'] == 0
    assert list(found['systems']['focal']['refused']) == ['pid.py']


def test_two_configs_of_one_name_keep_counts_of_their_own(tmp_path, run_tool, tiny_seg):
    config = tiny_seg()
    other = tmp_path / 'other' / config.name
    other.parent.mkdir()
    other.write_text(
        f"_base_ = '../{config.name}'\ntrain_dataloader = dict(dataset=dict(indices=3))"
    )
    files = []
    for number, source in enumerate((config, other)):
        out = tmp_path / 'out' / f'{number}.py'
        out.parent.mkdir(exist_ok=True)
        run_tool('swap', source, '-o', out, '--system', 'log-prior')
        files.append(Config.fromfile(out).model.decode_head.loss_decode.frequency_file)
    images = [load_class_frequency(file).num_images for file in files]
    assert images[1] == 3 < images[0]


def test_a_file_without_pixels_leaves_alpha_as_it_is(tmp_path, tiny_seg):
    counts = dict(classes=['sky', 'road', 'tree', 'car'], images=[4, 3, 2, 1], num_images=4)
    (tmp_path / 'images.json').write_text(json.dumps(counts))
    changed = swap_loss(tiny_seg(), frequency_file=str(tmp_path / 'images.json'))
    assert 'alpha' not in changed.model.decode_head.loss_contrast


def test_a_misspelt_option_is_answered_with_all_that_there_are(tiny_seg, run_tool):
    with pytest.raises(TypeError, match=r'loss_wieght: expected one of .*loss_weight.*num_pixels'):
        run_tool('swap', tiny_seg(), '--set', 'loss_wieght=0.1')


@pytest.mark.parametrize('names_alone', [True, False])
def test_a_file_of_an_earlier_version_is_known(tmp_path, run_tool, tiny_seg, capsys, names_alone):
    config = tiny_seg()
    run_tool('swap', config, '-o', tmp_path / 'new.py', '--system', 'log-prior')
    file = tmp_path / 'config_class-frequency.json'
    content = json.loads(file.read_text())
    cfg, scope = read_data_config(str(config))
    former = fingerprint(cfg, scope, 'train_dataloader', former=True)
    assert former != content['data']
    file.write_text(json.dumps(content | dict(data=former.split()[0] if names_alone else former)))
    capsys.readouterr()
    run_tool('swap', config, '-o', tmp_path / 'new.py', '--system', 'log-prior')
    assert 'counting' not in capsys.readouterr().err
