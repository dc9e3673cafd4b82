"""A small backbone that learns from little: residual convolutions first, focal modulation after.

Batch-normalized convolutions learn shapes in a fraction of the steps that a layer-normalized FocalNet takes;
focal modulation sees far where the maps are small. The bundled picture-book model stands on it.
"""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import FocalNetConfig, HybridConfig
from xdecoder.networks.focal_block import PlainBlock
from xdecoder.networks.linear import Linear
from xdecoder.networks.positions import sine_positions

_FOCAL_SCALE = 0.2


class BatchNormConv2d(nn.Sequential):
    """A 3x3 convolution without bias, then a batch norm."""

    def __init__(self, channels: int, width: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(width),
        )


class ResidualBlock(nn.Module):
    """ResNet's basic block: two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = BatchNormConv2d(channels, width, stride=stride)
        self.conv2 = BatchNormConv2d(width, width)
        self.shortcut = (
            nn.Identity()
            if stride == 1 and channels == width
            else BatchNormConv2d(channels, width, kernel=1, stride=stride)
        )

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        return F.relu(self.shortcut(x) + self.conv2(F.relu(self.conv1(x))))


class ConvolutionalStage(nn.Sequential):
    """Residual blocks, the first of which takes the step to this resolution."""

    def __init__(self, channels: int, width: int, depth: int, stride: int) -> None:
        blocks = [ResidualBlock(channels, width, stride)]
        blocks += [ResidualBlock(width, width, 1) for _ in range(depth - 1)]
        super().__init__(*blocks)


class FocalStage(nn.Module):
    """A strided, batch-normalized convolution, then focal blocks and a norm."""

    def __init__(self, config: HybridConfig, channels: int, width: int, depth: int) -> None:
        super().__init__()
        block = FocalNetConfig(
            block="plain",
            widths=config.widths,
            depths=config.depths,
            focal_levels=config.focal_levels,
            focal_window=config.focal_window,
            mlp_ratio=config.mlp_ratio,
        )
        self.merge = BatchNormConv2d(channels, width, stride=2)
        self.blocks = nn.ModuleList(PlainBlock(block, width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        # FocalNet's layer scale of 1e-4 suits 300 epochs; a short run would hardly open the blocks.
        for name, parameter in self.blocks.named_parameters():
            if name.endswith(("gamma_1", "gamma_2")):
                nn.init.constant_(parameter, _FOCAL_SCALE)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C2 H2 W2"]:
        y = self.merge(x).permute(0, 2, 3, 1)
        for block in self.blocks:
            y = block(y)
        return self.norm(y).permute(0, 3, 1, 2)


class PositionEmbedding(nn.Module):
    """Adds to a map a learned projection of the sine code of its cells' positions.

    The decoder's attention takes positions into its keys, not into its values.

    It adds nothing at first: a model without it may go on with it.

    Args:
        channels: of the sine code.
        width: channels of the map.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        self.projection = Linear(channels, width, bias=False)
        nn.init.zeros_(self.projection.weight)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        height, width = x.shape[-2:]
        code = sine_positions(height, width, self.channels, x.device, self.projection.weight.dtype)
        return x + self.projection(code).permute(2, 0, 1)


class Hybrid(nn.Module):
    """Images to maps at strides 4, 8, 16 and 32.

    Args:
        config: sizes; `convolutional_stages` says where residual blocks give way to focal ones.
    """

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        first = config.widths[0]
        self.stem = nn.Sequential(
            BatchNormConv2d(3, first // 2, stride=2),
            nn.ReLU(),
            BatchNormConv2d(first // 2, first, stride=2),
            nn.ReLU(),
        )
        self.stages = nn.ModuleList()
        channels = first
        for index, (width, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            if index < config.convolutional_stages:
                stage: nn.Module = ConvolutionalStage(channels, width, depth, 1 if index == 0 else 2)
            else:
                stage = FocalStage(config, channels, width, depth)
            self.stages.append(stage)
            channels = width
        self.places = nn.ModuleList(
            PositionEmbedding(config.place_channels, width) if config.place_channels else nn.Identity()
            for width in config.widths
        )

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps res2, res3, res4, res5 of shape B C H/s W/s for strides s = 4, 8, 16, 32."""
        x = self.stem(images)
        maps: list[Tensor] = []
        for stage, places in zip(self.stages, self.places, strict=True):
            x = stage(x)
            maps.append(places(x))
        return maps[0], maps[1], maps[2], maps[3]
