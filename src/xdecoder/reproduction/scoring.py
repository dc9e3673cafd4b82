"""What a cell's model reaches on scenes that no training shows: `METRICS`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from xdecoder.evaluation.picturebook.answers import ask_scenes, segment_scene
from xdecoder.evaluation.picturebook.scores import score_scenes
from xdecoder.metrics.panoptic_quality import CategoryCounts, panoptic_scores
from xdecoder.metrics.semantic import semantic_scores
from xdecoder.picturebook import (
    SYNONYMS,
    VOCABULARY,
    Scene,
    draw_in_ink,
    draw_scene,
    is_true_of,
    thing_phrases,
)
from xdecoder.predictor.predictor import Predictor
from xdecoder.reproduction.metrics import METRICS
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

_KINDS: Final[Mapping[str, Callable[[int, int], Scene]]] = {
    "val": lambda seed, size: draw_scene(seed, split="val", size=size),
    "unseen": lambda seed, size: draw_scene(seed, split="val", size=size, held_out=True),
    "ink": lambda seed, size: draw_in_ink(draw_scene(seed, split="val", size=size)),
}


def score_model(predictor: Predictor, *, scenes: int, size: int) -> dict[str, float]:
    """The `METRICS` of a model, without those that have nothing to be measured on.

    Args:
        predictor: the model.
        scenes: of each kind.
        size: side of the pictures in pixels.
    """
    found: dict[str, float] = {}
    for kind, draw in _KINDS.items():
        drawn = [draw(seed, size) for seed in range(scenes)]
        answers = [
            answer
            for start in range(0, scenes, _BATCH)
            for answer in ask_scenes(
                predictor,
                drawn[start : start + _BATCH],
                predictor.encode([scene.image for scene in drawn[start : start + _BATCH]]),
            )
        ]
        scores = score_scenes(drawn, answers).to_dict()
        found |= {f"{kind}/{name}": scores[field] for name, field in _SCORES.items()}
        if kind == "val":
            found |= _by_synonyms(predictor, drawn)
            found["val/region_retrieval"] = _region_retrieval(predictor, drawn)
            found["val/referring_captions"] = _referring_captions(predictor, drawn)
    return {name: 100 * value for name, value in found.items() if name in METRICS and not math.isnan(value)}


def _by_synonyms(predictor: Predictor, scenes: list[Scene]) -> dict[str, float]:
    """Segmentation where every class that has a synonym goes by it; the scores of these classes."""
    renamed = tuple(SYNONYMS.get(name, (name,))[0] for name in VOCABULARY.classes)
    own = [k for k, name in enumerate(VOCABULARY.classes) if name in SYNONYMS]
    vocabulary = Vocabulary(classes=renamed, things=VOCABULARY.things)
    counts: defaultdict[int, CategoryCounts] = defaultdict(CategoryCounts)
    confusion = np.zeros((len(VOCABULARY), len(VOCABULARY) + 1), np.int64)
    for scene in scenes:
        matches, pixels = segment_scene(predictor, scene, predictor.encode(scene.image), vocabulary)
        confusion += pixels
        for category in own:
            if category in matches:
                counts[category] += matches[category]
    quality = panoptic_scores(counts, {k: VOCABULARY.is_thing(k) for k in own}, images=len(scenes))
    ious = np.array(semantic_scores(confusion, images=len(scenes)).per_class)[own]
    return {"synonyms/pq": quality.all.pq, "synonyms/miou": float(np.nanmean(ious))}


def _region_retrieval(predictor: Predictor, scenes: list[Scene]) -> float:
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


def _referring_captions(predictor: Predictor, scenes: list[Scene]) -> float:
    """A phrase to a mask to a caption of it: how often this is true of what the phrase means."""
    right: list[bool] = []
    for scene in scenes:
        rng = np.random.default_rng(scene.seed)
        for phrase in thing_phrases(scene, rng)[:1]:
            mask = predictor.refer(scene.image, [phrase.text]).masks[0]
            if not mask.any():
                right.append(False)
                continue
            told = predictor.caption(scene.image, region=mask)
            text = predictor.tokenizer.decode(told.token_ids)
            right.append(is_true_of(text, scene, scene.segment(phrase.segment)))
    return float(np.mean(right or [math.nan]))
