"""How each kind of benchmark is run."""

from __future__ import annotations

from typing import Any

from xdecoder.evaluation.benchmark import Benchmark, BenchmarkTask
from xdecoder.evaluation.captioning import CaptioningProtocol
from xdecoder.evaluation.cityscapes import CityscapesInstanceProtocol
from xdecoder.evaluation.instance import InstanceProtocol
from xdecoder.evaluation.panoptic import PanopticProtocol
from xdecoder.evaluation.protocol import BenchmarkProtocol
from xdecoder.evaluation.referring import ReferringProtocol
from xdecoder.evaluation.retrieval import RetrievalProtocol
from xdecoder.evaluation.semantic import SemanticProtocol
from xdecoder.evaluation.vqa import VqaProtocol

_PROTOCOLS: dict[BenchmarkTask, type[BenchmarkProtocol[Any]]] = {
    "panoptic": PanopticProtocol,
    "instance": InstanceProtocol,
    "semantic": SemanticProtocol,
    "referring": ReferringProtocol,
    "caption": CaptioningProtocol,
    "retrieval": RetrievalProtocol,
    "question": VqaProtocol,
}


def protocol_of(benchmark: Benchmark) -> type[BenchmarkProtocol[Any]]:
    """How a benchmark is run.

    Raises:
        ImportError: a package that it needs is missing.
    """
    if benchmark.kind == "picturebook":
        from xdecoder.evaluation.picturebook.protocol import PictureBook  # needs OpenCV, an extra

        return PictureBook
    return CityscapesInstanceProtocol if benchmark.ap == "cityscapes" else _PROTOCOLS[benchmark.kind]
