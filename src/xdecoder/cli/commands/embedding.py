"""The work of `xdecoder embed`."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xdecoder.cli.over_images import Output, Pixels, print_json, run
from xdecoder.cli.targets import Target, find_targets
from xdecoder.jobs.files import write_whole
from xdecoder.predictor.predictor import Predictor
from xdecoder.tasks.retrieval import ImageEmbeddings

_SUFFIXES = (".npz", ".safetensors")


def embed(
    images: Sequence[str],
    texts: Sequence[str],
    *,
    file: Path | None,
    as_json: bool,
    short_side: int | None,
    model: Callable[[], Predictor],
    debug: bool,
) -> int:
    """Embed, write the file, print the similarities.

    Args:
        images: files, folders, globs.
        texts: texts.
        file: where to write; None writes nothing.
        as_json: print lines of JSON, with the embeddings.
        short_side: of the images, for the model.
        model: loads the model; called when all else is known to be right.
        debug: let the first error through.

    Returns:
        The exit code.

    Raises:
        ValueError: nothing to embed, or the file has another suffix.
        FileNotFoundError: an image or the file's folder does not exist.
    """
    if not images and not texts:
        raise ValueError("nothing to embed: name images, or texts with --text")
    if file is not None and file.suffix not in _SUFFIXES:
        raise ValueError(f"--out {file}: expected a name ending in {' or '.join(_SUFFIXES)}")
    if file is not None and not file.parent.is_dir():
        raise FileNotFoundError(f"no folder {file.parent} to write {file.name} to; make it first")
    targets = find_targets(images, None) if images else []
    predictor = model()
    of_texts = predictor.embed_texts(texts).cpu() if texts else torch.zeros(0, predictor.config.embed_width)
    done: dict[Target, ImageEmbeddings] = {}

    def work(pictures: list[Pixels]) -> list[ImageEmbeddings]:
        rows = predictor.embed_images(predictor.encode(pictures, short_side=short_side))
        return [rows.row(i) for i in range(len(pictures))]

    def finish(target: Target, row: ImageEmbeddings) -> None:
        done[target] = ImageEmbeddings(decoder=row.decoder.cpu(), backbone=row.backbone.cpu())

    output = Output(folder=None, as_json=as_json)
    code = run(targets, output, batch_size=predictor.batch_size, verb=work, finish=finish, debug=debug)
    names = [str(target.path) for target in done]
    arrays = _arrays(list(done.values()), of_texts)
    if file is not None:
        write_whole(file, _packed(file.suffix, arrays, names, texts))
    if as_json:
        _print_lines(names, texts, arrays)
    elif names and texts:
        _print_table(names, texts, arrays["similarity"])
    return code


def _arrays(images: Sequence[ImageEmbeddings], texts: torch.Tensor) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    if images:
        both = ImageEmbeddings(
            decoder=torch.cat([row.decoder for row in images]),
            backbone=torch.cat([row.backbone for row in images]),
        )
        arrays = {"decoder": both.decoder.numpy(), "backbone": both.backbone.numpy()}
        if len(texts):
            arrays["similarity"] = both.similarity(texts).numpy()
    if len(texts):
        arrays["texts"] = texts.numpy()
    return arrays


def _packed(suffix: str, arrays: dict[str, np.ndarray], images: Sequence[str], texts: Sequence[str]) -> bytes:
    names = {"image_names": list(images), "text_names": list(texts)}
    if suffix == ".safetensors":
        return safetensors.numpy.save(arrays, metadata={k: json.dumps(v) for k, v in names.items()})
    stream = io.BytesIO()
    np.savez(stream, **arrays, **{k: np.array(v, np.str_) for k, v in names.items()})  # pyright: ignore[reportArgumentType]
    return stream.getvalue()


def _print_lines(images: Sequence[str], texts: Sequence[str], arrays: dict[str, np.ndarray]) -> None:
    for i, text in enumerate(texts):
        print_json({"text": text, "embedding": arrays["texts"][i].tolist()})
    for i, name in enumerate(images):
        line = {"file": name, **{key: arrays[key][i].tolist() for key in ("decoder", "backbone")}}
        if texts:
            line["similarity"] = arrays["similarity"][i].tolist()
        print_json(line)


def _print_table(images: Sequence[str], texts: Sequence[str], similarity: np.ndarray) -> None:
    table = Table("", *map(escape, texts), box=None, pad_edge=False, title="Similarity", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, row in zip(images, similarity.tolist(), strict=True):
        table.add_row(escape(name), *(f"{value:.3f}" for value in row))
    Console().print(table)
