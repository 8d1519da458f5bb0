"""``paco-seg plot gain | confusion | embeddings | centers``; without a name: test_long_tail.py."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from paco_seg.comparison import class_plots
from paco_seg.comparison.trained_model import load_trained
from paco_seg.seg import swap_loss

CLASSES = ['sky', 'road', 'tree', 'car']
COLUMNS = {
    'class': CLASSES,
    'group': ['tail', 'head', 'common', 'common'],
    'images': [1, 90, 4, 9],
}


@pytest.fixture
def drawn(monkeypatch):
    """What the functions that draw are called with, by name."""
    calls = {}
    for name in ('draw_matrix', 'draw_gain', 'draw_points'):
        monkeypatch.setattr(
            class_plots,
            name,
            lambda path, *a, name=name, **k: calls.__setitem__(name, (path, a, k)),
        )
    return calls


def result(tmp_path, name, iou, **extra):
    path = tmp_path / f'{name}.json'
    path.write_text(json.dumps(dict(per_class={**COLUMNS, 'IoU': iou}, **extra)))
    return path


def comparison(tmp_path):
    """The folder of a comparison of two systems with two seeds."""

    def system(name, *runs):
        folders = [f'{name}/seed_{seed}' for seed in range(len(runs))]
        for folder, number in zip(folders, (1, 3), strict=True):
            tested = tmp_path / 'study' / folder / 'tested'
            tested.mkdir(parents=True)
            matrix = (number * np.eye(4) + (name == 'gpaco') * np.eye(4, k=1)).astype(int)
            (tested / 'confusion.json').write_text(json.dumps(matrix.tolist()))
        rows = [dict(folder=f, per_class=run) for f, run in zip(folders, runs, strict=True)]
        return dict(name=name, title=name.upper(), runs=rows)

    systems = [
        system('ce', [10, 20, None, 40], [12, 20, None, 40]),
        system('gpaco', [21, 21, 30, None], [21, 19, 30, 44]),
    ]
    content = dict(systems=systems, classes=CLASSES, measure='IoU')
    content['groups'] = dict(head=[1], common=[3, 2], tail=[0])
    (tmp_path / 'study/results.json').write_text(json.dumps(content))
    return tmp_path / 'study'


def test_gain_of_files(drawn, run_tool, tmp_path):
    first = result(tmp_path, 'ce', [1, 2, None, 4])
    second = result(tmp_path, 'other', [3, 2, 5, 3])
    run_tool('plot', 'gain', f'CE={first}', f'GPaCo={second}', '-o', tmp_path / 'x.png')
    path, (gains,), words = drawn['draw_gain']
    assert path == str(tmp_path / 'x.png')
    np.testing.assert_array_equal(gains['GPaCo'], [2, 0, np.nan, -1])
    assert list(gains) == ['GPaCo']
    assert words['groups'] == dict(head=[1], common=[3, 2], tail=[0])
    assert words['xlabel'] == 'IoU gain over CE, points'


def test_gain_of_a_comparison(drawn, run_tool, tmp_path):
    run_tool('plot', 'gain', comparison(tmp_path), '-o', tmp_path / 'x.png')
    _, (gains,), words = drawn['draw_gain']
    # a mean over the seeds that know the class
    np.testing.assert_array_equal(gains['GPACO'], [10, 0, np.nan, 4])
    assert words['classes'] == CLASSES


def test_confusion_of_a_comparison(drawn, run_tool, tmp_path, capsys):
    study = comparison(tmp_path)
    run_tool('plot', 'confusion', study, '--system', 'gpaco', '-o', tmp_path / 'x.png')
    _, (shares,), words = drawn['draw_matrix']
    assert words['classes'] == ['road', 'car', 'tree', 'sky']
    expected = np.zeros((4, 4))
    expected[[0, 1, 2, 3], [0, 1, 2, 3]] = [100 * 4 / 6, 100, 100 * 4 / 6, 100 * 4 / 6]
    expected[0, 2] = expected[2, 1] = expected[3, 0] = 100 * 2 / 6  # the next label
    np.testing.assert_allclose(shares, expected)
    assert ' 33.3 % of sky are taken for road' in capsys.readouterr().out.splitlines()
    with pytest.raises(ValueError, match=r"^--system: expected one of ce, gpaco, got 'no'"):
        run_tool('plot', 'confusion', study, '--system', 'no')


def test_a_test_counts_the_confusion(tiny_seg, drawn, run_tool, save_checkpoint, tmp_path):
    config = tiny_seg()
    file = tmp_path / 'result.json'
    run_tool('test', config, save_checkpoint(config), '--confusion', '--out', file)
    content = json.loads(file.read_text())
    matrix = np.array(content['confusion']['matrix'])
    iou = 100 * np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))
    np.testing.assert_allclose(iou, content['per_class']['IoU'], atol=0.01)
    assert set(content['metrics']) == {'aAcc', 'mIoU', 'mAcc'}
    run_tool('plot', 'confusion', file, '-o', tmp_path / 'x.png')
    _, (shares,), words = drawn['draw_matrix']
    np.testing.assert_allclose(shares, 100 * matrix / matrix.sum(axis=1, keepdims=True))
    assert words['labels'][0] == 'label, in the order of the labels'
    with pytest.raises(ValueError, match=r'^--confusion: expected --out FILE\.json'):
        run_tool('test', config, tmp_path / 'model.pth', '--confusion')


def test_centers_and_embeddings_of_a_segmentor(
    tiny_seg, drawn, run_tool, save_checkpoint, tmp_path, capsys
):
    frequency = dict(classes=CLASSES, images=[1, 90, 4, 9], pixels=[1, 900, 40, 90], num_images=100)
    (tmp_path / 'frequency.json').write_text(json.dumps(frequency))
    config = tmp_path / 'gpaco.py'
    swap_loss(tiny_seg(), frequency_file=str(tmp_path / 'frequency.json')).dump(config)
    checkpoint = save_checkpoint(config)
    run_tool('plot', 'centers', config, checkpoint, '-o', tmp_path / 'x.png')
    _, (cosines,), words = drawn['draw_matrix']
    assert words['classes'] == ['road', 'car', 'tree', 'sky']
    weight = torch.load(checkpoint)['state_dict']['decode_head.conv_seg.weight'].flatten(1)
    rows = torch.nn.functional.normalize(weight.double(), dim=1)[[1, 3, 2, 0]]
    np.testing.assert_allclose(cosines, rows @ rows.T, atol=1e-6)
    assert 'a simplex: -0.333, 0' in capsys.readouterr().out

    run_tool('plot', 'embeddings', config, checkpoint, '--samples', 40, '-o', tmp_path / 'x.png')
    _, (points, labels), words = drawn['draw_points']
    assert points.shape == (len(labels), 2)
    assert set(labels) == {0, 1, 2, 3}
    assert max(np.bincount(labels)) <= 10
    assert words['centers'].shape == (4, 2)


def test_features_of_a_classifier_are_what_it_reads(tiny_cls, save_checkpoint, tmp_path):
    config = tiny_cls()
    checkpoint = save_checkpoint(config)
    cfg = Config.fromfile(config)
    cfg.test_dataloader.update(
        collate_fn=dict(type='default_collate'), persistent_workers=False, pin_memory=False
    )
    model = load_trained(cfg, str(checkpoint), 'cpu')
    features, labels = model.features(100, 100)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    found = []
    for folder in sorted(CLASSES):  # the labels of the data set
        for number in range(2):
            image = cv2.imread(str(tmp_path / f'data/val/{folder}/{number}.png'))
            data = model.model.data_preprocessor(
                dict(inputs=torch.from_numpy(image).permute(2, 0, 1)[None]), False
            )
            with torch.no_grad():
                found.append(model.model.extract_feat(data['inputs'])[-1][0])
    ordered = [sorted(rows.tolist()) for rows in (features, torch.stack(found))]
    torch.testing.assert_close(*map(torch.tensor, ordered))


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['centers', 'config.py'], r'^runs: expected CONFIG CHECKPOINT after centers'),
        (['embeddings', 'config.py', 'no.pth'], r'^checkpoint: expected an existing file'),
        (['gain', 'no.json', 'no.json'], r'^runs: expected a JSON file'),
        (['gain', 'ce.json'], r'^runs: expected at least two runs'),
        (['confusion', 'ce.json'], r'ce\.json: confusion: expected a matrix, got none'),
        (['confusion', 'ce.json', '--system', 'x'], r'^--system: expected with the folder'),
        (['gain', 'ce.json', 'ce.json', '-o', 'ce.json'], r'^--out: expected'),
        (['confusion', '.'], r'^runs: expected the folder of paco-seg compare'),
    ],
)
def test_what_cannot_be_drawn_is_named(run_tool, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result(tmp_path, 'ce', [1, 2, 3, 4])
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run_tool('plot', *words)
    assert [path.name for path in tmp_path.iterdir()] == ['ce.json']
