import numpy as np
import pytest
from mmengine.config import Config

from paco_seg.engine.prediction import class_names, config_for_inferencer, named, summarise_pixels


def test_confidence_of_a_class_is_the_mean_over_its_pixels():
    labels, confidence = np.array([[0, 0, 2]]), np.array([[0.5, 0.7, 0.9]])
    found = summarise_pixels(labels, confidence, 3)
    np.testing.assert_allclose(found.probabilities, [0.6, 0, 0.9])
    np.testing.assert_allclose(found.shares, [2 / 3, 0, 1 / 3])
    assert found.top == 0
    assert list(found.describe('abc')) == ['a', 'c']


def test_names_are_those_of_the_checkpoint_else_of_the_data(tmp_path):
    data = dict(type='TinyDataset', metainfo=dict(classes=('a', 'b')))
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=data))))
    meta = dict(dataset_meta=dict(classes=('c', 'd'), palette=[[0, 0, 0], [1, 1, 1]]))
    assert class_names(meta, cfg) == (['c', 'd'], [[0, 0, 0], [1, 1, 1]])
    assert class_names({}, cfg) == (['a', 'b'], None)
    assert class_names(dict(CLASSES=('e', 'f')), cfg) == (['e', 'f'], None)
    assert class_names({}, Config()) == (None, None)
    assert class_names({}, Config(dict(test_dataloader=dict(dataset=dict(data_root='x'))))) == (
        None,
        None,
    )
    (tmp_path / 'classes.txt').write_text('g\nh\n')
    data['metainfo'] = dict(classes=str(tmp_path / 'classes.txt'))
    cfg = Config(dict(test_dataloader=dict(dataset=data)))
    assert class_names({}, cfg) == (['g', 'h'], None)
    assert named(None, 2, 'x.pth') == ['class 0', 'class 1']
    assert named(['crane', 'dog', 'crane'], 3, 'x.pth') == ['crane (0)', 'dog', 'crane (2)']
    with pytest.raises(ValueError, match=r'^x\.pth: expected as many class names .* 3, got 2'):
        named(['a', 'b'], 3, 'x.pth')


def test_the_pipeline_inside_a_wrapper_is_found():
    data = dict(type='TinyDataset', pipeline=[dict(type='LoadImageFromFile')])
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=data))))
    assert config_for_inferencer(cfg, 'c.py').test_dataloader.dataset.type == 'TinyDataset'
    assert cfg.test_dataloader.dataset.type == 'RepeatDataset'
    with pytest.raises(ValueError, match=r'^c\.py: test_dataloader\.dataset\.pipeline: expected'):
        config_for_inferencer(Config(dict(test_dataloader=dict())), 'c.py')
