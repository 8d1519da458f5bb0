"""Weight gradients of depthwise convolutions on maps no larger than their kernel, on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn


class _SmallMapDepthwise(torch.autograd.Function):
    """The depthwise convolution of PyTorch with another way to the gradient of its weight."""

    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
    ) -> Tensor:
        """Convolve ``images`` (N, C, H, W) with ``weight`` (C, 1, kh, kw)."""
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(images, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Return the gradients of ``images`` and ``weight``."""
        images, weight = ctx.saved_tensors
        grad_images = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_images = torch.ops.aten.convolution_backward(
                *(grad, images, weight, None, ctx.stride, ctx.padding, [1, 1], False, [0, 0]),
                *(len(weight), [True, False, False]),
            )[0]
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(grad, images, weight, ctx.stride, ctx.padding)
        return grad_images, grad_weight, None, None


def _weight_gradient(
    grad: Tensor, images: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]
) -> Tensor:
    """Sum, for each place of the kernel, the products of ``grad`` and the pixels under it."""
    # Channels last: a product and its sum run over adjacent memory.
    grad = grad.permute(0, 2, 3, 1).contiguous()
    height, width, channels = grad.shape[1:]
    (down, right), (top, left) = stride, padding
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, left, left, top, top))
    gradient = torch.empty_like(weight)
    for row in range(weight.shape[2]):
        for column in range(weight.shape[3]):
            seen = padded[
                :,
                row : row + down * (height - 1) + 1 : down,
                column : column + right * (width - 1) + 1 : right,
            ]
            gradient[:, 0, row, column] = (seen * grad).reshape(-1, channels).sum(0)
    return gradient


class SmallMapDepthwiseConv2d(nn.Conv2d):
    """A depthwise ``Conv2d`` that takes the other way where the map is small, on a CPU.

    Outputs are those of ``Conv2d``; gradients are equal up to rounding.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve ``input`` (N, C, H, W)."""
        small = max(input.shape[-2:]) <= max(self.kernel_size)
        if not (small and input.device.type == 'cpu' and input.dtype == weight.dtype):
            return super()._conv_forward(input, weight, bias)
        assert not isinstance(self.padding, str)  # `before_run` leaves those as they are
        out: Tensor = _SmallMapDepthwise.apply(input, weight, self.stride, self.padding)
        return out if bias is None else out + bias.view(-1, 1, 1)


@HOOKS.register_module()
class SmallMapDepthwiseHook(Hook):
    """Train depthwise convolutions on small maps faster on a CPU.

    Where the map is no larger than the kernel, as in the last stages of EfficientNet-Lite0 on
    images of 48 x 48, the library that PyTorch calls has no fast way to the gradient of the weight.
    """

    def before_run(self, runner: Runner) -> None:
        """Change the class of the convolutions; their weights and names stay."""
        for module in runner.model.modules():
            # exactly that class: others have a forward of their own
            if type(module) is nn.Conv2d and _is_plain_depthwise(module):
                module.__class__ = SmallMapDepthwiseConv2d


def _is_plain_depthwise(module: nn.Conv2d) -> bool:
    return (
        module.groups == module.in_channels == module.out_channels
        and module.groups > 1
        and module.dilation == (1, 1)
        and module.padding_mode == 'zeros'
        and not isinstance(module.padding, str)
    )
