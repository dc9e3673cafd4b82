"""FocalNet, the published X-Decoder's backbone (section 3.3 of the paper: "image encoder").

Maps stay in channels-last order (B H W C) between convolutions, so that linear layers and norms read them
as they are.
"""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import FocalNetConfig
from xdecoder.networks.focal_block import DepthwiseBlock, PlainBlock, convolve


class PatchEmbedding(nn.Module):
    """A strided convolution and a norm over channels: the stem, and the step between stages."""

    def __init__(self, channels: int, width: int, *, kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, kernel, stride, padding)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H2 W2 C2"]:
        return self.norm(convolve(self.proj, x))


class Stage(nn.Module):
    """Blocks at one resolution and, but for the last stage, the step to the next."""

    def __init__(self, config: FocalNetConfig, index: int) -> None:
        super().__init__()
        width = config.widths[index]
        block = DepthwiseBlock if config.block == "depthwise" else PlainBlock
        first, last = sum(config.depths[:index]), sum(config.depths) - 1
        self.blocks = nn.ModuleList(
            block(config, width, config.drop_path_rate * (first + i) / max(last, 1))
            for i in range(config.depths[index])
        )
        self.downsample = (
            PatchEmbedding(width, config.widths[index + 1], kernel=3, stride=2, padding=1)
            if index + 1 < len(config.widths)
            else nn.Identity()
        )

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        for block in self.blocks:
            x = block(x)
        return x


class FocalNet(nn.Module):
    """Images to maps at strides 4, 8, 16 and 32.

    Args:
        config: sizes; parameter names are those of the published checkpoints.
    """

    def __init__(self, config: FocalNetConfig) -> None:
        super().__init__()
        padding = 3 if config.block == "depthwise" else 2
        self.patch_embed = PatchEmbedding(3, config.widths[0], kernel=7, stride=4, padding=padding)
        self.layers = nn.ModuleList(Stage(config, i) for i in range(len(config.widths)))
        self.norm0, self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(w) for w in config.widths)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps res2, res3, res4, res5 of shape B C H/s W/s for strides s = 4, 8, 16, 32."""
        x = self.patch_embed(images.permute(0, 2, 3, 1))
        maps: list[Tensor] = []
        stages = cast("list[Stage]", list(self.layers))
        for stage, norm in zip(stages, (self.norm0, self.norm1, self.norm2, self.norm3), strict=True):
            x = stage(x)
            maps.append(norm(x).permute(0, 3, 1, 2))
            x = stage.downsample(x)
        return maps[0], maps[1], maps[2], maps[3]
