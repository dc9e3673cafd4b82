"""What a pixel decoder hands to the decoder."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PixelFeatures:
    """The maps of one batch of images.

    Attributes:
        levels: features at strides 32, 16 and 8, each (B, C, H/stride, W/stride), for the queries to
            attend to.
        masks: what mask embeddings are multiplied with, (B, M, H/stride, W/stride); the stride is 4, or 2
            where the config says so.
    """

    levels: tuple[Tensor, Tensor, Tensor]
    masks: Tensor
