"""An exported model by its folder, ready to be asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xdecoder.runtime.graphs import Graphs
from xdecoder.runtime.manifest import TOKENIZER, VOCABULARY, Manifest
from xdecoder.runtime.model import ExportedModel
from xdecoder.tokenizer import Tokenizer


def load(
    folder: str | os.PathLike[str],
    *,
    threads: int | None = None,
    providers: Sequence[str] = ("CPUExecutionProvider",),
) -> ExportedModel:
    """Load an exported model; PyTorch is not imported.

    Args:
        folder: what `xdecoder export MODEL FOLDER --to onnx` wrote.
        threads: that a graph runs in; by default one for each core.
        providers: where ONNX Runtime computes, the most wanted first: its names, such as
            "CUDAExecutionProvider".

    Raises:
        FileNotFoundError: the folder is no exported model, or lacks a file.
        ValueError: a file is damaged.
        ImportError: ONNX Runtime is not installed.
    """
    place = Path(folder)
    manifest = Manifest.read(place)
    for name in (TOKENIZER, VOCABULARY):
        if not (place / name).is_file():
            raise FileNotFoundError(f"{place} is no complete exported model: it has no {name}")
    return ExportedModel(
        Graphs(place, manifest, threads=threads, providers=providers),
        manifest,
        Tokenizer.from_bytes(
            (place / TOKENIZER).read_bytes(), context_length=manifest.config.text.context_length
        ),
        np.load(place / VOCABULARY, allow_pickle=False),
    )
