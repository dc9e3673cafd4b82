"""DaViT (Ding et al., ECCV 2022): attention within windows and attention between channels, in turn.

Attributes are named as in the published checkpoints. Between convolutions the maps are B H W C, which in
memory is the channels-last form of B C H W: going from one to the other copies nothing.
"""

from collections import OrderedDict

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import DaViTConfig
from xdecoder.networks.attention import mix_values
from xdecoder.networks.linear import Linear


class DaViT(nn.Module):
    """The image encoder of the presets davit-d3 and davit-d5."""

    def __init__(self, config: DaViTConfig) -> None:
        super().__init__()
        stages = range(len(config.widths))
        self.convs = nn.ModuleList(
            _PatchEmbedding(
                3 if stage == 0 else config.widths[stage - 1],
                config.widths[stage],
                kernel=7 if stage == 0 else config.merge_kernel,
                stride=4 if stage == 0 else 2,
                norm_first=stage > 0,
            )
            for stage in stages
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                *(
                    BlockPair(
                        config.widths[stage],
                        heads=config.heads[stage],
                        groups=config.groups[stage],
                        window=config.window,
                        mlp_ratio=config.mlp_ratio,
                    )
                    for _ in range(config.depths[stage])
                )
            )
            for stage in stages
        )
        self.apply(_initialize)

    def forward(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[
        Float[Tensor, "B C2 H2 W2"],
        Float[Tensor, "B C3 H3 W3"],
        Float[Tensor, "B C4 H4 W4"],
        Float[Tensor, "B C5 H5 W5"],
    ]:
        """The maps res2 to res5, at strides 4, 8, 16 and 32, as the stages leave them (no norm of their own).

        Args:
            images: normalized and zero-padded images.

        Raises:
            ValueError: the images' sides are not multiples of 32.
        """
        if images.shape[-2] % 32 or images.shape[-1] % 32:
            raise ValueError(
                f"DaViT needs images with sides that are multiples of 32, got {tuple(images.shape)}: "
                "zero-pad them on the right and at the bottom, after normalizing"
            )
        maps: list[Tensor] = []
        x = images.permute(0, 2, 3, 1)
        for embedding, blocks in zip(self.convs, self.blocks, strict=True):
            x = blocks(embedding(x))
            maps.append(x.permute(0, 3, 1, 2))
        res2, res3, res4, res5 = maps
        return res2, res3, res4, res5


class _PatchEmbedding(nn.Module):
    """A strided convolution with a norm after it (the stem) or before it (between stages)."""

    def __init__(self, width_in: int, width_out: int, *, kernel: int, stride: int, norm_first: bool) -> None:
        super().__init__()
        self.proj = nn.Conv2d(width_in, width_out, kernel, stride, padding=(kernel - 1) // 2)
        self.norm = nn.LayerNorm(width_in if norm_first else width_out)
        self.norm_first = norm_first

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B h w D"]:
        if self.norm_first:
            x = self.norm(x)
        x = self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x if self.norm_first else self.norm(x)


class BlockPair(nn.Module):
    """A spatial block, then a channel block."""

    def __init__(self, width: int, *, heads: int, groups: int, window: int, mlp_ratio: float) -> None:
        super().__init__()
        hidden = int(width * mlp_ratio)
        self.spatial_block = _SpatialBlock(width, hidden, heads=heads, window=window)
        self.channel_block = _ChannelBlock(width, hidden, groups=groups)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        return self.channel_block(self.spatial_block(x))


class _SpatialBlock(nn.Module):
    """Attention within windows, and a feed-forward, each after a depth-wise convolution."""

    def __init__(self, width: int, hidden: int, *, heads: int, window: int) -> None:
        super().__init__()
        self.conv1 = _Residual(_DepthwiseConv(width))
        self.window_attn = _PreNormResidual(width, _WindowAttention(width, heads=heads, window=window))
        self.conv2 = _Residual(_DepthwiseConv(width))
        self.ffn = _PreNormResidual(width, _FeedForward(width, hidden))

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        return self.ffn(self.conv2(self.window_attn(self.conv1(x))))


class _ChannelBlock(nn.Module):
    """Attention between channels, and a feed-forward, each after a depth-wise convolution."""

    def __init__(self, width: int, hidden: int, *, groups: int) -> None:
        super().__init__()
        self.conv1 = _Residual(_DepthwiseConv(width))
        self.channel_attn = _PreNormResidual(width, _ChannelAttention(width, groups=groups))
        self.conv2 = _Residual(_DepthwiseConv(width))
        self.ffn = _PreNormResidual(width, _FeedForward(width, hidden))

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        return self.ffn(self.conv2(self.channel_attn(self.conv1(x))))


class _Residual(nn.Module):
    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        return x + self.fn(x)


class _PreNormResidual(nn.Module):
    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = fn

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        return x + self.fn(self.norm(x))


class _DepthwiseConv(nn.Module):
    """A 3x3 convolution of every channel by itself, which also tells a token where it is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dw = nn.Conv2d(width, width, 3, padding=1, groups=width)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        return self.dw(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            OrderedDict(fc1=Linear(width, hidden), act=nn.GELU(), fc2=Linear(hidden, width))
        )

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        return self.net(x)


class _WindowAttention(nn.Module):
    """Attention within square windows.

    The map is zero-padded on the right and at the bottom to whole windows; as in the published program, the
    padding takes part in the softmax.
    """

    def __init__(self, width: int, *, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        B, H, W, C = x.shape
        side = self.window
        rows, columns = (H + side - 1) // side, (W + side - 1) // side  # graphs divide towards 0
        if (rows * side, columns * side) != (H, W):
            x = F.pad(x, (0, 0, 0, columns * side - W, 0, rows * side - H))
        windows = x.view(B, rows, side, columns, side, C).transpose(2, 3).reshape(-1, side * side, C)
        qkv = self.qkv(windows).view(-1, side * side, 3, self.heads, C // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = mix_values(query, key, value).transpose(1, 2).flatten(2)
        attended = self.proj(attended).view(B, rows, columns, side, side, C).transpose(2, 3)
        return attended.reshape(B, rows * side, columns * side, C)[:, :H, :W]


class _ChannelAttention(nn.Module):
    """Attention between the channels of a group; a channel is described by its values at all positions."""

    def __init__(self, width: int, *, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)

    def forward(self, x: Float[Tensor, "B H W C"]) -> Float[Tensor, "B H W C"]:
        B, H, W, C = x.shape
        qkv = self.qkv(x).view(B, H * W, 3, self.groups, C // self.groups)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query * (H * W) ** -0.5).transpose(-1, -2) @ key  # scaled first: fits float16
        attended = value @ scores.softmax(dim=-1).to(value.dtype).transpose(-1, -2)
        return self.proj(attended.transpose(1, 2).reshape(B, H, W, C))


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
    elif isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)
