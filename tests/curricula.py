"""Made-up batches of both curricula, which hold every loss term, for tests of the losses alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from builders import FPN, tiny_config
from xdecoder.config import HybridConfig, ModelConfig
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.training.batches import NounTexts
from xdecoder.training.datasets.batches import (
    DatasetBatch,
    PairBatch,
    QuestionBatch,
    ReferringBatch,
    SegmentationBatch,
    SegmentPhrases,
)
from xdecoder.training.picturebook.batches import SceneBatch

START, END = 58, 59
ANSWERS = ("yes", "no", "two")
SIDE = 64
SEEDS = (0, 1, 2)


def build(seed: int, config: ModelConfig) -> tuple[XDecoder, AnswerHead]:
    """A tiny model and its answer head, in float64, so that no machine's rounding shows."""
    torch.manual_seed(seed)
    model = XDecoder(config).double().train()
    return model, AnswerHead(16, ANSWERS, question_length=8).double()


def scene_model(seed: int) -> tuple[XDecoder, AnswerHead]:
    """For `scene_batch`."""
    hybrid = HybridConfig(widths=(8, 12, 16, 20), depths=(1, 1, 1, 1), place_channels=8)
    fine = replace(FPN, mask_stride=2)
    return build(
        seed,
        tiny_config(END + 1, context_length=12, queries=12, layers=4, backbone=hybrid, pixel_decoder=fine),
    )


def dataset_model(seed: int) -> tuple[XDecoder, AnswerHead]:
    """For `dataset_batch`."""
    return build(seed, tiny_config(END + 1, context_length=12, queries=12, layers=4))


class Draw:
    """Random values of one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def share(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, dtype=torch.float64)

    def whole(self, high: int, *shape: int) -> Tensor:
        return torch.randint(0, high, shape, generator=self.generator)

    def texts(self, lengths: list[int], padded: int | None = None) -> Tensor:
        """Texts of so many tokens, start and end included."""
        ids = torch.full((len(lengths), padded or max(lengths)), END)
        for row, length in zip(ids, lengths, strict=True):
            row[0] = START
            row[1 : length - 1] = self.whole(START, length - 2)
        return ids

    def blobs(self, count: int, side: int) -> Tensor:
        """Smooth maps from 0 to 1."""
        rough = self.normal(count, 1, 4, 4)
        return torch.nn.functional.interpolate(rough, size=(side, side), mode="bilinear")[:, 0].sigmoid()


def valid(lengths: list[int]) -> Tensor:
    """True from the start token to the end token."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def scene_batch(seed: int) -> SceneBatch:
    """Three drawn scenes, as far as losses know."""
    draw = Draw(100 + seed)
    segments, phrases = (3, 1, 4), (2, 1, 2)
    phrase_lengths, caption_lengths = [4, 6, 3, 5, 4], [7, 4, 9, 5, 6, 8]
    captions = draw.texts(caption_lengths)
    regions = tuple(draw.share(6, n, n) > 0.4 for n in (2, 4, 8))
    for level in regions:
        level[:, 0, 0] = True
    return SceneBatch(
        images=draw.normal(3, 3, SIDE, SIDE),
        names=draw.texts([4, 3, 5, 4, 6, 3, 3]),
        classes=tuple(draw.whole(6, n) for n in segments),
        masks=tuple(draw.blobs(n, SIDE // 2) for n in segments),
        phrases=draw.texts(phrase_lengths),
        phrase_lengths=tuple(phrase_lengths),
        phrase_counts=phrases,
        phrase_masks=tuple(draw.blobs(n, SIDE // 2) for n in phrases),
        nouns=NounTexts(
            texts=torch.zeros(0, 3, dtype=torch.long),
            counts=(0, 0, 0),
            groups=torch.zeros(0, dtype=torch.long),
            name_groups=torch.arange(7),
        ),
        pair_images=torch.arange(3),
        captions=captions,
        caption_valid=valid(caption_lengths),
        caption_names=(captions < 20) & valid(caption_lengths),
        captions_each=2,
        caption_regions=regions,
        pairs=draw.texts([6, 4, 5]),
        pair_groups=torch.tensor([5, 8, 5]),
        questions=draw.texts([5, 8, 6, 4], 8),
        question_images=torch.tensor([0, 0, 2, 1]),
        answers=draw.whole(3, 4),
    )


def dataset_batch(seed: int) -> DatasetBatch:
    """Every part of a step on data sets. No image has two segments of a class, and they are in order."""
    draw = Draw(200 + seed)
    phrases, nouns, captions = [5, 3, 6, 4], [3, 4, 6, 4, 5], [7, 12, 5, 9]
    labels = (torch.tensor([0, 2, 5]), torch.tensor([1, 4]))
    images = draw.normal(2, 3, SIDE, SIDE)
    name_lengths = [4, 3, 5, 4, 6, 3, 3]
    names = draw.texts(name_lengths)
    masks = tuple(draw.blobs(len(own), SIDE) > 0.5 for own in labels)
    named = torch.cat(labels)
    return DatasetBatch(
        segments=SegmentationBatch(
            images=images,
            names=names,
            labels=labels,
            masks=masks,
            nouns=NounTexts(
                texts=draw.texts(nouns),
                counts=(3, 2),
                groups=torch.tensor([1, 2, 7, 1, 8]),
                name_groups=torch.tensor([1, 3, 2, 4, 5, 6, 9]),
            ),
            phrases=SegmentPhrases(
                texts=names[named],
                lengths=tuple(name_lengths[k] for k in named),
                counts=(3, 2),
                rows=(torch.arange(3), torch.arange(3, 5)),
                masks=masks,
                free=(False, False),
            ),
        ),
        phrases=ReferringBatch(
            images=draw.normal(2, 3, SIDE, SIDE),
            phrases=draw.texts(phrases),
            lengths=tuple(phrases),
            counts=(3, 1),
            masks=tuple(draw.blobs(n, SIDE) > 0.5 for n in (3, 1)),
        ),
        pairs=PairBatch(
            images=draw.normal(4, 3, SIDE, SIDE), captions=draw.texts(captions), valid=valid(captions)
        ),
        questions=QuestionBatch(
            images=draw.normal(3, 3, SIDE, SIDE),
            questions=draw.texts([5, 8, 6], 8),
            answers=draw.share(3, 3),
        ),
    )
