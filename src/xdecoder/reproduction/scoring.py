"""What a cell's model reaches on scenes that no training shows: `METRICS`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np

from xdecoder.evaluation.picturebook.answers import ask_scenes, segment_scene
from xdecoder.evaluation.picturebook.scores import score_scenes
from xdecoder.metrics.panoptic_quality import CategoryCounts, add_counts, panoptic_scores
from xdecoder.metrics.semantic import semantic_scores
from xdecoder.picturebook import (
    COLORS,
    HELD_OUT_PAIRS,
    STUFF_CATEGORIES,
    SYNONYMS,
    THING_CATEGORIES,
    VOCABULARY,
    Scene,
    SceneSegment,
    draw_flat,
    draw_in_ink,
    draw_scene,
    is_true_of,
    names,
    thing_phrases,
)
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary

_BATCH: Final = 16

_SCORES: Final[Mapping[str, str]] = {
    "pq": "pq",
    "miou": "miou",
    "referring_ciou": "referring_cumulative",
    "cider": "cider",
    "captions": "captions",
    "region_captions": "region_captions",
    "retrieval": "retrieval",
}
"""Metrics that are scores of the benchmark, by their names there."""


@final
@dataclass(frozen=True, kw_only=True)
class _Naming:
    """What a segmentation is asked for, and which of its classes are scored.

    Attributes:
        vocabulary: the classes.
        name: of a segment's class among them.
        scored: names of the classes that scores are the mean of.
    """

    vocabulary: Vocabulary
    name: Callable[[SceneSegment], str]
    scored: frozenset[str]


def _synonym(category: str) -> str:
    return SYNONYMS.get(category, (category,))[0]


def _colored(segment: SceneSegment) -> str:
    return f"{segment.color} {segment.category}" if segment.color else segment.category


_COLORED: Final = tuple(f"{color} {category}" for category in THING_CATEGORIES for color in COLORS)

_CATEGORIES: Final = _Naming(
    vocabulary=VOCABULARY, name=lambda segment: segment.category, scored=frozenset(VOCABULARY.classes)
)
_SYNONYMS: Final = _Naming(
    vocabulary=Vocabulary(classes=tuple(map(_synonym, VOCABULARY.classes)), things=VOCABULARY.things),
    name=lambda segment: _synonym(segment.category),
    scored=frozenset(map(_synonym, SYNONYMS)),
)
_PAIRS: Final = _Naming(
    vocabulary=Vocabulary(classes=(*_COLORED, *STUFF_CATEGORIES), things=frozenset(range(len(_COLORED)))),
    name=_colored,
    scored=frozenset(f"{color} {category}" for color, category in HELD_OUT_PAIRS),
)

_OTHER_SCENES: Final[Sequence[tuple[Callable[[int, int], Scene], Mapping[str, _Naming]]]] = (
    (
        lambda seed, size: draw_scene(seed, split="val", size=size, held_out=True),
        {"unseen": _CATEGORIES, "pairs": _PAIRS},
    ),
    (lambda seed, size: draw_flat(draw_scene(seed, split="val", size=size)), {"flat": _CATEGORIES}),
    (lambda seed, size: draw_in_ink(draw_scene(seed, split="val", size=size)), {"ink": _CATEGORIES}),
)
"""Scenes that segmentation alone is scored on, and what each is asked for, by its metrics' first word."""


def score_model(predictor: Predictor, *, scenes: int, size: int) -> dict[str, float]:
    """The `METRICS` of a model, without those that have nothing to be measured on.

    Args:
        predictor: the model.
        scenes: of each kind.
        size: side of the pictures in pixels.
    """
    drawn = [draw_scene(seed, split="val", size=size) for seed in range(scenes)]
    images = _encode(predictor, drawn)
    starts = range(0, scenes, _BATCH)
    answers = [
        answer
        for k in starts
        for answer in ask_scenes(predictor, drawn[k : k + _BATCH], images[k : k + _BATCH])
    ]
    scores = score_scenes(drawn, answers).to_dict()
    found = {f"val/{name}": scores[field] for name, field in _SCORES.items()}
    found["val/region_named"] = _mean(
        _names(answer.region_caption, scene.segment(answer.region))
        for scene, answer in zip(drawn, answers, strict=True)
    )
    found["val/region_retrieval"] = _region_retrieval(predictor, drawn)
    found |= _referring_captions(predictor, drawn)
    found |= _segmentation("synonyms", predictor, drawn, images, _SYNONYMS)
    for draw, asked in _OTHER_SCENES:
        others = [draw(seed, size) for seed in range(scenes)]
        images = _encode(predictor, others)
        for kind, naming in asked.items():
            found |= _segmentation(kind, predictor, others, images, naming)
    return {name: 100 * value for name, value in found.items() if not math.isnan(value)}


def _encode(predictor: Predictor, scenes: Sequence[Scene]) -> list[EncodedImage]:
    starts = range(0, len(scenes), _BATCH)
    return [image for k in starts for image in predictor.encode([s.image for s in scenes[k : k + _BATCH]])]


def _segmentation(
    kind: str,
    predictor: Predictor,
    scenes: Sequence[Scene],
    images: Sequence[EncodedImage],
    naming: _Naming,
) -> dict[str, float]:
    """PQ and mIoU of some classes."""
    classes = naming.vocabulary.classes
    place = {name: k for k, name in enumerate(classes)}
    counts: dict[int, CategoryCounts] = {}
    confusion = np.zeros((len(classes), len(classes) + 1), np.int64)
    for scene, image in zip(scenes, images, strict=True):
        own = [place[naming.name(segment)] for segment in scene.segments]
        matches, pixels = segment_scene(predictor, scene, image, naming.vocabulary, own)
        confusion += pixels
        add_counts(counts, {k: count for k, count in matches.items() if classes[k] in naming.scored})
    quality = panoptic_scores(counts, {k: naming.vocabulary.is_thing(k) for k in counts}, images=len(scenes))
    ious = np.array(semantic_scores(confusion, images=len(scenes)).per_class)
    scored = [k for k, name in enumerate(classes) if name in naming.scored]
    return {f"{kind}/pq": quality.all.pq, f"{kind}/miou": float(np.nanmean(ious[scored]))}


def _region_retrieval(predictor: Predictor, scenes: Sequence[Scene]) -> float:
    """Words to a scene to a mask: how often both are right."""
    shown: defaultdict[tuple[str | None, str], list[tuple[int, int]]] = defaultdict(list)
    for place, scene in enumerate(scenes):
        for thing in scene.things:
            shown[thing.color, thing.category].append((place, thing.id))
    single = {name: where[0] for name, where in shown.items() if len(where) == 1}
    if not single:
        return math.nan
    texts = [f"a {color} {category}" for color, category in single]
    embedded = predictor.embed_images([scene.image for scene in scenes])
    images = np.stack([rows.float().cpu().numpy() for rows in (embedded.decoder, embedded.backbone)]).mean(0)
    similarity = predictor.embed_texts(texts).float().cpu().numpy() @ images.T
    hits = 0
    for text, row, (place, thing) in zip(texts, similarity, single.values(), strict=True):
        if int(row.argmax()) == place:
            mask = predictor.refer(scenes[place].image, [text]).masks[0]
            true = scenes[place].ids == thing
            hits += bool((mask & true).sum() >= 0.5 * (mask | true).sum())
    return hits / len(texts)


def _referring_captions(predictor: Predictor, scenes: Sequence[Scene]) -> dict[str, float]:
    """A phrase to a mask to a caption of it: how often this is true of what the phrase means, or names it."""
    true: list[bool] = []
    named: list[bool] = []
    for scene in scenes:
        rng = np.random.default_rng(scene.seed)
        for phrase in thing_phrases(scene, rng)[:1]:
            image, thing = predictor.encode(scene.image), scene.segment(phrase.segment)
            mask = predictor.refer(image, [phrase.text]).masks[0]
            told = predictor.caption(image, region=mask).token_ids if mask.any() else ()
            text = predictor.tokenizer.decode(told)
            true.append(is_true_of(text, scene, thing))
            named.append(_names(text, thing))
    return {"val/referring_captions": _mean(true), "val/referring_named": _mean(named)}


def _names(caption: str, thing: SceneSegment) -> bool:
    """Whether a caption has the word of a thing's category, or a synonym."""
    return any(word in caption.split() for word in names(thing.category))


def _mean(right: Iterable[bool]) -> float:
    return float(np.mean([*right] or [math.nan]))
