"""MMEngine's FSDP strategy, whose trainings can be resumed."""

from __future__ import annotations

from mmengine._strategy import FSDPStrategy
from mmengine.registry import STRATEGIES
from torch.distributed.fsdp import FullyShardedDataParallel


@STRATEGIES.register_module()
class ResumableFSDPStrategy(FSDPStrategy):
    """``FSDPStrategy`` with the same arguments.

    MMEngine hands the state of the optimizer over in the order of arguments that PyTorch 2.0 had,
    and every resume fails with a later one.
    """

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Cut the state of the whole optimizer into the slices of this process.

        Args:
            state_dict: as MMEngine saved it.
        """
        own = FullyShardedDataParallel.optim_state_dict_to_load(
            optim_state_dict=state_dict, model=self.model, optim=self.optim_wrapper.optimizer
        )
        self.optim_wrapper.load_state_dict(own)
