"""Panoptic segmentation's thresholds, chosen on a validation split."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Int32

from xdecoder.data.dataset import Dataset
from xdecoder.data.records import PanopticSample, Sample
from xdecoder.metrics.panoptic_quality import (
    CategoryCounts,
    ScoredSegment,
    add_counts,
    count_matches,
    panoptic_scores,
)
from xdecoder.predictor.predictor import Predictor
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.segmentation import SegmentationLogits, panoptic, segmentation_logits
from xdecoder.vocabularies import Vocabulary

_OBJECT: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_OVERLAP: Final = (0.3, 0.5, 0.6, 0.7, 0.8)

Pair = tuple[float, float]
"""Object and overlap threshold."""


@torch.inference_mode()
def choose_thresholds(predictor: Predictor, samples: Dataset[Sample], *, images: int) -> Pair | None:
    """The pair of thresholds with the highest panoptic quality on some samples.

    Segments are counted at the size at which the model reads the images, which costs a fraction of their
    own size. Among pairs that are as good, the one nearest to the model's own is taken.

    Args:
        predictor: the model as trained so far.
        samples: a validation split with panoptic maps and class names.
        images: the first of them are taken.

    Returns:
        Object and overlap threshold; None where no sample can be read.
    """
    words = samples.vocabulary
    assert words is not None
    embeddings = predictor.embed_vocabulary(words)
    pairs = [(chosen, overlap) for chosen in _OBJECT for overlap in _OVERLAP]
    counts: dict[Pair, dict[int, CategoryCounts]] = {pair: {} for pair in pairs}
    read = 0
    for sample in samples[:images]:
        with suppress(ValueError, OSError):
            assert isinstance(sample, PanopticSample)
            pixels, truth = sample.read()
            item = predictor.encode(pixels)
            geometry = replace(item.geometry, output=item.geometry.resized)
            ids = _resized(truth.ids, geometry.resized)
            segments = [
                ScoredSegment(id=s.id, category_id=s.category, is_crowd=s.crowd)
                for s in truth.segments
                if (ids == s.id).any()
            ]
            batch = item.batch
            logits = segmentation_logits(
                predictor.model, batch.features, batch.latents, embeddings, item.index
            )
            for pair in pairs:
                found = _predict(logits, geometry, words, pair)
                add_counts(counts[pair], count_matches(ids, segments, *found))
            read += 1
    if not read:
        return None
    settings = predictor.config.inference
    things = {category: words.is_thing(category) for category in range(len(words))}
    scores = {pair: panoptic_scores(own, things, images=read).all.pq for pair, own in counts.items()}
    now = (settings.object_threshold, settings.overlap_threshold)
    return max(pairs, key=lambda pair: (np.nan_to_num(scores[pair]), -_distance(pair, now)))


def _predict(
    logits: SegmentationLogits, geometry: Geometry, words: Vocabulary, pair: Pair
) -> tuple[Int32[np.ndarray, "H W"], Sequence[ScoredSegment]]:
    output = panoptic(
        logits, geometry, things=words.things, object_threshold=pair[0], overlap_threshold=pair[1]
    )
    ids = output.ids.cpu().numpy()
    there = set(np.unique(ids).tolist())
    return ids, [
        ScoredSegment(id=place, category_id=category)
        for place, category in enumerate(output.categories, start=1)
        if place in there
    ]


def _distance(pair: Pair, other: Pair) -> float:
    return abs(pair[0] - other[0]) + abs(pair[1] - other[1])


def _resized(ids: Int32[np.ndarray, "H W"], size: tuple[int, int]) -> Int32[np.ndarray, "H2 W2"]:
    """A map at another size, each pixel the nearest one's."""
    rows, columns = (
        np.minimum((np.arange(new) + 0.5) * old / new, old - 1).astype(np.int64)
        for old, new in zip(ids.shape, size, strict=True)
    )
    return ids[rows[:, None], columns]
