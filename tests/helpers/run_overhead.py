"""Two parts of every run that take longer than a training of two iterations, and prove nothing.

MMEngine formats the text of a config anew for each log, dump and checkpoint, and asks the compilers
for their versions.
"""

import functools
import pkgutil

import mmengine.runner.runner
import pytest
from mmengine.utils.dl_utils import collect_env

# The formatter comes with MMEngine, which imports it where it is used.
FORMATTER = 'yapf.yapflib.yapf_api.FormatCode'
format_code = pkgutil.resolve_name(FORMATTER)


@functools.cache
def environment_of_machine() -> dict[str, str]:
    """What MMEngine logs ahead of a run."""
    found: dict[str, str] = collect_env()
    return found


def leave_out_overhead(patch: pytest.MonkeyPatch) -> None:
    """Leaves configs unformatted, which are the same Python, and asks for versions once."""
    patch.setattr(FORMATTER, lambda text, **style: (f'{text}\n', False))
    patch.setattr(mmengine.runner.runner, 'collect_env', lambda: dict(environment_of_machine()))
