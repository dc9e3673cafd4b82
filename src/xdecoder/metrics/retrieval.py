"""Image-text retrieval: recall at 1, 5 and 10, both ways, with several captions per image.

Text retrieval (TR): a query image is a hit at k when any of its captions is among the k best. Image retrieval
(IR): a query caption is a hit when its image is. The score of a pair is the cosine of the embeddings; where
an image has several embeddings (X-Decoder: the decoder's image query and the backbone's, section 4 of the
paper), the mean of their cosines. Ties go to what was listed first, so that a constant score earns no credit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

CUTOFFS = (1, 5, 10)
_BLOCK = 256  # images whose scores are held at a time


@dataclass(frozen=True, kw_only=True)
class RetrievalResult:
    """Recalls in 0..1: k -> share of the queries with a hit among the k best.

    Attributes:
        text_retrieval: queries are images, answers captions (TR).
        image_retrieval: queries are captions, answers images (IR).
        images: how many images.
        captions: how many captions.
    """

    text_retrieval: Mapping[int, float]
    image_retrieval: Mapping[int, float]
    images: int
    captions: int


def recall(
    image_embeddings: Float[np.ndarray, "B E C"],
    caption_embeddings: Float[np.ndarray, "L C"],
    image_of_caption: Integer[np.ndarray, " Li"],
) -> RetrievalResult:
    """Recall at 1, 5 and 10, both ways. Never holds more than 256 rows of the score matrix.

    Args:
        image_embeddings: E embeddings of every image, of any length but zero.
        caption_embeddings: one of every caption.
        image_of_caption: the row of each caption's image.

    Raises:
        ValueError: nothing was given, sizes differ, a caption has no image or an image no caption.
    """
    B, L = len(image_embeddings), len(caption_embeddings)
    if B == 0 or L == 0:
        raise ValueError(f"retrieval needs images and captions, got {B} images and {L} captions")
    if len(image_of_caption) != L:
        raise ValueError(f"{len(image_of_caption)} image rows for {L} captions: give one each")
    if int(image_of_caption.min()) < 0 or int(image_of_caption.max()) >= B:
        raise ValueError(f"a caption's image row is outside 0..{B - 1}")
    lacking = np.setdiff1d(np.arange(B), image_of_caption)
    if lacking.size:
        raise ValueError(
            f"{lacking.size} images have no caption (rows {lacking[:8].tolist()}): leave them out"
        )

    images, captions = _unit(image_embeddings, "image"), _unit(caption_embeddings, "caption")
    order = np.arange(L)
    own_score = np.empty(L, np.float32)  # a caption's score with its own image
    text_rank = np.empty(B, np.int64)  # how many captions come before an image's best own caption
    for rows, scores in _blocks(images, captions):
        own = image_of_caption[None] == rows[:, None]
        at_row, at_caption = np.nonzero(own)
        own_score[at_caption] = scores[at_row, at_caption]
        best = np.where(own, scores, -np.inf).argmax(1)
        best_score = scores[np.arange(len(rows)), best][:, None]
        before = (scores > best_score) | ((scores == best_score) & (order < best[:, None]))
        text_rank[rows] = before.sum(1)
    image_rank = np.zeros(L, np.int64)  # how many images come before a caption's own
    for rows, scores in _blocks(images, captions):
        before = (scores > own_score) | ((scores == own_score) & (rows[:, None] < image_of_caption))
        image_rank += before.sum(0)
    return RetrievalResult(
        text_retrieval={k: float((text_rank < k).mean()) for k in CUTOFFS},
        image_retrieval={k: float((image_rank < k).mean()) for k in CUTOFFS},
        images=B,
        captions=L,
    )


class Retrieval:
    """Gathers embeddings of images and captions; their order does not change the result."""

    def __init__(self) -> None:
        # image id -> (image embeddings "E C", caption embeddings "L C")
        self._rows: dict[int | str, tuple[Float[np.ndarray, "E C"], Float[np.ndarray, "L C"]]] = {}

    def update(
        self,
        image_id: int | str,
        image_embeddings: Float[np.ndarray, "E Ci"],
        caption_embeddings: Float[np.ndarray, "L C"],
    ) -> None:
        """Adds one image with its captions.

        Args:
            image_id: refused when it was added before.
            image_embeddings: the image's embeddings, e.g. the decoder's and the backbone's.
            caption_embeddings: one or more captions' embeddings.

        Raises:
            ValueError: the image was added before, or the embeddings differ in number or length from others.
        """
        if image_id in self._rows:
            raise ValueError(f"image {image_id!r} was added before: add every image once")
        if 0 in image_embeddings.shape or 0 in caption_embeddings.shape:
            raise ValueError(f"image {image_id!r} needs an embedding and a caption")
        if image_embeddings.shape[1] != caption_embeddings.shape[1]:
            raise ValueError(
                f"image {image_id!r}: image embeddings have {image_embeddings.shape[1]} channels, captions "
                f"{caption_embeddings.shape[1]}: expected the same"
            )
        for image, _ in self._rows.values():
            if image.shape != image_embeddings.shape:
                raise ValueError(
                    f"image {image_id!r} has embeddings {image_embeddings.shape}, others {image.shape}: "
                    "expected the same number and channels for every image"
                )
            break
        self._rows[image_id] = (
            image_embeddings.astype(np.float32),
            caption_embeddings.astype(np.float32),
        )

    def result(self) -> RetrievalResult:
        """The recalls over everything gathered, images in the order of their ids.

        Raises:
            ValueError: no image was added.
        """
        if not self._rows:
            raise ValueError("no image was added: retrieval needs at least one")
        rows = [self._rows[key] for key in sorted(self._rows, key=lambda key: (isinstance(key, str), key))]
        return recall(
            np.stack([image for image, _ in rows]),
            np.concatenate([captions for _, captions in rows]),
            np.repeat(np.arange(len(rows)), [len(captions) for _, captions in rows]),
        )


def _unit(embeddings: Float[np.ndarray, "..."], name: str) -> Float[np.ndarray, "..."]:
    length = np.linalg.norm(embeddings.astype(np.float32), axis=-1, keepdims=True)
    if not np.isfinite(length).all() or not (length > 0).all():
        raise ValueError(f"{name} embeddings must be finite and not zero")
    return embeddings.astype(np.float32) / length


def _blocks(
    images: Float[np.ndarray, "B E C"], captions: Float[np.ndarray, "L C"]
) -> Iterator[tuple[Integer[np.ndarray, " R"], Float[np.ndarray, "R L"]]]:
    # The mean of the cosines is the cosine with the mean of the unit embeddings.
    queries = images.mean(1)
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        yield np.arange(start, start + len(block)), block @ captions.T
