"""Where the time of each task goes, part by part.

    python benchmarks/profile_tasks.py                    # Focal-T's sizes, random weights
    python benchmarks/profile_tasks.py --task embed       # one task
    python benchmarks/profile_tasks.py --smoke            # tiny sizes, to try it

For each part: CPU seconds (user and system, the least of the repeats) and their share of the task; its
arithmetic (`torch.utils.flop_counter`: products of matrices and convolutions, what Winograd's method saves
already left out); the bytes that its operations read and write, as if no cache held any; and both as shares
of what a large matrix product and a large copy reach here, measured first.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from gpu import SMOKE, TINY, Sizes, build_model
from xdecoder.config import PRESETS
from xdecoder.model import ImageFeatures, XDecoder
from xdecoder.networks.convolution import keep_kernels
from xdecoder.networks.decoder_states import LatentStates, Memory
from xdecoder.networks.linear import linear
from xdecoder.tasks.captioning import CaptionDecoder
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.referring import refer
from xdecoder.tasks.retrieval import embed_images
from xdecoder.tasks.segmentation import instances, panoptic, segmentation_logits, semantic

Parts = Iterator[tuple[str, Callable[[], Any]]]
TASKS = ("segment", "phrases", "embed", "caption", "texts")


@register_flop_formula(torch.ops.mkldnn._linear_pointwise)
def product_flops(x: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    """Operations of a product by oneDNN."""
    return 2 * math.prod(x) * weight[0]


class MovedBytes(TorchDispatchMode):
    """Counts what operations read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, Tensor)]
            self.total += sum(x.numel() * x.element_size() for x in tensors)
        return out


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What this machine reaches: operations and bytes a CPU second, all threads together."""

    flops: float
    bytes: float

    @classmethod
    def measured(cls, side: int) -> Peaks:
        """By a product of square matrices and a copy of one 16 times as large."""
        a, b = torch.randn(side, side), torch.randn(side, side)
        source, target = torch.randn(16 * side, side), torch.empty(16 * side, side)
        copied = 2 * source.numel() * source.element_size()
        return cls(
            flops=2 * side**3 / cpu_seconds(lambda: linear(a, b), 3),
            bytes=copied / cpu_seconds(lambda: target.copy_(source), 3),
        )


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """The least of some runs."""
    times: list[float] = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return max(min(times), 1e-9)


class Profile:
    """The parts of every task, each started with what those before it gave.

    Args:
        model: in evaluation mode.
        sizes: of the inputs.
    """

    def __init__(self, model: XDecoder, sizes: Sizes) -> None:
        self.model, self.sizes = model, sizes
        self.classes = torch.randn(sizes.classes + 1, model.config.embed_width)

    def parts(self, task: str) -> Parts:
        """A task's parts in order."""
        match task:
            case "segment":
                yield from self._segment()
            case "phrases":
                yield from self._phrases()
            case "embed":
                yield from self._embed()
            case "caption":
                yield from self._caption()
            case _:
                ids = self._ids(256, 8)
                yield "256 texts of 8 tokens", lambda: self.model.text_encoder(ids)

    def _ids(self, count: int, length: int) -> Tensor:
        ids = torch.full((count, length), 3)
        ids[:, -1] = self.model.config.text.end_id
        return ids

    def _encode(self, count: int, side: int, found: list[ImageFeatures]) -> Parts:
        model = self.model
        images = torch.randn(count, 3, side, side).contiguous(memory_format=torch.channels_last)
        maps = model.backbone(images)
        yield "backbone", lambda: model.backbone(images)
        features = model.pixel_decoder(maps)
        yield "pixel decoder", lambda: model.pixel_decoder(maps)
        found.append(model.remember(maps, features))
        yield "memory of the levels", lambda: model.remember(maps, features)

    def _latents(self, memory: Memory, found: list[LatentStates]) -> Parts:
        decoder = self.model.decoder
        found.append(decoder.decode_latents(memory, keep=True))
        yield "latent queries", lambda: decoder.decode_latents(memory, keep=True)

    def _segment(self) -> Parts:
        side = self.sizes.large
        geometry = Geometry(output=(side, side), resized=(side, side), padded=(side, side))
        features: list[ImageFeatures] = []
        latents: list[LatentStates] = []
        yield from self._encode(1, side, features)
        yield from self._latents(features[0].memory, latents)
        logits = segmentation_logits(self.model, features[0], latents[0], self.classes, 0)
        things = frozenset(range(0, self.sizes.classes, 2))
        yield (
            "panoptic",
            lambda: panoptic(logits, geometry, things=things, object_threshold=0.0, overlap_threshold=0.8),
        )
        yield "instance", lambda: instances(logits, geometry, detections=100, things=things)
        yield "semantic", lambda: semantic(logits, geometry)

    def _phrases(self) -> Parts:
        side = self.sizes.middle
        geometry = Geometry(output=(side, side), resized=(side, side), padded=(side, side))
        features: list[ImageFeatures] = []
        yield from self._encode(1, side, features)
        ids = self._ids(5, 8)
        texts = self.model.text_encoder(ids)
        yield "text encoder", lambda: self.model.text_encoder(ids)
        valid = torch.ones_like(ids, dtype=torch.bool)
        output = refer(self.model, features[0], 0, texts, valid, together=True)
        yield (
            "copies and phrases",
            lambda: refer(self.model, features[0], 0, texts, valid, together=True),
        )
        yield "masks", lambda: output.covered(geometry)

    def _embed(self) -> Parts:
        features: list[ImageFeatures] = []
        latents: list[LatentStates] = []
        yield from self._encode(8, self.sizes.small, features)
        yield from self._latents(features[0].memory, latents)
        yield "embeddings", lambda: embed_images(self.model, features[0], latents[0])

    def _caption(self) -> Parts:
        features: list[ImageFeatures] = []
        latents: list[LatentStates] = []
        yield from self._encode(1, self.sizes.small, features)
        yield from self._latents(features[0].memory, latents)

        def steps() -> None:
            decoder = CaptionDecoder(
                self.model, features[0].memory, latents[0], steps=self.sizes.steps, regions=None
            )
            ids = torch.tensor([self.model.config.text.start_id])
            for _ in range(self.sizes.steps):
                ids = decoder.step(ids).argmax(-1)

        yield f"{self.sizes.steps} steps", steps


def table(profile: Profile, task: str, peaks: Peaks, repeats: int) -> Iterator[str]:
    """Markdown."""
    rows: list[tuple[str, float, float, float]] = []
    for name, work in profile.parts(task):
        with FlopCounterMode(display=False) as flops, MovedBytes() as moved:
            work()
        rows.append((name, cpu_seconds(work, repeats), float(flops.get_total_flops()), float(moved.total)))
    total = math.fsum(seconds for _, seconds, _, _ in rows)
    yield f"| {task} | CPU s | share | GFLOP | of peak | GB moved | of peak |"
    yield "|---|---|---|---|---|---|---|"
    for name, seconds, flop, byte in rows:
        cells = [name, f"{seconds:.3f}", f"{seconds / total:.0%}", f"{flop / 1e9:.1f}"]
        cells += [f"{flop / seconds / peaks.flops:.0%}", f"{byte / 1e9:.2f}"]
        yield f"| {' | '.join([*cells, f'{byte / seconds / peaks.bytes:.0%}'])} |"
    yield f"| together | {total:.3f} | | | | | |"


@torch.inference_mode()
def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--task", choices=TASKS, help="this one alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes")
    options = parser.parse_args(arguments)
    peaks = Peaks.measured(256 if options.smoke else 2048)
    print(f"peaks: {peaks.flops / 1e9:.0f} GFLOP and {peaks.bytes / 1e9:.1f} GB a CPU second\n")
    model = build_model(TINY if options.smoke else PRESETS["focal-t"], torch.device("cpu"))
    model.to(memory_format=torch.channels_last)
    keep_kernels(model)
    profile = Profile(model, SMOKE if options.smoke else Sizes())
    for task in [options.task] if options.task else TASKS:
        print("\n".join([*table(profile, task, peaks, options.repeats), ""]), flush=True)


if __name__ == "__main__":
    main()
