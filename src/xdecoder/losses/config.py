"""The settings of the losses: weights of the terms, costs of matching, points, supervised layers."""

from __future__ import annotations

from dataclasses import dataclass, field

from xdecoder.bounds import require_at_least

_LAST_THREE = (-3, -2, -1)


@dataclass(frozen=True, kw_only=True)
class MatchCosts:
    """Weights of the three costs of matching a query to a target.

    Attributes:
        classes: of minus the probability of the target's class or phrase.
        mask_bce: of the masks' binary cross-entropy.
        mask_dice: of the masks' dice distance.
    """

    classes: float = 2.0
    mask_bce: float = 5.0
    mask_dice: float = 5.0

    def __post_init__(self) -> None:
        require_at_least(0, self, "classes", "mask_bce", "mask_dice")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms, and how they are counted; the defaults are the published ones.

    Attributes:
        class_ce: weight of the class cross-entropy.
        mask_bce: weight of the segments' binary cross-entropy.
        mask_dice: weight of the segments' dice loss.
        referring_ce: weight of the cross-entropy over queries.
        referring_bce: weight of the phrases' binary cross-entropy.
        referring_dice: weight of the phrases' dice loss.
        nouns: weight of the caption-noun alignment; 0 leaves it out.
        captioning: weight of the next-token cross-entropy (8 in the published Focal-T run).
        retrieval: weight of the contrastive loss of the global token (8 in that run).
        token_contrast: within it, weight of the contrast of object queries and single tokens, which the paper
            does not mention.
        backbone_retrieval: weight of the contrastive loss of the pooled backbone.
        answers: weight of the cross-entropy of answers.
        background: weight of the background in the class cross-entropy.
        match: weights of the matching costs.
        images_alike: the cross-entropy over queries is averaged over the phrases of an image, then over the
            images; else over all phrases.
        noun_gradient: whether queries that answer for no segment learn from the nouns. The published program
            means them to, but its matcher normalizes them in place, without a gradient.
    """

    class_ce: float = 2.0
    mask_bce: float = 5.0
    mask_dice: float = 5.0
    referring_ce: float = 0.4
    referring_bce: float = 1.0
    referring_dice: float = 1.0
    nouns: float = 1.0
    captioning: float = 2.0
    retrieval: float = 2.0
    token_contrast: float = 0.5
    backbone_retrieval: float = 8.0
    answers: float = 1.0
    background: float = 0.1
    match: MatchCosts = field(default_factory=MatchCosts)
    images_alike: bool = True
    noun_gradient: bool = False

    def __post_init__(self) -> None:
        require_at_least(0, self, "class_ce", "mask_bce", "mask_dice", "referring_ce", "referring_bce")
        require_at_least(0, self, "referring_dice", "nouns", "captioning", "retrieval", "token_contrast")
        require_at_least(0, self, "backbone_retrieval", "answers", "background")


@dataclass(frozen=True, kw_only=True)
class PointSampling:
    """At how many points masks are compared, and how they are chosen.

    Attributes:
        points: of a mask, and of an image in matching.
        oversampling: candidates for each point.
        important_share: of the points, those chosen by uncertainty.
    """

    points: int = 12544
    oversampling: float = 3.0
    important_share: float = 0.75

    def __post_init__(self) -> None:
        if self.points < 1 or self.oversampling < 1 or not 0 <= self.important_share <= 1:
            raise ValueError(
                "PointSampling needs points >= 1, oversampling >= 1 and important_share in [0, 1], got "
                f"{self.points}, {self.oversampling} and {self.important_share}"
            )

    @property
    def important(self) -> int:
        """Points chosen by uncertainty."""
        return int(self.important_share * self.points)


@dataclass(frozen=True, kw_only=True)
class SupervisedLayers:
    """Which predictions are supervised, as indices into the model's: 0 the first, -1 the last; None for all.

    Latent queries and copies predict before the first layer and after each one, captions and questions after
    each layer. An index that a model is too shallow for is passed over.

    Attributes:
        segmentation: classes and masks of the object queries.
        nouns: of these, which are aligned with the nouns of captions.
        referring: classes and masks of the copies.
        captioning: next tokens of captions.
        retrieval: embeddings of the global query.
        answers: answers to questions.
    """

    segmentation: tuple[int, ...] | None = None
    nouns: tuple[int, ...] | None = _LAST_THREE
    referring: tuple[int, ...] | None = _LAST_THREE
    captioning: tuple[int, ...] | None = _LAST_THREE
    retrieval: tuple[int, ...] | None = _LAST_THREE
    answers: tuple[int, ...] | None = (-1,)
