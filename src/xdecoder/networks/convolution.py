"""Convolutions of the pixel decoders: the size stays, and each takes the fastest exact way."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.networks.winograd import conv3x3

_GROUPS = 32


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution that keeps the size, by the fast way where there is one."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 3, padding=1)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H W"]:
        return conv3x3(input, self.weight, self.bias)


class GroupNormConv2d(nn.Conv2d):
    """A convolution without bias (1x1 or 3x3), then a group norm."""

    def __init__(self, channels: int, width: int, kernel: int) -> None:
        super().__init__(channels, width, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, width)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H W"]:
        if self.kernel_size == (3, 3):
            return self.norm(conv3x3(input, self.weight))
        return self.norm(_mix(input, self.weight))


def _mix(x: Float[Tensor, "B C H W"], weight: Float[Tensor, "C2 C 1 1"]) -> Float[Tensor, "B C2 H W"]:
    """A 1x1 convolution, as a product of matrices: several times faster on channels-last maps on a CPU."""
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1)).permute(0, 3, 1, 2)
