import pytest
import torch


@pytest.fixture(autouse=True)
def _seed():
    """Random tensors that a test draws without a generator are the same in any order of tests."""
    torch.manual_seed(0)
