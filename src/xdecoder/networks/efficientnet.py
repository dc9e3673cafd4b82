"""EfficientNet-Lite (Tan and Le 2019; Liu 2020): a small backbone whose published weights know photographs.

Inverted residual blocks with ReLU6 and no squeeze-and-excitation. Batch norms keep the statistics that came
with the weights, in training too: batches of a few images would spoil them.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import EfficientNetConfig

_STRIDES: Final = (1, 2, 2, 2, 1, 2, 1)
_MAPS: Final = (1, 2, 4, 6)
"""The stages that end at strides 4, 8, 16 and 32."""
_EPSILON: Final = 1e-3


class FrozenBatchNorm2d(nn.Module):
    """A batch norm by fixed statistics; scale and shift learn."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=_EPSILON
        )


class SamePaddedConv2d(nn.Conv2d):
    """A convolution without bias, padded as TensorFlow does: at stride 2, more at the right and bottom.

    Sides are multiples of the stride, as those of images padded for the model are at every stage.
    """

    def __init__(self, channels: int, width: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        even = before == after
        super().__init__(
            channels, width, kernel, stride, padding=before if even else 0, groups=groups, bias=False
        )
        self._uneven = None if even else (before, after, before, after)

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        return super().forward(input if self._uneven is None else F.pad(input, self._uneven))


class InvertedResidual(nn.Module):
    """Expand, convolve every channel by itself, project; beside a shortcut where the shape stays.

    Args:
        channels: of the input.
        width: of the output.
        expansion: channels between, over those of the input; 1 leaves the first step out.
        kernel: of the depth-wise convolution.
        stride: likewise.
    """

    def __init__(self, channels: int, width: int, *, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.expand: nn.Module = nn.Identity()
        if expansion > 1:
            self.expand = nn.Sequential(
                SamePaddedConv2d(channels, inner, 1), FrozenBatchNorm2d(inner), nn.ReLU6()
            )
        self.depthwise = nn.Sequential(
            SamePaddedConv2d(inner, inner, kernel, stride=stride, groups=inner),
            FrozenBatchNorm2d(inner),
            nn.ReLU6(),
        )
        self.project = nn.Sequential(SamePaddedConv2d(inner, width, 1), FrozenBatchNorm2d(width))
        self.has_shortcut = stride == 1 and channels == width

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.has_shortcut else y


class EfficientNet(nn.Module):
    """Images to maps at strides 4, 8, 16 and 32.

    Args:
        config: sizes; the defaults are EfficientNet-Lite0's.
    """

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            SamePaddedConv2d(3, config.stem, 3, stride=2), FrozenBatchNorm2d(config.stem), nn.ReLU6()
        )
        self.stages = nn.ModuleList()
        channels = config.stem
        for index, (width, depth, kernel) in enumerate(
            zip(config.channels, config.depths, config.kernels, strict=True)
        ):
            blocks: list[nn.Module] = []
            for block in range(depth):
                blocks.append(
                    InvertedResidual(
                        channels,
                        width,
                        expansion=config.expansion if index else 1,
                        kernel=kernel,
                        stride=_STRIDES[index] if block == 0 else 1,
                    )
                )
                channels = width
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps res2, res3, res4, res5 of shape B C H/s W/s for strides s = 4, 8, 16, 32."""
        x = self.stem(images)
        maps: list[Tensor] = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in _MAPS:
                maps.append(x)
        return maps[0], maps[1], maps[2], maps[3]
