"""Half a cosine whose epochs count from 1."""

from __future__ import annotations

import math
from typing import Any

from mmengine.optim import CosineAnnealingLR
from mmengine.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class OneBasedCosineLR(CosineAnnealingLR):
    r"""Cosine annealing as projects run it that step their schedule before an epoch.

    Epoch e (from 0) has the factor :math:`(1 + \cos(\pi (e + 1) / T_{max})) / 2` between
    ``eta_min`` and the base rate: the first epoch is already below the base rate, and the last of
    ``T_max`` epochs has ``eta_min``. ``CosineAnnealingLR`` has the factor of e. With ``begin`` > 0
    the rate reached so far is taken for that of epoch ``begin - 1``; ``T_max`` counts from epoch 0
    all the same, and is ``end`` unless it is given.

    Args:
        *args: of ``CosineAnnealingLR``.
        **kwargs: the same.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if len(args) < 2 and kwargs.get('T_max') is None and 'end' in kwargs:
            kwargs['T_max'] = kwargs['end']
        super().__init__(*args, **kwargs)

    def _get_value(self) -> list[float]:
        """Return the rate of each group from its present one."""
        step = self.begin + self.last_step + 1
        before, now = (1 + math.cos(math.pi * i / self.T_max) for i in (step - 1, step))
        values = []
        for base, group in zip(self.base_values, self.optimizer.param_groups, strict=True):
            low = self.eta_min if self.eta_min_ratio is None else base * self.eta_min_ratio
            if before > 0:
                values.append(low + (group[self.param_name] - low) * now / before)
            else:  # from the minimum up again, as the base class
                values.append(low + (base - low) * now / 2)
        return values
