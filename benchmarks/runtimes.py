"""An exported model in ONNX Runtime and in OpenVINO, beside PyTorch: CPU time of what a verb takes.

    xdecoder export picturebook OUT --to onnx
    pip install openvino
    OMP_NUM_THREADS=1 python benchmarks/runtimes.py picturebook OUT --size 160 --size 512

All run on one thread, turn about in one process; each figure is the median of the rounds but the first.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

import xdecoder
import xdecoder.runtime
from xdecoder.picturebook import draw_scene
from xdecoder.runtime.graphs import Array, Graphs
from xdecoder.runtime.manifest import Part

PHRASES = ["the tree", "a cat by a lake", "the red book on the left"]
TEXTS = [f"a photo of {count} cats" for count in range(64)]


class OpenVINOGraphs(Graphs):
    """The graphs of a folder in OpenVINO."""

    def run(self, part: Part, inputs: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """As in ONNX Runtime."""
        graph = self._session(part)
        names = {name for port in graph.inputs for name in port.get_names()}
        found = graph({name: value for name, value in inputs.items() if name in names})
        return [found[name] for name in outputs]

    def outputs(self, part: Part) -> list[str]:
        """As in ONNX Runtime."""
        return [port.get_any_name() for port in self._session(part).outputs]

    def _session(self, part: Part) -> Any:
        import openvino  # pyright: ignore[reportMissingImports]

        if part not in self._sessions:
            path = self._folder / f"{part}.onnx"
            self._sessions[part] = openvino.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": 1})
        return self._sessions[part]


def verbs(model: Any, picture: np.ndarray, side: int) -> dict[str, Callable[[], object]]:
    """What is timed."""
    image = model.encode(picture, short_side=side)
    model.segment(image)
    return {
        "encode": lambda: model.encode(picture, short_side=side),
        "segment": lambda: model.segment(image),
        "3 phrases": lambda: model.refer(image, PHRASES),
        "caption, 20 tokens": lambda: model.caption(image, steps=20),
        "64 texts": lambda: model.embed_texts(TEXTS),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="a model's name or folder")
    parser.add_argument("exported", type=Path, help="the same model, exported")
    parser.add_argument("--size", type=int, action="append", help="short side; several to compare")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(1)
    models: dict[str, Any] = {
        "PyTorch": xdecoder.load(options.model),
        "ONNX Runtime": xdecoder.runtime.load(options.exported, threads=1),
    }
    with patch("xdecoder.runtime.loading.Graphs", OpenVINOGraphs):
        models["OpenVINO"] = xdecoder.runtime.load(options.exported)
    print(f"| short side | | {' | '.join(models)} |\n|---|---|{'---|' * len(models)}")
    for side in options.size or [160]:
        picture = draw_scene(0, split="val", size=side).image
        works = {name: verbs(model, picture, side) for name, model in models.items()}
        for verb in works["PyTorch"]:
            times: dict[str, list[float]] = {name: [] for name in models}
            for _ in range(options.rounds):
                for name in models:
                    start = time.process_time()
                    works[name][verb]()
                    times[name].append(time.process_time() - start)
            cells = [f"{statistics.median(spent[1:]):.3f}" for spent in times.values()]
            print(f"| {side} | {verb} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
