"""Image-text retrieval: one space for images and texts, and two scores in it (section 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.model import ImageFeatures, XDecoder, normalize
from xdecoder.networks.decoder_states import LatentStates


@dataclass(frozen=True, kw_only=True)
class ImageEmbeddings:
    """Images in the space that they share with texts, each row of unit length.

    Attributes:
        decoder: from the decoder's global token, (N, P).
        backbone: from the backbone's pooled last map, (N, P); the decoder's where the backbone has none.
    """

    decoder: Float[Tensor, "N P"]
    backbone: Float[Tensor, "N P"]

    @classmethod
    def concatenate(cls, parts: Sequence[ImageEmbeddings]) -> ImageEmbeddings:
        """The rows of all parts, of which there is at least one, in order."""
        return cls(
            decoder=torch.cat([part.decoder for part in parts]),
            backbone=torch.cat([part.backbone for part in parts]),
        )

    def row(self, index: int) -> ImageEmbeddings:
        """One image's embeddings, (1, P) each."""
        rows = slice(index, index + 1)
        return ImageEmbeddings(decoder=self.decoder[rows], backbone=self.backbone[rows])

    @property
    def joint(self) -> Float[Tensor, "N joint"]:
        """Both in one unit vector, whose product with `joint_texts` is the mean of the two cosines."""
        return torch.cat((self.decoder, self.backbone), dim=-1) / 2**0.5

    def similarity(self, texts: Float[Tensor, "M P"]) -> Float[Tensor, "N M"]:
        """The mean of the two cosines with each text embedding, the published ensemble."""
        return (self.decoder @ texts.T + self.backbone @ texts.T) / 2


def joint_texts(texts: Float[Tensor, "M P"]) -> Float[Tensor, "M joint"]:
    """Text embeddings of unit length, to be multiplied with `ImageEmbeddings.joint`."""
    return torch.cat((texts, texts), dim=-1) / 2**0.5


def embed_images(model: XDecoder, features: ImageFeatures, latents: LatentStates) -> ImageEmbeddings:
    """Embed a batch of images.

    Where the backbone embeds none (`ModelConfig.backbone_retrieval`), the decoder's embedding stands for
    both: the mean of the two cosines is then its own, as published.
    """
    whole = model.decoder.query_outputs(latents.states[-1][:, -1:]).embeddings[:, 0]
    pooled = whole if features.backbone_embeddings is None else features.backbone_embeddings
    return ImageEmbeddings(decoder=normalize(whole.float()), backbone=normalize(pooled.float()))
