"""Encoded images, and regions of them, to embeddings in the spaces that they share with texts.

A region's embedding is what its class is read from: the semantic output of the latent query that made it, and
whose products with text embeddings are class logits (section 3.2 of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from xdecoder.model import XDecoder, normalize
from xdecoder.predictor.encoding import EncodedImage, by_batch
from xdecoder.structures import PanopticSegmentation
from xdecoder.tasks import retrieval
from xdecoder.tasks.retrieval import ImageEmbeddings


@dataclass(frozen=True, kw_only=True, eq=False)
class RegionEmbeddings:
    """The segments of an image, each with its embedding.

    Attributes:
        segmentation: the segments that the embeddings are of.
        vectors: of unit length, one row a segment; their products with `embed_texts` are cosines.
    """

    segmentation: PanopticSegmentation
    vectors: Float[Tensor, "N P"]


def embed_images(model: XDecoder, items: Sequence[EncodedImage]) -> list[ImageEmbeddings]:
    """Each image's embeddings, one row each.

    Args:
        model: its decoder's global query and its backbone give the two embeddings.
        items: the images, encoded; results come in their order.

    Raises:
        ValueError: they are not finite.
    """
    found: dict[int, ImageEmbeddings] = {}
    for batch, members in by_batch(items):
        rows = retrieval.embed_images(model, batch.features, batch.latents)
        for vectors in (rows.decoder, rows.backbone):
            check_finite(vectors)
        found |= {p: rows.row(items[p].index) for p in members}
    return [found[p] for p in range(len(items))]


def check_finite(vectors: Float[Tensor, "N P"]) -> None:
    """Refuse embeddings that would compare as nothing.

    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not vectors.isfinite().all():
        raise ValueError(
            f"the model gives embeddings that are no numbers in {str(vectors.dtype).removeprefix('torch.')}; "
            "load it with dtype float32, or check its weights"
        )


def embed_region(
    model: XDecoder, item: EncodedImage, region: Bool[np.ndarray, "H W"]
) -> Float[Tensor, "1 P"]:
    """The embedding, of unit length, of the latent query whose mask has the highest IoU with a region.

    Args:
        model: its heads give the queries' masks and embeddings.
        item: one encoded image.
        region: True inside, at the image's size.

    Raises:
        ValueError: no query's mask meets the region.
    """
    heads = model.decoder.query_outputs(
        item.batch.latents.states[-1][item.index, :-1]
    )  # without the global query
    inside = torch.from_numpy(region).to(heads.masks.device)
    shared, own = (torch.zeros(len(heads.masks), device=inside.device) for _ in range(2))
    for tile in item.geometry.tiles(item.batch.features.mask_logits_of(item.index, heads.masks)):
        covered = tile.values > 0
        shared += (covered & inside[tile.rows, tile.columns]).flatten(1).sum(1)
        own += covered.flatten(1).sum(1)
    if not shared.any():
        raise ValueError("the model sees nothing in this region of the image; choose another")
    best = (shared / (own + inside.sum() - shared)).argmax()
    return normalize(heads.embeddings[best][None].float())
