"""Batches from data sets: annotated images, captioned ones, phrases and questions, from any data set.

Every step takes a part of each kind that a recipe names, each with its own number of images and size (32
segmented and 1,024 captioned ones as published). Which samples a step takes follows from (seed, step) alone:
every data set is shuffled anew in each of its epochs, and the processes share the step's samples out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.data.dataset import Dataset
from xdecoder.data.pair_files import PairArchives
from xdecoder.data.records import (
    CaptionSample,
    ImageId,
    QuestionSample,
    Referent,
    ReferringSample,
    Sample,
)
from xdecoder.metrics.vqa import normalize_answer
from xdecoder.tasks.geometry import normalize_images
from xdecoder.tokenizer import Tokenizer
from xdecoder.training.batches import Batch, BatchSource, NounTexts, text_id
from xdecoder.training.datasets.batches import (
    DatasetBatch,
    PairBatch,
    QuestionBatch,
    ReferringBatch,
    SegmentationBatch,
    SegmentPhrases,
)
from xdecoder.training.datasets.crops import View
from xdecoder.training.datasets.nouns import NounFinder
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.sampling import Samples, open_source, repeat_rare
from xdecoder.training.datasets.segments import may_have_segments, read_segments
from xdecoder.training.datasets.survey import notes_of
from xdecoder.vocabularies import Vocabulary, clean_name, prompts, training_prompt

BACKGROUND = "background"
T = TypeVar("T")
_TEMPLATES = len(prompts("thing"))
_MOST_PHRASES: Final = 4
"""Free-text phrases of a segmented image, as published."""
_ATTEMPTS: Final = 20
"""Samples in a row that may be unreadable."""


@dataclass(frozen=True, kw_only=True)
class DatasetBatches(BatchSource[Batch]):
    """The parts of every step.

    Attributes:
        parts: at most one of each kind.
        root: the folder that holds the data sets.
        config: of the model: pixel statistics, context length.
        tokenizer: that turns names, phrases and captions into ids.
        seed: that order, views and choices of texts follow from.
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
    def samples(self) -> dict[str, Samples]:
        """Each part's samples, by its task."""
        return {
            part.task: Samples(
                [
                    self._open(part, name, split)
                    for name, split in ((part.dataset, part.split), *((m.dataset, "") for m in part.mix))
                ],
                weights=(1.0, *(m.weight for m in part.mix)),
                seed=self.seed,
                buffer=part.buffer,
            )
            for part in self.parts
        }

    def _open(self, part: TaskConfig, name: str, split: str) -> Sequence[Sample]:
        found = open_source(name, self.root, task=part.task, split=split)
        if part.repeat_threshold and isinstance(found, Dataset):
            return repeat_rare(found, part.repeat_threshold)
        return found

    @cached_property
    def captions(self) -> dict[ImageId, tuple[str, ...]]:
        """The captions of the segmented images, where they are learned from."""
        return {
            sample.image_id: sample.captions
            for part in self.parts
            if part.captions
            for sample in open_source(part.captions, self.root, task="caption", split=part.split)
            if isinstance(sample, CaptionSample)
        }

    @cached_property
    def referents(self) -> dict[ImageId, tuple[Referent, ...]]:
        """What phrases refer to in the segmented images, where that is learned from."""
        found: dict[ImageId, tuple[Referent, ...]] = {}
        for part in self.parts:
            for name in part.phrases:
                for sample in open_source(name, self.root, task="referring", split="train"):
                    assert isinstance(sample, ReferringSample)
                    found[sample.image_id] = (*found.get(sample.image_id, ()), *sample.referents)
        return found

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
        skipped: list[str] = []
        for part in self.parts:
            share = part.images // world_size
            places = range(step * part.images + rank * share, step * part.images + (rank + 1) * share)
            match part.task:
                case "panoptic" | "instance" | "semantic":
                    templates = np.random.default_rng((self.seed, step))
                    rows = self._read(part, places, self._segments, skipped)
                    found["segments"] = self._join_segments(part, rows, templates)
                case "referring":
                    found["phrases"] = self._join_phrases(self._read(part, places, self._phrases, skipped))
                case "caption":
                    found["pairs"] = self._join_pairs(self._read(part, places, self._pair, skipped))
                case "question":
                    rows = self._read(part, places, self._question, skipped)
                    found["questions"] = self._join_questions(rows)
        return DatasetBatch(skipped=tuple(skipped), **found)  # pyright: ignore[reportArgumentType]

    def check(self) -> tuple[str, ...]:
        """Open everything and read a first sample of each part: what is learned from, and what is left out.

        Raises:
            FileNotFoundError: files are missing.
            ValueError: there is nothing to learn from, or what is there is malformed.
        """
        lines: list[str] = []
        for part in self.parts:
            samples = self.samples[part.task]
            what = "views an epoch, rare classes repeated, of images" if part.repeat_threshold else "images"
            lines.append(f"{part.task}: {len(samples):,} {what} of {', '.join(part.sources)}")
            for source in samples.sources:
                lines += _skipped_lines(source)
            if part.task in ("panoptic", "instance", "semantic"):
                self.vocabulary(part)
                if not any(map(may_have_segments, samples.sources)):
                    raise ValueError(
                        f"{part.dataset} in {self.root}: no object has a mask, so there is nothing to learn "
                        "to segment; boxes alone are not enough: draw polygons, or mask the boxes by a model"
                    )
                for source in samples.sources:
                    if isinstance(source, Dataset):
                        lines += [f"  {note}" for note in notes_of(part, source, self.root)]
        self.batch(0, 0, math.gcd(*self.images_a_step))
        return tuple(lines)

    def vocabulary(self, part: TaskConfig) -> Vocabulary:
        """The class names of a segmented part.

        Raises:
            ValueError: it has none, or mixed data sets have different ones.
        """
        sources = self.samples[part.task].sources
        found = {source.vocabulary for source in sources if isinstance(source, Dataset)}
        (vocabulary,) = found if len(found) == 1 else (None,)
        if vocabulary is None:
            raise ValueError(
                f"{', '.join(part.sources)}: expected class names, the same in all, to learn to segment"
            )
        return vocabulary

    def _read(
        self,
        part: TaskConfig,
        places: range,
        read: Callable[[TaskConfig, Sample, np.random.Generator], T],
        skipped: list[str],
    ) -> list[T]:
        """What is read of the samples at some places; another stands in for one that cannot be read.

        Raises:
            ValueError: of many samples in a row none can be read.
        """
        rows: list[T] = []
        samples = self.samples[part.task]
        for place in places:
            for attempt in range(_ATTEMPTS):
                rng = np.random.default_rng((self.seed, place))
                try:
                    rows.append(read(part, samples.read(place, attempt), rng))
                    break
                except (ValueError, OSError) as error:
                    if attempt == _ATTEMPTS - 1:
                        raise ValueError(f"{_ATTEMPTS} samples in a row cannot be read: {error}") from error
                    skipped.append(str(error))
        return rows

    def _segments(self, part: TaskConfig, sample: Sample, rng: np.random.Generator) -> _Segments:
        image, index, stack = read_segments(sample)
        view = _view(part, image.shape[:2], rng)
        found = view.masks(stack)
        kept = found.flatten(1).any(1)
        labels = torch.tensor(index, dtype=torch.long)[kept]
        return _Segments(
            image=self._normalize(view.image(image), part.size),
            labels=labels,
            masks=found[kept],
            texts=self._caption_nouns(sample, rng) if part.captions else (),
            referred=self._referred(sample, view, image.shape[:2], rng),
            order=tuple(rng.permutation(len(labels)).tolist()),
        )

    def _referred(
        self, sample: Sample, view: View, shape: tuple[int, ...], rng: np.random.Generator
    ) -> tuple[tuple[str, Tensor], ...]:
        """1 to 4 phrases of what the view holds, and the mask that each means."""
        referents = self.referents.get(sample.image_id, ())
        if not referents:
            return ()
        masks = view.masks(np.stack([r.region.mask(*shape) for r in referents]))
        visible = [i for i in rng.permutation(len(referents)).tolist() if masks[i].any()]
        return tuple(
            (referents[i].phrases[int(rng.integers(len(referents[i].phrases)))], masks[i])
            for i in visible[: int(rng.integers(1, _MOST_PHRASES + 1))]
        )

    def _join_segments(
        self, part: TaskConfig, rows: Sequence[_Segments], templates: np.random.Generator
    ) -> SegmentationBatch:
        vocabulary = self.vocabulary(part)
        names = [
            training_prompt(name, int(templates.integers(_TEMPLATES)))
            for name in (*vocabulary.classes, BACKGROUND)
        ]
        return SegmentationBatch(
            images=torch.stack([row.image for row in rows]),
            names=torch.tensor(self.tokenizer.encode_batch(names)),
            labels=tuple(row.labels for row in rows),
            masks=tuple(row.masks for row in rows),
            nouns=self._join_nouns(rows, vocabulary) if part.captions else None,
            phrases=self._join_segment_phrases(part, rows, names) if part.phrases or part.names else None,
        )

    def _join_segment_phrases(
        self, part: TaskConfig, rows: Sequence[_Segments], names: Sequence[str]
    ) -> SegmentPhrases:
        """The phrases of people, or of a few random classes their prompts, one target an instance."""
        texts: list[str] = []
        counts: list[int] = []
        targets: list[Tensor] = []
        masks: list[Tensor] = []
        for row in rows:
            own: list[str]
            if row.referred:
                own = [text for text, _ in row.referred]
                targets.append(torch.arange(len(own)) + len(texts))
                masks.append(torch.stack([mask for _, mask in row.referred]))
            else:
                labels: list[int] = row.labels.tolist()
                classes = list(dict.fromkeys(labels[i] for i in row.order))[: part.names]
                kept = [i for i, label in enumerate(labels) if label in classes]
                places = [len(texts) + classes.index(labels[i]) for i in kept]
                targets.append(torch.tensor(places, dtype=torch.long))
                masks.append(row.masks[kept])
                own = [names[label] for label in classes]
            texts += own
            counts.append(len(own))
        return SegmentPhrases(
            texts=torch.tensor(self.tokenizer.encode_batch(texts or [""]))[: len(texts)],
            lengths=tuple(len(self.tokenizer.encode(text)) for text in texts),
            counts=tuple(counts),
            rows=tuple(targets),
            masks=tuple(masks),
            free=tuple(bool(row.referred) for row in rows),
        )

    def _caption_nouns(self, sample: Sample, rng: np.random.Generator) -> tuple[tuple[str, str], ...]:
        """A caption's nouns, then the caption: each a text and what it means."""
        captions = self.captions.get(sample.image_id)
        if captions is None:
            raise ValueError(f"image {sample.image_id} has no caption; --set 'segments.captions=\"\"'")
        caption = captions[int(rng.integers(len(captions)))]
        nouns = self.noun_finder.nouns(caption)
        texts = [
            (training_prompt(noun, int(rng.integers(_TEMPLATES))), meaning) for meaning, noun in nouns.items()
        ]
        return (*texts, (caption, caption.lower()))

    def _join_nouns(self, rows: Sequence[_Segments], vocabulary: Vocabulary) -> NounTexts:
        texts = [text for row in rows for text in row.texts]
        names = [self.noun_finder.meaning(clean_name(name)) for name in (*vocabulary.classes, BACKGROUND)]
        return NounTexts(
            texts=torch.tensor(self.tokenizer.encode_batch([text for text, _ in texts])),
            counts=tuple(len(row.texts) for row in rows),
            groups=torch.tensor([text_id(meaning) for _, meaning in texts]),
            name_groups=torch.tensor([text_id(name) for name in names]),
        )

    def _phrases(
        self, part: TaskConfig, sample: Sample, rng: np.random.Generator
    ) -> tuple[Tensor, list[str], Tensor]:
        """An image, phrases and the mask that each means."""
        assert isinstance(sample, ReferringSample)
        image = sample.image()
        view = _view(part, image.shape[:2], rng)
        stack = np.stack([r.region.mask(*image.shape[:2]) for r in sample.referents])
        found = view.masks(stack)
        seen = [i for i in rng.permutation(len(stack)).tolist() if found[i].any()][: self.phrases]
        choices = [sample.referents[i].phrases for i in seen]
        texts = [own[int(rng.integers(len(own)))] for own in choices]
        return self._normalize(view.image(image), part.size), texts, found[seen]

    def _join_phrases(self, rows: Sequence[tuple[Tensor, list[str], Tensor]]) -> ReferringBatch:
        images, phrases, masks = zip(*rows, strict=True)
        texts = [text for own in phrases for text in own]
        ids = torch.tensor(self.tokenizer.encode_batch(texts or [""]))[: len(texts)]
        return ReferringBatch(
            images=torch.stack(images),
            phrases=ids,
            lengths=tuple(len(self.tokenizer.encode(text)) for text in texts),
            counts=tuple(map(len, masks)),
            masks=masks,
        )

    def _pair(self, part: TaskConfig, sample: Sample, rng: np.random.Generator) -> tuple[Tensor, str]:
        """An image and one of its captions."""
        assert isinstance(sample, CaptionSample)
        image = sample.image()
        seen = self._normalize(_view(part, image.shape[:2], rng).image(image), part.size)
        return seen, sample.captions[int(rng.integers(len(sample.captions)))]

    def _join_pairs(self, rows: Sequence[tuple[Tensor, str]]) -> PairBatch:
        images, texts = zip(*rows, strict=True)
        ids = torch.tensor(self.tokenizer.encode_batch(texts))
        lengths = torch.tensor([len(self.tokenizer.encode(text)) for text in texts])
        valid = torch.arange(ids.shape[1]) < lengths[:, None]
        return PairBatch(images=torch.stack(images), captions=ids, valid=valid)

    def _question(
        self, part: TaskConfig, sample: Sample, rng: np.random.Generator
    ) -> tuple[Tensor, str, Tensor]:
        """An image, a question, and what share of people gave each answer."""
        assert isinstance(sample, QuestionSample)
        image = sample.image()
        seen = self._normalize(_view(part, image.shape[:2], rng).image(image), part.size)
        question = sample.questions[int(rng.integers(len(sample.questions)))]
        shares = torch.zeros(len(self.answers))
        for answer in map(normalize_answer, question.answers):
            if answer in self.answers:  # three people make an answer right, as VQAv2 counts
                shares[self.answers.index(answer)] += 1 / 3
        return seen, question.text, shares.clamp(max=1)

    def _join_questions(self, rows: Sequence[tuple[Tensor, str, Tensor]]) -> QuestionBatch:
        images, texts, answers = zip(*rows, strict=True)
        ids = torch.tensor(self.tokenizer.encode_batch(texts, self.question_length))
        return QuestionBatch(images=torch.stack(images), questions=ids, answers=torch.stack(answers))

    def _normalize(self, image: NDArray[np.uint8], size: int) -> Float[Tensor, "3 S S"]:
        """As at inference, padded to a square."""
        pixels = torch.from_numpy(image).permute(2, 0, 1)
        return normalize_images(pixels, self.config, padded=(size, size))


@final
@dataclass(frozen=True, kw_only=True)
class _Segments:
    """A segmented image as it is seen, and the texts that go with it.

    Attributes:
        image: normalized and padded.
        labels: the class of each segment.
        masks: of each segment, as it is seen.
        texts: texts that are aligned with objects, and what each means.
        referred: phrases of people, and the mask that each means.
        order: a random order of the segments, of which the first classes are named.
    """

    image: Tensor
    labels: Tensor
    masks: Tensor
    texts: tuple[tuple[str, str], ...]
    referred: tuple[tuple[str, Tensor], ...]
    order: tuple[int, ...]


def _view(part: TaskConfig, shape: tuple[int, ...], rng: np.random.Generator) -> View:
    """A random look at an image of a height and width."""
    if part.squeeze:
        return View.squeeze(rng, size=part.size, flip=part.flip)
    return View.draw(shape, rng, size=part.size, scale=part.scale, flip=part.flip, sides=part.sides)


def _skipped_lines(source: Sequence[Sample]) -> list[str]:
    """What a source leaves out, in a line."""
    if isinstance(source, PairArchives) and source.incomplete:
        return [f"  left out: {source.incomplete:,} files without an image or a caption"]
    if not isinstance(source, Dataset) or not source.skipped:
        return []
    first = source.skipped[0]
    return [f"  left out: {len(source.skipped):,}, the first: {first.item}: {first.reason}"]
