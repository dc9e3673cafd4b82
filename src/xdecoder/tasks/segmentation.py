"""Class and mask logits to semantic, panoptic and instance results (section 3.2 of the paper).

Memory is bounded: masks are resized tile by tile. K classes without the last one, the background. All Q
latent queries take part, the global one too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.networks.decoder_states import LatentStates
from xdecoder.networks.linear import linear
from xdecoder.networks.resampling import Axis, Tile, resized_tiles
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.segments import SegmentCandidate, choose_segments

_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class PanopticOutput:
    """Segments that do not overlap.

    Attributes:
        ids: (H, W), the segment of each pixel, counted from 1; 0 for none.
        categories: class of segments 1, 2, ...
        scores: class probability of each segment; a merged stuff segment has its first part's.
        queries: the latent query that made each segment; of a merged stuff segment, its largest part's.
    """

    ids: Int[Tensor, "H W"]
    categories: tuple[int, ...]
    scores: tuple[float, ...]
    queries: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class InstanceOutput:
    """Instances, best first.

    Attributes:
        categories: class of each, (N,).
        scores: class probability × mean mask probability inside the mask, (N,).
        query_masks: (U, H, W); instances of one query and several classes share one.
        rows: the mask of each, (N,).
    """

    categories: Int[Tensor, " N"]
    scores: Float[Tensor, " N"]
    query_masks: Bool[Tensor, "U H W"]
    rows: Int[Tensor, " N"]

    @property
    def masks(self) -> Bool[Tensor, "N H W"]:
        """The mask of each, copied."""
        return self.query_masks[self.rows]


@dataclass(frozen=True, kw_only=True)
class SegmentationLogits:
    """The last predictions of the latent queries of one image; masks only as they are asked for.

    Attributes:
        classes: class probabilities with the background last, (Q, K + 1).
        embeddings: what the classes were read from, in the space shared with texts, (Q, P), not normalized.
        mask_embeddings: (Q, M).
        features: the image they belong to, a batch of one or more.
        index: its place in the batch.
    """

    classes: Float[Tensor, "Q K1"]
    embeddings: Float[Tensor, "Q P"]
    mask_embeddings: Float[Tensor, "Q M"]
    features: ImageFeatures
    index: int

    def masks(self, queries: Tensor | None = None) -> Float[Tensor, "N h w"]:
        """Mask logits, at the stride of the mask features, of some queries (all where None)."""
        wanted = self.mask_embeddings if queries is None else self.mask_embeddings[queries]
        return self.features.mask_logits_of(self.index, wanted)


def segmentation_logits(
    model: XDecoder,
    features: ImageFeatures,
    latents: LatentStates,
    vocabulary: Float[Tensor, "K1 P"],
    index: int,
) -> SegmentationLogits:
    """Predictions for one image.

    Args:
        model: its heads give masks and class logits.
        features: encoded images, with their mask features.
        latents: their decoded latent queries.
        vocabulary: text embeddings of the classes, the background last.
        index: the image meant.
    """
    heads = model.decoder.query_outputs(latents.states[-1][index])
    classes = model.class_logits(heads.embeddings, vocabulary).softmax(-1)
    return SegmentationLogits(
        classes=classes,
        embeddings=heads.embeddings,
        mask_embeddings=heads.masks,
        features=features,
        index=index,
    )


def semantic_tiles(
    logits: SegmentationLogits,
    geometry: Geometry,
    *,
    resize_probabilities: bool = False,
) -> Iterator[Tile]:
    """Scores of every class, Σ over queries of class probability × mask probability, a tile at a time.

    Args:
        logits: the image's predictions.
        geometry: the sizes that the image went through; `output` is the result's.
        resize_probabilities: resize the scores, not the mask logits, from the input's to the output's size.
    """
    classes = logits.classes[:, :-1]  # without the background's
    if not resize_probabilities:
        for tile in geometry.tiles(logits.masks()):
            yield Tile(rows=tile.rows, columns=tile.columns, values=_class_scores(classes, tile.values))
        return
    masks = logits.masks()
    to_padded = tuple(Axis.of(n, p) for n, p in zip(masks.shape[1:], geometry.padded, strict=True))
    (height, width), (new_height, new_width) = geometry.resized, geometry.output
    [columns] = Axis.of(width, new_width).bands(new_width, dtype=torch.float32, device=masks.device)
    for band in Axis.of(height, new_height).bands(_ROWS, dtype=torch.float32, device=masks.device):
        scores = masks.new_empty(classes.shape[1], band.matrix.shape[1], width, dtype=torch.float32)
        for tile in resized_tiles(masks, to_padded[0].cut(band.columns), to_padded[1].cut(slice(0, width))):
            scores[:, tile.rows, tile.columns] = _class_scores(classes, tile.values)
        yield Tile(rows=band.rows, columns=columns.rows, values=band.matrix @ scores @ columns.matrix.T)


def _class_scores(classes: Float[Tensor, "Q K"], masks: Float[Tensor, "Q h w"]) -> Float[Tensor, "K h w"]:
    """Σ over queries of class probability × mask probability; the masks' logits are used up."""
    probabilities = masks.sigmoid_().flatten(1)
    return linear(classes.T, probabilities.T).unflatten(1, masks.shape[1:])


def first_largest(values: Float[Tensor, "K h w"]) -> Int[Tensor, "h w"]:
    """`values.argmax(0)`, in a fraction of its time on a CPU, where largest values are found many at once.

    Of equal ones it is the first, and the last place of all where a value is NaN.
    """
    ranks = torch.arange(len(values), 0, -1, device=values.device, dtype=values.dtype)[:, None, None]
    rank = torch.where(values == values.amax(0), ranks, 1.0).amax(0)
    return len(values) - rank.long()


def semantic(
    logits: SegmentationLogits, geometry: Geometry, *, resize_probabilities: bool = False
) -> Int[Tensor, "H W"]:
    """The best class of each pixel."""
    labels = torch.empty(geometry.output, dtype=torch.int32, device=logits.classes.device)
    for tile in semantic_tiles(logits, geometry, resize_probabilities=resize_probabilities):
        labels[tile.rows, tile.columns] = first_largest(tile.values).int()
    return labels


def panoptic(
    logits: SegmentationLogits,
    geometry: Geometry,
    *,
    things: frozenset[int],
    object_threshold: float,
    overlap_threshold: float,
) -> PanopticOutput:
    """Segments that share out the pixels.

    Each pixel goes to the kept query with the highest class score × mask probability; stuff of one class is
    merged.

    Args:
        logits: the image's predictions.
        geometry: the sizes that the image went through; `output` is the result's.
        things: the classes whose instances stay apart.
        object_threshold: queries are kept above this class probability.
        overlap_threshold: segments are kept that won at least this share of their mask's own pixels.
    """
    best, category = logits.classes.max(-1)
    kept = ((category != logits.classes.shape[1] - 1) & (best > object_threshold)).nonzero()[:, 0]
    device = logits.classes.device
    ids = torch.zeros(geometry.output, dtype=torch.int32, device=device)
    if not len(kept):
        return PanopticOutput(ids=ids, categories=(), scores=(), queries=())

    # `ids` first holds the winning query, counted from 1, where its own mask covers the pixel
    won, own, covered = (torch.zeros(len(kept), dtype=torch.long, device=device) for _ in range(3))
    weights = best[kept][:, None, None]
    for tile in geometry.tiles(logits.masks(kept)):
        masks = tile.values.sigmoid_()
        winner = first_largest(weights * masks)
        solid = masks.gather(0, winner[None])[0] >= 0.5
        ids[tile.rows, tile.columns] = torch.where(solid, winner + 1, 0).int()
        # added up without asking the device how many there are, which `bincount` does
        won.scatter_add_(0, winner.flatten(), torch.ones_like(winner).flatten())
        own += (masks >= 0.5).flatten(1).sum(1)
        covered.scatter_add_(0, winner.flatten(), solid.flatten().long())

    counts: list[list[int]] = torch.stack((kept, category[kept], won, own, covered)).tolist()
    candidates = [
        SegmentCandidate(
            query=query, category=label, score=score, won=pixels, own=mask_pixels, covered=solid_pixels
        )
        for query, label, pixels, mask_pixels, solid_pixels, score in zip(
            *counts, best[kept].tolist(), strict=True
        )
    ]
    chosen = choose_segments(candidates, things=things, overlap_threshold=overlap_threshold)
    lookup = torch.tensor((0, *chosen.of_candidate), dtype=torch.int32).to(device, non_blocking=True)
    return PanopticOutput(
        ids=lookup[ids.long()],
        categories=chosen.categories,
        scores=chosen.scores,
        queries=chosen.queries,
    )


def instances(
    logits: SegmentationLogits,
    geometry: Geometry,
    *,
    detections: int,
    things: frozenset[int] | None,
) -> InstanceOutput:
    """The best (query, class) pairs.

    Args:
        logits: the image's predictions.
        geometry: the sizes that the image went through; `output` is the result's.
        detections: pairs at the most, before those of stuff are dropped.
        things: the classes that count; all where None.
    """
    pairs = logits.classes[:, :-1]
    best, flat = pairs.flatten().topk(min(detections, pairs.numel()))
    query, category = flat // pairs.shape[1], flat % pairs.shape[1]
    if things is not None:
        counts = torch.tensor([k in things for k in range(pairs.shape[1])], device=pairs.device)[category]
        best, query, category = best[counts], query[counts], category[counts]
    used, row = query.unique(return_inverse=True)
    masks = torch.zeros(len(used), *geometry.output, dtype=torch.bool, device=pairs.device)
    inside, areas = (torch.zeros(len(used), device=pairs.device) for _ in range(2))
    if len(used):
        for tile in geometry.tiles(logits.masks(used)):
            covered = tile.values > 0
            masks[:, tile.rows, tile.columns] = covered
            areas += covered.flatten(1).sum(1)
            inside += tile.values.sigmoid_().mul_(covered).flatten(1).sum(1)
    quality = inside / (areas + 1e-6)
    scores, order = (best * quality[row]).sort(descending=True)
    return InstanceOutput(categories=category[order], scores=scores, query_masks=masks, rows=row[order])
