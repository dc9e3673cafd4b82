"""`BENCHMARKS`: the one table of benchmarks, and `GROUPS` of them.

Input sizes, vocabularies and phrases are those of the published evaluation; the published scores are in
`xdecoder.weights.hub.PUBLISHED`. `protocol_table` writes the table of docs/evaluation.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

from xdecoder.data.catalog import DATASETS
from xdecoder.data.records import Task
from xdecoder.weights.hub import PUBLISHED

BenchmarkTask = Literal["panoptic", "instance", "semantic", "referring", "caption", "retrieval", "question"]

METRICS: dict[BenchmarkTask, tuple[str, ...]] = {
    "panoptic": ("PQ",),
    "instance": ("AP",),
    "semantic": ("mIoU",),
    "referring": ("mIoU", "cIoU"),
    "caption": ("CIDEr",),
    "retrieval": ("IR@1", "TR@1"),
    "question": ("accuracy",),
}
"""The figures that a kind of benchmark is known by; reports have more."""


@final
@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One row of the table.

    Attributes:
        name: what it is called by.
        data: the data set, a row of `DATASETS`.
        kind: what is done and scored.
        split: of the data set.
        short_side: pixels that the image's shorter side becomes; both sides, where `square`.
        long_side: the longer side's limit; None for none.
        vocabulary: the built-in list that the model is asked for; None for the data set's own, or for words.
        published: what `PUBLISHED` calls the data set; None where no score of these checkpoints is known.
        remark: what differs from the rows like it.
    """

    name: str
    data: str
    kind: BenchmarkTask
    split: str
    short_side: int
    long_side: int | None = None
    vocabulary: str | None = None
    published: str | None = None
    remark: str = ""

    @property
    def task(self) -> Task:
        """What the data set's samples carry."""
        return "caption" if self.kind == "retrieval" else self.kind

    @property
    def square(self) -> bool:
        """Whether images are squeezed into a square, as captioning and retrieval do."""
        return self.kind in ("caption", "retrieval")

    @property
    def metrics(self) -> tuple[str, ...]:
        """Its headline figures."""
        return METRICS[self.kind]


def _three(
    data: str,
    *,
    split: str,
    short: int,
    long: int | None,
    vocabulary: str,
    published: str | None,
    remark: str = "",
) -> tuple[Benchmark, ...]:
    """Panoptic, instance and semantic segmentation of one data set."""
    kinds: tuple[BenchmarkTask, ...] = ("panoptic", "instance", "semantic")
    return tuple(
        Benchmark(
            name=f"{data}-{kind}",
            data=data,
            kind=kind,
            split=split,
            short_side=short,
            long_side=long,
            vocabulary=vocabulary,
            published=published,
            remark=remark,
        )
        for kind in kinds
    )


def _semantic(
    data: str, short: int, long: int | None, vocabulary: str | None, published: str | None, remark: str = ""
) -> Benchmark:
    return Benchmark(
        name=data if data.endswith("semantic") else f"{data}-semantic",
        data=data,
        kind="semantic",
        split="val",
        short_side=short,
        long_side=long,
        vocabulary=vocabulary,
        published=published,
        remark=remark,
    )


def _panoptic(
    name: str, data: str, short: int, long: int | None, vocabulary: str, published: str
) -> Benchmark:
    return Benchmark(
        name=name,
        data=data,
        kind="panoptic",
        split="val",
        short_side=short,
        long_side=long,
        vocabulary=vocabulary,
        published=published,
    )


def _referring(data: str, split: str, published: str | None = None) -> Benchmark:
    return Benchmark(
        name=f"{data}-{split}",
        data=data,
        kind="referring",
        split=split,
        short_side=512,
        published=published,
    )


def _words(data: str, kind: BenchmarkTask, published: str | None) -> Benchmark:
    return Benchmark(
        name=f"{data}-{kind}", data=data, kind=kind, split="test", short_side=224, published=published
    )


def _own(name: str, data: str, kind: BenchmarkTask) -> Benchmark:
    return Benchmark(name=name, data=data, kind=kind, split="val", short_side=800, long_side=1333)


_OUR_SIZE = "input size chosen here"
_TRAINED_ON = "published models were trained on these images"

_ROWS: tuple[Benchmark, ...] = (
    *_three("coco", split="val", short=800, long=1333, vocabulary="coco", published="COCO"),
    *_three(
        "coco100",
        split="train",
        short=800,
        long=1333,
        vocabulary="coco",
        published=None,
        remark=_TRAINED_ON,
    ),
    *_three("ade20k-150", split="val", short=640, long=2560, vocabulary="ade20k", published="ADE20K-150"),
    _semantic("ade20k-847", 640, 2560, "ade20k-847", "ADE20K-847"),
    _semantic("pascal-voc-20", 512, 2048, "voc", None, _OUR_SIZE),
    _semantic("pascal-context-59", 512, 2048, None, None, _OUR_SIZE),
    _semantic("pascal-context-459", 512, 2048, None, None, _OUR_SIZE),
    _semantic("sun-rgbd-37", 512, None, "sun", "SUN RGB-D 37"),
    _panoptic("scannet-20-panoptic", "scannet-20", 512, None, "scannet", "ScanNet-20"),
    _semantic("scannet-20", 512, None, "scannet", "ScanNet-20"),
    _semantic("scannet-40", 512, None, "scannet-40", "ScanNet-40"),
    *_three(
        "cityscapes", split="val", short=1024, long=2048, vocabulary="cityscapes", published="Cityscapes"
    ),
    _panoptic("bdd100k-panoptic", "bdd100k-panoptic", 800, None, "bdd-panoptic", "BDD100K"),
    _semantic("bdd100k-semantic", 800, None, "bdd", "BDD100K"),
    _referring("refcocog-umd", "val", "RefCOCOg"),
    _referring("refcocog-umd", "test"),
    _referring("refcocog-google", "val"),
    *(_referring(data, split) for data in ("refcoco", "refcoco+") for split in ("val", "testA", "testB")),
    _words("coco-karpathy", "retrieval", "COCO-Karpathy"),
    _words("coco-karpathy", "caption", "COCO-Karpathy"),
    _words("flickr30k", "retrieval", None),
    _words("flickr30k", "caption", None),
    Benchmark(
        name="vqav2-val",
        data="vqav2",
        kind="question",
        split="val",
        short_side=640,
        long_side=640,
        remark="the size of the recipe finetune_vqa; no published checkpoint answers questions",
    ),
    *(
        Benchmark(name=name, data=name, kind="instance", split="val", short_side=800)
        for name in DATASETS
        if name.startswith("seginw-")
    ),
    _own("custom-panoptic", "custom-panoptic", "panoptic"),
    _own("custom-semantic", "custom-panoptic", "semantic"),
    _own("custom-instance", "custom-instances", "instance"),
)

BENCHMARKS: dict[str, Benchmark] = {row.name: row for row in _ROWS}


def _of_data(*data: str) -> tuple[str, ...]:
    return tuple(row.name for row in _ROWS if row.data in data)


GROUPS: dict[str, tuple[str, ...]] = {
    "open-vocabulary": _of_data(
        "ade20k-150",
        "ade20k-847",
        "pascal-voc-20",
        "pascal-context-59",
        "pascal-context-459",
        "sun-rgbd-37",
        "scannet-20",
        "scannet-40",
        "cityscapes",
        "bdd100k-panoptic",
        "bdd100k-semantic",
    ),
    "seginw": tuple(name for name in BENCHMARKS if name.startswith("seginw-")),
    "coco": _of_data("coco"),
    "vl": ("refcocog-umd-val", "coco-karpathy-retrieval", "coco-karpathy-caption"),
}
"""Benchmarks that are run together; `open-vocabulary`: the nine data sets of the paper's zero-shot table."""


def find_benchmarks(names: Sequence[str]) -> tuple[Benchmark, ...]:
    """The rows that names of rows and groups stand for, each once, in order.

    Raises:
        ValueError: there is no such benchmark or group, or no name.
    """
    if not names:
        raise ValueError(f"no benchmark named; groups are {', '.join(GROUPS)}")
    found: dict[str, Benchmark] = {}
    for name in names:
        if name not in BENCHMARKS and name not in GROUPS:
            close = difflib.get_close_matches(name, [*BENCHMARKS, *GROUPS], n=1)
            hint = f"did you mean {close[0]!r}?" if close else "`xdecoder evaluate list` names them all"
            raise ValueError(f"no benchmark {name!r}; {hint}")
        for row in GROUPS.get(name, (name,)):
            found[row] = BENCHMARKS[row]
    return tuple(found.values())


def checkpoint_of(weights: str) -> str | None:
    """The published checkpoint that `--weights` names: by its name, or by its folder's."""
    name = Path(weights).name
    return name if name in PUBLISHED else None


def published_scores(benchmark: Benchmark, checkpoint: str | None) -> Mapping[str, float]:
    """The published figures of a checkpoint on a benchmark, in percent.

    Raises:
        ValueError: there is no such checkpoint.
    """
    if checkpoint is None or benchmark.published is None:
        return {}
    if checkpoint not in PUBLISHED:
        raise ValueError(f"no published checkpoint {checkpoint!r}; there are {', '.join(PUBLISHED)}")
    return {
        score.metric: score.value
        for score in PUBLISHED[checkpoint].scores
        if score.data == benchmark.published and score.metric in benchmark.metrics
    }


def input_size(short_side: int, long_side: int | None, *, square: bool) -> str:
    """An input size in words."""
    if square:
        return f"{short_side} x {short_side}"
    return f"short side {short_side}" + ("" if long_side is None else f", long side at most {long_side}")


def prompts_of(benchmark: Benchmark, *, ensemble: bool = True) -> str:
    """What words the model is given, in words.

    Args:
        benchmark: the row.
        ensemble: whether the model embeds a class by its 81 prompts, as published.
    """
    match benchmark.kind:
        case "referring":
            return "the first phrase of each object, lower case; all of an image together"
        case "caption":
            return "none; greedy decoding, cut at the first full stop"
        case "retrieval":
            return "the captions; decoder and backbone cosines averaged"
        case "question":
            return "the question; the likeliest of the model's answers"
        case _:
            names = f"`{benchmark.vocabulary}`" if benchmark.vocabulary else "the data set's own"
            prompts = "81-prompt ensemble" if ensemble else "the bare name of each"
            return f"{names}, all classes, {prompts}"


def protocol_table() -> str:
    """The benchmarks and their protocols as a Markdown table."""
    lines = [
        "| benchmark | data set (split) | input | words | scores | published (PQ / AP / mIoU unless said) |",
        "|---|---|---|---|---|---|",
    ]
    for row in BENCHMARKS.values():
        size = input_size(row.short_side, row.long_side, square=row.square)
        remark = f"; {row.remark}" if row.remark else ""
        lines.append(
            f"| `{row.name}` | {row.data} ({row.split}) | {size}{remark} | {prompts_of(row)} "
            f"| {', '.join(row.metrics)} | {_published(row)} |"
        )
    return "\n".join(lines) + "\n"


def _published(row: Benchmark) -> str:
    told: list[str] = []
    for name in PUBLISHED:
        scores = published_scores(row, name)
        if scores:
            named = len(row.metrics) > 1 or row.kind == "caption"
            figures = ", ".join(f"{m} {v}" if named else f"{v}" for m, v in scores.items())
            told.append(f"{name.removeprefix('xdecoder_')} {figures}")
    return "; ".join(told) or "–"


if __name__ == "__main__":
    print(protocol_table(), end="")
