"""How well a model reads held-out drawn scenes: every task, checked against what is known of the scene."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from xdecoder.metrics.panoptic_quality import PanopticQuality, PanopticResult, Segment
from xdecoder.model import ImageFeatures, XDecoder, normalize
from xdecoder.networks.answering import AnswerHead
from xdecoder.networks.decoder import LatentStates
from xdecoder.networks.queries import Kind
from xdecoder.picturebook import (
    STUFF_CATEGORIES,
    THING_CATEGORIES,
    Scene,
    captions,
    draw_scene,
    is_true,
    phrases,
    questions,
)
from xdecoder.tasks.captioning import caption_greedily
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.referring import refer
from xdecoder.tasks.segmentation import panoptic, segmentation_logits
from xdecoder.tasks.vocabulary import embed_names, embed_texts, encode_phrases
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.scenes import BACKGROUND, normalise
from xdecoder.vocabularies import prompts

CLASSES: tuple[str, ...] = (*THING_CATEGORIES, *STUFF_CATEGORIES)
_BATCH = 16
_PHRASES = 3


@dataclass(frozen=True, kw_only=True)
class PictureBookScores:
    """What a model reaches on held-out scenes, each from 0 to 1.

    Attributes:
        pq: panoptic quality over the categories.
        pq_things: over the things.
        pq_stuff: over the stuff.
        segmentation_quality: mean IoU of matched segments.
        recognition_quality: how many segments are matched.
        miou: mean IoU of the categories' regions.
        referring: mean IoU of phrases and their masks, up to three phrases a scene.
        referring_half: phrases whose mask has an IoU above one half.
        captions: generated captions of which every statement is true.
        retrieval: captions' scenes found first: the mean of both directions, over all scenes.
        answers: questions answered rightly.
    """

    pq: float
    pq_things: float
    pq_stuff: float
    segmentation_quality: float
    recognition_quality: float
    miou: float
    referring: float
    referring_half: float
    captions: float
    retrieval: float
    answers: float

    def to_dict(self) -> dict[str, float]:
        """Name -> score."""
        return dataclasses.asdict(self)


@torch.no_grad()
def evaluate_picturebook(
    model: XDecoder,
    tokenizer: Tokenizer,
    answer_head: AnswerHead,
    *,
    count: int = 1000,
    size: int = 128,
    first: int = 0,
    held_out: bool = False,
) -> PictureBookScores:
    """Score a model, in evaluation mode, on scenes that no training shows.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        answer_head: its classifier of answers.
        count: scenes.
        size: side of the pictures in pixels.
        first: seed of the first scene.
        held_out: scenes with (colour, category) pairs that no training scene shows.
    """
    tally = _Tally(model, tokenizer, answer_head)
    for start in range(first, first + count, _BATCH):
        seeds = range(start, min(start + _BATCH, first + count))
        tally.take([draw_scene(seed, split="val", size=size, held_out=held_out) for seed in seeds])
    return tally.scores()


class _Tally:
    """Sums over scenes."""

    def __init__(self, model: XDecoder, tokenizer: Tokenizer, answer_head: AnswerHead) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.answer_head = answer_head
        self.vocabulary = embed_names(model, tokenizer, [prompts(name) for name in (*CLASSES, BACKGROUND)])
        self.quality = PanopticQuality({k: k < len(THING_CATEGORIES) for k in range(len(CLASSES))})
        self.overlaps = np.zeros(len(CLASSES))
        self.unions = np.zeros(len(CLASSES))
        self.referred: list[float] = []
        self.told: list[bool] = []
        self.answered: list[bool] = []
        self.images: list[torch.Tensor] = []
        self.pooled: list[torch.Tensor] = []
        self.texts: list[str] = []

    def take(self, scenes: list[Scene]) -> None:
        """Read a batch of scenes."""
        images = normalise([scene.image for scene in scenes], self.model.config)
        features = self.model.encode_images(images)
        latents = self.model.decoder.decode_latents(features.memory, keep=True)
        heads = self.model.decoder.heads(latents.states[-1])
        self.images.append(normalize(heads.embeddings[:, -1]))
        self.pooled.append(normalize(features.backbone_embeddings))
        for index, scene in enumerate(scenes):
            rng = np.random.default_rng(scene.seed)
            side = (scene.size, scene.size)
            geometry = Geometry(padded=side, resized=side, output=side)
            self._segment(scene, features, latents, index, geometry)
            self._refer(scene, features, index, geometry, rng)
            self.texts.append(captions(scene, rng, count=1)[0])
        found = caption_greedily(
            self.model, features.memory, latents, steps=self.model.config.inference.caption_steps
        )
        self.told += [
            is_true(self.tokenizer.decode(caption.ids), scene)
            for caption, scene in zip(found, scenes, strict=True)
        ]
        self._answer(scenes, features, latents)

    def _segment(
        self, scene: Scene, features: ImageFeatures, latents: LatentStates, index: int, geometry: Geometry
    ) -> None:
        settings = self.model.config.inference
        found = panoptic(
            segmentation_logits(self.model, features, latents, self.vocabulary, index),
            geometry,
            things=frozenset(range(len(THING_CATEGORIES))),
            object_threshold=settings.object_threshold,
            overlap_threshold=settings.overlap_threshold,
        )
        own = [CLASSES.index(s.category) for s in scene.segments]
        self.quality.update(
            scene.seed,
            scene.ids,
            [Segment(id=s.id, category_id=k) for s, k in zip(scene.segments, own, strict=True)],
            found.ids.numpy(),
            [Segment(id=i, category_id=k) for i, k in enumerate(found.categories, start=1)],
        )
        true = np.array([-1, *own])[scene.ids]
        guessed = np.array([-1, *found.categories])[found.ids.numpy()]
        for k in range(len(CLASSES)):
            self.overlaps[k] += np.count_nonzero((true == k) & (guessed == k))
            self.unions[k] += np.count_nonzero((true == k) | (guessed == k))

    def _refer(
        self,
        scene: Scene,
        features: ImageFeatures,
        index: int,
        geometry: Geometry,
        rng: np.random.Generator,
    ) -> None:
        known = [p for p in phrases(scene, rng, per_thing=1) if scene.segment(p.segment).is_thing]
        if not known:
            return
        wanted = [known[i] for i in rng.permutation(len(known))[:_PHRASES]]
        texts, valid = encode_phrases(self.model, self.tokenizer, [p.text for p in wanted])
        found = refer(self.model, features, index, texts, valid, together=True).covered(geometry).numpy()
        for phrase, mask in zip(wanted, found, strict=True):
            true = scene.ids == phrase.segment
            self.referred.append(float((mask & true).sum() / (mask | true).sum()))

    def _answer(self, scenes: list[Scene], features: ImageFeatures, latents: LatentStates) -> None:
        asked = [questions(scene, np.random.default_rng(scene.seed)) for scene in scenes]
        ids = torch.tensor(
            self.tokenizer.encode_batch(
                [q.text for own in asked for q in own], self.answer_head.question_length
            )
        )
        images = torch.arange(len(scenes)).repeat_interleave(torch.tensor([len(own) for own in asked]))
        reading = self.model.decoder.open_reading(features.memory, latents, capacity=ids.shape[1]).pick(
            images
        )
        states = self.model.decoder.read(reading, self.model.text_encoder(ids).tokens, kind=Kind.QUESTION)
        best = self.answer_head(states[-1]).argmax(-1).tolist()
        right = [q.answer for own in asked for q in own]
        self.answered += [
            self.answer_head.answers[i] == answer for i, answer in zip(best, right, strict=True)
        ]

    def scores(self) -> PictureBookScores:
        """The means so far."""
        texts = normalize(embed_texts(self.model, self.tokenizer, self.texts))
        similarity = (torch.cat(self.images) + torch.cat(self.pooled)) @ texts.T
        result: PanopticResult = self.quality.result()
        seen = self.unions > 0
        return PictureBookScores(
            pq=result.all.pq,
            pq_things=result.things.pq,
            pq_stuff=result.stuff.pq,
            segmentation_quality=result.all.sq,
            recognition_quality=result.all.rq,
            miou=float((self.overlaps[seen] / self.unions[seen]).mean()),
            referring=float(np.mean(self.referred)),
            referring_half=float(np.mean([iou > 0.5 for iou in self.referred])),
            captions=float(np.mean(self.told)),
            retrieval=_found_first(similarity, self.texts),
            answers=float(np.mean(self.answered)),
        )


def _found_first(similarity: torch.Tensor, texts: list[str]) -> float:
    """How often the best match is a scene's own caption, or one of the same words; both directions."""
    to_text, to_image = similarity.argmax(1).tolist(), similarity.argmax(0).tolist()
    hits = [texts[t] == texts[i] for i, t in enumerate(to_text)]
    hits += [texts[i] == texts[t] for t, i in enumerate(to_image)]
    return float(np.mean(hits))
