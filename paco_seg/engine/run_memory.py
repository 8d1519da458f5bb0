"""Tensors that belong to a training and not to the model: in its checkpoints, in no state dict.

A loss that counts what it has seen has to go on counting after a resume, but a buffer in the state
dict would make the checkpoint differ from that of the stock model. MMEngine's message hub is part
of every checkpoint of a training, and of no published model.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from mmengine.logging import MessageHub
from torch import Tensor

# How many parts of a run have asked for a name, by name.
_given: WeakKeyDictionary[MessageHub, dict[str, int]] = WeakKeyDictionary()


class RunMemory:
    """One tensor of one part of a model, under the current run.

    Parts of the same name are told apart by the order in which they first come, which is the same
    in a resumed run.

    Args:
        name: what the tensor is.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._key: str | None = None

    def restore(self, tensor: Tensor) -> None:
        """Fill a tensor with what a resumed run kept, at the first call; then do nothing."""
        if self._key is not None:
            return
        hub = MessageHub.get_current_instance()
        counts = _given.setdefault(hub, {})
        number = counts[self.name] = counts.get(self.name, 0) + 1
        self._key = f'{self.name}.{number}'
        kept = hub.runtime_info.get(self._key)
        if isinstance(kept, Tensor) and kept.shape == tensor.shape:
            tensor.copy_(kept)

    def keep(self, tensor: Tensor) -> None:
        """Have checkpoints hold this tensor; it may change in place until they are written."""
        if self._key is not None:
            MessageHub.get_current_instance().update_info(self._key, tensor.detach())
