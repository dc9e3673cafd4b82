"""The weighted sum of all terms over the supervised layers (section 3.4 of the paper; `docs/parity.md`).

Predictions come in the model's order, from before the first layer to after the last one; the losses are made,
and random points drawn, from the last layer to the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.jobs.gather import gather_rows, mean_over_world
from xdecoder.losses.config import LossConfig
from xdecoder.losses.masks import MaskComparison, MatchedLayer
from xdecoder.losses.matching import Matches, match_masks, match_nouns
from xdecoder.losses.predictions import LayerPredictions
from xdecoder.losses.targets import (
    CaptionTargets,
    NounTargets,
    ReferringTargets,
    RetrievalTargets,
    SegmentTargets,
)
from xdecoder.losses.terms import (
    caption_cross_entropy,
    class_cross_entropy,
    contrastive,
    dice,
    full_precision,
    mask_bce,
    noun_alignment,
    phrase_cross_entropy,
    temperature,
    token_contrastive,
    unit,
    wide,
)
from xdecoder.networks.decoder_states import QueryOutputs


@dataclass(frozen=True, kw_only=True)
class LearnedTasks:
    """Which tasks any weight above 0 is given to; what is not learned need not be computed.

    Attributes:
        segmentation: classes and masks of segments.
        referring: phrases and their masks.
        nouns: the alignment of queries with the nouns of captions, along with segmentation.
        captioning: next tokens of captions.
        retrieval: images and the texts that they are found by.
        answers: answers to questions.
    """

    segmentation: bool
    referring: bool
    nouns: bool
    captioning: bool
    retrieval: bool
    answers: bool

    @classmethod
    def of(cls, config: LossConfig) -> LearnedTasks:
        """The tasks of some weights."""
        return cls(
            segmentation=any((config.class_ce, config.mask_bce, config.mask_dice)),
            referring=any((config.referring_ce, config.referring_bce, config.referring_dice)),
            nouns=config.nouns > 0 and any((config.class_ce, config.mask_bce, config.mask_dice)),
            captioning=config.captioning > 0,
            retrieval=any((config.retrieval, config.backbone_retrieval)),
            answers=config.answers > 0,
        )


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a step costs.

    Attributes:
        total: the weighted sum, to go back from.
        terms: name -> unweighted value per supervised layer, the last layer's first; detached.
    """

    total: Float[Tensor, ""]
    terms: dict[str, tuple[Tensor, ...]]

    @classmethod
    def of(cls, name: str, weight: float, values: Sequence[Float[Tensor, ""]]) -> Losses:
        """One term, of the supervised layers, the last layer's first."""
        total = weight * torch.stack(list(values)).sum()
        return cls(total=total, terms={name: tuple(value.detach() for value in values)})

    def __add__(self, other: Losses) -> Losses:
        """Both; they have no term in common."""
        return Losses(total=self.total + other.total, terms=self.terms | other.terms)

    def named(self, name: str) -> dict[str, Tensor]:
        """The weighted sum, and each term, unweighted, summed over the layers: what a log shows."""
        sums = {f"{name}/{term}": torch.stack(list(values)).sum() for term, values in self.terms.items()}
        return {name: self.total, **sums}


@final
class Objective:
    """The losses that every curriculum has: a batch of segmented images, of captions, of images with texts.

    Args:
        config: weights.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    def segmentation(
        self,
        layers: Sequence[LayerPredictions],
        *,
        comparison: MaskComparison,
        segments: Sequence[SegmentTargets] | None = None,
        referring: Sequence[ReferringTargets] | None = None,
        nouns: Sequence[NounTargets] | None = None,
        class_texts: Float[Tensor, "K P"] | None = None,
        logit_scale: Float[Tensor, ""],
    ) -> Losses:
        """The losses of a batch of segmented images; what a layer does not hold is not supervised.

        Args:
            layers: predictions, first layer first.
            comparison: where masks are compared.
            segments: per image, where object queries are trained.
            referring: per image, where phrases are trained.
            nouns: per image, where the caption-noun alignment is trained.
            class_texts: the vocabulary's embeddings, for the alignment.
            logit_scale: the model's.

        Raises:
            ValueError: targets and images do not go together.
        """
        config = self.config
        given = {"segments": segments, "referring": referring, "nouns": nouns}
        counts = {name: len(targets) for name, targets in given.items() if targets is not None}
        if len(set(counts.values())) > 1:
            got = ", ".join(f"{count} {name}" for name, count in counts.items())
            raise ValueError(f"one record an image is needed, got {got}")
        tally = _Tally(logit_scale)
        with full_precision(logit_scale):
            scale = temperature(logit_scale)
            objects: list[MatchedLayer] = []
            copies: list[MatchedLayer] = []
            for layer in reversed(layers):
                if layer.objects is not None and layer.logits is not None and segments is not None:
                    objects.append(self._segments(tally, layer.objects, layer.logits, comparison, segments))
                    matches = objects[-1].matches
                    if nouns is not None and config.nouns and layer.aligned:
                        if class_texts is None:
                            raise ValueError("the caption-noun alignment needs class_texts")
                        self._nouns(tally, layer.objects, matches, segments, nouns, class_texts, scale)
                if layer.copies is not None and referring is not None:
                    copies.append(self._referring(tally, layer.copies, comparison, referring, scale))
            if segments is not None and objects:
                bce, overlap = _mask_terms(comparison, objects, [target.masks for target in segments])
                tally.add("mask_bce", config.mask_bce, *bce)
                tally.add("mask_dice", config.mask_dice, *overlap)
            if referring is not None and copies:
                bce, overlap = _mask_terms(comparison, copies, [target.masks for target in referring])
                tally.add("referring_bce", config.referring_bce, *bce)
                tally.add("referring_dice", config.referring_dice, *overlap)
        return tally.losses()

    def captioning(self, logits: Sequence[Float[Tensor, "N V"]], targets: CaptionTargets) -> Losses:
        """The loss of captions that are predicted token by token.

        Args:
            logits: of each supervised layer, first layer first (`next_token_logits`).
            targets: token ids of the captions, and which of them count.
        """
        tally = _Tally(logits[0])
        with full_precision(logits[0]):
            for layer in reversed(logits):
                loss = caption_cross_entropy(layer, targets.token_ids, targets.valid)
                tally.add("captioning", self.config.captioning, loss)
        return tally.losses()

    def retrieval(
        self,
        embeddings: Sequence[Float[Tensor, "B Q P"]],
        *,
        backbone_embeddings: Float[Tensor, "B P"] | None,
        targets: RetrievalTargets,
        logit_scale: Float[Tensor, ""],
    ) -> Losses:
        """The contrastive losses of a batch of images with a text each.

        Args:
            embeddings: of each supervised layer, first layer first: semantic embeddings of all latent
                queries, the global one last.
            backbone_embeddings: of the pooled backbone, where they are trained.
            targets: of the texts: embeddings, tokens, and which texts are alike.
            logit_scale: the model's.
        """
        config = self.config
        tally = _Tally(logit_scale)
        with full_precision(targets.texts):
            scale = temperature(logit_scale)
            for queries in reversed(embeddings):
                loss = contrastive(queries[:, -1], targets.texts, scale, targets.groups)
                if targets.tokens is not None and targets.valid is not None:
                    loss = loss + config.token_contrast * token_contrastive(
                        queries[:, :-1], targets.tokens, targets.valid, scale
                    )
                tally.add("retrieval", config.retrieval, loss)
            if backbone_embeddings is not None:
                loss = contrastive(backbone_embeddings, targets.texts, scale, targets.groups)
                tally.add("backbone_retrieval", config.backbone_retrieval, loss)
        return tally.losses()

    def _segments(
        self,
        tally: _Tally,
        objects: QueryOutputs,
        logits: Float[Tensor, "B _ K"],
        comparison: MaskComparison,
        segments: Sequence[SegmentTargets],
    ) -> MatchedLayer:
        config = self.config
        with torch.no_grad():
            probabilities = wide(logits[:, : objects.masks.shape[1]]).softmax(dim=-1)
            affinity = [own[:, target.labels] for own, target in zip(probabilities, segments, strict=True)]
        masks = [target.masks for target in segments]
        matches = match_masks(affinity, comparison.pairwise(objects.masks, masks), config.match)
        drawn = comparison.draw(matches)
        labels = torch.cat([target.labels for target in segments])
        classes = torch.full(logits.shape[:2], logits.shape[2] - 1, device=labels.device)
        classes[matches.images, matches.queries] = labels[matches.targets]
        loss = class_cross_entropy(logits, classes, background_weight=config.background)
        tally.add("class_ce", config.class_ce, loss)
        return MatchedLayer(mask_embeddings=objects.masks, matches=matches, drawn=drawn)

    def _referring(
        self,
        tally: _Tally,
        copies: QueryOutputs,
        comparison: MaskComparison,
        referring: Sequence[ReferringTargets],
        scale: Tensor,
    ) -> MatchedLayer:
        config = self.config
        similarity = [
            scale * unit(target.texts) @ unit(queries).T
            for queries, target in zip(copies.embeddings, referring, strict=True)
        ]
        masks = [target.masks for target in referring]
        affinity = [rows.detach().softmax(dim=1).T for rows in similarity]
        matches = match_masks(affinity, comparison.pairwise(copies.masks, masks), config.match)
        drawn = comparison.draw(matches)
        rows, counts = torch.cat(similarity), [len(own) for own in masks]
        chosen = torch.zeros_like(rows)
        chosen[matches.targets, matches.queries] = 1
        images = torch.tensor([i for i, count in enumerate(counts) for _ in range(count)], dtype=torch.long)
        losses = phrase_cross_entropy(
            rows,
            chosen,
            torch.cat([target.groups for target in referring]),
            images.to(rows.device, non_blocking=True),
        )
        weights = [
            target.weight / (count if config.images_alike else 1)
            for target, count in zip(referring, counts, strict=True)
            for _ in range(count)
        ]
        shares = torch.tensor(weights, dtype=losses.dtype).to(losses.device, non_blocking=True)
        loss = (losses * shares).sum()
        number = sum(count > 0 for count in counts) if config.images_alike else sum(counts)
        tally.add("referring_ce", config.referring_ce, loss / _mean_number(number, loss))
        return MatchedLayer(mask_embeddings=copies.masks, matches=matches, drawn=drawn)

    def _nouns(
        self,
        tally: _Tally,
        objects: QueryOutputs,
        matches: Matches,
        segments: Sequence[SegmentTargets],
        nouns: Sequence[NounTargets],
        class_texts: Tensor,
        scale: Tensor,
    ) -> None:
        embeddings = objects.embeddings
        texts = torch.cat([target.texts for target in nouns])
        groups = torch.cat([target.groups for target in nouns])
        found = match_nouns(
            embeddings,
            [target.texts for target in nouns],
            [target.groups for target in nouns],
            gather_rows(texts.detach()),
            gather_rows(groups),
            scale,
            taken=matches,
        )
        labels = torch.cat([target.labels for target in segments])[matches.targets]
        label_groups = torch.cat([target.label_groups for target in nouns])[matches.targets]
        unmatched = embeddings if self.config.noun_gradient else embeddings.detach()
        loss = noun_alignment(
            _gathered(unmatched[found.images, found.queries], embeddings[matches.images, matches.queries]),
            _gathered(texts[found.targets], class_texts[labels]),
            _gathered(groups[found.targets], label_groups),
            scale,
        )
        tally.add("nouns", self.config.nouns, loss)


class _Tally:
    """Sums weighted terms and remembers the plain ones."""

    def __init__(self, like: Tensor) -> None:
        self._total = torch.zeros((), device=like.device)
        self._terms: dict[str, list[Tensor]] = {}

    def add(self, name: str, weight: float, *losses: Tensor) -> None:
        for loss in losses:
            self._total = self._total + weight * loss
            self._terms.setdefault(name, []).append(loss.detach())

    def losses(self) -> Losses:
        return Losses(total=self._total, terms={name: tuple(values) for name, values in self._terms.items()})


def _mask_terms(
    comparison: MaskComparison, layers: Sequence[MatchedLayer], masks: Sequence[Tensor]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Each layer's binary cross-entropy and dice: of all its pairs, divided by the processes' mean number."""
    compared = comparison.matched(layers, masks)
    pairs = len(layers[0].matches.rows)  # the same in every layer
    count = _mean_number(pairs, compared.predicted)

    def by_layer(losses: Tensor) -> tuple[Tensor, ...]:
        return (losses.new_zeros(len(layers)).index_add(0, compared.layers, losses) / count).unbind()

    return (
        by_layer(mask_bce(compared.predicted, compared.true)),
        by_layer(dice(compared.predicted, compared.true)),
    )


def _mean_number(number: int, like: Tensor) -> Tensor:
    """The processes' mean number of items, of which there is at least one in all."""
    return mean_over_world(torch.full((), float(number), device=like.device), at_least=1.0)


def _gathered(first: Tensor, second: Tensor) -> Tensor:
    """The first rows of all processes, then the second rows of all: as one process would order them."""
    return torch.cat((gather_rows(first), gather_rows(second)))
