"""The weighted sum of all terms over the supervised layers (section 3.3 of the paper; `docs/parity.md`).

Layers are counted from the last: layer 0 is the last one's predictions. Predictions come in the model's
order, from before the first layer to after the last one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.jobs.gather import gather_rows, mean_over_world
from xdecoder.losses.matching import MatchCosts, Matches, match_masks, match_nouns
from xdecoder.losses.points import PointSampler, sample_maps, uncertain_points
from xdecoder.losses.targets import CaptionTargets, NounTargets, ReferringTargets, SegmentTargets
from xdecoder.losses.terms import (
    caption_cross_entropy,
    class_cross_entropy,
    contrastive,
    dice,
    mask_bce,
    next_token_logits,
    noun_alignment,
    phrase_cross_entropy,
    temperature,
    token_contrastive,
    unit,
)
from xdecoder.networks.decoder import QueryOutputs


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights and extents; the defaults are the published ones.

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
        background: weight of the background in the class cross-entropy.
        match: weights of the matching costs.
        points: at which masks are compared.
        oversampling: candidates for each point.
        important_share: of the points, those chosen by uncertainty.
        segmentation_layers: how many layers, counted from the last, are supervised; None for all.
        referring_layers: likewise.
        noun_layers: likewise.
        captioning_layers: likewise.
        retrieval_layers: likewise.
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
    background: float = 0.1
    match: MatchCosts = field(default_factory=MatchCosts)
    points: int = 12544
    oversampling: float = 3.0
    important_share: float = 0.75
    segmentation_layers: int | None = None
    referring_layers: int | None = 3
    noun_layers: int | None = 3
    captioning_layers: int | None = 3
    retrieval_layers: int | None = 3
    noun_gradient: bool = False

    def __post_init__(self) -> None:
        if self.points < 1 or self.oversampling < 1 or not 0 <= self.important_share <= 1:
            raise ValueError(
                "LossConfig needs points >= 1, oversampling >= 1 and important_share in [0, 1], got "
                f"{self.points}, {self.oversampling} and {self.important_share}"
            )


@dataclass(frozen=True, kw_only=True)
class LayerPredictions:
    """One layer's predictions on a batch of segmentation images.

    Attributes:
        objects: the object queries, without the global one.
        logits: their scores over the vocabulary, whose last class is the background.
        copies: the copies that answer phrases; None where no image has any.
    """

    objects: QueryOutputs
    logits: Float[Tensor, "B Q K"]
    copies: QueryOutputs | None = None


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a step costs.

    Attributes:
        total: the weighted sum, to go back from.
        terms: name -> unweighted value per supervised layer, the last layer's first; detached.
    """

    total: Float[Tensor, ""]
    terms: dict[str, tuple[Tensor, ...]]


@final
class Objective:
    """All losses of a training step: a batch of segmented images and a batch of captioned ones.

    Args:
        config: weights and extents.
    """

    def __init__(self, config: LossConfig) -> None:
        self.config = config

    def segmentation(
        self,
        layers: Sequence[LayerPredictions],
        *,
        mask_features: Float[Tensor, "B M h w"],
        segments: Sequence[SegmentTargets],
        referring: Sequence[ReferringTargets] | None = None,
        nouns: Sequence[NounTargets] | None = None,
        class_texts: Float[Tensor, "K P"] | None = None,
        logit_scale: Float[Tensor, ""],
        sampler: PointSampler,
    ) -> Losses:
        """The losses of a batch of segmented images.

        Args:
            layers: predictions, first layer first.
            mask_features: what mask embeddings are multiplied with.
            segments: per image.
            referring: per image, where phrases are trained; every layer that is supervised then has copies.
            nouns: per image, where the caption-noun alignment is trained.
            class_texts: the vocabulary's embeddings, for the alignment.
            logit_scale: the model's.
            sampler: draws points; `PointSampler` says in which order.

        Raises:
            ValueError: targets and images, or predictions and targets, do not go together.
        """
        config = self.config
        if not len(segments) == len(mask_features) == len(referring or segments) == len(nouns or segments):
            raise ValueError(
                f"one record an image is needed: {len(mask_features)} images, {len(segments)} segments, "
                f"{len(referring or segments)} referring, {len(nouns or segments)} nouns"
            )
        tally = _Tally(logit_scale)
        with _full_precision(mask_features):
            scale = temperature(logit_scale)
            for index, layer in enumerate(reversed(layers)):
                if _is_supervised(index, config.segmentation_layers):
                    matches = self._segments(tally, layer, mask_features, segments, sampler)
                    if nouns is not None and config.nouns and _is_supervised(index, config.noun_layers):
                        if class_texts is None:
                            raise ValueError("the caption-noun alignment needs class_texts")
                        self._nouns(tally, layer, matches, segments, nouns, class_texts, scale)
                if referring is not None and _is_supervised(index, config.referring_layers):
                    if layer.copies is None:
                        raise ValueError(
                            f"referring targets were given, but layer -{index + 1} has no copies"
                        )
                    self._referring(tally, layer.copies, mask_features, referring, scale, sampler)
        return tally.losses()

    def image_text(
        self,
        *,
        embeddings: Sequence[Float[Tensor, "B Q P"]] | None = None,
        captions: Sequence[Float[Tensor, "B L P"]] | None = None,
        backbone_embeddings: Float[Tensor, "B P"] | None = None,
        targets: CaptionTargets,
        token_table: Float[Tensor, "V P"],
        logit_scale: Float[Tensor, ""],
    ) -> Losses:
        """The losses of a batch of captioned images; what is None is not trained.

        Args:
            embeddings: semantic embeddings of all latent queries, the global one last; first layer first.
            captions: caption features of the tokens, before their product with the table; first layer first.
            backbone_embeddings: of the pooled backbone.
            targets: the captions.
            token_table: the text encoder's token embeddings.
            logit_scale: the model's.
        """
        config = self.config
        tally = _Tally(logit_scale)
        with _full_precision(targets.texts):
            scale = temperature(logit_scale)
            for index, features in enumerate(reversed(captions or ())):
                if config.captioning and _is_supervised(index, config.captioning_layers):
                    logits = next_token_logits(features, targets.valid, token_table)
                    loss = caption_cross_entropy(logits, targets.token_ids, targets.valid)
                    tally.add("captioning", config.captioning, loss)
            for index, queries in enumerate(reversed(embeddings or ())):
                if config.retrieval and _is_supervised(index, config.retrieval_layers):
                    loss = contrastive(queries[:, -1], targets.texts, scale, targets.groups)
                    if config.token_contrast:
                        loss = loss + config.token_contrast * token_contrastive(
                            queries[:, :-1], targets.tokens, targets.valid, scale
                        )
                    tally.add("retrieval", config.retrieval, loss)
            if backbone_embeddings is not None and config.backbone_retrieval:
                loss = contrastive(backbone_embeddings, targets.texts, scale, targets.groups)
                tally.add("backbone_retrieval", config.backbone_retrieval, loss)
        return tally.losses()

    def _segments(
        self,
        tally: "_Tally",
        layer: LayerPredictions,
        mask_features: Tensor,
        segments: Sequence[SegmentTargets],
        sampler: PointSampler,
    ) -> Matches:
        config = self.config
        with torch.no_grad():
            probabilities = layer.logits.float().softmax(dim=-1)
            affinity = [probabilities[i][:, target.labels] for i, target in enumerate(segments)]
        masks = [target.masks for target in segments]
        matches = match_masks(
            affinity,
            layer.objects.masks,
            mask_features,
            masks,
            sampler,
            points=config.points,
            costs=config.match,
        )
        labels = torch.cat([target.labels for target in segments])
        classes = torch.full(layer.logits.shape[:2], layer.logits.shape[2] - 1, device=labels.device)
        classes[matches.images, matches.queries] = labels[matches.targets]
        loss = class_cross_entropy(layer.logits, classes, background_weight=config.background)
        tally.add("class_ce", config.class_ce, loss)
        bce, overlap = self._mask_terms(layer.objects.masks, mask_features, masks, matches, sampler)
        tally.add("mask_bce", config.mask_bce, bce)
        tally.add("mask_dice", config.mask_dice, overlap)
        return matches

    def _referring(
        self,
        tally: "_Tally",
        copies: QueryOutputs,
        mask_features: Tensor,
        referring: Sequence[ReferringTargets],
        scale: Tensor,
        sampler: PointSampler,
    ) -> None:
        config = self.config
        similarity = [
            scale * unit(queries) @ unit(target.texts).T
            for queries, target in zip(copies.embeddings, referring, strict=True)
        ]
        masks = [target.masks for target in referring]
        matches = match_masks(
            [s.detach().softmax(dim=0) for s in similarity],
            copies.masks,
            mask_features,
            masks,
            sampler,
            points=config.points,
            costs=config.match,
        )
        bce, overlap = self._mask_terms(copies.masks, mask_features, masks, matches, sampler)
        tally.add("referring_bce", config.referring_bce, bce)
        tally.add("referring_dice", config.referring_dice, overlap)
        loss = similarity[0].new_zeros(())
        for image, target in enumerate(referring):
            if len(target.masks):
                queries, phrases = matches.of(image)
                chosen = torch.zeros_like(similarity[image])
                chosen[queries, phrases] = 1
                loss = loss + target.weight * phrase_cross_entropy(similarity[image], chosen, target.groups)
        images = sum(len(target.masks) > 0 for target in referring)
        tally.add("referring_ce", config.referring_ce, loss / _mean_number(images, loss))

    def _nouns(
        self,
        tally: "_Tally",
        layer: LayerPredictions,
        matches: Matches,
        segments: Sequence[SegmentTargets],
        nouns: Sequence[NounTargets],
        class_texts: Tensor,
        scale: Tensor,
    ) -> None:
        embeddings = layer.objects.embeddings
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

    def _mask_terms(
        self,
        mask_embeddings: Float[Tensor, "B Q M"],
        mask_features: Float[Tensor, "B M h w"],
        masks: Sequence[Tensor],
        matches: Matches,
        sampler: PointSampler,
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Binary cross-entropy and dice of the matched pairs, of whose masks alone logits are made."""
        config = self.config
        rows = matches.rows
        lengths = [len(queries) for queries, _ in matches.pairs]
        wanted = mask_embeddings[matches.images, matches.queries].to(mask_features.dtype).split(lengths)
        logits = torch.cat(
            [torch.einsum("nm,mhw->nhw", w, f) for w, f in zip(wanted, mask_features, strict=True)]
        )
        points = uncertain_points(
            logits,
            rows,
            sampler,
            points=config.points,
            oversampling=config.oversampling,
            important_share=config.important_share,
        )
        predicted = sample_maps(logits, points)
        true = sample_maps(torch.cat(list(masks))[matches.targets], points)
        count = _mean_number(len(rows), predicted)
        return mask_bce(predicted, true, count), dice(predicted, true, count)


class _Tally:
    """Sums weighted terms and remembers the plain ones."""

    def __init__(self, like: Tensor) -> None:
        self._total = torch.zeros((), device=like.device)
        self._terms: dict[str, list[Tensor]] = {}

    def add(self, name: str, weight: float, loss: Tensor) -> None:
        self._total = self._total + weight * loss
        self._terms.setdefault(name, []).append(loss.detach())

    def losses(self) -> Losses:
        return Losses(total=self._total, terms={name: tuple(values) for name, values in self._terms.items()})


def _is_supervised(index: int, layers: int | None) -> bool:
    return layers is None or index < layers


def _mean_number(number: int, like: Tensor) -> Tensor:
    """The processes' mean number of items, of which there is at least one in all."""
    return mean_over_world(torch.full((), float(number), device=like.device), at_least=1.0)


def _gathered(first: Tensor, second: Tensor) -> Tensor:
    """The first rows of all processes, then the second rows of all: as one process would order them."""
    return torch.cat((gather_rows(first), gather_rows(second)))


def _full_precision(like: Tensor) -> torch.autocast:
    """Without autocast: the terms choose their own precision."""
    return torch.autocast(device_type=like.device.type, enabled=False)
