"""How well a model reads held-out drawn scenes: every task, checked against what is known of the scene."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xdecoder.metrics import semantic
from xdecoder.metrics.panoptic_quality import PanopticQuality, ScoredSegment
from xdecoder.picturebook import (
    VOCABULARY,
    Scene,
    description,
    detail,
    draw_scene,
    is_true,
    is_true_of,
    phrases,
    questions,
    statements,
)
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import PanopticSegmentation, SemanticSegmentation
from xdecoder.tasks.retrieval import ImageEmbeddings

SIZE = 128
"""Side of the pictures in pixels."""

_BATCH = 16
_PHRASES = 3
_THINGS = 3
_NOTHING = -1


@dataclass(frozen=True, kw_only=True)
class PictureBookScores:
    """What a model reaches on held-out scenes, each from 0 to 1.

    Attributes:
        pq: panoptic quality over the categories.
        pq_things: over the things.
        pq_stuff: over the stuff.
        segmentation_quality: mean IoU of matched segments.
        recognition_quality: how many segments are matched.
        miou: mean IoU of the categories' regions, of semantic segmentation.
        referring: mean IoU of phrases and their masks, up to three phrases a scene.
        referring_half: phrases whose mask has an IoU above one half.
        captions: generated captions of which every statement is true.
        caption_detail: of three things (or all, where there are fewer), how many these name by category and
            color; 0 for what is not true.
        region_captions: captions of one thing by its mask, one a scene, that name it and nothing else truly.
        retrieval: full descriptions' scenes found first, and scenes' descriptions: the mean, over all scenes.
        answers: questions answered rightly; 0 for a model that cannot answer.
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
    caption_detail: float
    region_captions: float
    retrieval: float
    answers: float

    def to_dict(self) -> dict[str, float]:
        """Name -> score."""
        return dataclasses.asdict(self)


def evaluate_picturebook(
    predictor: Predictor,
    *,
    count: int = 1000,
    size: int = SIZE,
    first: int = 0,
    held_out: bool = False,
    advance: Callable[[int, int], None] | None = None,
) -> PictureBookScores:
    """Score a model on scenes that no training shows.

    Args:
        predictor: the model.
        count: scenes.
        size: side of the pictures in pixels.
        first: seed of the first scene.
        held_out: scenes with (color, category) pairs that no training scene shows.
        advance: called with the scenes that are done and their number.

    Raises:
        ValueError: there are no scenes to score on.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 scene, got {count}")
    tally = _Tally(predictor)
    for start in range(first, first + count, _BATCH):
        seeds = range(start, min(start + _BATCH, first + count))
        scenes = [draw_scene(seed, split="val", size=size, held_out=held_out) for seed in seeds]
        tally.take(scenes, predictor.encode([scene.image for scene in scenes]))
        if advance:
            advance(seeds.stop - first, count)
    return tally.scores()


class _Tally:
    """Sums over scenes."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.quality = PanopticQuality({k: VOCABULARY.is_thing(k) for k in range(len(VOCABULARY))})
        self.regions = semantic.SemanticSegmentation(len(VOCABULARY), ignore=_NOTHING, absent="union")
        self.referred: list[float] = []
        self.told: list[bool] = []
        self.detail: list[float] = []
        self.told_of_regions: list[bool] = []
        self.answered: list[bool] = []
        self.images: list[ImageEmbeddings] = []
        self.texts: list[str] = []

    def take(self, scenes: Sequence[Scene], images: list[EncodedImage]) -> None:
        """Read a batch of scenes."""
        predictor = self.predictor
        self.images.append(predictor.embed_images(images))
        for scene, image, caption in zip(scenes, images, predictor.caption(images), strict=True):
            rng = np.random.default_rng(scene.seed)
            self._segment(
                scene,
                predictor.segment(image, VOCABULARY),
                predictor.segment(image, VOCABULARY, task="semantic"),
            )
            self._refer(scene, image, rng)
            self.texts.append(description(scene))
            self._caption(scene, predictor.tokenizer.decode(caption.token_ids))
            self._describe(scene, image, rng)
            if predictor.answer_head is not None:
                self._answer(scene, image)

    def _segment(self, scene: Scene, found: PanopticSegmentation, regions: SemanticSegmentation) -> None:
        own = [VOCABULARY.classes.index(s.category) for s in scene.segments]
        self.quality.update(
            scene.seed,
            scene.ids,
            [ScoredSegment(id=s.id, category_id=k) for s, k in zip(scene.segments, own, strict=True)],
            found.ids,
            [ScoredSegment(id=s.id, category_id=s.category) for s in found.segments],
        )
        self.regions.update(scene.seed, np.array([_NOTHING, *own])[scene.ids], regions.categories)

    def _refer(self, scene: Scene, image: EncodedImage, rng: np.random.Generator) -> None:
        known = [p for p in phrases(scene, rng, per_thing=1) if scene.segment(p.segment).is_thing]
        if not known:
            return
        wanted = [known[i] for i in rng.permutation(len(known))[:_PHRASES]]
        masks = self.predictor.refer(image, [phrase.text for phrase in wanted]).masks
        for phrase, mask in zip(wanted, masks, strict=True):
            true = scene.ids == phrase.segment
            self.referred.append(float((mask & true).sum() / (mask | true).sum()))

    def _caption(self, scene: Scene, caption: str) -> None:
        true = is_true(caption, scene)
        named = detail(statements(caption) or ()) if true else 0.0
        self.told.append(true)
        self.detail.append(min(1.0, named / min(_THINGS, len(scene.things))))

    def _describe(self, scene: Scene, image: EncodedImage, rng: np.random.Generator) -> None:
        thing = scene.things[int(rng.integers(len(scene.things)))]
        caption = self.predictor.caption(image, region=scene.ids == thing.id)
        text = self.predictor.tokenizer.decode(caption.token_ids)
        self.told_of_regions.append(is_true_of(text, scene, thing))

    def _answer(self, scene: Scene, image: EncodedImage) -> None:
        asked = questions(scene, np.random.default_rng(scene.seed))
        answers = self.predictor.answer(image, [question.text for question in asked])
        self.answered += [a.text == question.answer for a, question in zip(answers, asked, strict=True)]

    def scores(self) -> PictureBookScores:
        """The means so far."""
        images = ImageEmbeddings(
            decoder=torch.cat([rows.decoder for rows in self.images]),
            backbone=torch.cat([rows.backbone for rows in self.images]),
        )
        quality = self.quality.result()
        return PictureBookScores(
            pq=quality.all.pq,
            pq_things=quality.things.pq,
            pq_stuff=quality.stuff.pq,
            segmentation_quality=quality.all.sq,
            recognition_quality=quality.all.rq,
            miou=self.regions.result().miou,
            referring=float(np.mean(self.referred)),
            referring_half=float(np.mean([iou > 0.5 for iou in self.referred])),
            captions=float(np.mean(self.told)),
            caption_detail=float(np.mean(self.detail)),
            region_captions=float(np.mean(self.told_of_regions)),
            retrieval=_found_first(images.similarity(self.predictor.embed_texts(self.texts)), self.texts),
            answers=float(np.mean(self.answered or [0.0])),
        )


def _found_first(similarity: torch.Tensor, texts: list[str]) -> float:
    """How often the best match is a scene's own description, or one of the same words; both directions."""
    to_text, to_image = similarity.argmax(1).tolist(), similarity.argmax(0).tolist()
    hits = [texts[t] == texts[i] for i, t in enumerate(to_text)]
    hits += [texts[i] == texts[t] for t, i in enumerate(to_image)]
    return float(np.mean(hits))
