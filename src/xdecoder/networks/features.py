"""What a pixel decoder hands to the decoder."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PixelFeatures:
    """The maps of one batch of images.

    Attributes:
        levels: features at strides 32, 16 and 8, each (B, C, H/stride, W/stride), for the queries to
            attend to.
        stride4: the INPUT of the mask-feature convolution, (B, C, H/4, W/4). The convolution itself is the
            pixel decoder's `mask_features`; the decoder applies it, so that it can be folded into the kept
            queries' own kernels.
    """

    levels: tuple[Tensor, Tensor, Tensor]
    stride4: Tensor
