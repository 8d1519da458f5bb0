import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from paco_seg.cls.classifiers import EnsembleClassifier


def classifier(base_channels=4, num_classes=3, head='LinearClsHead'):
    return dict(
        type='ImageClassifier',
        backbone=dict(type='CIFARResNet', depth=8, base_channels=base_channels),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type=head, num_classes=num_classes, in_channels=4 * base_channels),
    )


def save(path, config, seed):
    torch.manual_seed(seed)
    model = MODELS.build(config)
    model.eval()
    torch.save(dict(state_dict=model.state_dict(), meta={}), path)
    return model


def test_sums_the_logits_of_different_members(tmp_path):
    configs = [classifier(), classifier(base_channels=8)]
    paths = [str(tmp_path / f'{i}.pth') for i in range(2)]
    members = [
        save(path, config, i) for i, (path, config) in enumerate(zip(paths, configs, strict=True))
    ]
    ensemble = MODELS.build(
        dict(type='EnsembleClassifier', members=configs, checkpoints=paths, data_preprocessor=None)
    )
    ensemble.eval()
    x = torch.randn(5, 3, 16, 16)
    expected = sum(member(x, mode='tensor') for member in members)
    assert torch.allclose(ensemble(x), expected, atol=1e-6)
    predictions = ensemble(x, [DataSample() for _ in range(5)], mode='predict')
    assert [int(p.pred_label) for p in predictions] == expected.argmax(1).tolist()
    assert torch.allclose(predictions[0].pred_score, expected[0].softmax(0), atol=1e-6)


@pytest.mark.parametrize(
    'head', [dict(type='TauNormClsHead'), dict(type='LogitAdjustedClsHead', class_prior=[9, 3, 1])]
)
def test_members_that_adjust_their_logits_do_so_once_each(tmp_path, head):
    """Two members of the same weights: the softmax is that of twice the adjusted logits."""
    config = classifier()
    config['head'] |= head
    member = save(tmp_path / 'a.pth', config, 0)
    ensemble = EnsembleClassifier([config] * 2, [str(tmp_path / 'a.pth')] * 2)
    ensemble.eval()
    x = torch.randn(4, 3, 16, 16)
    adjusted = member(x, mode='tensor')
    alone = torch.stack([p.pred_score for p in member(x, mode='predict')])
    torch.testing.assert_close(adjusted.softmax(1), alone)
    assert not torch.allclose(adjusted, member.head.fc(member.extract_feat(x)[-1]))
    torch.testing.assert_close(ensemble(x), 2 * adjusted)
    scores = torch.stack([p.pred_score for p in ensemble(x, mode='predict')])
    torch.testing.assert_close(scores, (2 * adjusted).softmax(1))


def test_a_checkpoint_without_the_training_parts_serves_a_gpaco_member(tmp_path):
    stock, gpaco = classifier(), classifier(head='GPaCoClsHead')
    model = save(tmp_path / 'a.pth', stock, 0)
    ensemble = EnsembleClassifier([gpaco], [str(tmp_path / 'a.pth')])
    ensemble.eval()
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(ensemble(x), model(x, mode='tensor'))


def test_one_config_twice_gives_two_members(tmp_path):
    config = classifier()
    ensemble = EnsembleClassifier([config, config])
    assert ensemble.members[0] is not ensemble.members[1]
    assert ensemble.head.num_classes == 3


def test_refusals(tmp_path):
    path = str(tmp_path / 'a.pth')
    save(path, classifier(), 0)
    with pytest.raises(ValueError, match=r'model\.members: expected at least one classifier'):
        EnsembleClassifier([])
    with pytest.raises(ValueError, match=r'--ensemble: expected 2 checkpoints.*got 1'):
        EnsembleClassifier([classifier()] * 2, [path])
    with pytest.raises(ValueError, match=r'(?s)--ensemble .*a\.pth: .* of another shape'):
        EnsembleClassifier([classifier(base_channels=8)], [path])
    with pytest.raises(RuntimeError, match=r"got 'loss'\. An ensemble is not trained"):
        EnsembleClassifier([classifier()])(torch.randn(2, 3, 16, 16), mode='loss')
    mixed = EnsembleClassifier([classifier(), classifier(num_classes=4)])
    with pytest.raises(ValueError, match=r'equal numbers of classes, got \[3, 4\]'):
        mixed(torch.randn(2, 3, 16, 16))
