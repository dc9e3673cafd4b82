"""Convolutions of backbones and pixel decoders: the size stays, and each takes the fastest exact way."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.networks.linear import linear
from xdecoder.networks.winograd import KeptKernels, conv3x3

_GROUPS = 32
_CELLS = 256  # of a map that are normalized at a time
_FEWEST_NUMBERS = 1 << 20  # of an image's map from which that is faster than a norm that writes a new map
_FAST_DEPTHWISE = 7  # largest side of a kernel that cuDNN convolves depth-wise by its fast way


class Conv3x3(nn.Conv2d):
    """A 3x3 convolution that keeps the size, by the fast way where there is one."""

    kept: KeptKernels | None = None

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, width, 3, padding=1)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H W"]:
        return conv3x3(input, self.weight, self.bias, kept=self.kept)


class GroupNormConv2d(nn.Conv2d):
    """A convolution without bias (1x1 or 3x3), then a group norm and, where wanted, a ReLU."""

    kept: KeptKernels | None = None

    def __init__(self, channels: int, width: int, kernel: int, *, relu: bool = False) -> None:
        super().__init__(channels, width, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.GroupNorm(_GROUPS, width)
        self.relu = relu

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H W"]:
        if self.kernel_size == (3, 3):
            y = conv3x3(input, self.weight, kept=self.kept)
        else:
            y = _mix(input, self.weight)
        if not _in_place(y):
            y = self.norm(y)
            return F.relu(y, inplace=True) if self.relu else y
        _normalize(y.permute(0, 2, 3, 1), self.norm, relu=self.relu)
        return y


def _in_place(y: Tensor) -> bool:
    """Whether `_normalize` may take the place of PyTorch's norm, which writes a new map."""
    return (
        y.device.type == "cpu"
        and y.dtype == torch.float32
        and y[0].numel() >= _FEWEST_NUMBERS
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and y.permute(0, 2, 3, 1).is_contiguous()
    )


def _normalize(y: Float[Tensor, "B H W C"], norm: nn.GroupNorm, *, relu: bool) -> None:
    """A group norm and a ReLU in place, a part of the map that the cache holds at a time."""
    for image in y.flatten(1, 2):
        parts = image.split(_CELLS)
        near = parts[0].mean(0)  # differences to it are summed, lest a large mean drown a small variance
        sums, squares = image.new_zeros(2, image.shape[1])
        for part in parts:
            difference = part - near
            sums += difference.sum(0)
            squares += difference.square_().sum(0)
        sums /= len(image)
        spread = _of_groups(squares / len(image) - sums * sums, norm)
        means = _of_groups(near + sums, norm)
        mean = means.mean(1, keepdim=True)
        variance = spread.mean(1, keepdim=True) + (means - mean).square().mean(1, keepdim=True)
        scale = _of_groups(norm.weight, norm) * (variance + norm.eps).rsqrt()
        shift = (_of_groups(norm.bias, norm) - mean * scale).flatten()
        scale = scale.flatten()
        for part in parts:
            torch.addcmul(shift, part, scale, out=part)
            if relu:
                part.relu_()


def _of_groups(channels: Float[Tensor, " C"], norm: nn.GroupNorm) -> Float[Tensor, "G _"]:
    return channels.unflatten(0, (norm.num_groups, -1))


def keep_kernels(model: nn.Module) -> None:
    """Transform the kernels of 3x3 convolutions once, not for each batch of images.

    They take four times the memory of the convolutions' parameters, on top of it, from when they are first
    needed.

    Args:
        model: its convolutions keep their kernels, on a CPU in float32.
    """
    for module in model.modules():
        if isinstance(module, (Conv3x3, GroupNormConv2d)) and module.kernel_size == (3, 3):
            module.kept = KeptKernels()


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
