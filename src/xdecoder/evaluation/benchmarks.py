"""`BENCHMARKS`: the one table of benchmarks, and `GROUPS` of them.

Sizes, interpolation, thresholds, vocabularies and phrases are those of the published evaluation; the
published scores are in `xdecoder.weights.published_models.PUBLISHED`. `table.protocol_table` writes the table
of docs/evaluation.md.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from xdecoder.data.catalog import DATASETS
from xdecoder.evaluation.benchmark import Benchmark, BenchmarkTask
from xdecoder.evaluation.resizing import Resizing


def _nearest(short: int, long: int) -> Resizing:
    """As Detectron2 resizes."""
    return Resizing(short_side=short, long_side=long, interpolation="bilinear", rounding="nearest")


_COCO = _nearest(800, 1333)
_ADE20K = _nearest(640, 2560)
_CITYSCAPES = _nearest(1024, 2048)
_512 = Resizing(short_side=512)
_800 = Resizing(short_side=800)
_PASCAL = Resizing(short_side=512, long_side=2048)
_SQUARE = Resizing(short_side=224, interpolation="bilinear", square=True)

_VQA = Resizing(short_side=640, long_side=640)

_OPEN_VOCABULARY = 0.4
_TRAINED = 0.8
_OVERLAP = 0.8


def _panoptic(
    data: str,
    resizing: Resizing,
    vocabulary: str,
    published: str | None,
    *,
    object_threshold: float = _OPEN_VOCABULARY,
    split: str = "val",
    remark: str = "",
) -> Benchmark:
    return Benchmark(
        name=data if data.endswith("panoptic") else f"{data}-panoptic",
        data=data,
        kind="panoptic",
        split=split,
        resizing=resizing,
        vocabulary=vocabulary,
        object_threshold=object_threshold,
        overlap_threshold=_OVERLAP,
        published=published,
        remark=remark,
    )


def _instance(
    data: str,
    resizing: Resizing,
    vocabulary: str | None,
    published: str | None,
    *,
    split: str = "val",
    remark: str = "",
) -> Benchmark:
    return Benchmark(
        name=data if data.startswith("seginw-") else f"{data}-instance",
        data=data,
        kind="instance",
        split=split,
        resizing=resizing,
        vocabulary=vocabulary,
        published=published,
        remark=remark,
    )


def _semantic(
    data: str,
    resizing: Resizing,
    vocabulary: str | None,
    published: str | None,
    *,
    split: str = "val",
    remark: str = "",
) -> Benchmark:
    return Benchmark(
        name=data if data.endswith("semantic") else f"{data}-semantic",
        data=data,
        kind="semantic",
        split=split,
        resizing=resizing,
        vocabulary=vocabulary,
        published=published,
        remark=remark,
    )


def _referring(data: str, split: str, published: str | None = None) -> Benchmark:
    return Benchmark(
        name=f"{data}-{split}", data=data, kind="referring", split=split, resizing=_512, published=published
    )


def _words(data: str, kind: BenchmarkTask, published: str | None) -> Benchmark:
    return Benchmark(
        name=f"{data}-{kind}", data=data, kind=kind, split="test", resizing=_SQUARE, published=published
    )


def _own(name: str, data: str, kind: BenchmarkTask, resizing: Resizing | None) -> Benchmark:
    return Benchmark(name=f"custom-{name}", data=f"custom-{data}", kind=kind, split="val", resizing=resizing)


def _drawn(split: str) -> Benchmark:
    return Benchmark(
        name=f"picturebook-{split}", data="picturebook", kind="picturebook", split=split, resizing=None
    )


_OUR_SIZE = "input size chosen here"
_TRAINED_ON = "published models were trained on these images"

_ROWS: tuple[Benchmark, ...] = (
    _panoptic("coco", _COCO, "coco", "COCO", object_threshold=_TRAINED),
    _instance("coco", _COCO, "coco", "COCO"),
    _semantic("coco", _COCO, "coco", "COCO"),
    _semantic("coco-stuff-171", _COCO, None, None, remark=_OUR_SIZE),
    _panoptic("coco100", _COCO, "coco", None, object_threshold=_TRAINED, split="train", remark=_TRAINED_ON),
    _instance("coco100", _COCO, "coco", None, split="train", remark=_TRAINED_ON),
    _semantic("coco100", _COCO, "coco", None, split="train", remark=_TRAINED_ON),
    _panoptic("ade20k-150", _ADE20K, "ade20k", "ADE20K-150"),
    _instance("ade20k-150", _ADE20K, "ade20k", "ADE20K-150"),
    _semantic("ade20k-150", _ADE20K, "ade20k", "ADE20K-150"),
    _semantic("ade20k-847", _ADE20K, "ade20k-847", "ADE20K-847"),
    _semantic("pascal-voc-20", _PASCAL, "voc", None, remark=_OUR_SIZE),
    _semantic("pascal-context-59", _PASCAL, None, None, remark=_OUR_SIZE),
    _semantic("pascal-context-459", _PASCAL, None, None, remark=_OUR_SIZE),
    _semantic("sun-rgbd-37", _512, "sun", "SUN RGB-D 37"),
    _panoptic("scannet-20", _512, "scannet", "ScanNet-20"),
    _semantic("scannet-20", _512, "scannet", "ScanNet-20"),
    _semantic("scannet-40", _512, "scannet-40", "ScanNet-40"),
    _panoptic("cityscapes", _CITYSCAPES, "cityscapes", "Cityscapes"),
    replace(
        _instance("cityscapes", _CITYSCAPES, "cityscapes", "Cityscapes"), asked="things", ap="cityscapes"
    ),
    _semantic("cityscapes", _CITYSCAPES, "cityscapes", "Cityscapes"),
    _panoptic("bdd100k-panoptic", _800, "bdd-panoptic", "BDD100K"),
    _semantic("bdd100k-semantic", _800, "bdd", "BDD100K"),
    _referring("refcocog-umd", "val", "RefCOCOg"),
    _referring("refcocog-umd", "test"),
    _referring("refcocog-google", "val"),
    *(_referring(data, split) for data in ("refcoco", "refcoco+") for split in ("val", "testA", "testB")),
    _words("coco-karpathy", "retrieval", "COCO-Karpathy"),
    _words("coco-karpathy", "caption", "COCO-Karpathy"),
    _words("flickr30k", "retrieval", None),
    _words("flickr30k", "caption", None),
    Benchmark(
        name="nocaps-caption",
        data="nocaps",
        kind="caption",
        split="val",
        resizing=_SQUARE,
        remark="all domains together; no published score",
    ),
    Benchmark(
        name="vqav2-val",
        data="vqav2",
        kind="question",
        split="val",
        resizing=_VQA,
        remark="the size of the recipe finetune_vqa; no published checkpoint answers questions",
    ),
    *(_instance(name, _512, None, None) for name in DATASETS if name.startswith("seginw-")),
    _own("panoptic", "panoptic", "panoptic", None),
    _own("panoptic-semantic", "panoptic", "semantic", None),
    _own("panoptic-instance", "panoptic", "instance", None),
    _own("instance", "instances", "instance", None),
    _own("semantic", "semantic", "semantic", None),
    _own("referring", "referring", "referring", None),
    _own("caption", "captions", "caption", _SQUARE),
    _own("retrieval", "captions", "retrieval", _SQUARE),
    _own("question", "questions", "question", _VQA),
    _drawn("val"),
    _drawn("unseen"),
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
    "picturebook": _of_data("picturebook"),
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
