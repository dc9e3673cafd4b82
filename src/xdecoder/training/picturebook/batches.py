"""The kinds of batches of the bundled model's training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdecoder.picturebook import Scene
from xdecoder.training.batches import Batch, NounTexts


@final
@dataclass(frozen=True, kw_only=True)
class TextBatch(Batch):
    """Texts alone.

    Attributes:
        token_ids: (M, L).
        overlaps: cosine of the texts' bags of words.
    """

    token_ids: Int[Tensor, "M L"]
    overlaps: Float[Tensor, "M M"]


@final
@dataclass(frozen=True, kw_only=True)
class PatchBatch(Batch):
    """Pictures of one thing, and lists of texts among which each has one of its own.

    Attributes:
        images: normalized; each shows one thing.
        token_ids: the texts of all lists.
        names: what each list is called.
        rows: per list, its rows in `token_ids`.
        wanted: per list, each image's own text, counted within the list.
    """

    images: Float[Tensor, "B 3 H W"]
    token_ids: Int[Tensor, "M L"]
    names: tuple[str, ...]
    rows: tuple[Int[Tensor, " _K"], ...]
    wanted: tuple[Int[Tensor, " B"], ...]


@final
@dataclass(frozen=True, kw_only=True)
class PictureBatch(Batch):
    """Scenes alone, of which nothing is told; `images` are normalized."""

    images: Float[Tensor, "B 3 H W"]


@final
@dataclass(frozen=True, kw_only=True)
class SceneBatch(Batch):
    """Whole scenes with everything that is known of them.

    Attributes:
        images: normalized; H and W are multiples of 32.
        names: the vocabulary, the background last.
        classes: per image, each segment's row of `names`.
        masks: per image, how much of each cell at the masks' stride each segment covers, 0 to 1.
        phrases: of all images, one after the other.
        phrase_lengths: tokens of each phrase, start and end included.
        phrase_counts: phrases of each image.
        phrase_masks: per image, what each phrase means, as `masks`.
        nouns: the nouns of each image's first caption and the caption itself; none where it has no text.
        pair_images: the images that come with text.
        captions: `captions_each` for each of these.
        caption_valid: true from the start token to the end token.
        caption_names: tokens that name a category or a color.
        captions_each: captions and region captions of an image.
        caption_regions: per level of the decoder's memory, the cells that each caption is about.
        pairs: the text that retrieval learns from, of each image that comes with text.
        pair_groups: such texts of the same words have the same number.
        questions: of all images, one after the other, padded as the answer head wants them.
        question_images: the image that each is about.
        answers: index of each answer.
        scenes: what the images show, for captions that the model makes up; empty where it need not.
    """

    images: Float[Tensor, "B 3 H W"]
    names: Int[Tensor, "K L1"]
    classes: tuple[Int[Tensor, " _N"], ...]
    masks: tuple[Float[Tensor, "_N H4 W4"], ...]
    phrases: Int[Tensor, "M1 L2"]
    phrase_lengths: tuple[int, ...]
    phrase_counts: tuple[int, ...]
    phrase_masks: tuple[Float[Tensor, "_N H4 W4"], ...]
    nouns: NounTexts
    pair_images: Int[Tensor, " B2"]
    captions: Int[Tensor, "M2 L3"]
    caption_valid: Bool[Tensor, "M2 L3"]
    caption_names: Bool[Tensor, "M2 L3"]
    captions_each: int
    caption_regions: tuple[Bool[Tensor, "M2 _ _"], ...]
    pairs: Int[Tensor, "B2 L5"]
    pair_groups: Int[Tensor, " B2"]
    questions: Int[Tensor, "M3 L4"]
    question_images: Int[Tensor, " M3"]
    answers: Int[Tensor, " M3"]
    scenes: tuple[Scene, ...] = ()
