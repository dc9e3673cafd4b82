"""The one file that holds the weights of all graphs, each tensor once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import onnx_ir as ir

from xdecoder.export.config import StoredDtype

WEIGHTS = "weights.bin"

_FEWEST_BYTES = 1024  # smaller tensors stay in their graph
_ALIGNMENT = 64  # bytes: a line of any cache


class WeightsFile:
    """Weights, written as graphs come; what several graphs share is written once.

    Args:
        folder: of the graphs.
        file: `weights.bin` of that folder, open for writing.
        dtype: the numbers that weights are stored in; the graphs compute in float32. What the exporter has
            joined to weights of more digits, as it does convolutions and batch norms, stays as it is.
    """

    def __init__(self, folder: Path, file: IO[bytes], dtype: StoredDtype) -> None:
        self._folder = folder
        self._file = file
        self._dtype = dtype
        self._offsets: dict[bytes, int] = {}

    def take(self, model: ir.Model) -> None:
        """Move a graph's weights into the file."""
        graph = model.graph
        for value in list(graph.initializers.values()):
            tensor = value.const_value
            if tensor is None or tensor.nbytes < _FEWEST_BYTES:
                continue
            numbers = cast("np.ndarray[Any, Any]", tensor.numpy())
            if self._dtype == "float16" and _fits_float16(numbers):
                self._store_narrow(graph, value, numbers.astype(np.float16))
            else:
                value.const_value = self._write(str(value.name), numbers)

    def _store_narrow(self, graph: ir.Graph, value: ir.Value, numbers: np.ndarray[Any, Any]) -> None:
        """Store a weight in fewer digits, and have the graph widen it where it is read."""
        name = str(value.name)
        stored = ir.Value(name=f"{name}_stored", shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT16))
        stored.const_value = self._write(f"{name}_stored", numbers)
        widened = ir.Node("", "Cast", [stored], [ir.AttrInt64("to", ir.DataType.FLOAT)], name=f"widen_{name}")
        widened.outputs[0].name = f"{name}_widened"
        ir.convenience.replace_all_uses_with(value, widened.outputs[0])
        del graph.initializers[name]
        graph.initializers[f"{name}_stored"] = stored
        graph.insert_before(graph[0], widened)

    def _write(self, name: str, numbers: np.ndarray[Any, Any]) -> ir.ExternalTensor:
        data = np.ascontiguousarray(numbers).tobytes()
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest not in self._offsets:
            self._file.write(bytes(-self._file.tell() % _ALIGNMENT))
            self._offsets[digest] = self._file.tell()
            self._file.write(data)
        return ir.ExternalTensor(
            WEIGHTS,
            self._offsets[digest],
            len(data),
            ir.DataType.from_numpy(numbers.dtype),
            shape=ir.Shape(numbers.shape),
            name=name,
            base_dir=self._folder,
        )


def _fits_float16(numbers: np.ndarray[Any, Any]) -> bool:
    """Whether float16 holds these numbers without loss."""
    if numbers.dtype != np.float32:
        return False
    with np.errstate(over="ignore"):
        return bool((numbers.astype(np.float16) == numbers).all())
