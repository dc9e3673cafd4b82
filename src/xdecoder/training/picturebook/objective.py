"""The bundled model's objective: the published terms (section 3.4 of the paper), and the drawn world's own.

Pictures are small here, so masks are compared whole. Shapes: B images, Q latent queries, N segments or
phrases, K texts of the vocabulary with the background last, L tokens, D width, P joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from xdecoder.jobs.gather import mean_over_world
from xdecoder.losses import terms
from xdecoder.losses.masks import WholeMasks
from xdecoder.losses.objective import LearnedTasks, Losses, Objective
from xdecoder.losses.phrases import concatenate
from xdecoder.losses.predictions import chosen, predict_layers
from xdecoder.losses.targets import (
    CaptionTargets,
    NounTargets,
    ReferringTargets,
    RetrievalTargets,
    SegmentTargets,
)
from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.decoder_states import LatentStates
from xdecoder.networks.queries import QueryKind
from xdecoder.picturebook import Scene
from xdecoder.tasks.captioning import sample_captions
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.picturebook.batches import PatchBatch, SceneBatch, TextBatch
from xdecoder.training.picturebook.caption_reward import caption_reward
from xdecoder.training.picturebook.recipe import PictureBookLosses


class DenseHeads(nn.Module):
    """The auxiliary loss: every cell of the maps at strides 16 and 8 names what it shows.

    It teaches the maps to tell categories apart long before the queries find the objects; it is dropped after
    training.

    Args:
        width: channels D of the decoder's memory.
        embed_width: width P of the space shared with texts.
    """

    def __init__(self, width: int, embed_width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(width, embed_width) for _ in range(2))

    def forward(
        self,
        maps: Sequence[Float[Tensor, "B _ D"]],
        sizes: Sequence[tuple[int, int]],
        masks: Sequence[Float[Tensor, "_N H W"]],
        classes: Sequence[Int[Tensor, " _N"]],
        texts: Float[Tensor, "K P"],
        scale: Float[Tensor, ""],
    ) -> Float[Tensor, ""]:
        """Cross-entropy over the vocabulary, every segment of a batch weighing the same."""
        losses: list[Tensor] = []
        for projection, cells, size in zip(self.projections, maps, sizes, strict=True):
            logits = scale * terms.unit(projection(cells)) @ terms.unit(texts).T
            for rows, image_masks, image_classes in zip(logits, masks, classes, strict=True):
                shares = F.adaptive_avg_pool2d(image_masks, size).flatten(1)
                share, segment = shares.max(0)
                weights = share / share.new_zeros(len(shares)).index_add(0, segment, share)[segment].clamp(
                    min=1e-6
                )
                named = F.cross_entropy(rows, image_classes[segment], reduction="none")
                losses.append((weights * named).sum() / len(shares))
        return torch.stack(losses).mean()


class PictureBookObjective(nn.Module):
    """The model and what is trained beside it; its forward is the loss of a batch.

    Args:
        model: the model that is kept.
        answer_head: the classifier of answers, kept beside it.
        tokenizer: reads the captions that the model makes up.
        losses: what is learned.
        rewarded_captions: captions that the model makes up of each image, at least 2.
    """

    def __init__(
        self,
        model: XDecoder,
        answer_head: AnswerHead,
        *,
        tokenizer: Tokenizer,
        losses: PictureBookLosses,
        rewarded_captions: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.answer_head = answer_head
        self.tokenizer = tokenizer
        self.rewarded_captions = rewarded_captions
        self.dense = DenseHeads(model.config.decoder.width, model.config.embed_width)
        self.losses = losses
        self._objective = Objective(losses.config)

    def forward(self, batch: TextBatch | PatchBatch | SceneBatch) -> dict[str, Tensor]:
        """The weighted sum of each part, and each term for show."""
        match batch:
            case TextBatch():
                return self._texts(batch)
            case PatchBatch():
                return self._patches(batch)
            case SceneBatch():
                return self._scenes(batch)

    def _texts(self, batch: TextBatch) -> dict[str, Tensor]:
        """Texts start on a saddle, all alike; here their cosines learn to be the overlap of their words."""
        embeddings = terms.unit(self.model.text_encoder(batch.token_ids).embeddings)
        cosine = embeddings @ embeddings.T
        return {"texts": 10 * (cosine - batch.overlaps).square().mean()}

    def _patches(self, batch: PatchBatch) -> dict[str, Tensor]:
        """Pictures of one thing against their names: what the large-scale initialization is to big models.

        The texts stand still: pictures that do not yet tell categories would draw their names together.
        """
        maps = self.model.backbone(batch.images)
        images = self.model.embed_maps(maps[3])
        scale = terms.temperature(self.model.logit_scale)
        with torch.no_grad():
            texts = self.model.text_encoder(batch.token_ids).embeddings
        logits = scale * terms.unit(images) @ terms.unit(texts).T
        return {
            name: F.cross_entropy(logits[:, rows], wanted)
            for name, rows, wanted in zip(batch.names, batch.rows, batch.wanted, strict=True)
        }

    def _scenes(self, batch: SceneBatch) -> dict[str, Tensor]:
        model = self.model
        learned = LearnedTasks.of(self.losses.config)
        names = model.text_encoder(batch.names).embeddings
        features = model.encode_images(batch.images)
        latents = model.decoder.decode_latents(features.memory, keep=True)
        found: dict[str, Tensor] = {}
        if learned.segmentation or learned.referring:
            found |= self._segmentation(batch, features, latents, names, learned).named("segmentation")
        if self.losses.dense:
            found["dense"] = self.losses.dense * self.dense(
                features.memory.sources[1:],
                features.memory.sizes[1:],
                batch.masks,
                batch.classes,
                names,
                terms.temperature(model.logit_scale),
            )
        pairs: list[Losses] = []
        if learned.captioning and len(batch.pair_images):
            pairs.append(self._captions(batch, features, latents))
        if learned.retrieval and len(batch.pair_images):
            pairs.append(self._retrieval(batch, features, latents))
        if pairs:
            found |= reduce(add, pairs).named("pairs")
        if batch.scenes and self.losses.caption_reward:
            found |= self._rewarded_captions(batch.scenes, features, latents)
        if learned.answers:
            found["answers"] = self._answers(batch, features, latents)
        return found

    def _segmentation(
        self,
        batch: SceneBatch,
        features: ImageFeatures,
        latents: LatentStates,
        names: Tensor,
        learned: LearnedTasks,
    ) -> Losses:
        """Unmatched object queries and the global one learn to be background."""
        model = self.model
        copies: Sequence[Tensor] = ()
        referring: list[ReferringTargets] | None = None
        if learned.referring:
            phrases, counts = model.text_encoder(batch.phrases), batch.phrase_counts
            tokens, valid = concatenate(phrases.tokens, batch.phrase_lengths, counts)
            copies = model.decoder.decode_phrases(features.memory, tokens, valid)
            groups = torch.arange(len(phrases.embeddings), device=tokens.device)
            referring = [
                ReferringTargets(masks=masks, texts=texts, groups=own, weight=1.0)
                for masks, texts, own in zip(
                    batch.phrase_masks, phrases.embeddings.split(counts), groups.split(counts), strict=True
                )
            ]
        layers = predict_layers(
            model,
            self.losses.layers,
            latents=latents.states if learned.segmentation else (),
            texts=names,
            copies=copies,
            global_background=True,
        )
        segments = [
            SegmentTargets(labels=classes, masks=masks)
            for classes, masks in zip(batch.classes, batch.masks, strict=True)
        ]
        nouns: list[NounTargets] | None = None
        if learned.nouns and len(batch.nouns.texts):
            said, counts = model.text_encoder(batch.nouns.texts).embeddings, batch.nouns.counts
            nouns = [
                NounTargets(texts=texts, groups=groups, label_groups=batch.nouns.name_groups[classes])
                for texts, groups, classes in zip(
                    said.split(counts), batch.nouns.groups.split(counts), batch.classes, strict=True
                )
            ]
        return self._objective.segmentation(
            layers,
            comparison=WholeMasks(features.mask_features),
            segments=segments if learned.segmentation else None,
            referring=referring,
            nouns=nouns,
            class_texts=names,
            logit_scale=model.logit_scale,
        )

    def _captions(self, batch: SceneBatch, features: ImageFeatures, latents: LatentStates) -> Losses:
        """Each token predicts the next one, and names that were said are not to be said again."""
        decoder, table = self.model.decoder, self.model.text_encoder.token_embedding.weight
        ids, valid = batch.captions, batch.caption_valid
        context = decoder.open_context(features.memory, latents, capacity=ids.shape[1])
        if len(batch.pair_images) < len(batch.images):
            context = context.pick(batch.pair_images)
        context = context.fork(batch.captions_each).restrict(batch.caption_regions)
        tokens = self.model.text_encoder(ids).tokens
        states = decoder.decode_tokens(context, tokens, kind=QueryKind.CAPTION)
        logits = [
            terms.next_token_logits(decoder.project_captions(state), valid, table)
            for state in chosen(states, self.losses.layers.captioning)
        ]
        repeated = [terms.caption_repetition(rows, ids, valid, batch.caption_names) for rows in logits]
        losses = self._objective.captioning(logits, CaptionTargets(token_ids=ids, valid=valid))
        return losses + Losses.of("repetition", self.losses.repetition, repeated)

    def _retrieval(self, batch: SceneBatch, features: ImageFeatures, latents: LatentStates) -> Losses:
        """Images and the texts that they are found by."""
        model, backbone = self.model, features.backbone_embeddings
        return self._objective.retrieval(
            [
                model.decoder.query_outputs(state[batch.pair_images, -1:]).embeddings
                for state in chosen(latents.states, self.losses.layers.retrieval)
            ],
            backbone_embeddings=None if backbone is None else backbone[batch.pair_images],
            targets=RetrievalTargets(
                texts=model.text_encoder(batch.pairs).embeddings, groups=batch.pair_groups
            ),
            logit_scale=model.logit_scale,
        )

    def _rewarded_captions(
        self, scenes: Sequence[Scene], features: ImageFeatures, latents: LatentStates
    ) -> dict[str, Tensor]:
        """Captions that the model makes up become likelier where they are truer than their image's others."""
        model, decoder, count = self.model, self.model.decoder, self.rewarded_captions
        steps = model.config.inference.caption_steps
        ids, valid = sample_captions(model, features.memory, latents, steps=steps, samples=count)
        texts = [self.tokenizer.decode(own[mask].tolist()[1:]) for own, mask in zip(ids, valid, strict=True)]
        rewards = [caption_reward(text, scenes[row // count]) for row, text in enumerate(texts)]
        table = torch.tensor(rewards, device=ids.device).unflatten(0, (len(scenes), count))
        context = decoder.open_context(features.memory, latents, capacity=ids.shape[1]).fork(count)
        states = decoder.decode_tokens(context, model.text_encoder(ids).tokens, kind=QueryKind.CAPTION)
        projected = decoder.project_captions(states[-1])
        logits = terms.next_token_logits(projected, valid, model.text_encoder.token_embedding.weight)
        return {
            "caption_reward": self.losses.caption_reward * terms.self_critical(logits, ids, valid, table),
            "caption_reward/mean": table.mean(),
            "caption_reward/true": (table > 0).float().mean(),
        }

    def _answers(
        self, batch: SceneBatch, features: ImageFeatures, latents: LatentStates
    ) -> Float[Tensor, ""]:
        """The classifier reads the last token of the question."""
        decoder = self.model.decoder
        length = batch.questions.shape[1]
        context = decoder.open_context(features.memory, latents, capacity=length)
        context = context.pick(batch.question_images)
        tokens = self.model.text_encoder(batch.questions).tokens
        states = decoder.decode_tokens(context, tokens, kind=QueryKind.QUESTION)
        count = mean_over_world(tokens.new_full((), len(batch.answers)), at_least=1)
        losses = [
            F.cross_entropy(self.answer_head(state), batch.answers, reduction="sum") / count
            for state in chosen(states, self.losses.layers.answers)
        ]
        return self.losses.config.answers * torch.stack(losses).sum()
