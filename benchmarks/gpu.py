"""What a GPU makes of every task and of a training step; needs no network, no weights and no data.

    python benchmarks/gpu.py --out DIR                # on the GPU, within 8 minutes
    python benchmarks/gpu.py --out DIR --smoke        # tiny sizes on the CPU, to try the script

Weights, images and texts are random. Every figure is printed as it comes, and `DIR/gpu.json` and `DIR/gpu.md`
are written anew after each, so that a run that is cut short keeps what it has. What fails is a row that says
so. The share of peak is counted arithmetic (`torch.utils.flop_counter`) over time, over what a large bfloat16
matrix product reaches on the same card. "graph" is a CUDA graph of the whole task, which only tasks that ask
nothing of the host on their way can be; a caption there always takes all its steps.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import gc
import json
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from xdecoder.config import (
    PRESETS,
    DecoderConfig,
    FocalNetConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from xdecoder.jobs.distributed import World, shard
from xdecoder.losses.config import PointSampling
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.focal_block import PlainBlock
from xdecoder.networks.pixel_decoder import EncoderLayer
from xdecoder.networks.text_encoder import TextBlock
from xdecoder.tasks.answering import answer_logits
from xdecoder.tasks.captioning import CaptionDecoder, caption_by_beam, caption_greedily
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.referring import refer
from xdecoder.tasks.retrieval import embed_images
from xdecoder.tasks.segmentation import instances, panoptic, segmentation_logits, semantic
from xdecoder.training.activation_checkpointing import checkpoint_activations
from xdecoder.training.compile import compile_encoders
from xdecoder.training.config import OptimizerConfig, RunConfig
from xdecoder.training.datasets.batches import (
    DatasetBatch,
    NounTexts,
    PairBatch,
    SegmentationBatch,
    SegmentPhrases,
)
from xdecoder.training.datasets.objective import PublishedObjective
from xdecoder.training.datasets.recipe import PublishedLosses
from xdecoder.training.loop import take_step
from xdecoder.training.optimizer import build_optimizer

TINY = ModelConfig(
    backbone=FocalNetConfig(block="plain", widths=(8, 12, 16, 20), depths=(1, 1, 1, 1), focal_levels=2),
    pixel_decoder=PixelDecoderConfig(width=32, mask_width=16, layers=1, heads=2, feedforward=24),
    text=TextConfig(width=16, layers=1, heads=2, context_length=40, vocabulary_size=97),
    decoder=DecoderConfig(width=16, queries=9, layers=2, heads=2, feedforward=24),
    embed_width=16,
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large everything is.

    Attributes:
        large: side in pixels of images that are segmented and trained on.
        middle: of images that phrases are about.
        small: of images that are captioned, asked about and embedded.
        classes: of the vocabulary, the background not counted.
        steps: tokens of a caption.
        batches: images together.
        seconds: that a timing takes, at least.
        points: at which masks are compared in training.
        training: (segmented images, captioned images) of a step; the first that fits is taken.
    """

    large: int = 1024
    middle: int = 512
    small: int = 224
    classes: int = 133
    steps: int = 50
    batches: tuple[int, ...] = (1, 8)
    seconds: float = 0.5
    points: int = 12544
    training: tuple[tuple[int, int], ...] = ((4, 128), (2, 64), (1, 32))


SMOKE = Sizes(
    large=96,
    middle=64,
    small=64,
    classes=6,
    steps=4,
    batches=(2,),
    seconds=0.0,
    points=48,
    training=((2, 3),),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of the table; `failed` says why there is none.

    Attributes:
        kind: "inference", "training" or "agreement".
        model: its preset.
        mode: how it was computed.
        task: what.
        batch: images together.
        seconds: the median of a run.
        rate: images a second.
        share: of the card's peak, 0 to 1.
        memory: peak, in gigabytes.
        note: what else there is to say.
        failed: the error.
    """

    kind: str
    model: str
    mode: str
    task: str
    batch: int = 1
    seconds: float | None = None
    rate: float | None = None
    share: float | None = None
    memory: float | None = None
    note: str = ""
    failed: str = ""


class OutOfTimeError(Exception):
    """The minutes are used up."""


@dataclass
class Report:
    """Rows so far, on the terminal and in files."""

    folder: Path
    ends: float
    machine: dict[str, object] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    counted: dict[str, float] = field(default_factory=dict)

    def left(self) -> float:
        return self.ends - time.monotonic()

    def add(self, row: Row) -> None:
        self.rows.append(row)
        print(f"[{self.left():5.0f} s left] " + " | ".join(_cells(row)), flush=True)
        self.write()

    def write(self) -> None:
        table = [
            "| kind | model | mode | task | images | ms | images/s | share of peak | GB | note |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *("| " + " | ".join(_cells(row)) + " |" for row in self.rows),
        ]
        facts = [f"- {name}: {value}" for name, value in self.machine.items()]
        (self.folder / "gpu.md").write_text("\n".join([*facts, "", *table, ""]), encoding="utf-8")
        figures = {"machine": self.machine, "rows": [dataclasses.asdict(row) for row in self.rows]}
        (self.folder / "gpu.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")

    def attempt(self, blank: Row, work: Callable[[], Row], *, most: float = 60) -> Row | None:
        """A row, or the error that came instead of it; none takes longer than is left."""
        seconds = min(self.left(), most)
        try:
            if seconds <= 1:
                raise OutOfTimeError("no time left")
            with _alarm(seconds):
                row = work()
        except Exception as error:  # every failure is a figure of its own
            reason = " ".join(str(error).split())[:160]
            self.add(dataclasses.replace(blank, failed=f"{type(error).__name__}: {reason}"))
            row = None
        else:
            self.add(row)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return row


def _cells(row: Row) -> list[str]:
    return [
        row.kind,
        row.model,
        row.mode,
        row.task,
        str(row.batch),
        "" if row.seconds is None else f"{1000 * row.seconds:.1f}",
        "" if row.rate is None else f"{row.rate:.2f}",
        "" if row.share is None else f"{row.share:.1%}",
        "" if row.memory is None else f"{row.memory:.2f}",
        (f"failed: {row.failed}" if row.failed else row.note).replace("|", "/"),
    ]


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise in the midst of what takes longer, such as compiling."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError(f"took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Runs of one thing.

    Attributes:
        seconds: the median of a run.
        first: seconds of the first run, which loads and builds kernels.
        memory: peak, in gigabytes, the first run left out.
    """

    seconds: float
    first: float
    memory: float

    @property
    def note(self) -> str:
        return f"first run {self.first:.1f} s" if self.first > 2 * self.seconds + 0.5 else ""


def timed(work: Callable[[], object], device: torch.device, seconds: float) -> Timing:
    """Run at least three times, and for that many seconds."""
    start = time.perf_counter()
    work()
    wait(device)
    first = time.perf_counter() - start
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < seconds and len(times) < 100):
        start = time.perf_counter()
        work()
        wait(device)
        times.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else 0.0
    return Timing(seconds=statistics.median(times), first=first, memory=memory)


def counted(work: Callable[[], object]) -> float:
    """Floating-point operations of a run."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def matrix_peak(device: torch.device, side: int) -> float:
    """Operations a second of a bfloat16 matrix product on random data."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    repeats = 10

    def work() -> None:
        for _ in range(repeats):
            torch.mm(a, b)

    return 2 * side**3 * repeats / timed(work, device, 0.3).seconds


# Inference


class Tasks:
    """Every task of a model on random inputs of its own.

    Args:
        model: in evaluation mode.
        head: its classifier of answers.
        batch: images together.
        sizes: of the inputs.
        seed: of the inputs, which are drawn on the CPU: the same on every device.
    """

    def __init__(self, model: XDecoder, head: AnswerHead, batch: int, sizes: Sizes, *, seed: int = 0) -> None:
        self.model = model
        self.head = head
        self.batch = batch
        self.sizes = sizes
        self.device, self.dtype = model.logit_scale.device, model.logit_scale.dtype
        generator = torch.Generator().manual_seed(seed)
        text, P = model.config.text, model.config.embed_width

        def images(side: int) -> Tensor:
            pixels = torch.randn(batch, 3, side, side, generator=generator).to(self.device, self.dtype)
            return pixels.contiguous(memory_format=torch.channels_last)

        def texts(count: int, length: int) -> Tensor:
            ids = torch.randint(0, text.start_id, (count, length), generator=generator)
            ids[:, 0], ids[:, -1] = text.start_id, text.end_id
            return ids.to(self.device)

        self.large, self.middle, self.small = (
            images(side) for side in (sizes.large, sizes.middle, sizes.small)
        )
        self.classes = torch.randn(sizes.classes + 1, P, generator=generator).to(self.device)
        self.prompts, self.phrases, self.questions = texts(256, 16), texts(5, 8), texts(batch, 20)
        self.valid = torch.ones(5, 8, dtype=torch.bool, device=self.device)
        self.rows = torch.arange(batch, device=self.device)

    def __iter__(self) -> Iterator[tuple[str, Callable[[], object]]]:
        names = "encode", "panoptic", "instance", "semantic", "refer", "caption", "beams", "embed", "answer"
        return ((name, getattr(self, name)) for name in (*names, "texts"))

    def geometry(self, side: int) -> Geometry:
        return Geometry(output=(side, side), resized=(side, side), padded=(side, side))

    def encode(self) -> tuple[Tensor, Tensor]:
        features = self.model.encode_images(self.large)
        latents = self.model.decoder.decode_latents(features.memory, keep=True)
        return features.mask_features, latents.states[-1]

    def _segment(self, read: Callable[..., object]) -> list[object]:
        features = self.model.encode_images(self.large)
        latents = self.model.decoder.decode_latents(features.memory, keep=True)
        return [
            read(segmentation_logits(self.model, features, latents, self.classes, i)) for i in self.each()
        ]

    def each(self) -> range:
        return range(self.batch)

    def panoptic(self) -> object:
        things = frozenset(range(0, self.sizes.classes, 2))
        geometry = self.geometry(self.sizes.large)
        return self._segment(
            lambda logits: panoptic(
                logits, geometry, things=things, object_threshold=0.0, overlap_threshold=0.0
            )
        )

    def instance(self) -> object:
        geometry = self.geometry(self.sizes.large)
        return self._segment(lambda logits: instances(logits, geometry, detections=100, things=None))

    def semantic(self) -> object:
        return self._segment(lambda logits: semantic(logits, self.geometry(self.sizes.large)))

    def refer(self) -> object:
        features = self.model.encode_images(self.middle)
        texts = self.model.text_encoder(self.phrases)
        geometry = self.geometry(self.sizes.middle)
        return [
            refer(self.model, features, i, texts, self.valid, together=True).covered(geometry)
            for i in self.each()
        ]

    def caption(self) -> object:
        features = self.model.encode_images(self.small)
        latents = self.model.decoder.decode_latents(features.memory, keep=True)
        return caption_greedily(self.model, features.memory, latents, steps=self.sizes.steps)

    def all_steps(self) -> Tensor:
        """A caption without a look at whether it has ended."""
        features = self.model.encode_images(self.small)
        latents = self.model.decoder.decode_latents(features.memory, keep=True)
        decoder = CaptionDecoder(self.model, features.memory, latents, steps=self.sizes.steps, regions=None)
        ids = torch.full((self.batch,), self.model.config.text.start_id, device=self.device)
        generated: list[Tensor] = []
        for _ in range(self.sizes.steps):
            ids = decoder.step(ids).argmax(-1)
            generated.append(ids)
        return torch.stack(generated, dim=1)

    def beams(self) -> object:
        features = self.model.encode_images(self.small)
        latents = self.model.decoder.decode_latents(features.memory, keep=True)
        return caption_by_beam(self.model, features.memory, latents, steps=self.sizes.steps, beams=3)

    def embed(self) -> object:
        features = self.model.encode_images(self.small)
        return embed_images(self.model, features, self.model.decoder.decode_latents(features.memory))

    def answer(self) -> object:
        features = self.model.encode_images(self.small)
        latents = self.model.decoder.decode_latents(features.memory, keep=True)
        return answer_logits(self.model, self.head, features.memory, latents, self.questions, self.rows)

    def texts(self) -> object:
        return self.model.text_encoder(self.prompts).embeddings


def build_model(config: ModelConfig, device: torch.device) -> XDecoder:
    torch.manual_seed(0)
    with device:
        model = XDecoder(config)
    return model.eval().requires_grad_(False)


def build_head(config: ModelConfig) -> AnswerHead:
    torch.manual_seed(0)
    answers = tuple(str(i) for i in range(3129))
    return AnswerHead(config.decoder.width, answers, question_length=20).eval().requires_grad_(False)


class Inference:
    """Every task of one model, in one mode after another."""

    def __init__(self, report: Report, name: str, config: ModelConfig, sizes: Sizes, peak: float) -> None:
        self.report, self.name, self.sizes, self.peak = report, name, sizes, peak
        self.device = torch.device(str(report.machine["device"]))
        self.wide = build_model(config, self.device)
        self.narrow = copy.deepcopy(self.wide).to(torch.bfloat16)
        self.head = build_head(config).to(self.device)
        self.narrow_head = copy.deepcopy(self.head).to(torch.bfloat16)
        self.operations: dict[str, float] = {}

    def count(self) -> None:
        """The arithmetic of each task on one image."""
        for task, work in Tasks(self.narrow, self.narrow_head, 1, self.sizes):

            @torch.inference_mode()
            def count(task: str = task, work: Callable[[], object] = work) -> None:
                self.operations[task] = counted(work)

            if self.report.left() > 1:
                try:
                    with _alarm(self.report.left()):
                        count()
                except Exception as error:  # the share is then left out
                    print(f"{task}: not counted: {error}", flush=True)

    def row(self, mode: str, task: str, batch: int) -> Row:
        return Row(kind="inference", model=self.name, mode=mode, task=task, batch=batch)

    def measure(self, mode: str, tasks: Tasks, only: Sequence[str] = ()) -> None:
        for task, work in tasks:
            if not only or task in only:
                self.one(self.row(mode, task, tasks.batch), work)

    def one(self, blank: Row, work: Callable[[], object], most: float = 30) -> None:
        @torch.inference_mode()
        def measured() -> Row:
            timing = timed(work, self.device, self.sizes.seconds)
            return self.filled(blank, timing, memory=timing.memory, note=timing.note)

        self.report.attempt(blank, measured, most=most)

    def filled(self, blank: Row, timing: Timing, *, memory: float, note: str) -> Row:
        """The row with its figures; of texts, 256 a run."""
        images, factor = (256, 1) if blank.task == "texts" else (blank.batch, blank.batch)
        operations = self.operations.get(blank.task, 0) * factor
        return dataclasses.replace(
            blank,
            seconds=timing.seconds,
            rate=images / timing.seconds,
            share=operations / timing.seconds / self.peak if operations else None,
            memory=memory,
            note=note,
        )

    def plain(self, mode: str, only: Sequence[str] = ()) -> None:
        """The mode as the program is."""
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "tf32"
        parts = (self.narrow, self.narrow_head) if mode == "bf16" else (self.wide, self.head)
        for batch in self.sizes.batches:
            self.measure(mode, Tasks(*parts, batch, self.sizes), only)

    def graphs(self) -> None:
        """CUDA graphs of the tasks that ask nothing of the host."""
        for batch in self.sizes.batches:
            tasks = Tasks(self.narrow, self.narrow_head, batch, self.sizes)
            for task, work in (
                ("encode", tasks.encode),
                ("semantic", tasks.semantic),
                ("caption", tasks.all_steps),
                ("embed", tasks.embed),
                ("answer", tasks.answer),
                ("texts", tasks.texts),
            ):
                blank = self.row("bf16 graph", task, batch)

                def replayed(work: Callable[[], object] = work, blank: Row = blank) -> Row:
                    graph = captured(work)
                    timing = timed(graph.replay, self.device, self.sizes.seconds)
                    reserved = torch.cuda.max_memory_reserved() / 1e9
                    return self.filled(blank, timing, memory=reserved, note="memory is what is reserved")

                self.report.attempt(blank, replayed, most=40)

    def compiled(self, batch: int, build: Callable[[nn.Module], None], mode: str, most: float) -> None:
        """The encoders compiled, for one size."""
        torch.compiler.reset()
        model = copy.deepcopy(self.narrow)
        build(model)
        self.one(
            self.row(mode, "encode", batch),
            Tasks(model, self.narrow_head, batch, self.sizes).encode,
            most=most,
        )


def compile_blocks(module: nn.Module) -> None:
    """Compile what repeats: once for all blocks of a shape, in a fraction of the encoders' time."""
    torch._dynamo.config.recompile_limit = 64
    for part in module.modules():
        if isinstance(part, (PlainBlock, EncoderLayer, TextBlock)):
            part.compile(dynamic=False)


@torch.inference_mode()
def captured(work: Callable[[], object]) -> torch.cuda.CUDAGraph:
    """A CUDA graph of a run."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):
            work()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.reset_peak_memory_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


# Agreement with the CPU


def agreement(report: Report, name: str, config: ModelConfig, sizes: Sizes, device: torch.device) -> None:
    """Every task's outputs in float32 on both, from the same weights and inputs."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    here = build_model(config, torch.device("cpu"))
    head = build_head(config)
    both = [
        dict(Tasks(*parts, 2, sizes, seed=1))
        for parts in ((here, head), (copy.deepcopy(here).to(device), copy.deepcopy(head).to(device)))
    ]
    for task in both[0]:
        blank = Row(kind="agreement", model=name, mode="float32", task=task, batch=2)

        @torch.inference_mode()
        def compared(task: str = task, blank: Row = blank) -> Row:
            expected, actual = (list(flat(tasks[task]())) for tasks in both)
            assert len(expected) == len(actual), (len(expected), len(actual))
            return dataclasses.replace(blank, note=_difference(expected, actual))

        report.attempt(blank, compared)


def flat(value: object) -> Iterator[Tensor]:
    """All tensors and numbers of a result, in order."""
    if isinstance(value, Tensor):
        yield value.detach().cpu()
    elif isinstance(value, (bool, int, float)):
        yield torch.tensor(value)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from flat(item)
    elif dataclasses.is_dataclass(value):
        for f in dataclasses.fields(value):
            yield from flat(getattr(value, f.name))


def _difference(expected: Sequence[Tensor], actual: Sequence[Tensor]) -> str:
    """The largest difference over the largest value, and the share of whole numbers that are equal."""
    largest = 0.0
    same: list[float] = []
    shapes = 0
    for a, b in zip(expected, actual, strict=True):
        if a.shape != b.shape:
            shapes += 1
        elif not a.numel():
            continue
        elif a.is_floating_point():
            largest = max(largest, float((a - b).abs().max() / a.abs().max().clamp(min=1e-9)))
        else:
            same.append(float((a == b).double().mean()))
    parts = [f"largest relative difference {largest:.1e}"]
    if same:
        parts.append(f"equal {statistics.mean(same):.5f}")
    if shapes:
        parts.append(f"{shapes} of {len(expected)} of other shapes")
    return ", ".join(parts)


# Training


def training_batch(
    config: ModelConfig, segmented: int, captioned: int, sizes: Sizes, device: torch.device
) -> DatasetBatch:
    """A step of the pretraining recipe: segmented images with nouns and phrases, and pairs."""
    generator = torch.Generator().manual_seed(0)
    text, segments, nouns, phrases = config.text, 12, 5, 4
    length = min(20, text.context_length)

    def texts(count: int) -> Tensor:
        ids = torch.randint(0, text.start_id, (count, length), generator=generator)
        ids[:, 0], ids[:, -1] = text.start_id, text.end_id
        return ids

    def boxes() -> Tensor:
        masks = torch.zeros(segments, sizes.large, sizes.large, dtype=torch.bool)
        for mask in masks:
            top, left = torch.randint(0, sizes.large // 2, (2,), generator=generator).tolist()
            mask[top : top + sizes.large // 3, left : left + sizes.large // 3] = True
        return masks

    def images(count: int, side: int) -> Tensor:
        return torch.randn(count, side, side, 3, generator=generator).permute(0, 3, 1, 2)

    batch = DatasetBatch(
        segments=SegmentationBatch(
            images=images(segmented, sizes.large),
            names=texts(sizes.classes + 1),
            labels=tuple(
                torch.randint(0, sizes.classes, (segments,), generator=generator) for _ in range(segmented)
            ),
            masks=tuple(boxes() for _ in range(segmented)),
            nouns=NounTexts(
                texts=texts(nouns * segmented),
                counts=(nouns,) * segmented,
                groups=torch.arange(nouns * segmented) + 1000,
                name_groups=torch.arange(sizes.classes + 1),
            ),
            phrases=SegmentPhrases(
                texts=texts(phrases * segmented),
                lengths=(length,) * (phrases * segmented),
                counts=(phrases,) * segmented,
                rows=tuple(torch.arange(phrases) + phrases * i for i in range(segmented)),
                masks=tuple(boxes()[:phrases] for _ in range(segmented)),
                free=(True,) * segmented,
            ),
        ),
        pairs=PairBatch(
            images=images(captioned, sizes.small),
            captions=texts(captioned),
            valid=torch.ones(captioned, length, dtype=torch.bool),
        ),
    )
    return batch.to(device)


def training(
    report: Report, name: str, config: ModelConfig, mode: str, sizes: Sizes, peak: float, most: float
) -> Sizes:
    """A whole step: forward, backward, clipping, AdamW; the largest batch of `sizes.training` that fits.

    Returns:
        The sizes, without the batches that did not fit.
    """
    device = torch.device(str(report.machine["device"]))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.enable_cudnn_sdp("without cuDNN" not in mode)
    for segmented, captioned in sizes.training:
        images = segmented + captioned
        task = f"step of {segmented} x {sizes.large} px + {captioned} x {sizes.small} px"
        blank = Row(kind="training", model=name, mode=mode, task=task, batch=images)

        def measured(segmented: int = segmented, captioned: int = captioned, blank: Row = blank) -> Row:
            torch.manual_seed(0)
            world = World(device=device)
            with device:
                losses = PublishedLosses(points=PointSampling(points=sizes.points))
                objective = PublishedObjective(XDecoder(config), None, losses=losses).train()
            if "recompute" in mode:
                checkpoint_activations(objective)
            if "compiled" in mode:
                torch.compiler.reset()
                (compile_blocks if "blocks" in mode else compile_encoders)(objective)
            module: nn.Module = objective
            if "FSDP2" in mode:
                module = shard(objective, world)
            elif "DDP" in mode:
                module = DistributedDataParallel(
                    objective,
                    device_ids=[device] if device.type == "cuda" else None,
                    find_unused_parameters=True,
                    gradient_as_bucket_view=True,
                )
            optimizer = build_optimizer(module, OptimizerConfig())
            run = RunConfig(folder=report.folder, bfloat16=True)
            batch = training_batch(config, segmented, captioned, sizes, device)

            def work() -> None:
                take_step(module, optimizer, [batch], 5.0, run, world, 0)

            timing = timed(work, device, 4 * sizes.seconds)
            key = f"{name} {blank.task}"
            if key not in report.counted:
                report.counted[key] = counted(work)
                report.machine[f"TFLOP, {key}"] = round(report.counted[key] / 1e12, 3)
                if device.type == "cuda":
                    _profile(work, report.folder / f"profile_{name}.txt")
            return dataclasses.replace(
                blank,
                seconds=timing.seconds,
                rate=blank.batch / timing.seconds,
                share=report.counted[key] / timing.seconds / peak,
                memory=timing.memory,
                note=timing.note,
            )

        if report.attempt(blank, measured, most=most) or "OutOfMemory" not in report.rows[-1].failed:
            return dataclasses.replace(
                sizes, training=sizes.training[sizes.training.index((segmented, captioned)) :]
            )
    return sizes


def _profile(work: Callable[[], object], path: Path) -> None:
    """Where a step's time goes on the device."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        work()
    averages = found.key_averages()
    table = averages.table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=90)
    path.write_text(table, encoding="utf-8")
    kernels = sorted(averages, key=lambda e: e.self_device_time_total, reverse=True)
    for event in kernels[:25]:
        print(
            f"  {event.self_device_time_total / 1000:9.2f} ms {event.count:6d} x {event.key[:110]}",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the figures")
    parser.add_argument("--minutes", type=float, default=8.0, help="that it takes at the most")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on the CPU")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    options.out.mkdir(parents=True, exist_ok=True)
    if not options.smoke and not torch.cuda.is_available():
        sys.exit("there is no GPU that PyTorch can use; --smoke tries the script on the CPU")
    device = torch.device("cpu") if options.smoke else torch.device("cuda", 0)
    sizes = SMOKE if options.smoke else Sizes()
    report = Report(folder=options.out, ends=began + 60 * options.minutes - 8)
    peak = matrix_peak(device, 256 if options.smoke else 8192)
    report.machine |= {
        "device": str(device),
        "card": "none" if options.smoke else torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "dense bf16 peak, TFLOP/s": round(peak / 1e12, 3),
    }
    print(report.machine, flush=True)
    backend = "gloo" if device.type == "cpu" else "cuda:nccl,cpu:gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        _measure(report, device, sizes, peak, smoke=options.smoke)
    finally:
        report.write()
        dist.destroy_process_group()


def _measure(report: Report, device: torch.device, sizes: Sizes, peak: float, *, smoke: bool) -> None:
    """The most wanted figures first."""
    presets = {"tiny": TINY} if smoke else {name: PRESETS[name] for name in ("focal-t", "focal-l")}
    last = list(presets)[-1]
    agreement(report, "tiny", TINY, SMOKE, device)
    if not smoke:
        reduced = dataclasses.replace(sizes, large=256, middle=256, steps=8)
        agreement(report, "focal-t", presets["focal-t"], reduced, device)
    modes = (
        ("bf16", "bf16 DDP")
        if smoke
        else ("bf16 without cuDNN attention", "bf16", "bf16 compiled blocks", "bf16 DDP", "bf16 FSDP2")
    )
    for mode in modes:
        sizes = training(report, last, presets[last], mode, sizes, peak, most=100)
    if report.left() <= 1:
        return
    inferences = [Inference(report, name, config, sizes, peak) for name, config in presets.items()]
    for inference in inferences:
        inference.count()
        inference.plain("bf16")
    if device.type == "cuda":
        for inference in inferences:
            inference.graphs()
        for inference in inferences:
            for batch in sizes.batches:
                inference.compiled(batch, compile_blocks, "bf16 compiled blocks", most=40)
        inferences[0].compiled(sizes.batches[-1], compile_encoders, "bf16 compiled", most=60)
    for inference in inferences:
        inference.plain("tf32", only=("encode", "caption", "refer") if not smoke else ("encode",))
    for inference in inferences:
        inference.plain("float32", only=("encode", "caption", "refer") if not smoke else ("encode",))
    if device.type == "cuda":
        for mode in ("bf16 recompute", "bf16 compiled"):
            training(report, last, presets[last], mode, sizes, peak, most=240)


if __name__ == "__main__":
    main()
