"""X-Decoder: the parts joined, as in figure 2 of the paper."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.config import (
    BackboneConfig,
    DaViTConfig,
    EfficientNetConfig,
    FocalNetConfig,
    HybridConfig,
    ModelConfig,
)
from xdecoder.networks.davit import DaViT
from xdecoder.networks.decoder import Decoder
from xdecoder.networks.decoder_states import Memory
from xdecoder.networks.deformable import DeformablePixelDecoder
from xdecoder.networks.efficientnet import EfficientNet
from xdecoder.networks.features import PixelFeatures
from xdecoder.networks.focalnet import FocalNet
from xdecoder.networks.hybrid import Hybrid
from xdecoder.networks.linear import batched_linear, linear
from xdecoder.networks.narrow import WeightKind
from xdecoder.networks.pixel_decoder import FPNPixelDecoder
from xdecoder.networks.resampling import resize
from xdecoder.networks.text_encoder import TextEncoder

STRIDE = 32


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """One encoding of a batch of images, which serves every task.

    Attributes:
        memory: what the decoder's queries attend to.
        mask_features: what mask embeddings are multiplied with, at PixelDecoderConfig.mask_stride.
        backbone_embeddings: average-pooled res5, projected, (B, P), not normalized: retrieval's second score;
            None where the model has no projection for it.
    """

    memory: Memory
    mask_features: Float[Tensor, "B M h w"]
    backbone_embeddings: Float[Tensor, "B P"] | None

    def mask_logits(self, embeddings: Float[Tensor, "B Q M"]) -> Float[Tensor, "B Q h w"]:
        """Mask logits at the stride of the mask features."""
        features = self.mask_features.flatten(2).transpose(1, 2)
        return batched_linear(embeddings, features).unflatten(2, self.mask_features.shape[2:])

    def mask_logits_of(self, image: int, embeddings: Float[Tensor, "N M"]) -> Float[Tensor, "N h w"]:
        """Mask logits at that stride, on one image of the batch."""
        features = self.mask_features[image]
        return linear(embeddings, features.flatten(1).T).unflatten(1, features.shape[1:])


class XDecoder(nn.Module):
    """The generalized decoding model.

    The parts are used one by one: `encode_images`, then the streams of `decoder` (latent queries, phrases,
    texts), then its heads. `xdecoder.tasks` says which task takes which.

    Args:
        config: sizes of all parts.
    """

    weight_kind: WeightKind | None = None
    """What the weights of linear layers are kept in, where that is not what the model computes in."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        backbone = config.backbone
        self.backbone = _build_backbone(backbone)
        self.backbone_projection: nn.Parameter | None = None
        if config.backbone_retrieval:
            self.backbone_projection = nn.Parameter(torch.empty(backbone.widths[3], config.embed_width))
            nn.init.trunc_normal_(self.backbone_projection, std=0.02)
        pixel_decoder = FPNPixelDecoder if config.pixel_decoder.kind == "fpn" else DeformablePixelDecoder
        self.pixel_decoder = pixel_decoder(config.pixel_decoder, backbone.widths)
        self.text_encoder = TextEncoder(config.text, config.embed_width)
        self.decoder = Decoder(
            config.decoder,
            feature_width=config.pixel_decoder.width,
            mask_width=config.pixel_decoder.mask_width,
            embed_width=config.embed_width,
            context_length=config.text.context_length,
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def dtype(self) -> str:
        """Kind of the model's numbers, by the name that `xdecoder.load` takes."""
        if self.weight_kind is not None:
            return self.weight_kind.value
        return str(self.logit_scale.dtype).removeprefix("torch.")

    def encode_images(self, images: Float[Tensor, "B 3 H W"]) -> ImageFeatures:
        """Encode normalized images, zero-padded at the right and bottom to multiples of 32."""
        height, width = images.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"images must be padded to multiples of {STRIDE}, got {height}x{width}")
        maps = self.backbone(images)
        return self.remember(maps, self.pixel_decoder(maps))

    def remember(self, maps: tuple[Tensor, Tensor, Tensor, Tensor], features: PixelFeatures) -> ImageFeatures:
        """What every task reads of a batch of images.

        Args:
            maps: the backbone's, at strides 4 to 32.
            features: what the pixel decoder made of them.
        """
        masks = features.masks.detach()  # they say where to look; nothing is learned through them
        return ImageFeatures(
            memory=self.decoder.remember(
                features.levels,
                tuple(resize(masks, (f.shape[-2], f.shape[-1])) for f in features.levels),
            ),
            mask_features=features.masks,
            backbone_embeddings=self.embed_maps(maps[3]) if self.config.backbone_retrieval else None,
        )

    def embed_maps(self, res5: Float[Tensor, "B C _h _w"]) -> Float[Tensor, "B P"]:
        """Images by the backbone alone: its last map, pooled and projected.

        Raises:
            ValueError: the model has no projection for it (`ModelConfig.backbone_retrieval`).
        """
        if self.backbone_projection is None:
            raise ValueError("this model does not embed images by its backbone: it has no projection for it")
        return linear(res5.mean((2, 3)), self.backbone_projection.T)

    def class_logits(
        self, embeddings: Float[Tensor, "*batch Q P"], texts: Float[Tensor, "K P"]
    ) -> Float[Tensor, "*batch Q K"]:
        """Scaled cosine of semantic embeddings and text embeddings, in float32 at least."""
        dtype = torch.promote_types(embeddings.dtype, torch.float32)
        return self.logit_scale.exp() * normalize(embeddings.to(dtype)) @ normalize(texts.to(dtype)).T


def _build_backbone(config: BackboneConfig) -> FocalNet | DaViT | Hybrid | EfficientNet:
    match config:
        case FocalNetConfig():
            return FocalNet(config)
        case DaViTConfig():
            return DaViT(config)
        case HybridConfig():
            return Hybrid(config)
        case EfficientNetConfig():
            return EfficientNet(config)


def normalize(x: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch P"]:
    """Divide by the norm plus 1e-7, the published program's way."""
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)
