"""Batches from data sets: annotated images, captioned ones, phrases and questions, from any data set.

Every step takes a part of each kind that a recipe names, each with its own number of images and size (32
segmented and 1,024 captioned ones as published). Which samples a step takes follows from (seed, step) alone:
every data set is shuffled anew in each of its epochs, and the processes share the step's samples out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xdecoder.bounds import require_shares
from xdecoder.config import ModelConfig
from xdecoder.data.dataset import Dataset
from xdecoder.data.opening import open_dataset
from xdecoder.data.records import (
    VOID,
    CaptionSample,
    ImageId,
    InstanceSample,
    PanopticSample,
    QuestionSample,
    ReferringSample,
    Sample,
    SemanticSample,
    Task,
)
from xdecoder.metrics.vqa import normalize_answer
from xdecoder.tasks.geometry import normalize_images
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.batches import Batch, BatchSource, text_id
from xdecoder.training.datasets.batches import (
    DatasetBatch,
    NounTexts,
    PairBatch,
    QuestionBatch,
    ReferringBatch,
    SegmentationBatch,
)
from xdecoder.training.datasets.crops import View
from xdecoder.training.datasets.nouns import NounFinder
from xdecoder.vocabularies import Vocabulary, clean_name, prompts, training_prompt

BACKGROUND = "background"
_TEMPLATES = len(prompts("thing"))


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """One kind of data in every step.

    Attributes:
        dataset: its name in `xdecoder.data.catalog`.
        task: what its samples carry.
        split: which of its splits; empty for the first.
        images: images a step, over all processes.
        size: side of the square that the network sees, a multiple of 32.
        scale: the image's longer side becomes the square's, times a factor drawn from here.
        flip: share of images that are mirrored.
        captions: learn from the data set's captions of the same images too: objects that are no segment are
            aligned with the nouns.
    """

    dataset: str
    task: Task
    split: str = ""
    images: int = 32
    size: int = 1024
    scale: tuple[float, float] = (0.1, 2.0)
    flip: float = 0.5
    captions: bool = False

    def __post_init__(self) -> None:
        require_shares(self, "flip")
        if self.size % 32 or self.images < 1 or not 0 < self.scale[0] <= self.scale[1]:
            raise ValueError(
                "a part needs images >= 1, a size that is a multiple of 32 and 0 < scale, got "
                f"{self.images}, {self.size} and {self.scale}"
            )

    def view(self, shape: tuple[int, ...], rng: np.random.Generator) -> View:
        """A random look at an image of a height and width."""
        return View.draw(shape, rng, size=self.size, scale=self.scale, flip=self.flip)


@dataclass(frozen=True, kw_only=True)
class DatasetBatches(BatchSource[Batch]):
    """The parts of every step.

    Attributes:
        parts: at most one of each kind.
        root: the folder that holds the data sets.
        config: of the model: pixel statistics, context length.
        tokenizer: of the model.
        seed: of the run.
        answers: what can be answered; row k of a question's answers is `answers[k]`.
        question_length: tokens a question is padded to.
        phrases: phrases an image, at the most.
    """

    parts: tuple[TaskConfig, ...]
    root: Path
    config: ModelConfig
    tokenizer: Tokenizer
    seed: int
    answers: tuple[str, ...] = ()
    question_length: int = 32
    phrases: int = 8

    @cached_property
    def datasets(self) -> dict[str, Dataset[Sample]]:
        """Each part's data set, by its task."""
        return {
            part.task: open_dataset(part.dataset, self.root, task=part.task, split=part.split or None)
            for part in self.parts
        }

    @cached_property
    def captions(self) -> dict[ImageId, tuple[str, ...]]:
        """The captions of the segmented images, where they are learned from."""
        return {
            sample.image_id: sample.captions
            for part in self.parts
            if part.captions
            for sample in open_dataset(part.dataset, self.root, task="caption", split=part.split or None)
        }

    @cached_property
    def noun_finder(self) -> NounFinder:
        """Reads the captions."""
        return NounFinder()

    @property
    def images_a_step(self) -> tuple[int, ...]:
        return tuple(part.images for part in self.parts)

    def batch(self, step: int, rank: int, world_size: int) -> DatasetBatch:
        """The batch of one process in one step."""
        found: dict[str, Batch] = {}
        for part in self.parts:
            data = self.datasets[part.task]
            share = part.images // world_size
            places = range(step * part.images + rank * share, step * part.images + (rank + 1) * share)
            samples = [data[i] for i in shuffled(places, len(data), self.seed)]
            rngs = [np.random.default_rng((self.seed, place)) for place in places]
            match part.task:
                case "panoptic" | "instance" | "semantic":
                    templates = np.random.default_rng((self.seed, step))
                    found["segments"] = self._segments(part, samples, rngs, data.vocabulary, templates)
                case "referring":
                    found["phrases"] = self._phrases(part, samples, rngs)
                case "caption":
                    found["pairs"] = self._pairs(part, samples, rngs)
                case "question":
                    found["questions"] = self._questions(part, samples, rngs)
        return DatasetBatch(**found)  # pyright: ignore[reportArgumentType]

    def _segments(
        self,
        part: TaskConfig,
        samples: Sequence[Sample],
        rngs: Sequence[np.random.Generator],
        vocabulary: Vocabulary | None,
        templates: np.random.Generator,
    ) -> SegmentationBatch:
        if vocabulary is None:
            raise ValueError(f"{part.dataset} has no class names, so nothing can be segmented with it")
        images: list[Tensor] = []
        labels: list[Tensor] = []
        masks: list[Tensor] = []
        for sample, rng in zip(samples, rngs, strict=True):
            image, index, stack = _read_segments(sample)
            view = part.view(image.shape[:2], rng)
            found = view.masks(stack)
            kept = found.flatten(1).any(1)
            images.append(self._normalize(view.image(image), part.size))
            labels.append(torch.tensor(index, dtype=torch.long)[kept])
            masks.append(found[kept])
        names = [
            training_prompt(name, int(templates.integers(_TEMPLATES)))
            for name in (*vocabulary.classes, BACKGROUND)
        ]
        return SegmentationBatch(
            images=torch.stack(images),
            names=torch.tensor(self.tokenizer.encode_batch(names)),
            labels=tuple(labels),
            masks=tuple(masks),
            nouns=self._nouns(samples, rngs, vocabulary) if part.captions else None,
        )

    def _nouns(
        self, samples: Sequence[Sample], rngs: Sequence[np.random.Generator], vocabulary: Vocabulary
    ) -> NounTexts:
        texts: list[str] = []
        meanings: list[str] = []
        counts: list[int] = []
        for sample, rng in zip(samples, rngs, strict=True):
            captions = self.captions.get(sample.image_id)
            if captions is None:
                raise ValueError(f"image {sample.image_id} has no caption; set segments.captions=false")
            caption = captions[int(rng.integers(len(captions)))]
            found = self.noun_finder.nouns(caption)
            texts += [training_prompt(noun, int(rng.integers(_TEMPLATES))) for noun in found.values()]
            meanings += found
            texts.append(caption)
            meanings.append(caption.lower())
            counts.append(len(found) + 1)
        names = [self.noun_finder.meaning(clean_name(name)) for name in (*vocabulary.classes, BACKGROUND)]
        return NounTexts(
            texts=torch.tensor(self.tokenizer.encode_batch(texts)),
            counts=tuple(counts),
            groups=torch.tensor([text_id(meaning) for meaning in meanings]),
            name_groups=torch.tensor([text_id(name) for name in names]),
        )

    def _phrases(
        self, part: TaskConfig, samples: Sequence[Sample], rngs: Sequence[np.random.Generator]
    ) -> ReferringBatch:
        images: list[Tensor] = []
        texts: list[str] = []
        masks: list[Tensor] = []
        for sample, rng in zip(samples, rngs, strict=True):
            assert isinstance(sample, ReferringSample)
            image = sample.image()
            view = part.view(image.shape[:2], rng)
            stack = np.stack([r.region.mask(*image.shape[:2]) for r in sample.referents])
            found = view.masks(stack)
            seen = [i for i in rng.permutation(len(stack)).tolist() if found[i].any()][: self.phrases]
            images.append(self._normalize(view.image(image), part.size))
            masks.append(found[seen])
            for i in seen:
                choices = sample.referents[i].phrases
                texts.append(choices[int(rng.integers(len(choices)))])
        rows = [self.tokenizer.encode(text) for text in texts]
        ids = torch.tensor(self.tokenizer.encode_batch(texts or [""]))[: len(texts)]
        return ReferringBatch(
            images=torch.stack(images),
            phrases=ids,
            lengths=tuple(len(row) for row in rows),
            counts=tuple(len(m) for m in masks),
            masks=tuple(masks),
        )

    def _pairs(
        self, part: TaskConfig, samples: Sequence[Sample], rngs: Sequence[np.random.Generator]
    ) -> PairBatch:
        images: list[Tensor] = []
        texts: list[str] = []
        for sample, rng in zip(samples, rngs, strict=True):
            assert isinstance(sample, CaptionSample)
            image = sample.image()
            images.append(self._normalize(part.view(image.shape[:2], rng).image(image), part.size))
            texts.append(sample.captions[int(rng.integers(len(sample.captions)))])
        ids = torch.tensor(self.tokenizer.encode_batch(texts))
        lengths = torch.tensor([len(self.tokenizer.encode(text)) for text in texts])
        valid = torch.arange(ids.shape[1]) < lengths[:, None]
        return PairBatch(images=torch.stack(images), captions=ids, valid=valid)

    def _questions(
        self, part: TaskConfig, samples: Sequence[Sample], rngs: Sequence[np.random.Generator]
    ) -> QuestionBatch:
        images: list[Tensor] = []
        texts: list[str] = []
        shares = torch.zeros(len(samples), len(self.answers))
        place = {answer: k for k, answer in enumerate(self.answers)}
        for row, (sample, rng) in enumerate(zip(samples, rngs, strict=True)):
            assert isinstance(sample, QuestionSample)
            image = sample.image()
            images.append(self._normalize(part.view(image.shape[:2], rng).image(image), part.size))
            question = sample.questions[int(rng.integers(len(sample.questions)))]
            texts.append(question.text)
            for answer in map(normalize_answer, question.answers):
                if answer in place:  # three people make an answer right, as VQAv2 counts
                    shares[row, place[answer]] = min(1.0, float(shares[row, place[answer]]) + 1 / 3)
        ids = torch.tensor(self.tokenizer.encode_batch(texts, self.question_length))
        return QuestionBatch(images=torch.stack(images), questions=ids, answers=shares)

    def _normalize(self, image: NDArray[np.uint8], size: int) -> Float[Tensor, "3 S S"]:
        """As at inference, padded to a square."""
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        return normalize_images(pixels, self.config, padded=(size, size))


def shuffled(places: Sequence[int], length: int, seed: int) -> list[int]:
    """Which samples stand at some places of an endless series of epochs, each in an order of its own."""
    orders: dict[int, NDArray[np.int64]] = {}
    for epoch in {place // length for place in places}:
        orders[epoch] = np.random.default_rng((seed, 1, epoch)).permutation(length)
    return [int(orders[place // length][place % length]) for place in places]


def _read_segments(sample: Sample) -> tuple[NDArray[np.uint8], list[int], NDArray[np.bool_]]:
    """An image, its segments' classes and masks; crowds and unlabeled pixels belong to none."""
    if isinstance(sample, PanopticSample):
        image, panoptic = sample.read()
        kept = [s for s in panoptic.segments if not s.crowd]
        return image, [s.category for s in kept], _stack([panoptic.ids == s.id for s in kept], image)
    if isinstance(sample, InstanceSample):
        image = sample.image()
        regions = [r for r in sample.regions() if not r.crowd]
        return (
            image,
            [r.category for r in regions],
            _stack([r.mask(*image.shape[:2]) for r in regions], image),
        )
    assert isinstance(sample, SemanticSample)
    image, labels = sample.read()
    present = [int(k) for k in np.unique(labels) if k != VOID]
    return image, present, _stack([labels == k for k in present], image)


def _stack(masks: Sequence[NDArray[np.bool_]], image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.stack(masks) if masks else np.zeros((0, *image.shape[:2]), bool)
