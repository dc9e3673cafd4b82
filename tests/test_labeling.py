"""Masks as labeling tools hold them, and results as their files, read back by our own readers."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xdecoder.labeling.outlines import from_shares, join_parts, to_shares, trace_outline
from xdecoder.structures.masks import decode_rle, mask_box, segmentation_rle

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=13))

# Outlines


def fill(rings: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    """Polygons filled by COCO's rule."""
    return decode_rle(segmentation_rle(tuple(tuple(ring) for ring in rings), *size))


def without_holes(mask: np.ndarray) -> np.ndarray:
    """All that cannot be reached from outside in steps up, down and aside."""
    outside = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.bool_)
    free = ~np.pad(mask, 1)
    outside[0, 0] = True
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= free
        if (grown == outside).all():
            return ~outside[1:-1, 1:-1]
        outside = grown


@settings(max_examples=60, deadline=None)
@given(MASKS, st.sampled_from([1.0, 100.0]))
def test_an_outline_filled_is_the_mask_without_its_holes(mask: np.ndarray, whole: float) -> None:
    size = mask.shape[0], mask.shape[1]
    outline = trace_outline(mask)
    shares = [np.ravel(to_shares(ring, size, whole=whole)).tolist() for ring in outline.parts]
    filled = without_holes(mask)
    assert np.array_equal(fill([from_shares(s, size, whole=whole) for s in shares], size), filled)
    assert (outline.holes == 0) == np.array_equal(filled, mask)
    if outline.parts:
        corners = np.concatenate(outline.parts)
        assert (*corners.min(axis=0), *corners.max(axis=0)) == mask_box(mask)
        assert np.array_equal(fill([join_parts(outline.parts).ravel().tolist()], size), filled)


def test_an_outline_has_few_points_its_largest_part_first_and_nothing_of_what_lies_in_a_hole() -> None:
    mask = np.zeros((11, 17), np.bool_)
    mask[1:3, 1:3] = True  # a square
    mask[3, 3] = True  # touches it at a corner: the same part
    mask[4:11, 6:15] = True
    mask[6:9, 8:13] = False
    mask[7, 10] = True  # an island in the hole
    outline = trace_outline(mask)
    assert [len(ring) for ring in outline.parts] == [8, 10]
    assert outline.holes == 1
    assert outline.parts[0].min(axis=0).tolist() == [6, 4]
    assert trace_outline(np.zeros((2, 3), np.bool_)).parts == ()
