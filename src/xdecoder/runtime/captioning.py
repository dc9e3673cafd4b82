"""Tokens one after the other: `xdecoder.tasks.captioning` in numpy.

R texts of one image, V tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool

from xdecoder.runtime.graphs import Array
from xdecoder.tasks.caption_output import CaptionOutput
from xdecoder.tasks.sizes import ImageSizes

CaptionStep = Callable[[Array, Array], Array]
"""Goes on from some of the texts of the step before.

It takes the token that each text ends with now, and the text that each goes on from, (R,) each, and gives the
log-probabilities of every next token, (R, V).
"""


def caption_greedily(step: CaptionStep, *, start: int, end: int, steps: int) -> CaptionOutput:
    """The most likely token at each step, until the text has ended.

    Args:
        step: of an image, nothing read so far.
        start: the token before every text.
        end: the token after every text.
        steps: tokens at the most.
    """
    ids: list[int] = []
    total, last, row = 0.0, start, np.zeros(1, np.int64)
    for _ in range(steps):
        following = step(np.array([last]), row)[0]
        last = int(following.argmax())
        total += float(following[last])
        if last == end:
            break
        ids.append(last)
    return CaptionOutput(ids=tuple(ids), log_probability=total)


def caption_by_beam(step: CaptionStep, *, start: int, end: int, steps: int, beams: int) -> CaptionOutput:
    """The text with the highest mean log-probability a token that a beam search finds.

    Args:
        step: of an image, nothing read so far.
        start: the token before every text.
        end: the token after every text.
        steps: tokens at the most.
        beams: texts kept at each step.
    """
    following = step(np.array([start]), np.zeros(1, np.int64))[0]
    first = np.argsort(-following, kind="stable")[:beams]
    scores = following[first]
    found = [[int(id)] for id in first]
    length = np.ones(beams, np.float32)
    finished = first == end
    rows = np.zeros(beams, np.int64)
    for _ in range(steps - 1):
        if finished.all():
            break
        following = step(np.array([text[-1] for text in found]), rows)
        # a finished text goes on in one way only, with the end token at no cost
        following[finished] = -np.inf
        following[finished, end] = 0
        grown = length + ~finished
        candidates = (scores[:, None] + following) / grown[:, None]
        flat = np.argsort(-candidates, axis=None, kind="stable")[:beams]
        rows, ids = np.divmod(flat, following.shape[1])
        scores = (scores[:, None] + following).ravel()[flat]
        length, finished = grown[rows], finished[rows] | (ids == end)
        found = [[*found[row], int(id)] for row, id in zip(rows, ids, strict=True)]
    best = int((scores / length).argmax())
    text = found[best]
    return CaptionOutput(
        ids=tuple(text[: text.index(end)] if end in text else text), log_probability=float(scores[best])
    )


def region_at_levels(
    region: Bool[np.ndarray, "H W"], sizes: ImageSizes, strides: Sequence[int]
) -> list[Bool[np.ndarray, "h w"]]:
    """The cells of each level that a region of the image covers (nearest), for captions of that region.

    A region too small for a level keeps the one cell that it covers most.

    Args:
        region: a mask of the output's size that marks something.
        sizes: the sizes that the image went through.
        strides: pixels of the padded input that a level's cell is wide and high.
    """
    whole = _nearest(region, sizes.resized)
    if not whole.any():  # thinner than a pixel of the input
        whole = _touched(_touched(region, sizes.resized[0]).T, sizes.resized[1]).T
    padded = np.zeros(sizes.padded, np.bool_)
    padded[: whole.shape[0], : whole.shape[1]] = whole
    levels: list[Bool[np.ndarray, "h w"]] = []
    for stride in strides:
        shape = (sizes.padded[0] // stride, sizes.padded[1] // stride)
        cells = _nearest(padded, shape)
        if not cells.any():
            counts = padded.reshape(shape[0], stride, shape[1], stride).sum((1, 3))
            cells.flat[int(counts.argmax())] = True
        levels.append(cells)
    return levels


def _nearest(mask: Bool[np.ndarray, "H W"], size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    rows, columns = (
        np.minimum((np.arange(new, dtype=np.float32) * np.float32(old / new)).astype(np.int64), old - 1)
        for old, new in zip(mask.shape, size, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def _touched(mask: Bool[np.ndarray, "H W"], rows: int) -> Bool[np.ndarray, "h W"]:
    """Rows of a smaller mask: marked where any of the rows that they cover is."""
    height = len(mask)
    starts = np.arange(rows) * height // rows
    ends = -(-(np.arange(rows) + 1) * height // rows)
    until = np.concatenate((np.zeros((1, mask.shape[1]), np.int64), mask.cumsum(0)))
    return until[ends] > until[starts]
