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
from xdecoder.metrics.lvis_ap import MOST_DETECTIONS


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
_SMALLEST_MASK = 50


def _benchmark(
    data: str,
    kind: BenchmarkTask,
    resizing: Resizing,
    vocabulary: str | None = None,
    published: str | None = None,
    *,
    split: str = "val",
    object_threshold: float = _OPEN_VOCABULARY,
    remark: str = "",
) -> Benchmark:
    """A row named after its data and its kind; the thresholds are panoptic's alone."""
    named_by_data = data.endswith(kind) or data.startswith("seginw-")
    panoptic = kind == "panoptic"
    return Benchmark(
        name=data if named_by_data else f"{data}-{kind}",
        data=data,
        kind=kind,
        split=split,
        resizing=resizing,
        vocabulary=vocabulary,
        object_threshold=object_threshold if panoptic else None,
        overlap_threshold=_OVERLAP if panoptic else None,
        published=published,
        remark=remark,
    )


def _referring(data: str, split: str, published: str | None = None, *, remark: str = "") -> Benchmark:
    return Benchmark(
        name=f"{data}-{split}",
        data=data,
        kind="referring",
        split=split,
        resizing=_512,
        published=published,
        remark=remark,
    )


def _own(name: str, data: str, kind: BenchmarkTask, resizing: Resizing | None) -> Benchmark:
    return Benchmark(name=f"custom-{name}", data=f"custom-{data}", kind=kind, split="val", resizing=resizing)


def _drawn(split: str) -> Benchmark:
    return Benchmark(
        name=f"picturebook-{split}", data="picturebook", kind="picturebook", split=split, resizing=None
    )


_OUR_SIZE = "input size chosen here"
_BACKGROUND = "background asked for by the names of Pascal Context's {} other classes; " + _OUR_SIZE
_NO_SCORE = "no published score"
_TRAINED_ON = "published models were trained on these images"

_ROWS: tuple[Benchmark, ...] = (
    _benchmark("coco", "panoptic", _COCO, "coco", "COCO", object_threshold=_TRAINED),
    _benchmark("coco", "instance", _COCO, "coco", "COCO"),
    _benchmark("coco", "semantic", _COCO, "coco", "COCO"),
    _benchmark("coco-stuff-171", "semantic", _COCO, remark=_OUR_SIZE),
    replace(_benchmark("lvis", "instance", _COCO, remark=_OUR_SIZE), ap="lvis", detections=MOST_DETECTIONS),
    _benchmark(
        "coco100", "panoptic", _COCO, "coco", object_threshold=_TRAINED, split="train", remark=_TRAINED_ON
    ),
    _benchmark("coco100", "instance", _COCO, "coco", split="train", remark=_TRAINED_ON),
    _benchmark("coco100", "semantic", _COCO, "coco", split="train", remark=_TRAINED_ON),
    _benchmark("ade20k-150", "panoptic", _ADE20K, "ade20k", "ADE20K-150"),
    _benchmark("ade20k-150", "instance", _ADE20K, "ade20k", "ADE20K-150"),
    _benchmark("ade20k-150", "semantic", _ADE20K, "ade20k", "ADE20K-150"),
    _benchmark("ade20k-847", "semantic", _ADE20K, "ade20k-847", "ADE20K-847"),
    _benchmark("pascal-voc-20", "semantic", _PASCAL, "voc", remark=_OUR_SIZE),
    _benchmark("pascal-voc-21", "semantic", _PASCAL, remark=_BACKGROUND.format(39)),
    _benchmark("pascal-context-59", "semantic", _PASCAL, remark=_OUR_SIZE),
    _benchmark("pascal-context-60", "semantic", _PASCAL, remark=_BACKGROUND.format(400)),
    _benchmark("pascal-context-459", "semantic", _PASCAL, remark=_OUR_SIZE),
    _benchmark("sun-rgbd-37", "semantic", _512, "sun", "SUN RGB-D 37"),
    _benchmark("scannet-20", "panoptic", _512, "scannet", "ScanNet-20"),
    _benchmark("scannet-20", "semantic", _512, "scannet", "ScanNet-20"),
    _benchmark("scannet-40", "semantic", _512, "scannet-40", "ScanNet-40"),
    _benchmark("cityscapes", "panoptic", _CITYSCAPES, "cityscapes", "Cityscapes"),
    replace(
        _benchmark("cityscapes", "instance", _CITYSCAPES, "cityscapes", "Cityscapes"),
        asked="things",
        ap="cityscapes",
    ),
    _benchmark("cityscapes", "semantic", _CITYSCAPES, "cityscapes", "Cityscapes"),
    _benchmark("mapillary-vistas", "panoptic", _CITYSCAPES, remark=_OUR_SIZE),
    _benchmark("mapillary-vistas", "semantic", _CITYSCAPES, remark=_OUR_SIZE),
    _benchmark("bdd100k-panoptic", "panoptic", _800, "bdd-panoptic", "BDD100K"),
    _benchmark("bdd100k-semantic", "semantic", _800, "bdd", "BDD100K"),
    _referring("refcocog-umd", "val", "RefCOCOg"),
    _referring("refcocog-umd", "test"),
    _referring("refcocog-google", "val"),
    *(_referring(data, split) for data in ("refcoco", "refcoco+") for split in ("val", "testA", "testB")),
    *(
        replace(_referring("grefcoco", split, remark=_NO_SCORE), smallest_mask=_SMALLEST_MASK)
        for split in ("val", "testA", "testB")
    ),
    *(_referring("phrasecut", split, remark=_NO_SCORE) for split in ("val", "test")),
    _benchmark("coco-karpathy", "retrieval", _SQUARE, published="COCO-Karpathy", split="test"),
    _benchmark("coco-karpathy", "caption", _SQUARE, published="COCO-Karpathy", split="test"),
    _benchmark("flickr30k", "retrieval", _SQUARE, split="test"),
    _benchmark("flickr30k", "caption", _SQUARE, split="test"),
    _benchmark("nocaps", "caption", _SQUARE, remark="all domains together; no published score"),
    Benchmark(
        name="vqav2-val",
        data="vqav2",
        kind="question",
        split="val",
        resizing=_VQA,
        remark="the size of the recipe finetune_vqa; no published checkpoint answers questions",
    ),
    *(_benchmark(name, "instance", _512) for name in DATASETS if name.startswith("seginw-")),
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
