"""Two parts of every run that take longer than a training of two iterations, and prove nothing.

MMEngine formats the text of a config anew for each log, dump and checkpoint, and asks the compilers
for their versions.
"""

import functools

import mmengine.runner.runner
import pytest
from mmengine.utils.dl_utils import collect_env
from yapf.yapflib import yapf_api
from yapf.yapflib.yapf_api import FormatCode

__all__ = ['FormatCode', 'environment_of_machine', 'leave_out_overhead']


@functools.cache
def environment_of_machine() -> dict[str, str]:
    """What MMEngine logs ahead of a run."""
    found: dict[str, str] = collect_env()
    return found


def leave_out_overhead(patch: pytest.MonkeyPatch) -> None:
    """Leaves configs unformatted, which are the same Python, and asks for versions once."""
    patch.setattr(yapf_api, 'FormatCode', lambda text, **style: (text, False))
    patch.setattr(mmengine.runner.runner, 'collect_env', lambda: dict(environment_of_machine()))
