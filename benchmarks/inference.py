"""Times every fast path of inference against the plain formulation of the same thing, in one process.

    python benchmarks/inference.py            # focal-t sizes, random weights, all cores
    python benchmarks/inference.py --quick    # smaller inputs, to try the script
    python benchmarks/inference.py --memory   # peak memory of each task, in a process of its own

"Plain" follows the published program: mask features and masks of every query at full size after every layer,
all masks resized to the image, latent queries and all 77 text positions decoded again for each token, one
class name after another with its 81 prompts padded to 77 tokens.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from xdecoder import Predictor, XDecoder
from xdecoder.config import PRESETS
from xdecoder.model import ImageFeatures, normalize
from xdecoder.networks.decoder_states import LEVELS, LatentStates
from xdecoder.networks.queries import QueryKind, visibility
from xdecoder.tasks.captioning import log_probabilities
from xdecoder.tasks.vocabulary import embed_names
from xdecoder.vocabularies import built_in, prompts
from xdecoder.weights.clip_merges import load_clip_tokenizer

PHRASES = (
    "The larger watermelon.",
    "the man in a red shirt on the left",
    "White tea pot.",
    "dog",
    "the chair closest to the window",
)
NAMES = ("panoptic", "panoptic + instance + semantic", "caption", "phrases", "names")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One task, both ways."""

    name: str
    what: str
    fast: Callable[[], object]
    plain: Callable[[], object]
    repeats: int = 3


def interpolate(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=True)


def plain_convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, kept: object = None
) -> Tensor:
    return F.conv2d(x, weight, bias, padding=1)


class PlainFormulation:
    """The published program's way, on the same weights."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self.model: XDecoder = predictor.model

    def encode(self, image: np.ndarray) -> ImageFeatures:
        """Everything as it is, by PyTorch's own convolutions and resizing."""
        geometry_side = image.shape[0]
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 128 - 1
        assert geometry_side % 32 == 0
        with (
            patch("xdecoder.networks.convolution.conv3x3", plain_convolution),
            patch("xdecoder.model.resize", interpolate),
        ):
            return self.model.encode_images(pixels.contiguous(memory_format=torch.channels_last))

    def latents(self, features: ImageFeatures) -> LatentStates:
        """Masks of every query at stride 4 after every layer, then resized for the attention."""
        decoder, memory = self.model.decoder, features.memory
        Q, positions = decoder.config.queries, decoder.query_positions
        x = decoder.query_features.expand(memory.sources[0].shape[0], -1, -1)
        kinds = {QueryKind.OBJECT: Q - 1, QueryKind.GLOBAL: 1}
        states, keys, values = [], [], []
        for index, layer in enumerate(decoder.layers):
            states.append(decoder._with_global_token(decoder.norm(x)))
            masks = features.mask_logits(decoder.query_outputs(states[-1]).masks)
            inside = interpolate(masks, memory.sizes[index % LEVELS]).flatten(2).sigmoid() >= 0.5
            inside = inside | ~inside.any(-1, keepdim=True)
            x = layer.cross_attend(x, positions, *decoder._project(layer, memory, index), inside[:, None])
            keys.append(layer.self_attention.keys(x + positions))
            values.append(layer.self_attention.values(x))
            x = layer.self_attend(x, positions, keys[-1], values[-1], visibility(kinds, kinds, x.device))
        states.append(decoder._with_global_token(decoder.norm(x)))
        return LatentStates(states=tuple(states), keys=tuple(keys), values=tuple(values))

    def segment(self, image: np.ndarray, vocabulary: Tensor, *, panoptic_only: bool) -> None:
        """All masks at full size, all results from them."""
        features = self.encode(image)
        heads = self.model.decoder.query_outputs(self.latents(features).states[-1])
        classes = self.model.class_logits(heads.embeddings, vocabulary)[0].softmax(-1)
        size = (image.shape[0], image.shape[1])
        masks = interpolate(interpolate(features.mask_logits(heads.masks), size), size)[0]
        best, category = classes.max(-1)
        kept = category != classes.shape[1] - 1
        probabilities = masks[kept].sigmoid()
        winner = (best[kept][:, None, None] * probabilities).argmax(0)
        for query in range(len(probabilities)):
            ((winner == query) & (probabilities[query] >= 0.5)).sum().item()
        if panoptic_only:
            return
        torch.einsum("qk,qhw->khw", classes[:, :-1], masks.sigmoid()).argmax(0)
        _, flat = classes[:, :-1].flatten().topk(100)
        chosen = masks[flat // (classes.shape[1] - 1)]
        covered = chosen > 0
        (chosen.sigmoid() * covered).flatten(1).sum(1)

    def caption(self, image: np.ndarray, steps: int) -> None:
        """Latent queries, text encoder and all positions of a text again for each token."""
        model = self.model
        features = self.encode(image)
        length = model.config.text.context_length
        ids = torch.full((1, length), model.config.text.end_id)
        ids[:, 0] = model.config.text.start_id
        for step in range(steps):
            tokens = model.text_encoder(ids).tokens
            context = model.decoder.open_context(features.memory, self.latents(features), capacity=length)
            states = model.decoder.decode_tokens(context, tokens, kind=QueryKind.CAPTION)[-1]
            logits = log_probabilities(model, model.decoder.project_captions(states[0]))
            ids[0, step + 1] = logits[step].argmax(-1)

    def names(self, names: list[str]) -> None:
        """One name after another, its prompts padded to the longest text."""
        length = self.model.config.text.context_length
        for name in names:
            ids = torch.tensor(self.predictor.tokenizer.encode_batch(prompts(name), length))
            normalize(normalize(self.model.text_encoder(ids).embeddings).mean(0))

    def phrases(self, image: np.ndarray) -> None:
        """The latent queries decoded too, and every copy's mask at full size."""
        from xdecoder.tasks.vocabulary import encode_phrases

        model = self.model
        features = self.encode(image)
        self.latents(features)
        texts, valid = encode_phrases(model, self.predictor.tokenizer, PHRASES)
        tokens = texts.tokens[valid][None]
        seen = torch.ones_like(tokens[..., 0], dtype=torch.bool)
        states = model.decoder.decode_phrases(features.memory, tokens, seen)
        masks = features.mask_logits(model.decoder.query_outputs(states[-1]).masks)
        interpolate(masks, (image.shape[0], image.shape[1]))


def cases(predictor: Predictor, *, quick: bool) -> list[Case]:
    """What is timed."""
    plain = PlainFormulation(predictor)
    rng = np.random.default_rng(0)
    large, middle, small = (
        rng.integers(0, 256, (s, s, 3), dtype=np.uint8)
        for s in ((256, 128, 64) if quick else (1024, 512, 224))
    )
    steps, count, plain_count = (5, 4, 2) if quick else (50, 150, 3)
    classes = list(built_in("ade20k").classes)[:count]
    vocabulary = torch.randn(134, predictor.config.embed_width)

    def segment(tasks: tuple[str, ...]) -> None:
        item = predictor.encode(large, short_side=large.shape[0])
        with patch.object(predictor, "embed_vocabulary", lambda words: vocabulary):
            for task in tasks:
                thresholds = {"object_threshold": 0.0} if task == "panoptic" else {}
                predictor.segment(item, "coco", task=task, **thresholds)

    def caption() -> None:
        with patch.object(predictor.model.config.text.__class__, "end_id", -1):  # never ends early
            predictor.caption(predictor.encode(small, short_side=small.shape[0]), steps=steps)

    def names(chosen: list[str]) -> None:
        embed_names(predictor.model, predictor.tokenizer, [prompts(name) for name in chosen])

    def phrases() -> None:
        predictor.refer(predictor.encode(middle, short_side=middle.shape[0]), PHRASES)

    side = large.shape[0]
    return [
        Case(
            name="panoptic",
            what=f"panoptic, {side}x{side}, 133 classes",
            fast=lambda: segment(("panoptic",)),
            plain=lambda: plain.segment(large, vocabulary, panoptic_only=True),
        ),
        Case(
            name="panoptic + instance + semantic",
            what=f"panoptic + instance + semantic, {side}x{side}, 133 classes",
            fast=lambda: segment(("panoptic", "instance", "semantic")),
            plain=lambda: plain.segment(large, vocabulary, panoptic_only=False),
        ),
        Case(
            name="caption",
            what=f"caption, {small.shape[0]}x{small.shape[0]}, {steps} tokens",
            fast=caption,
            plain=lambda: plain.caption(small, steps),
            repeats=2,
        ),
        Case(
            name="phrases",
            what=f"5 phrases, {middle.shape[0]}x{middle.shape[0]}",
            fast=phrases,
            plain=lambda: plain.phrases(middle),
        ),
        Case(
            name="names",
            what=f"{count} names x 81 prompts (plain: {plain_count} names, scaled)",
            fast=lambda: names(classes),
            plain=lambda: plain.names(classes[:plain_count]),
            repeats=1,
        ),
    ]


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The median wall time."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller inputs, to try the script")
    parser.add_argument("--memory", action="store_true", help="peak memory of each task alone")
    parser.add_argument("--only", help="measure one task once and print its peak memory (used by --memory)")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    console = Console(width=130)
    if options.memory:
        for name in NAMES:
            arguments = [sys.executable, __file__, "--only", name, *(["--quick"] if options.quick else [])]
            peak = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.strip()
            console.print(f"{name}: {peak} MB")
        return
    torch.manual_seed(0)
    with torch.inference_mode():
        predictor = Predictor(XDecoder(PRESETS["focal-t"]), load_clip_tokenizer())
        todo = cases(predictor, quick=options.quick)
        if options.only:
            next(case for case in todo if case.name == options.only).fast()
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            return
        table = Table("task", "fast, s", "plain, s", "ratio")
        figures: dict[str, dict[str, float]] = {}
        for case in todo:
            case.fast()
            fast = seconds(case.fast, case.repeats)
            with patch("xdecoder.networks.linear._by_onednn", lambda x, weight: False):
                plain = seconds(case.plain, case.repeats)
            if case.name == "names":
                plain *= (4 if options.quick else 150) / (2 if options.quick else 3)
            figures[case.name] = {"fast": fast, "plain": plain}
            table.add_row(case.what, f"{fast:.2f}", f"{plain:.2f}", f"{plain / fast:.1f}x")
    console.print(
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, float32, focal-t, random weights"
    )
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
