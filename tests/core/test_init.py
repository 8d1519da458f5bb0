from __future__ import annotations

import subprocess
import sys
import textwrap


def test_core_needs_torch_alone():
    """A fresh interpreter in which no MM package and no Triton can be imported."""
    script = """
        import sys

        import torch  # looks for Triton itself

        class Refuse:
            def find_spec(self, name, path=None, target=None):
                if name.split('.')[0] in BLOCKED:
                    raise ImportError(f'{name} is blocked')

        BLOCKED = {'mmengine', 'mmcv', 'mmseg', 'mmpretrain', 'triton'}
        assert not BLOCKED & set(sys.modules)
        sys.meta_path.insert(0, Refuse())
        import paco_seg.core

        loss = paco_seg.core.parametric_contrastive_loss
        rows = torch.nn.functional.normalize(torch.ones(2, 3), dim=1)
        logits = torch.zeros(2, 4)
        print(loss(rows, torch.tensor([0, 1]), logits, alpha=0.1, temperature=1.0).item())
    """
    result = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
    )
    # log(4 exp(0) + exp(1)): four centers and the other row.
    assert abs(float(result.stdout) - 1.9048) < 1e-4
