"""A model on drawn scenes that no training shows, every answer beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool

from xdecoder.metrics.panoptic_quality import PanopticQuality, ScoredSegment, count_matches
from xdecoder.picturebook import (
    HELD_OUT_PAIRS,
    VOCABULARY,
    Phrase,
    Scene,
    caption,
    draw_scene,
    holds_true,
    is_true,
    questions,
    statements,
    thing_phrases,
    words_rng,
)
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import Answer, PanopticSegmentation

SCENES = 12
POOL = 48
SIDE = 384
_SMALL_SIDE = 192
_PHRASES = 2
_QUESTIONS = 2


@dataclass(frozen=True, kw_only=True)
class CheckedPhrase:
    """A phrase, what the model found and what is meant.

    Attributes:
        text: the phrase.
        found: the model's mask.
        truth: the mask of what is meant.
        iou: overlap of the two over their union.
    """

    text: str
    found: Bool[np.ndarray, "H W"]
    truth: Bool[np.ndarray, "H W"]
    iou: float


@dataclass(frozen=True, kw_only=True)
class CheckedCaption:
    """The model's caption, held against the scene graph.

    Attributes:
        text: the caption.
        verdict: "true" if every statement is; "false" if one is not; "unclear" for a text that states nothing
            which can be checked.
        right: statements that are true.
        all: statements made.
        reference: a true caption.
    """

    text: str
    verdict: Literal["true", "false", "unclear"]
    right: int
    all: int
    reference: str


@dataclass(frozen=True, kw_only=True)
class CheckedAnswer:
    """A question, the model's answer and the true one.

    Attributes:
        answer: the model's, with the question.
        truth: what is right.
    """

    answer: Answer
    truth: str

    @property
    def right(self) -> bool:
        """Whether the two agree."""
        return self.answer.text == self.truth


@dataclass(frozen=True, kw_only=True)
class SceneResult:
    """Everything a model said of one scene.

    Attributes:
        scene: the scene and its truth.
        panoptic: the model's segments.
        found: true segments that the model has, with the right class and an IoU above one half.
        phrases: those that were grounded.
        caption: the model's, checked against the scene.
        answers: of questions; none for a model that cannot answer.
        unseen: its (color, category) pairs that no training scene shows.
    """

    scene: Scene
    panoptic: PanopticSegmentation
    found: int
    phrases: tuple[CheckedPhrase, ...]
    caption: CheckedCaption
    answers: tuple[CheckedAnswer, ...]
    unseen: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CaptionSearch:
    """A caption, and the scenes that fit it best.

    Attributes:
        text: the caption.
        own: the scene that it was written for, its place in the pool.
        ranking: places in the pool, best first.
        fitting: places of all scenes of which the caption is true.
    """

    text: str
    own: int
    ranking: tuple[int, ...]
    fitting: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What a model makes of the first held-out scenes.

    Attributes:
        results: of the first scenes.
        pool: more scenes, those of `results` first, in which captions look for theirs.
        searches: one for each of the results.
        quality: panoptic quality over the results.
        recall: captions of the whole pool, and its scenes, whose own counterpart came first.
    """

    results: tuple[SceneResult, ...]
    pool: tuple[Scene, ...]
    searches: tuple[CaptionSearch, ...]
    quality: float
    recall: float

    @property
    def referring(self) -> float:
        """Mean IoU of the phrases."""
        return float(np.mean([g.iou for result in self.results for g in result.phrases] or [0.0]))

    @property
    def true_captions(self) -> int:
        """Captions of which every statement is true."""
        return sum(result.caption.verdict == "true" for result in self.results)

    @property
    def answers(self) -> tuple[CheckedAnswer, ...]:
        """The answers of all results."""
        return tuple(answer for result in self.results for answer in result.answers)


def run_held_out(predictor: Predictor, *, count: int = SCENES, pool: int = POOL) -> HeldOut:
    """Give a model the first scenes of the held-out split.

    Args:
        predictor: what reads the scenes.
        count: scenes to be read in full.
        pool: scenes among which captions are searched, those included.

    Raises:
        ValueError: fewer than one scene, or a smaller pool.
    """
    if not 1 <= count <= pool:
        raise ValueError(f"count must lie between 1 and pool, got {count} and {pool}")
    scenes = [draw_scene(seed, split="val", size=SIDE) for seed in range(count)]
    more = [draw_scene(seed, split="val", size=_SMALL_SIDE) for seed in range(count, pool)]
    encoded = predictor.encode([scene.image for scene in scenes])
    results = tuple(_run(predictor, s, e) for s, e in zip(scenes, encoded, strict=True))
    everything = [*encoded, *(scene.image for scene in more)]
    searches, recall = _search(predictor, [*scenes, *more], everything)
    return HeldOut(
        results=results,
        pool=(*scenes, *more),
        searches=searches[:count],
        quality=_quality(results),
        recall=recall,
    )


def true_panoptic(scene: Scene) -> PanopticSegmentation:
    """A scene's truth as the record that a model gives."""
    return PanopticSegmentation.from_ids(
        image=scene.image,
        ids=scene.ids,
        categories=[VOCABULARY.classes.index(segment.category) for segment in scene.segments],
        scores=[1.0] * len(scene.segments),
        vocabulary=VOCABULARY,
    )


def _run(predictor: Predictor, scene: Scene, image: EncodedImage) -> SceneResult:
    panoptic = predictor.segment(image, VOCABULARY)
    counts = count_matches(scene.ids, _true_segments(scene), panoptic.ids, _found_segments(panoptic))
    pairs = ((thing.color, thing.category) for thing in scene.things)
    return SceneResult(
        scene=scene,
        panoptic=panoptic,
        found=sum(count.true_positives for count in counts.values()),
        phrases=_ground(predictor, scene, image),
        caption=_describe(predictor, scene, image),
        answers=_answer(predictor, scene, image),
        unseen=tuple(dict.fromkeys(f"{a} {b}" for a, b in pairs if (a, b) in HELD_OUT_PAIRS)),
    )


def _ground(predictor: Predictor, scene: Scene, image: EncodedImage) -> tuple[CheckedPhrase, ...]:
    wanted = _choose_phrases(scene)
    if not wanted:
        return ()
    found = predictor.refer(image, [phrase.text for phrase in wanted])
    pairs = [(mask, scene.ids == phrase.segment) for mask, phrase in zip(found.masks, wanted, strict=True)]
    return tuple(
        CheckedPhrase(
            text=p.text, found=mask, truth=true, iou=float((mask & true).sum() / (mask | true).sum())
        )
        for p, (mask, true) in zip(wanted, pairs, strict=True)
    )


def _choose_phrases(scene: Scene) -> list[Phrase]:
    """One phrase for a thing, of a few things, in an order that the scene decides."""
    rng = words_rng(scene)
    known = thing_phrases(scene, rng)
    return [known[i] for i in rng.permutation(len(known))[:_PHRASES]]


def _describe(predictor: Predictor, scene: Scene, image: EncodedImage) -> CheckedCaption:
    text = predictor.caption(image).text
    made = statements(text) or ()
    right = sum(holds_true(statement, scene) for statement in made)
    return CheckedCaption(
        text=text,
        verdict="unclear" if not made else "true" if right == len(made) else "false",
        right=right,
        all=len(made),
        reference=_caption_of(scene),
    )


def _answer(predictor: Predictor, scene: Scene, image: EncodedImage) -> tuple[CheckedAnswer, ...]:
    if predictor.answer_head is None:
        return ()
    chosen = questions(scene, words_rng(scene), count=_QUESTIONS)
    answers = predictor.answer(image, [question.text for question in chosen])
    return tuple(CheckedAnswer(answer=a, truth=q.answer) for a, q in zip(answers, chosen, strict=True))


def _caption_of(scene: Scene) -> str:
    return caption(scene, words_rng(scene), style="places")


def _search(
    predictor: Predictor, pool: Sequence[Scene], images: Sequence[object]
) -> tuple[tuple[CaptionSearch, ...], float]:
    texts = [_caption_of(scene) for scene in pool]
    embedded = predictor.embed_images(images)  # pyright: ignore[reportArgumentType]
    similarity = embedded.similarity(predictor.embed_texts(texts)).cpu()
    of_texts = similarity.T.argsort(dim=1, descending=True, stable=True).tolist()
    searches = tuple(
        CaptionSearch(
            text=text,
            own=own,
            ranking=tuple(ranking),
            fitting=frozenset(i for i, scene in enumerate(pool) if is_true(text, scene)),
        )
        for own, (text, ranking) in enumerate(zip(texts, of_texts, strict=True))
    )
    places = torch.arange(len(pool))
    hits = torch.cat((similarity.argmax(0) == places, similarity.argmax(1) == places))
    return searches, float(hits.float().mean())


def _quality(results: Sequence[SceneResult]) -> float:
    quality = PanopticQuality({k: VOCABULARY.is_thing(k) for k in range(len(VOCABULARY))})
    for result in results:
        scene, panoptic = result.scene, result.panoptic
        quality.update(scene.seed, scene.ids, _true_segments(scene), panoptic.ids, _found_segments(panoptic))
    return quality.result().all.pq


def _true_segments(scene: Scene) -> list[ScoredSegment]:
    return [ScoredSegment(id=s.id, category_id=VOCABULARY.classes.index(s.category)) for s in scene.segments]


def _found_segments(panoptic: PanopticSegmentation) -> list[ScoredSegment]:
    return [ScoredSegment(id=s.id, category_id=s.category) for s in panoptic.segments]
