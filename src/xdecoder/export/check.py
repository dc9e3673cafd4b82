"""Graphs compared with the model that they were made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xdecoder.export.examples import ExampleSizes, examples
from xdecoder.export.onnx import Export
from xdecoder.runtime.graphs import Graphs
from xdecoder.runtime.manifest import Part

TOLERANCE = 1e-3
"""Of a difference, as a share of an output's largest value. Masks that hide cells may turn over at 0."""

_OTHER_SIZES = ExampleSizes(image=(96, 64), rows=1, length=9, earlier=0)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far a graph's output is from the model's.

    Attributes:
        part: the graph.
        output: its output.
        share: the largest difference over the output's largest value.
    """

    part: Part
    output: str
    share: float


def differences(export: Export) -> Iterator[Difference]:
    """Every output of every graph, on the same inputs, of other sizes than the graphs were traced at.

    Args:
        export: what `export_onnx` gave.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """
    manifest = export.manifest
    graphs = Graphs(export.folder, manifest, threads=None, providers=["CPUExecutionProvider"])
    sizes = _OTHER_SIZES
    if manifest.size is not None:
        sizes = ExampleSizes(image=manifest.size, rows=sizes.rows, length=sizes.length, earlier=sizes.earlier)
    for graph, inputs in examples(export.model, export.answer_head, manifest.parts, sizes):
        with torch.no_grad():
            expected = graph(inputs)
        found = graphs.run(graph.name, {name: x.numpy() for name, x in inputs.items()}, list(expected))
        for (name, wanted), array in zip(expected.items(), found, strict=True):
            yield Difference(part=graph.name, output=name, share=_share(array, wanted.numpy()))


def _share(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> float:
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-9))
