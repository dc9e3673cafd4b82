"""What a step on data sets consists of: segmented images, phrases, image-text pairs and questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdecoder.training.batches import Batch, NounTexts


@final
@dataclass(frozen=True, kw_only=True)
class SegmentPhrases(Batch):
    """Phrases for segmented images: free text of people, or names of classes; equal ones stand once an image.

    Attributes:
        texts: token ids, of all images one after the other.
        lengths: tokens of each, start and end included.
        counts: phrases of each image.
        rows: per image, the phrase of each target, counted over all images.
        masks: per image, what each target's phrase refers to; of a class, each of its instances is a target.
        free: per image, whether its phrases are free text.
    """

    texts: Int[Tensor, "M L"]
    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    rows: tuple[Int[Tensor, " _N"], ...]
    masks: tuple[Bool[Tensor, "_N S S"], ...]
    free: tuple[bool, ...]


@final
@dataclass(frozen=True, kw_only=True)
class SegmentationBatch(Batch):
    """Segmented images.

    Attributes:
        images: normalized, padded after it.
        names: the vocabulary, the background last.
        labels: per image, the class of each segment.
        masks: per image, of the size of `images`.
        nouns: what captions say of the images, where that is learned from.
        phrases: phrases for the same images, where they are learned from.
    """

    images: Float[Tensor, "B 3 S S"]
    names: Int[Tensor, "K L"]
    labels: tuple[Int[Tensor, " _N"], ...]
    masks: tuple[Bool[Tensor, "_N S S"], ...]
    nouns: NounTexts | None = None
    phrases: SegmentPhrases | None = None


@final
@dataclass(frozen=True, kw_only=True)
class ReferringBatch(Batch):
    """Images with phrases, one after the other over all images.

    Attributes:
        images: normalized, and padded to the square's size.
        phrases: token ids.
        lengths: tokens of each, start and end included.
        counts: phrases of each image.
        masks: per image, what each phrase means.
    """

    images: Float[Tensor, "B 3 S S"]
    phrases: Int[Tensor, "M L"]
    lengths: tuple[int, ...]
    counts: tuple[int, ...]
    masks: tuple[Bool[Tensor, "_N S S"], ...]


@final
@dataclass(frozen=True, kw_only=True)
class PairBatch(Batch):
    """Images with a caption each; `valid` is true from the start token to the end token."""

    images: Float[Tensor, "B 3 S S"]
    captions: Int[Tensor, "B L"]
    valid: Bool[Tensor, "B L"]


@final
@dataclass(frozen=True, kw_only=True)
class QuestionBatch(Batch):
    """Images with a question each; `answers` is the share of people who gave each answer, at most 1."""

    images: Float[Tensor, "B 3 S S"]
    questions: Int[Tensor, "B L"]
    answers: Float[Tensor, "B A"]


@final
@dataclass(frozen=True, kw_only=True)
class DatasetBatch(Batch):
    """All parts of a step; what a recipe leaves out is None."""

    segments: SegmentationBatch | None = None
    phrases: ReferringBatch | None = None
    pairs: PairBatch | None = None
    questions: QuestionBatch | None = None
