"""What predictions are held against: frozen records, one per image or one per batch.

Texts are told apart by a number, their group: texts of one group mean the same (the published program hashes
the stemmed noun), so neither is a wrong answer where the other is right.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class SegmentTargets:
    """The segments of one image.

    Attributes:
        labels: index of each segment's class in the vocabulary.
        masks: bool or 0-1, at the size that the whole batch was padded to.
    """

    labels: Int[Tensor, " N"]
    masks: Shaped[Tensor, "N H W"]


@dataclass(frozen=True, kw_only=True)
class ReferringTargets:
    """The phrases of one image.

    Attributes:
        masks: what each phrase refers to, as in `SegmentTargets`.
        texts: embedding of each phrase.
        groups: phrases with the same number mean the same and share their answers.
        weight: of the cross-entropy; as published 2 where the phrases are free text, 0.5 for class names.
    """

    masks: Shaped[Tensor, "N H W"]
    texts: Float[Tensor, "N P"]
    groups: Int[Tensor, " N"]
    weight: float = 2.0


@dataclass(frozen=True, kw_only=True)
class NounTargets:
    """The nouns of one image's caption, and the caption itself, as texts to align queries with.

    Attributes:
        texts: embedding of each text.
        groups: what each text means.
        label_groups: what the class of each of the image's segments means, in the order of its
            `SegmentTargets`; same numbers, same meaning.
    """

    texts: Float[Tensor, "N P"]
    groups: Int[Tensor, " N"]
    label_groups: Int[Tensor, " M"]


@dataclass(frozen=True, kw_only=True)
class CaptionTargets:
    """Captions, whose tokens each predict the next one.

    Attributes:
        token_ids: start token, words, end token, padding.
        valid: true from the start token to the end token.
    """

    token_ids: Int[Tensor, "B L"]
    valid: Bool[Tensor, "B L"]


@dataclass(frozen=True, kw_only=True)
class RetrievalTargets:
    """One text for each image of a batch, which it is to be found by.

    Attributes:
        texts: embedding of each text.
        groups: texts with the same number mean the same, and are no negatives of each other; None, as
            published, where each stands for itself.
        tokens: the text encoder's embedding of each token, where single tokens are contrasted too.
        valid: with `tokens`, true from the start token to the end token.
    """

    texts: Float[Tensor, "B P"]
    groups: Int[Tensor, " B"] | None = None
    tokens: Float[Tensor, "B L P"] | None = None
    valid: Bool[Tensor, "B L"] | None = None
