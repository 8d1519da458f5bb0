from __future__ import annotations

import pytest
from helpers.contrastive import work_on_rank
from helpers.ranks import run_ranks


@pytest.fixture(scope='session')
def two_ranks() -> list[dict]:
    """Results of :func:`contrastive.work_on_rank` in two processes, which start once."""
    return run_ranks(work_on_rank)
