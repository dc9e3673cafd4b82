"""What the bundled model is trained on: every task's loss on one batch of small pictures (section 3.4).

Pictures are small here, so masks are compared whole: a mask's points are its cells. They are matched at half
that resolution, and only matched queries draw their masks. Shapes: B images, Q object queries and the global
one, N segments or phrases, K texts of the vocabulary with the background last, L tokens, D width, P joint
width, M mask width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from xdecoder.bounds import require_at_least
from xdecoder.jobs.gather import mean_over_world
from xdecoder.losses import terms
from xdecoder.losses.matching import Matches, assign
from xdecoder.losses.phrases import concatenate
from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.decoder import LatentStates
from xdecoder.networks.queries import QueryKind
from xdecoder.networks.text_encoder import TextFeatures
from xdecoder.picturebook import Scene
from xdecoder.tasks.captioning import sample_captions
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.picturebook.batches import PatchBatch, SceneBatch, TextBatch
from xdecoder.training.picturebook.caption_reward import caption_reward


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The weights of the terms.

    Attributes:
        classes: cross-entropy over the vocabulary.
        masks: binary cross-entropy of masks.
        dice: dice loss of masks.
        background: weight of the background in the cross-entropy over the vocabulary.
        phrase_masks: both mask terms of referring.
        phrases: cross-entropy over the copies, per phrase.
        captions: cross-entropy over the tokens.
        repetition: unlikelihood of the names that a caption has already said.
        judged: reward of the captions that the model makes up.
        answers: cross-entropy over the answers.
        retrieval: contrastive, of the global token.
        backbone: contrastive, of the pooled backbone.
        dense: the auxiliary loss.
    """

    classes: float = 2.0
    masks: float = 5.0
    dice: float = 5.0
    background: float = 0.1
    phrase_masks: float = 3.0
    phrases: float = 2.0
    captions: float = 6.0
    repetition: float = 18.0
    judged: float = 2.0
    answers: float = 9.0
    retrieval: float = 1.0
    backbone: float = 0.5
    dense: float = 4.0

    def __post_init__(self) -> None:
        require_at_least(0, self, *(field.name for field in fields(self)))


@dataclass(frozen=True, kw_only=True)
class Layers:
    """Which predictions are supervised, counted from the one before the first layer (0) to the last.

    Attributes:
        segments: of the latent queries.
        phrases: of the copies.
        texts: of captions and questions, whose states exist after a layer only: 0 is the first layer's.
    """

    segments: tuple[int, ...] = (0, 2, 4, 6)
    phrases: tuple[int, ...] = (3, 6)
    texts: tuple[int, ...] = (3, 5)


@dataclass(frozen=True, kw_only=True)
class Canvas:
    """What masks are drawn on.

    Attributes:
        fine: mask features of each image.
        coarse: at half the resolution, without gradient, for matching.
    """

    fine: tuple[Float[Tensor, "M P"], ...]
    coarse: Float[Tensor, "B M P4"]

    @classmethod
    def of(cls, features: ImageFeatures) -> Canvas:
        """The canvas of a batch."""
        maps = features.mask_features
        return cls(fine=maps.flatten(2).unbind(), coarse=_halve(maps.detach()))

    def draw(
        self, drawn: Sequence[tuple[Float[Tensor, "B Q M"], Matches]], cells: Float[Tensor, "_ P"]
    ) -> tuple[Float[Tensor, "N P"], Float[Tensor, "N P"]]:
        """Mask logits of the matched queries of all layers, and the masks that they should be.

        Args:
            drawn: of each layer: mask embeddings, and which of them were matched.
            cells: the masks of all images' targets.
        """
        rows = torch.cat([masks[matches.images, matches.queries] for masks, matches in drawn])
        targets = torch.cat([matches.targets for _, matches in drawn])
        order = torch.cat([matches.images for _, matches in drawn]).argsort()
        counts = [sum(len(m.pairs[image][0]) for _, m in drawn) for image in range(len(self.fine))]
        own = zip(rows[order].split(counts), self.fine, strict=True)
        return torch.cat([embeddings @ maps for embeddings, maps in own]), cells[targets[order]]


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


class Objective(nn.Module):
    """The model and what is trained beside it; its forward is the loss of a batch.

    Args:
        model: the model that is kept.
        answer_head: the classifier of answers, kept beside it.
        tokenizer: reads the captions that the model makes up.
        weights: the terms' weights.
        layers: which predictions are supervised.
        judged_captions: captions that the model makes up of each image, at least 2.
    """

    def __init__(
        self,
        model: XDecoder,
        answer_head: AnswerHead,
        *,
        tokenizer: Tokenizer,
        weights: Weights,
        layers: Layers,
        judged_captions: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.answer_head = answer_head
        self.tokenizer = tokenizer
        self.judged_captions = judged_captions
        self.dense = DenseHeads(model.config.decoder.width, model.config.embed_width)
        self.weights = weights
        self.layers = layers

    def forward(self, batch: TextBatch | PatchBatch | SceneBatch) -> dict[str, Tensor]:
        """The weighted terms of a batch, by name; their sum is the loss."""
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
        model, weights = self.model, self.weights
        names = model.text_encoder(batch.names).embeddings
        phrases, captions, questions = (
            model.text_encoder(ids) for ids in (batch.phrases, batch.captions, batch.questions)
        )
        features = model.encode_images(batch.images)
        latents = model.decoder.decode_latents(features.memory, keep=True)
        scale = terms.temperature(model.logit_scale)
        canvas = Canvas.of(features)
        loss = self._segments(batch, canvas, latents, names)
        loss["dense"] = weights.dense * self.dense(
            features.memory.sources[1:], features.memory.sizes[1:], batch.masks, batch.classes, names, scale
        )
        loss |= self._phrases(batch, features, canvas, phrases)
        loss |= self._captions(batch, features, latents, captions)
        if batch.scenes:
            loss |= self._judged(batch.scenes, features, latents)
        loss["answers"] = weights.answers * self._answers(batch, features, latents, questions)
        whole = model.decoder.query_outputs(latents.states[-1][:, -1:]).embeddings[:, 0]
        own = model.text_encoder(batch.pairs).embeddings
        assert features.backbone_embeddings is not None  # the model of the drawn world embeds by its backbone
        for name, images in (("retrieval", whole), ("backbone", features.backbone_embeddings)):
            contrast = terms.contrastive(images, own, scale, batch.pair_groups)
            loss[name] = getattr(weights, name) * contrast
        return loss

    def _segments(
        self, batch: SceneBatch, canvas: Canvas, latents: LatentStates, names: Tensor
    ) -> dict[str, Tensor]:
        """Matched object queries get a class and a mask, the others and the global one the background."""
        model, weights = self.model, self.weights
        coarse = [_halve(masks) for masks in batch.masks]
        all_cells, all_classes = torch.cat(batch.masks).flatten(1), torch.cat(batch.classes)
        count = _count(all_classes, names)
        named = names.new_zeros(())
        drawn: list[tuple[Tensor, Matches]] = []
        for layer in self.layers.segments:
            heads = model.decoder.query_outputs(latents.states[layer])
            logits = model.class_logits(heads.embeddings, names)
            with torch.no_grad():
                shares = logits[:, :-1].softmax(-1)
                affinity = [share[:, c] for share, c in zip(shares, batch.classes, strict=True)]
                matches = assign(self._costs(affinity, heads.masks[:, :-1] @ canvas.coarse, coarse))
            wanted = torch.full(logits.shape[:2], len(names) - 1, device=logits.device)
            wanted[matches.images, matches.queries] = all_classes[matches.targets]
            named = named + terms.class_cross_entropy(logits, wanted, background_weight=weights.background)
            drawn.append((heads.masks, matches))
        found, true = canvas.draw(drawn, all_cells)
        return {
            "classes": weights.classes * named,
            "masks": weights.masks * terms.mask_bce(found, true, count),
            "dice": weights.dice * terms.dice(found, true, count),
        }

    def _phrases(
        self, batch: SceneBatch, features: ImageFeatures, canvas: Canvas, phrases: TextFeatures
    ) -> dict[str, Tensor]:
        """Every phrase finds its copy, and the copy draws what the phrase means."""
        model, weights = self.model, self.weights
        tokens, valid = concatenate(phrases.tokens, batch.phrase_lengths, batch.phrase_counts)
        states = model.decoder.decode_phrases(features.memory, tokens, valid)
        texts = terms.unit(phrases.embeddings)
        owners = [image for image, count in enumerate(batch.phrase_counts) for _ in range(count)]
        images = torch.tensor(owners, dtype=torch.long).to(tokens.device, non_blocking=True)
        coarse = [_halve(masks) for masks in batch.phrase_masks]
        all_cells = torch.cat(batch.phrase_masks).flatten(1)
        scale = terms.temperature(model.logit_scale)
        count = _count(images, tokens)
        named = tokens.new_zeros(())
        drawn: list[tuple[Tensor, Matches]] = []
        for layer in self.layers.phrases:
            heads = model.decoder.query_outputs(states[layer])
            similarity = scale * torch.einsum("nqp,np->nq", terms.unit(heads.embeddings)[images], texts)
            with torch.no_grad():
                affinity = [rows.T for rows in similarity.softmax(1).split(batch.phrase_counts)]
                matches = assign(self._costs(affinity, heads.masks @ canvas.coarse, coarse))
            chosen = F.cross_entropy(similarity[matches.targets], matches.queries, reduction="sum")
            named = named + chosen / count
            drawn.append((heads.masks, matches))
        found, true = canvas.draw(drawn, all_cells)
        shape = terms.mask_bce(found, true, count) + terms.dice(found, true, count)
        return {"phrases": weights.phrases * named, "phrase_masks": weights.phrase_masks * shape}

    def _costs(
        self,
        affinity: Sequence[Float[Tensor, "Q _N"]],
        masks: Float[Tensor, "B Q P"],
        cells: Sequence[Float[Tensor, "_N P"]],
    ) -> list[Float[Tensor, "Q _N"]]:
        weights = self.weights
        return [
            -weights.classes * share
            + weights.masks * terms.pairwise_mask_bce(found, true)
            + weights.dice * terms.pairwise_dice(found, true)
            for share, found, true in zip(affinity, masks, cells, strict=True)
        ]

    def _captions(
        self, batch: SceneBatch, features: ImageFeatures, latents: LatentStates, captions: TextFeatures
    ) -> dict[str, Tensor]:
        """Each token predicts the next one."""
        decoder, table = self.model.decoder, self.model.text_encoder.token_embedding.weight
        length = batch.captions.shape[1]
        context = decoder.open_context(features.memory, latents, capacity=length)
        context = context.fork(batch.captions_each).restrict(batch.caption_regions)
        states = decoder.decode_tokens(context, captions.tokens, kind=QueryKind.CAPTION)
        said: list[Tensor] = []
        repeated: list[Tensor] = []
        for layer in self.layers.texts:
            projected = decoder.project_captions(states[layer])
            logits = terms.next_token_logits(projected, batch.caption_valid, table)
            said.append(terms.caption_cross_entropy(logits, batch.captions, batch.caption_valid))
            repeated.append(
                terms.caption_repetition(logits, batch.captions, batch.caption_valid, batch.caption_names)
            )
        return {
            "captions": self.weights.captions * torch.stack(said).mean(),
            "repetition": self.weights.repetition * torch.stack(repeated).mean(),
        }

    def _judged(
        self, scenes: Sequence[Scene], features: ImageFeatures, latents: LatentStates
    ) -> dict[str, Tensor]:
        """Captions that the model makes up become likelier where they are truer than their image's others."""
        model, decoder, count = self.model, self.model.decoder, self.judged_captions
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
            "judged": self.weights.judged * terms.self_critical(logits, ids, valid, table),
            "reward": table.mean(),
            "true": (table > 0).float().mean(),
        }

    def _answers(
        self, batch: SceneBatch, features: ImageFeatures, latents: LatentStates, questions: TextFeatures
    ) -> Float[Tensor, ""]:
        """The classifier reads the last token of the question."""
        decoder = self.model.decoder
        length = batch.questions.shape[1]
        context = decoder.open_context(features.memory, latents, capacity=length)
        context = context.pick(batch.question_images)
        states = decoder.decode_tokens(context, questions.tokens, kind=QueryKind.QUESTION)
        count = _count(batch.answers, questions.tokens)
        losses = [
            F.cross_entropy(self.answer_head(states[layer]), batch.answers, reduction="sum") / count
            for layer in self.layers.texts
        ]
        return torch.stack(losses).mean()


def _halve(maps: Float[Tensor, "B C H W"] | Float[Tensor, "C H W"]) -> Float[Tensor, "*B C P"]:
    """Means of two by two cells, in a row."""
    return F.avg_pool2d(maps, 2).flatten(-2)


def _count(items: Tensor, like: Tensor) -> Tensor:
    """The processes' mean number of items, to divide a sum by."""
    return mean_over_world(like.new_full((), len(items)), at_least=1)
