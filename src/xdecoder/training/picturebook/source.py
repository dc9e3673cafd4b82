"""Batches of the picture-book world, drawn as they are needed: step and process decide every one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.picturebook import (
    ANSWERS,
    COLORS,
    HELD_OUT_PAIRS,
    QUESTION_SHARES,
    STUFF_CATEGORIES,
    SYNONYMS,
    THING_CATEGORIES,
    WORDS,
    Phrase,
    QuestionKind,
    Scene,
    caption,
    captions,
    description,
    draw_patch,
    draw_scene,
    phrases,
    plural,
    questions,
    region_caption,
)
from xdecoder.picturebook import names as forms_of
from xdecoder.tasks.captioning import region_at_levels
from xdecoder.tasks.geometry import Geometry, normalize_images
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.batches import Batch, BatchSource, NounTexts, text_id
from xdecoder.training.picturebook.batches import PatchBatch, SceneBatch, TextBatch
from xdecoder.training.picturebook.nouns import caption_nouns
from xdecoder.training.picturebook.recipe import SceneMixture
from xdecoder.training.picturebook.tokenizer import BACKGROUND, TEMPLATES
from xdecoder.vocabularies import training_prompt

PATCH_SIZE = 64
_LEVELS = (32, 16, 8)
_PAIRS: tuple[tuple[str, str], ...] = tuple(
    (color, category)
    for category in THING_CATEGORIES
    for color in COLORS
    if (color, category) not in HELD_OUT_PAIRS
)

_QUESTION_SHARES: Mapping[QuestionKind, int] = {
    **QUESTION_SHARES,
    "count": 7,
    "where": 4,
    "holds": 5,
    "ground": 3,
}

_NAMES = {synonym: name for name, synonyms in SYNONYMS.items() for synonym in synonyms}
_FIRST_WORDS = tuple(word for word in WORDS if word not in _NAMES)
_PLACES = {word: place for place, word in enumerate((*WORDS, BACKGROUND))}


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """How large the pictures of some steps are.

    Attributes:
        steps: how many steps.
        scene_size: side that they are drawn at, in pixels.
        image_size: side that they are resized to for the model, a multiple of 32.
    """

    steps: int
    scene_size: int
    image_size: int


@dataclass(frozen=True, kw_only=True)
class PictureBookBatches(BatchSource[Batch]):
    """The three kinds of batches of the bundled model's training, one after the other.

    Attributes:
        config: of the model: pixel statistics.
        tokenizer: that turns names, phrases, captions and questions into ids.
        seed: of the run; each has scenes of its own.
        text_steps: steps of texts alone, before all others.
        patch_steps: steps of single things.
        patches: patches a step, over all processes.
        resolutions: of the scenes, in order; the last lasts.
        caption_reward_from: the step of the scenes from which on the model's own captions are rewarded.
        images: scenes a step, over all processes.
        question_length: tokens a question is padded to.
        mixture: what a batch of scenes is made of.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    seed: int
    text_steps: int
    patch_steps: int
    patches: int
    resolutions: tuple[Resolution, ...]
    caption_reward_from: int
    images: int
    question_length: int
    mixture: SceneMixture

    @cached_property
    def _name_ids(self) -> Int[Tensor, " N"]:
        """The tokens of categories and colors, in every form."""
        words = [form for name in (*THING_CATEGORIES, *COLORS) for form in forms_of(name)]
        forms = [*words, *map(plural, words)]
        encoded = self.tokenizer.encode_batch(forms)
        return torch.tensor(sorted({ids[1] for ids in encoded if ids[2] == self.tokenizer.end_id}))

    @property
    def images_a_step(self) -> tuple[int, ...]:
        return (self.patches, self.images) if self.patch_steps else (self.images,)

    def batch(self, step: int, rank: int, world_size: int) -> Batch:
        """The batch of one process in one step."""
        rng = np.random.default_rng((self.seed, step, rank))
        if step < self.text_steps:
            return self._texts(rng)
        step -= self.text_steps
        if step < self.patch_steps:
            return self._patches(step, rank, world_size, rng)
        step -= self.patch_steps
        return self._scenes(step, rank, world_size, rng)

    # Texts

    def _texts(self, rng: np.random.Generator) -> TextBatch:
        drawn = [self._random_text(rng) for _ in range(128)]
        bags = np.zeros((len(drawn), len(_PLACES)), np.float32)
        for row, (_, words) in enumerate(drawn):
            for word in words:
                bags[row, _PLACES[_NAMES.get(word, word)]] += 1
        bags /= np.linalg.norm(bags, axis=1, keepdims=True)
        texts = [text for text, _ in drawn]
        return TextBatch(token_ids=self._encode(texts), overlaps=torch.from_numpy(bags @ bags.T))

    def _random_text(self, rng: np.random.Generator) -> tuple[str, list[str]]:
        """A text and the words that it says: a template says nothing, a synonym says the name."""
        names = (*THING_CATEGORIES, *STUFF_CATEGORIES, *COLORS, BACKGROUND)
        kind = int(rng.integers(3))
        if kind == 2:
            known = WORDS if self.mixture.synonym_share else _FIRST_WORDS
            words = [known[i] for i in rng.integers(len(known), size=int(rng.integers(2, 9)))]
            return " ".join(words), words
        pair = _PAIRS[int(rng.integers(len(_PAIRS)))]
        name = names[int(rng.integers(len(names)))] if kind == 0 else " ".join(pair)
        return self._written(name, rng), name.split()

    # Patches

    def _patches(self, step: int, rank: int, world_size: int, rng: np.random.Generator) -> PatchBatch:
        count = self.patches // world_size
        first = self.seed * 100_000_000 + step * self.patches + rank * count
        drawn = [draw_patch(first + i, PATCH_SIZE) for i in range(count)]
        lists: dict[str, list[str]] = {
            "categories": [c for _, c, _ in drawn],
            "colors": [c for *_, c in drawn],
            "pairs": [f"{color} {category}" for _, category, color in drawn],
        }
        everything = {"categories": list(THING_CATEGORIES), "colors": list(COLORS)}
        texts: list[str] = []
        rows: list[Int[Tensor, " K"]] = []
        wanted: list[Int[Tensor, " B"]] = []
        for name, own in lists.items():
            known = everything.get(name) or list(dict.fromkeys(own))
            rows.append(torch.arange(len(texts), len(texts) + len(known)))
            texts += [self._written(text, rng) for text in known]
            wanted.append(torch.tensor([known.index(text) for text in own]))
        return PatchBatch(
            images=normalize([image for image, *_ in drawn], self.config),
            token_ids=self._encode(texts),
            names=tuple(lists),
            rows=tuple(rows),
            wanted=tuple(wanted),
        )

    # Scenes

    def _resolution(self, step: int) -> Resolution:
        """That of a step of the scenes."""
        for resolution in self.resolutions:
            if step < resolution.steps:
                return resolution
            step -= resolution.steps
        return self.resolutions[-1]

    def _scenes(self, step: int, rank: int, world_size: int, rng: np.random.Generator) -> SceneBatch:
        count = self.images // world_size
        first = self.seed * 100_000_000 + step * self.images + rank * count
        resolution, mixture = self._resolution(step), self.mixture
        scenes = [draw_scene(first + i, split="train", size=resolution.scene_size) for i in range(count)]
        cells = resolution.image_size // self.config.pixel_decoder.mask_stride
        masks = [coverage(scene, cells) for scene in scenes]
        vocabulary, names, classes = self._vocabulary(scenes, rng)
        chosen = [self._choose_phrases(scene, rng) for scene in scenes]
        phrase_ids = [self.tokenizer.encode(p.text) for own in chosen for p in own]
        told_of = self._with_text(scenes)
        texts = [self._describe(scenes[i], rng) for i in told_of]
        parts = [self._describe_regions(scenes[i], rng) for i in told_of]
        caption_ids = [
            self.tokenizer.encode(text)
            for own, regions in zip(texts, parts, strict=True)
            for text in (*own, *(text for text, _ in regions))
        ]
        asked = [questions(s, rng, count=mixture.questions, shares=_QUESTION_SHARES) for s in scenes]
        told = self._pad(caption_ids)
        paired = [
            description(scenes[i], rng) if rng.random() < mixture.description_share else own[0]
            for i, own in zip(told_of, texts, strict=True)
        ]
        return SceneBatch(
            images=normalize([resize(s.image, resolution.image_size) for s in scenes], self.config),
            names=names,
            classes=classes,
            masks=tuple(masks),
            phrases=self._pad(phrase_ids),
            phrase_lengths=tuple(len(ids) for ids in phrase_ids),
            phrase_counts=tuple(len(own) for own in chosen),
            phrase_masks=tuple(m[[p.segment - 1 for p in own]] for m, own in zip(masks, chosen, strict=True)),
            nouns=self._nouns(vocabulary, {i: own[0] for i, own in zip(told_of, texts, strict=True)}, count),
            pair_images=torch.tensor(told_of, dtype=torch.long),
            captions=told,
            caption_valid=torch.arange(told.shape[1])
            < torch.tensor([len(i) for i in caption_ids], dtype=torch.long)[:, None],
            caption_names=torch.isin(told, self._name_ids),
            captions_each=mixture.captions + mixture.region_captions,
            caption_regions=self._caption_levels([[mask for _, mask in own] for own in parts], resolution),
            pairs=self._pad([self.tokenizer.encode(text) for text in paired]),
            pair_groups=torch.tensor(
                [text_id(" ".join(sorted(text.split()))) for text in paired], dtype=torch.long
            ),
            questions=self._encode([q.text for own in asked for q in own], self.question_length),
            question_images=torch.arange(count).repeat_interleave(torch.tensor([len(q) for q in asked])),
            answers=torch.tensor([ANSWERS.index(q.answer) for own in asked for q in own]),
            scenes=tuple(scenes) if step >= self.caption_reward_from else (),
        )

    def _vocabulary(
        self, scenes: Sequence[Scene], rng: np.random.Generator
    ) -> tuple[list[str], Int[Tensor, "K L"], tuple[Int[Tensor, " N"], ...]]:
        """The names of a batch, the background last, as they are written, and each segment's own."""
        names = [*THING_CATEGORIES, *STUFF_CATEGORIES]
        own = [[s.category for s in scene.segments] for scene in scenes]
        if rng.random() < self.mixture.pair_share:
            own = [
                [f"{s.color} {s.category}" if s.color else s.category for s in scene.segments]
                for scene in scenes
            ]
            names = list(dict.fromkeys(name for names in own for name in names))
            others = [f"{_PAIRS[i][0]} {_PAIRS[i][1]}" for i in rng.permutation(len(_PAIRS))]
            more = [name for name in (*others, *STUFF_CATEGORIES) if name not in names]
            names += more[: max(0, self.mixture.vocabulary_size - len(names))]
        place = {name: i for i, name in enumerate(names)}
        classes = tuple(torch.tensor([place[name] for name in image]) for image in own)
        names.append(BACKGROUND)
        return names, self._encode([self._written(name, rng) for name in names]), classes

    def _nouns(self, vocabulary: Sequence[str], captions: Mapping[int, str], images: int) -> NounTexts:
        """The nouns of captions, by image, and the captions."""
        texts: list[list[tuple[str, str]]] = []
        for image in range(images):
            caption = captions.get(image)
            own = {} if caption is None else {**caption_nouns(caption), caption: caption}
            texts.append([(f"{said}.", meant) for meant, said in own.items()])
        said = [text for own in texts for text, _ in own]
        return NounTexts(
            texts=self._pad([self.tokenizer.encode(text) for text in said]),
            counts=tuple(map(len, texts)),
            groups=torch.tensor([text_id(meant) for own in texts for _, meant in own], dtype=torch.long),
            name_groups=torch.tensor([text_id(name) for name in vocabulary]),
        )

    def _choose_phrases(self, scene: Scene, rng: np.random.Generator) -> list[Phrase]:
        """Phrases of different segments, those of things first."""
        found = phrases(scene, rng)
        order = [found[i] for i in rng.permutation(len(found))]
        if rng.random() < self.mixture.hard_share:
            order.sort(key=_is_easy)
        chosen: dict[int, Phrase] = {}
        for phrase in order:
            chosen.setdefault(phrase.segment, phrase)
        things = [p for p in chosen.values() if scene.segment(p.segment).is_thing]
        stuff = [p for p in chosen.values() if not scene.segment(p.segment).is_thing]
        return (things[: self.mixture.phrases - 1] + stuff)[: self.mixture.phrases]

    def _with_text(self, scenes: Sequence[Scene]) -> list[int]:
        """The scenes of a batch that come with text."""
        most = max(1, round(self.mixture.pairs * len(scenes)))
        return [i for i, scene in enumerate(scenes) if scene.setting in self.mixture.pair_settings][:most]

    def _describe(self, scene: Scene, rng: np.random.Generator) -> tuple[str, ...]:
        mixture = self.mixture
        share = mixture.setting_share if "setting" in mixture.styles else 0.0
        settings = int(rng.binomial(mixture.captions, share))
        return (
            *(caption(scene, rng, style="setting") for _ in range(settings)),
            *captions(scene, rng, count=mixture.captions - settings, styles=mixture.styles),
        )

    def _describe_regions(
        self, scene: Scene, rng: np.random.Generator
    ) -> list[tuple[str, Bool[NDArray[np.bool_], "H W"]]]:
        """Captions of single things with the part of the picture that each is about."""
        found: list[tuple[str, NDArray[np.bool_]]] = []
        for place in rng.integers(len(scene.things), size=self.mixture.region_captions).tolist():
            thing = scene.things[place]
            mask = scene.ids == thing.id
            if rng.random() < self.mixture.box_share:
                mask = mask.any(1)[:, None] & mask.any(0)
            found.append((region_caption(thing, rng), mask))
        return found

    def _caption_levels(
        self, regions: Sequence[Sequence[Bool[NDArray[np.bool_], "H W"]]], resolution: Resolution
    ) -> tuple[Bool[Tensor, "M _ _"], ...]:
        """The cells that the captions of all images are about: everything, then each image's regions."""
        geometry = Geometry.of(
            (resolution.scene_size, resolution.scene_size),
            short_side=resolution.image_size,
            long_side=resolution.image_size,
        )
        levels = [(resolution.image_size // stride, resolution.image_size // stride) for stride in _LEVELS]
        whole = [torch.ones(self.mixture.captions, *level, dtype=torch.bool) for level in levels]
        rows: list[Sequence[Tensor]] = []
        if not regions:
            return tuple(torch.ones(0, *level, dtype=torch.bool) for level in levels)
        for own in regions:
            rows.append(whole)
            rows += [region_at_levels(torch.from_numpy(mask), geometry, levels) for mask in own]
        return tuple(torch.cat(level) for level in zip(*rows, strict=True))

    def _written(self, name: str, rng: np.random.Generator) -> str:
        """A name, perhaps by a synonym, perhaps within a template."""
        if rng.random() < self.mixture.synonym_share:
            name = " ".join(
                word if word not in SYNONYMS else SYNONYMS[word][int(rng.integers(len(SYNONYMS[word])))]
                for word in name.split()
            )
        if rng.random() < self.mixture.template_share:
            return training_prompt(name, int(rng.integers(len(TEMPLATES))))
        return f"{name}."

    def _encode(self, texts: Sequence[str], length: int | None = None) -> Int[Tensor, "M L"]:
        return torch.tensor(self.tokenizer.encode_batch(texts, length))

    def _pad(self, rows: Sequence[Sequence[int]]) -> Int[Tensor, "M L"]:
        length = max((len(row) for row in rows), default=0)
        padded = [[*row, *[self.tokenizer.end_id] * (length - len(row))] for row in rows]
        return torch.tensor(padded, dtype=torch.long).view(len(rows), length)


def _is_easy(phrase: Phrase) -> bool:
    """Whether it asks for no place in the picture."""
    return phrase.spec.extreme is None and phrase.spec.place is None


def normalize(images: Sequence[NDArray[np.uint8]], config: ModelConfig) -> Float[Tensor, "B 3 H W"]:
    """Pictures of one size as the model takes them; their sides are multiples of 32."""
    return normalize_images(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), config)


def resize(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A picture at another size, as `Predictor.encode` resizes it."""
    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def coverage(scene: Scene, cells: int) -> Float[Tensor, "N cells cells"]:
    """How much each segment covers of each of `cells` by `cells` cells that part the picture."""
    shares = _shares(scene.size, cells)
    numbers = np.arange(1, len(scene.segments) + 1, dtype=np.int32)[:, None, None]
    return torch.from_numpy(shares @ (scene.ids == numbers).astype(np.float32) @ shares.T)


@cache
def _shares(pixels: int, cells: int) -> Float32[NDArray[np.float32], "cells pixels"]:
    """How much of each cell of a row each pixel of it fills."""
    edges = np.arange(cells + 1) * (pixels / cells)
    left, right = edges[:-1, None], edges[1:, None]
    places = np.arange(pixels)
    shared = np.clip(np.minimum(right, places + 1) - np.maximum(left, places), 0, None)
    return (shared * (cells / pixels)).astype(np.float32)
