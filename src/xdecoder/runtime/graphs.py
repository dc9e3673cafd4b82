"""The graphs of an exported model, each loaded when it is first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xdecoder.runtime.manifest import Manifest, Part

Array = np.ndarray[Any, np.dtype[Any]]

_LACKING = 'running an exported model needs onnxruntime: pip install "xdecoder[onnx]"'


class Graphs:
    """The graphs of a folder.

    Args:
        folder: where `PART.onnx` and their weights lie.
        manifest: says which there are.
        threads: that one graph runs in; by default one for each core.
        providers: of ONNX Runtime, the most wanted first.

    Raises:
        ImportError: ONNX Runtime is not installed.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, *, threads: int | None, providers: Sequence[str]
    ) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(_LACKING) from error
        self._runtime = onnxruntime
        self._folder = folder
        self._parts = manifest.parts
        self._threads = threads
        self._providers = list(providers)
        self._sessions: dict[Part, Any] = {}

    def run(self, part: Part, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Some outputs of a graph.

        Args:
            part: the graph.
            inputs: at least those that the graph has.
            outputs: the names of those that are wanted; others are not kept.

        Raises:
            ValueError: the model was exported without this graph.
            FileNotFoundError: its file is missing.
        """
        session = self._session(part)
        taken = {node.name: inputs[node.name] for node in session.get_inputs()}
        return session.run(list(outputs), taken)

    def outputs(self, part: Part) -> list[str]:
        """The names of a graph's outputs; errors as `run`."""
        return [node.name for node in self._session(part).get_outputs()]

    def require(self, *parts: Part) -> None:
        """Refuse what the model was exported without.

        Raises:
            ValueError: saying which graph is missing.
        """
        missing = [part for part in parts if part not in self._parts]
        if missing:
            raise ValueError(
                f"this model was exported without the graph {missing[0]}, which this needs; export it again "
                f"with --parts {','.join([*self._parts, *missing])}"
            )

    def _session(self, part: Part) -> Any:
        if part not in self._sessions:
            self.require(part)
            path = self._folder / f"{part}.onnx"
            if not path.is_file():
                raise FileNotFoundError(
                    f"{self._folder} is no complete exported model: it has no {path.name}"
                )
            options = self._runtime.SessionOptions()
            if self._threads is not None:
                options.intra_op_num_threads = self._threads
            self._sessions[part] = self._runtime.InferenceSession(
                str(path), options, providers=self._providers
            )
        return self._sessions[part]
