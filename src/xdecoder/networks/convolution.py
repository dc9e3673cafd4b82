"""Convolutions of backbones and pixel decoders: the size stays, and each takes the fastest exact way."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.networks.linear import linear
from xdecoder.networks.winograd import conv3x3, transform_kernels

_GROUPS = 32
_FAST_DEPTHWISE = 7  # largest side of a kernel that cuDNN convolves depth-wise by its fast way


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution that keeps the size, by the fast way where there is one."""

    kernels: Tensor | None = None

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 3, padding=1)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H W"]:
        return conv3x3(input, self.weight, self.bias, kernels=self.kernels)


class GroupNormConv2d(nn.Conv2d):
    """A convolution without bias (1x1 or 3x3), then a group norm."""

    kernels: Tensor | None = None

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__(channels, width, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, width)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H W"]:
        if self.kernel_size == (3, 3):
            return self.norm(conv3x3(input, self.weight, kernels=self.kernels))
        return self.norm(_mix(input, self.weight))


def keep_kernels(model: nn.Module) -> None:
    """Transform the kernels of 3x3 convolutions once, not for each batch of images, as long as none changes.

    They take four times the memory of the convolutions' parameters, on top of it.

    Args:
        model: its convolutions on a CPU, in float32, keep their kernels.
    """
    for module in model.modules():
        if isinstance(module, (Conv3x3, GroupNormConv2d)) and module.kernel_size == (3, 3):
            weight = module.weight.detach()
            if weight.device.type == "cpu" and weight.dtype == torch.float32:
                module.kernels = transform_kernels(weight)


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of every channel by itself, of odd kernel, that keeps the size."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        if input.device.type != "cpu" and self.kernel_size[0] > _FAST_DEPTHWISE:
            return depthwise_in_quarters(input, self.weight)
        return super().forward(input)


def depthwise_in_quarters(
    x: Float[Tensor, "B C H W"], weight: Float[Tensor, "C 1 k k"]
) -> Float[Tensor, "B C H W"]:
    """A depth-wise convolution of odd kernel k that keeps the size, as a sum of four of about half its side.

    cuDNN has fast kernels, forward and backward, for sides up to 7 alone: with one of 9 the four together
    take a fraction of the time.
    """
    k = weight.shape[-1]
    reach = k // 2
    height, width = x.shape[-2:]
    sides = (slice(0, reach + 1), slice(reach, k))  # both hold the middle, which the second one leaves out
    total: Tensor | None = None
    for row, rows in enumerate(sides):
        for column, columns in enumerate(sides):
            part = weight[:, :, rows, columns]
            if row:
                part = F.pad(part[:, :, 1:], (0, 0, 1, 0))
            if column:
                part = F.pad(part[:, :, :, 1:], (1, 0))
            whole = F.conv2d(x, part, padding=reach, groups=x.shape[1])
            top, left = row * reach, column * reach
            found = whole[:, :, top : top + height, left : left + width]
            total = found if total is None else total + found
    assert total is not None
    return total


def _mix(x: Float[Tensor, "B C H W"], weight: Float[Tensor, "C2 C 1 1"]) -> Float[Tensor, "B C2 H W"]:
    """A 1x1 convolution, as a product of matrices: several times faster on channels-last maps on a CPU."""
    return linear(x.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)
