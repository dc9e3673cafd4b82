"""How well a model reads held-out drawn scenes: every task, checked against what is known of the scene."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float

from xdecoder.evaluation.picturebook.answers import SceneAnswers, ask_scenes
from xdecoder.evaluation.picturebook.scenes import SIZE
from xdecoder.metrics.captions import CaptionScores
from xdecoder.metrics.panoptic_quality import CategoryCounts, add_counts, panoptic_scores
from xdecoder.metrics.semantic import semantic_scores
from xdecoder.picturebook import (
    VOCABULARY,
    Scene,
    captions,
    description,
    detail,
    draw_scene,
    is_true,
    is_true_of,
    questions,
    statements,
)
from xdecoder.predictor.predictor import Predictor

_BATCH = 16
_THINGS = 3


@final
@dataclass(frozen=True, kw_only=True)
class PictureBookScores:
    """What a model reaches on held-out scenes, each from 0 to 1 unless said.

    Attributes:
        pq: panoptic quality over the categories.
        pq_things: over the things.
        pq_stuff: over the stuff.
        segmentation_quality: mean IoU of matched segments.
        recognition_quality: how many segments are matched.
        miou: mean IoU of the categories' regions, of semantic segmentation.
        referring: mean IoU of phrases and their masks, up to three phrases a scene.
        referring_cumulative: cumulative IoU of the same, all intersections over all unions.
        referring_half: phrases whose mask has an IoU above one half.
        captions: generated captions of which every statement is true.
        cider: CIDEr-D of generated captions against five of each scene's own, from 0 to 10.
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
    referring_cumulative: float
    referring_half: float
    captions: float
    cider: float
    caption_detail: float
    region_captions: float
    retrieval: float
    answers: float

    def to_dict(self) -> dict[str, float]:
        """Name -> score."""
        return dataclasses.asdict(self)


def evaluate_picturebook(predictor: Predictor, *, count: int = 1000, size: int = SIZE) -> PictureBookScores:
    """Score a model, at its own input size, on scenes that no training shows, a few at a time.

    Args:
        predictor: what is scored.
        count: scenes of the held-out split, from its first on.
        size: side of the pictures in pixels.

    Raises:
        ValueError: there are no scenes to score on.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 scene, got {count}")
    scenes: list[Scene] = []
    answers: list[SceneAnswers] = []
    for start in range(0, count, _BATCH):
        batch = [
            draw_scene(seed, split="val", size=size) for seed in range(start, min(start + _BATCH, count))
        ]
        answers += ask_scenes(predictor, batch, predictor.encode([scene.image for scene in batch]))
        scenes += batch
    return score_scenes(scenes, answers)


def score_scenes(scenes: Sequence[Scene], answers: Sequence[SceneAnswers]) -> PictureBookScores:
    """The scores of a model's answers, one for each scene.

    Raises:
        ValueError: there are none.
    """
    if not answers:
        raise ValueError("no scene was answered: nothing to score")
    counts: dict[int, CategoryCounts] = {}
    for scene_answers in answers:
        add_counts(counts, scene_answers.panoptic)
    things = {k: VOCABULARY.is_thing(k) for k in range(len(VOCABULARY))}
    quality = panoptic_scores(counts, things, images=len(answers))
    confusion = np.sum([a.confusion for a in answers], axis=0)
    pairs = list(zip(scenes, answers, strict=True))
    true = [is_true(a.caption, scene) for scene, a in pairs]
    named = [
        min(1.0, (detail(statements(a.caption) or ()) if told else 0.0) / min(_THINGS, len(scene.things)))
        for (scene, a), told in zip(pairs, true, strict=True)
    ]
    pixels = [both for a in answers for both in a.referred]
    referred = [shared / joined for shared, joined in pixels]
    captioned = CaptionScores()
    for place, (scene, a) in enumerate(pairs):
        captioned.update(place, a.caption, captions(scene, np.random.default_rng(scene.seed)))
    return PictureBookScores(
        pq=quality.all.pq,
        pq_things=quality.things.pq,
        pq_stuff=quality.stuff.pq,
        segmentation_quality=quality.all.sq,
        recognition_quality=quality.all.rq,
        miou=semantic_scores(confusion, images=len(answers)).miou,
        referring=float(np.mean(referred or [math.nan])),
        referring_cumulative=sum(s for s, _ in pixels) / sum(j for _, j in pixels) if pixels else math.nan,
        referring_half=float(np.mean([iou > 0.5 for iou in referred] or [math.nan])),
        captions=float(np.mean(true)),
        cider=captioned.result().cider_d,
        caption_detail=float(np.mean(named)),
        region_captions=float(
            np.mean([is_true_of(a.region_caption, scene, scene.segment(a.region)) for scene, a in pairs])
        ),
        retrieval=_found_first(
            np.stack([a.image for a in answers]),
            np.stack([a.text for a in answers]),
            [description(scene) for scene in scenes],
        ),
        answers=float(np.mean([right for scene, a in pairs for right in _right(scene, a)] or [0.0])),
    )


def _right(scene: Scene, answers: SceneAnswers) -> list[bool]:
    """Of each question that was answered, whether rightly."""
    if not answers.answers:
        return []
    asked = questions(scene, np.random.default_rng(scene.seed))
    return [answer == question.answer for answer, question in zip(answers.answers, asked, strict=True)]


def _found_first(
    images: Float[np.ndarray, "N 2 P"], embedded: Float[np.ndarray, "N P"], texts: Sequence[str]
) -> float:
    """How often the best match is a scene's own description, or one of the same words; both directions."""
    similarity = images.mean(1) @ embedded.T
    to_text, to_image = similarity.argmax(1).tolist(), similarity.argmax(0).tolist()
    hits = [texts[t] == texts[i] for i, t in enumerate(to_text)]
    hits += [texts[i] == texts[t] for t, i in enumerate(to_image)]
    return float(np.mean(hits))
