"""The published objective on data sets (section 3.4 of the paper), and what a finetuning keeps of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from xdecoder.jobs.gather import mean_over_world
from xdecoder.losses.masks import MaskComparison, SampledPoints, WholeMasks
from xdecoder.losses.objective import Losses, Objective
from xdecoder.losses.phrases import concatenate
from xdecoder.losses.points import RandomPoints
from xdecoder.losses.predictions import chosen, predict_layers
from xdecoder.losses.targets import (
    CaptionTargets,
    NounTargets,
    ReferringTargets,
    RetrievalTargets,
    SegmentTargets,
)
from xdecoder.losses.terms import next_token_logits, wide
from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.queries import QueryKind
from xdecoder.training.batches import Batch
from xdecoder.training.config import ModelPart
from xdecoder.training.datasets.batches import (
    DatasetBatch,
    PairBatch,
    QuestionBatch,
    ReferringBatch,
    SegmentationBatch,
)
from xdecoder.training.datasets.recipe import PublishedLosses
from xdecoder.training.freezing import freeze_parts


class PublishedObjective(nn.Module):
    """The model and its published losses; its forward is the loss of a batch.

    Args:
        model: the model that is kept.
        answer_head: the classifier of answers, where questions are learned from.
        losses: what is learned.
        freeze: parts of the model that stay as they are.
    """

    def __init__(
        self,
        model: XDecoder,
        answer_head: AnswerHead | None,
        *,
        losses: PublishedLosses,
        freeze: Sequence[ModelPart] = (),
    ) -> None:
        super().__init__()
        self.model = model
        self.answer_head = answer_head
        self.losses = losses
        self.frozen = tuple(freeze)
        self._objective = Objective(losses.config)
        freeze_parts(model, self.frozen)

    def train(self, mode: bool = True) -> PublishedObjective:
        """As of any module, but frozen parts compute as at inference."""
        super().train(mode)
        freeze_parts(self.model, self.frozen)
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted sum of each part, and each term for show."""
        assert isinstance(batch, DatasetBatch)
        found: dict[str, Tensor] = {}
        if batch.segments is not None:
            found |= self._segments(batch.segments).named("segmentation")
        if batch.phrases is not None:
            found |= self._phrases(batch.phrases).named("referring")
        if batch.pairs is not None:
            found |= self._pairs(batch.pairs).named("pairs")
        if batch.questions is not None:
            found["answers"] = self._answers(batch.questions)
        return found

    def _segments(self, part: SegmentationBatch) -> Losses:
        model = self.model
        names = model.text_encoder(part.names)
        features = model.encode_images(part.images)
        states = model.decoder.decode_latents(features.memory).states
        referring: list[ReferringTargets] | None = None
        copies: tuple[Tensor, ...] = ()
        if part.phrases is not None:
            phrases = model.text_encoder(part.phrases.texts)
            tokens, valid = concatenate(phrases.tokens, part.phrases.lengths, part.phrases.counts)
            copies = model.decoder.decode_phrases(features.memory, tokens, valid)
            referring = [
                ReferringTargets(
                    masks=masks,
                    texts=phrases.embeddings[rows],
                    groups=rows,
                    weight=self.losses.phrase_weight if free else self.losses.name_weight,
                )
                for masks, rows, free in zip(
                    self._targets(part.phrases.masks, features),
                    part.phrases.rows,
                    part.phrases.free,
                    strict=True,
                )
            ]
        nouns: list[NounTargets] | None = None
        if part.nouns is not None:
            texts = model.text_encoder(part.nouns.texts).embeddings
            nouns = [
                NounTargets(texts=own, groups=groups, label_groups=part.nouns.name_groups[labels])
                for own, groups, labels in zip(
                    texts.split(part.nouns.counts),
                    part.nouns.groups.split(part.nouns.counts),
                    part.labels,
                    strict=True,
                )
            ]
        return self._objective.segmentation(
            predict_layers(model, self.losses.layers, latents=states, texts=names.embeddings, copies=copies),
            comparison=self._comparison(features),
            segments=[
                SegmentTargets(labels=labels, masks=masks)
                for labels, masks in zip(part.labels, self._targets(part.masks, features), strict=True)
            ],
            referring=referring,
            nouns=nouns,
            class_texts=names.embeddings,
            logit_scale=model.logit_scale,
        )

    def _phrases(self, part: ReferringBatch) -> Losses:
        model = self.model
        texts = model.text_encoder(part.phrases)
        features = model.encode_images(part.images)
        tokens, valid = concatenate(texts.tokens, part.lengths, part.counts)
        copies = model.decoder.decode_phrases(features.memory, tokens, valid)
        groups = torch.arange(len(part.phrases), device=tokens.device)
        return self._objective.segmentation(
            predict_layers(model, self.losses.layers, copies=copies),
            comparison=self._comparison(features),
            referring=[
                ReferringTargets(masks=masks, texts=own, groups=numbers, weight=self.losses.phrase_weight)
                for masks, own, numbers in zip(
                    self._targets(part.masks, features),
                    texts.embeddings.split(part.counts),
                    groups.split(part.counts),
                    strict=True,
                )
            ],
            logit_scale=model.logit_scale,
        )

    def _targets(
        self, masks: Sequence[Bool[Tensor, "_N S S"]], features: ImageFeatures
    ) -> Sequence[Bool[Tensor, "_N S S"] | Float[Tensor, "_N _h _w"]]:
        """Masks as they are compared: where whole, the share that they have of each cell."""
        if self.losses.comparison == "points":
            return masks
        cells = features.mask_features
        size = (cells.shape[-2], cells.shape[-1])
        return [F.adaptive_avg_pool2d(own.to(cells.dtype)[:, None], size)[:, 0] for own in masks]

    def _comparison(self, features: ImageFeatures) -> MaskComparison:
        if self.losses.comparison == "whole":
            return WholeMasks(features.mask_features)
        sampler = RandomPoints(features.mask_features.device)
        return SampledPoints(features.mask_features, sampler, self.losses.points)

    def _pairs(self, part: PairBatch) -> Losses:
        """Captions are predicted token by token, and contrasted."""
        model, config, layers = self.model, self.losses.config, self.losses.layers
        texts = model.text_encoder(part.captions)
        features = model.encode_images(part.images)
        latents = model.decoder.decode_latents(features.memory, keep=bool(config.captioning))
        queries = chosen(latents.states, layers.retrieval) if config.retrieval else []
        losses = self._objective.retrieval(
            [model.decoder.query_outputs(state).embeddings for state in queries],
            backbone_embeddings=features.backbone_embeddings if config.backbone_retrieval else None,
            targets=RetrievalTargets(
                texts=texts.embeddings,
                tokens=texts.tokens if config.token_contrast else None,
                valid=part.valid,
            ),
            logit_scale=model.logit_scale,
        )
        if config.captioning:
            context = model.decoder.open_context(features.memory, latents, capacity=part.captions.shape[1])
            states = model.decoder.decode_tokens(context, texts.tokens, kind=QueryKind.CAPTION)
            table = model.text_encoder.token_embedding.weight
            logits = [
                next_token_logits(model.decoder.project_captions(state), part.valid, table)
                for state in chosen(states, layers.captioning)
            ]
            targets = CaptionTargets(token_ids=part.captions, valid=part.valid)
            losses += self._objective.captioning(logits, targets)
        return losses

    def _answers(self, part: QuestionBatch) -> Tensor:
        """Each answer is right or wrong by itself, as people gave several."""
        if self.answer_head is None:
            raise ValueError("questions are given, but the recipe has no answers")
        model = self.model
        features = model.encode_images(part.images)
        latents = model.decoder.decode_latents(features.memory, keep=True)
        context = model.decoder.open_context(features.memory, latents, capacity=part.questions.shape[1])
        states = model.decoder.decode_tokens(
            context, model.text_encoder(part.questions).tokens, kind=QueryKind.QUESTION
        )
        count = mean_over_world(part.answers.new_full((), len(part.answers)))
        losses = [
            F.binary_cross_entropy_with_logits(wide(self.answer_head(state)), part.answers, reduction="sum")
            for state in chosen(states, self.losses.layers.answers)
        ]
        return self.losses.config.answers * torch.stack(losses).sum() / count
