"""A model folder to ONNX graphs."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.fx.experimental import _config as _symbolic_shapes

from xdecoder.config import ModelConfig
from xdecoder.export.axes import FreeAxes
from xdecoder.export.config import ExportConfig, StoredDtype
from xdecoder.export.examples import ExampleSizes, examples
from xdecoder.export.graphs import Graph, pad_explicitly
from xdecoder.jobs.files import whole_folder
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.runtime.manifest import MANIFEST, PARTS, TOKENIZER, VOCABULARY, Manifest, Part
from xdecoder.tasks.vocabulary import embed_names
from xdecoder.tokenizer import Tokenizer
from xdecoder.vocabularies import model_vocabulary
from xdecoder.weights.folder import load_answer_head, load_model
from xdecoder.weights.sources import resolve_model

OPSET = 20

_TRACED_AT = ExampleSizes(image=(160, 224), rows=3, length=5, earlier=4)
"""What is free must be neither 0 nor 1 in the example, and no two axes alike."""


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written.

    Attributes:
        folder: of the graphs.
        manifest: its description.
        bytes: of all its files.
        model: the model that the graphs were made of.
        answer_head: its classifier of answers, if it has one.
    """

    folder: Path
    manifest: Manifest
    bytes: int
    model: XDecoder
    answer_head: AnswerHead | None


def export_onnx(
    source: str | Path,
    folder: str | Path,
    config: ExportConfig = ExportConfig(),  # noqa: B008 (frozen)
    progress: ProgressCallback | None = None,
) -> Export:
    """Write a model's graphs, their weights, its tokenizer and its description.

    The vocabulary, the phrases and the questions stay free: graphs take token ids and embeddings.

    Args:
        source: as `xdecoder.load` takes it.
        folder: made anew; an exported model that it holds is replaced.
        config: the size of images, the parts, and how weights are stored.
        progress: called with the graphs written and the graphs to write.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: the model lacks what a part needs, or the folder holds something else.
        ImportError: a package of the extra onnx is not installed.
    """
    ir = _import_exporter()
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise ValueError(f"{folder} is there and is no exported model; name a new folder")
    place = resolve_model(source)
    model, tokenizer = load_model(place)
    head = load_answer_head(place)
    dtype: StoredDtype = config.dtype or (
        "float16" if model.logit_scale.dtype == torch.float16 else "float32"
    )
    model = _rounded(model, dtype).requires_grad_(False)
    padded = copy.deepcopy(model)  # the model itself is what the graphs are compared with
    pad_explicitly(padded)
    head = None if head is None else _rounded(head, dtype).requires_grad_(False)
    parts = _parts(config.parts, model.config, head)
    manifest = Manifest(
        config=model.config,
        parts=parts,
        size=config.size,
        dtype=dtype,
        logit_scale=float(model.logit_scale.exp()),
        answers=() if head is None else head.answers,
        question_length=0 if head is None else head.question_length,
    )

    from xdecoder.export.weights_file import WEIGHTS, WeightsFile

    sizes = _TRACED_AT if config.size is None else _with_image(_TRACED_AT, config.size)
    axes = FreeAxes(model.config, size_is_free=config.size is None)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(folder) as draft:
        with (draft / WEIGHTS).open("wb") as file:
            weights = WeightsFile(draft, file, dtype)
            for done, (graph, inputs) in enumerate(examples(padded, head, parts, sizes)):
                if progress:
                    progress(done, len(parts))
                traced = _trace(graph, inputs, axes)
                weights.take(traced)
                ir.save(traced, draft / f"{graph.name}.onnx")
        (draft / TOKENIZER).write_bytes(tokenizer.to_bytes())
        embeddings = _embed_classes(model, tokenizer, manifest)
        np.save(draft / VOCABULARY, embeddings.numpy(), allow_pickle=False)
        (draft / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    if progress:
        progress(len(parts), len(parts))
    return Export(
        folder=folder,
        manifest=manifest,
        bytes=sum(file.stat().st_size for file in folder.iterdir()),
        model=model,
        answer_head=head,
    )


@torch.no_grad()
def _embed_classes(model: XDecoder, tokenizer: Tokenizer, manifest: Manifest) -> Tensor:
    """The model's own classes and the background, as `Predictor.embed_vocabulary`."""
    names = (*model_vocabulary(model.config.inference.vocabulary).classes, "background")
    return embed_names(model, tokenizer, [manifest.prompts_of(name) for name in names])


def _import_exporter() -> Any:
    for package in ("onnx", "onnxscript", "onnx_ir"):
        try:
            import_module(package)
        except ImportError as error:
            raise ImportError(f'exporting needs {package}: pip install "xdecoder[onnx]"') from error
    return import_module("onnx_ir")


def _rounded(module: Any, dtype: StoredDtype) -> Any:
    """A module in float32, with numbers that the dtype holds."""
    return (module.half() if dtype == "float16" else module).float()


def _with_image(sizes: ExampleSizes, image: tuple[int, int]) -> ExampleSizes:
    return ExampleSizes(image=image, rows=sizes.rows, length=sizes.length, earlier=sizes.earlier)


def _parts(wanted: tuple[Part, ...] | None, config: ModelConfig, head: AnswerHead | None) -> tuple[Part, ...]:
    """The graphs to make.

    Raises:
        ValueError: the model cannot do what one is for.
    """
    can = {"caption": config.decoder.captions, "answer": head is not None and config.decoder.captions}
    for part in wanted or ():
        if not can.get(part, True):
            raise ValueError(
                f"this model has no part {part}: it was not trained for it; leave it out of --parts"
            )
    return tuple(part for part in PARTS if part in (wanted or PARTS) and can.get(part, True))


def _trace(graph: Graph, inputs: dict[str, Tensor], axes: FreeAxes) -> Any:
    """A graph as ONNX, its inputs and outputs by their names."""
    with torch.no_grad(), _quiet():
        outputs = list(graph(inputs))
        free = {name: axes.of(graph.name, name) for name in inputs}
        # or the size of the example's image is taken for the only one
        with _symbolic_shapes.patch(  # pyright: ignore[reportAttributeAccessIssue]
            backed_size_oblivious=graph.name == "image"
        ):
            program = torch.export.export(graph, (inputs,), dynamic_shapes=(free,), strict=False)
        traced = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            verbose=False,
        )
    assert traced is not None
    _strip(traced.model)
    return traced.model


def _strip(model: Any) -> None:
    """Leave out where in the source each node comes from: most of a file, with paths of this machine."""
    model.graph.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


@contextmanager
def _quiet() -> Generator[None]:
    """The exporter tells of packages that it does without, and of its own deprecated calls."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx", "torch.utils", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
