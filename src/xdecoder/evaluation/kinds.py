"""How each kind of benchmark is run."""

from __future__ import annotations

from typing import Any

from xdecoder.evaluation.benchmark import Benchmark, BenchmarkTask
from xdecoder.evaluation.captioning import Captioning
from xdecoder.evaluation.cityscapes import CityscapesInstance
from xdecoder.evaluation.instance import Instance
from xdecoder.evaluation.panoptic import Panoptic
from xdecoder.evaluation.protocol import BenchmarkProtocol
from xdecoder.evaluation.referring import Referring
from xdecoder.evaluation.retrieval import ImageTextRetrieval
from xdecoder.evaluation.semantic import Semantic
from xdecoder.evaluation.vqa import Answering

_PROTOCOLS: dict[BenchmarkTask, type[BenchmarkProtocol[Any]]] = {
    "panoptic": Panoptic,
    "instance": Instance,
    "semantic": Semantic,
    "referring": Referring,
    "caption": Captioning,
    "retrieval": ImageTextRetrieval,
    "question": Answering,
}


def protocol_of(benchmark: Benchmark) -> type[BenchmarkProtocol[Any]]:
    """How a benchmark is run.

    Raises:
        ImportError: a package that it needs is missing.
    """
    if benchmark.kind == "picturebook":
        from xdecoder.evaluation.picturebook.protocol import PictureBook  # needs OpenCV, an extra

        return PictureBook
    return CityscapesInstance if benchmark.ap == "cityscapes" else _PROTOCOLS[benchmark.kind]
