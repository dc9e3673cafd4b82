"""Class probabilities and mask logits to results: `xdecoder.tasks.segmentation` in numpy.

Q latent queries of which the last is the global one, K classes; the background's column is the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from xdecoder.runtime.resampling import output_matrices, strips, taps
from xdecoder.tasks.segments import ChosenSegments, SegmentCandidate, choose_segments
from xdecoder.tasks.sizes import ImageSizes


@dataclass(frozen=True, kw_only=True)
class QueryMasks:
    """The predictions of an image's latent queries.

    Attributes:
        classes: class probabilities, (Q, K + 1).
        embeddings: mask embeddings, (Q, M).
        features: what they are multiplied with, (M, h, w).
        sizes: the sizes that the image went through.
    """

    classes: Float32[np.ndarray, "Q K1"]
    embeddings: Float32[np.ndarray, "Q M"]
    features: Float32[np.ndarray, "M h w"]
    sizes: ImageSizes

    def logits(self, queries: Int[np.ndarray, " N"] | slice) -> Float32[np.ndarray, "N h w"]:
        """Mask logits of some queries at the resolution of the features."""
        return mask_logits(self.embeddings[queries], self.features)


def mask_logits(
    embeddings: Float32[np.ndarray, "N M"], features: Float32[np.ndarray, "M h w"]
) -> Float32[np.ndarray, "N h w"]:
    """Mask embeddings times mask features."""
    return (embeddings @ features.reshape(len(features), -1)).reshape(-1, *features.shape[1:])


def covered(logits: Float32[np.ndarray, "N h w"], sizes: ImageSizes) -> Bool[np.ndarray, "N H W"]:
    """Where mask logits are positive, at the output's size."""
    result = np.zeros((len(logits), *sizes.output), np.bool_)
    for rows, values in strips(logits, *output_matrices(logits.shape[1:], sizes)):
        result[:, rows] = values > 0
    return result


def sigmoid(x: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """1 / (1 + e^-x)."""
    return (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)


def softmax(x: Float32[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Along the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def panoptic(
    masks: QueryMasks, *, things: frozenset[int], object_threshold: float, overlap_threshold: float
) -> tuple[Int32[np.ndarray, "H W"], ChosenSegments]:
    """The segment of each pixel, 0 for none, and what the segments are; see `tasks.segmentation.panoptic`."""
    category, best = masks.classes.argmax(1), masks.classes.max(1)
    kept = np.flatnonzero((category != masks.classes.shape[1] - 1) & (best > object_threshold))
    ids = np.zeros(masks.sizes.output, np.int32)
    won, own, solid_pixels = (np.zeros(len(kept), np.int64) for _ in range(3))
    if len(kept):
        logits = masks.logits(kept)
        for rows, values in strips(logits, *output_matrices(logits.shape[1:], masks.sizes)):
            shares = sigmoid(values)
            winner = (best[kept][:, None, None] * shares).argmax(0)
            solid = np.take_along_axis(shares, winner[None], 0)[0] >= 0.5
            ids[rows] = np.where(solid, winner + 1, 0)
            won += np.bincount(winner.ravel(), minlength=len(kept))
            own += (shares >= 0.5).sum((1, 2))
            solid_pixels += np.bincount(winner[solid], minlength=len(kept))
    candidates = [
        SegmentCandidate(
            query=int(query),
            category=int(category[query]),
            score=float(best[query]),
            won=int(won[i]),
            own=int(own[i]),
            covered=int(solid_pixels[i]),
        )
        for i, query in enumerate(kept)
    ]
    chosen = choose_segments(candidates, things=things, overlap_threshold=overlap_threshold)
    return np.array((0, *chosen.of_candidate), np.int32)[ids], chosen


@dataclass(frozen=True, kw_only=True)
class FoundInstances:
    """Instances, best first.

    Attributes:
        categories: class of each.
        scores: class probability × mean mask probability inside the mask.
        query_masks: of the queries that made them.
        rows: the mask of each.
    """

    categories: tuple[int, ...]
    scores: tuple[float, ...]
    query_masks: Bool[np.ndarray, "U H W"]
    rows: tuple[int, ...]


def instances(masks: QueryMasks, *, detections: int, things: frozenset[int]) -> FoundInstances:
    """The best (query, class) pairs whose class is a thing; see `tasks.segmentation.instances`."""
    pairs = masks.classes[:, :-1]
    flat = np.argsort(-pairs, axis=None, kind="stable")[:detections]
    flat = flat[np.isin(flat % pairs.shape[1], list(things))]
    query, category = flat // pairs.shape[1], flat % pairs.shape[1]
    used, row = np.unique(query, return_inverse=True)
    found = np.zeros((len(used), *masks.sizes.output), np.bool_)
    inside, areas = np.zeros(len(used)), np.zeros(len(used))
    logits = masks.logits(used)
    for rows, values in strips(logits, *output_matrices(logits.shape[1:], masks.sizes)):
        found[:, rows] = values > 0
        areas += found[:, rows].sum((1, 2))
        inside += (sigmoid(values) * found[:, rows]).sum((1, 2))
    scores = pairs.ravel()[flat] * (inside / (areas + 1e-6))[row]
    order = np.argsort(-scores, kind="stable")
    return FoundInstances(
        categories=tuple(category[order].tolist()),
        scores=tuple(scores[order].tolist()),
        query_masks=found,
        rows=tuple(row[order].tolist()),
    )


def semantic(masks: QueryMasks, *, resize_probabilities: bool) -> Int32[np.ndarray, "H W"]:
    """The best class of each pixel; see `tasks.segmentation.semantic`."""
    logits, sizes = masks.logits(slice(None)), masks.sizes
    labels = np.zeros(sizes.output, np.int32)
    if not resize_probabilities:
        for rows, values in strips(logits, *output_matrices(logits.shape[1:], sizes)):
            labels[rows] = _scores(masks, values).argmax(0)
        return labels
    to_input = [
        taps(cells, padded)[:kept].astype(np.float32)
        for cells, padded, kept in zip(logits.shape[1:], sizes.padded, sizes.resized, strict=True)
    ]
    scores = np.concatenate([_scores(masks, values) for _, values in strips(logits, *to_input)], axis=1)
    to_output = [
        taps(old, new).astype(np.float32) for old, new in zip(sizes.resized, sizes.output, strict=True)
    ]
    for rows, values in strips(scores, *to_output):
        labels[rows] = values.argmax(0)
    return labels


def _scores(masks: QueryMasks, logits: Float32[np.ndarray, "Q h w"]) -> Float32[np.ndarray, "K h w"]:
    """Σ over queries of class probability × mask probability."""
    return np.tensordot(masks.classes[:, :-1], sigmoid(logits), axes=(0, 0))
