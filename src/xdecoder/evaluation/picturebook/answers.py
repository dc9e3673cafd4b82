"""What a model makes of a drawn scene: every task asked once, kept so that no model is needed to score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Integer

from xdecoder.metrics import semantic
from xdecoder.metrics.panoptic_quality import CategoryCounts, ScoredSegment, count_matches
from xdecoder.metrics.referring import intersection_and_union
from xdecoder.picturebook import VOCABULARY, Scene, description, questions, thing_phrases
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary

_PHRASES = 3
_NOTHING = -1


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class SceneAnswers:
    """One scene's answers.

    Attributes:
        panoptic: category -> its matched, wrong and missed segments.
        confusion: pixels by true and predicted category, as `metrics.semantic.confusion` counts them.
        referred: pixels of the intersection and of the union of each of up to three phrases.
        caption: what the model says of the whole picture.
        region: the segment of one thing.
        region_caption: of that thing, by its mask.
        answers: to the scene's questions; none from a model that cannot answer.
        image: the picture's embeddings, decoder and backbone.
        text: the embedding of the scene's description.
    """

    panoptic: Mapping[int, CategoryCounts]
    confusion: Integer[np.ndarray, "K K+1"]
    referred: tuple[tuple[int, int], ...]
    caption: str
    region: int
    region_caption: str
    answers: tuple[str, ...]
    image: Float[np.ndarray, "2 P"]
    text: Float[np.ndarray, " P"]


def ask_scenes(
    predictor: Predictor, scenes: Sequence[Scene], images: Sequence[EncodedImage]
) -> list[SceneAnswers]:
    """Ask a model everything about some scenes, whose pictures were encoded."""
    embedded = predictor.embed_images(list(images))
    texts = predictor.embed_texts([description(scene) for scene in scenes]).float().cpu().numpy()
    both = np.stack([rows.float().cpu().numpy() for rows in (embedded.decoder, embedded.backbone)], axis=1)
    found: list[SceneAnswers] = []
    for k, (scene, image, caption) in enumerate(
        zip(scenes, images, predictor.caption(list(images)), strict=True)
    ):
        rng = np.random.default_rng(scene.seed)
        own = [VOCABULARY.classes.index(s.category) for s in scene.segments]
        panoptic, confusion = segment_scene(predictor, scene, image, VOCABULARY, own)
        referred = _refer(predictor, scene, image, rng)
        thing = scene.things[int(rng.integers(len(scene.things)))]
        region_caption = predictor.caption(image, region=scene.ids == thing.id)
        found.append(
            SceneAnswers(
                panoptic=panoptic,
                confusion=confusion,
                referred=referred,
                caption=predictor.tokenizer.decode(caption.token_ids),
                region=thing.id,
                region_caption=predictor.tokenizer.decode(region_caption.token_ids),
                answers=_answer(predictor, scene, image),
                image=both[k],
                text=texts[k],
            )
        )
    return found


def segment_scene(
    predictor: Predictor, scene: Scene, image: EncodedImage, vocabulary: Vocabulary, own: Sequence[int]
) -> tuple[dict[int, CategoryCounts], Integer[np.ndarray, "K K+1"]]:
    """Category -> its matched, wrong and missed segments, and the pixels by true and predicted category.

    Args:
        predictor: the model.
        scene: the truth.
        image: its picture.
        vocabulary: K classes that the model is asked for.
        own: the class of each of the scene's segments.
    """
    found = predictor.segment(image, vocabulary)
    regions = predictor.segment(image, vocabulary, task="semantic")
    matches = count_matches(
        scene.ids,
        [ScoredSegment(id=s.id, category_id=k) for s, k in zip(scene.segments, own, strict=True)],
        found.ids,
        [ScoredSegment(id=s.id, category_id=s.category) for s in found.segments],
    )
    labels = np.array([_NOTHING, *own])[scene.ids]
    return matches, semantic.confusion(labels, regions.categories, len(vocabulary), _NOTHING)


def _refer(
    predictor: Predictor, scene: Scene, image: EncodedImage, rng: np.random.Generator
) -> tuple[tuple[int, int], ...]:
    known = thing_phrases(scene, rng)
    if not known:
        return ()
    wanted = [known[i] for i in rng.permutation(len(known))[:_PHRASES]]
    masks = predictor.refer(image, [phrase.text for phrase in wanted]).masks
    true = np.stack([scene.ids == phrase.segment for phrase in wanted])
    shared, joined = intersection_and_union(true, masks)
    return tuple(zip(shared.tolist(), joined.tolist(), strict=True))


def _answer(predictor: Predictor, scene: Scene, image: EncodedImage) -> tuple[str, ...]:
    if predictor.answer_head is None:
        return ()
    asked = questions(scene, np.random.default_rng(scene.seed))
    return tuple(answer.text for answer in predictor.answer(image, [q.text for q in asked]))
