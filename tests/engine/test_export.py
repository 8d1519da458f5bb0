import pytest
import torch

from paco_seg.engine import export


def test_other_scores_are_not_written(tmp_path):
    class Noisy(torch.nn.Module):
        def forward(self, images):
            return images + torch.rand(())

    out = tmp_path / 'model.pt2'
    with pytest.raises(ValueError, match=r'expected the scores of the model .* Nothing was'):
        export.export(Noisy(), torch.zeros(1, 3, 4, 4), str(out), fixed_batch=True)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_traced_is_said(tmp_path):
    class Branching(torch.nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    with pytest.raises(ValueError, match=r'^model: expected operations that torch\.export follows'):
        export.export(Branching(), torch.zeros(2, 1), str(tmp_path / 'm.pt2'), fixed_batch=False)


def test_on_a_full_disk_the_old_file_stays(tmp_path, limit_file_size):
    (tmp_path / 'a.pt2').write_text('old')
    with limit_file_size(512), pytest.raises(OSError, match='File too large'):
        export.export(
            torch.nn.Conv2d(3, 2, 1),
            torch.zeros(2, 3, 4, 4),
            str(tmp_path / 'a.pt2'),
            fixed_batch=False,
        )
    assert [path.name for path in tmp_path.iterdir()] == ['a.pt2']
    assert (tmp_path / 'a.pt2').read_text() == 'old'
