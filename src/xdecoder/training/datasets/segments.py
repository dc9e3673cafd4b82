"""The segments of a sample that are learned from, whatever form its annotation has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xdecoder.data.records import (
    VOID,
    InstanceSample,
    ListedAnnotations,
    PanopticSample,
    Sample,
    SemanticSample,
)


def may_have_segments(source: Sequence[Sample]) -> bool:
    """Whether any image has an object with a mask; label maps and panoptic maps are not looked into."""
    return any(
        not isinstance(sample, InstanceSample)
        or not isinstance(sample.region_source, ListedAnnotations)
        or any(not region.crowd for region in sample.region_source.regions)
        for sample in source
    )


def read_segments(sample: Sample) -> tuple[NDArray[np.uint8], list[int], NDArray[np.bool_]]:
    """An image, its segments' classes and masks; crowds and unlabeled pixels belong to none."""
    if isinstance(sample, PanopticSample):
        image, panoptic = sample.read()
        kept = [s for s in panoptic.segments if not s.crowd]
        return image, [s.category for s in kept], _stack([panoptic.ids == s.id for s in kept], image)
    if isinstance(sample, InstanceSample):
        image = sample.image()
        regions = [r for r in sample.regions() if not r.crowd]
        return (
            image,
            [r.category for r in regions],
            _stack([r.mask(*image.shape[:2]) for r in regions], image),
        )
    assert isinstance(sample, SemanticSample)
    image, labels = sample.read()
    present = [int(k) for k in np.unique(labels) if k != VOID]
    return image, present, _stack([labels == k for k in present], image)


def _stack(masks: Sequence[NDArray[np.bool_]], image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool)
