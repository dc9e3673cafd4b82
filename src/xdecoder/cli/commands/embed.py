"""`xdecoder embed`: images and texts in the space that they share."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.options import DataOutput, Json, ModelOptions, check_file
from xdecoder.jobs.printable import printable

if TYPE_CHECKING:
    import numpy as np
    import torch

    from xdecoder.cli.over_images import ImageTask, Pixels, Results
    from xdecoder.cli.targets import Target
    from xdecoder.tasks.retrieval import ImageEmbeddings

EPILOG = (
    "xdecoder embed photos/ --text 'a dog on grass' --text 'a red car'\n\n"
    "xdecoder embed photos/ --out photos.safetensors"
)
_SUFFIXES = (".npz", ".safetensors")


@dataclass(frozen=True, kw_only=True)
class EmbeddingOutput:
    """Where the vectors go."""

    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file to write, .npz or .safetensors. By default embeddings.npz; with --json none.",
            metavar="FILE",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None
    as_json: Json = False

    @property
    def file(self) -> Path | None:
        """To write; None writes none."""
        return self.out if self.out is not None or self.as_json else Path("embeddings.npz")


def embed(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images, folders (with their subfolders) and globs.",
            metavar="IMAGE",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", "-t", help="A text; may be given several times.", show_default=False),
    ] = None,
    *,
    output: EmbeddingOutput,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Embed images and texts in the space that they share.

    The file holds unit vectors, one row each: of images as "decoder" and
    "backbone" (files in "image_names"), of texts as "texts" ("text_names").
    Given both, it holds the "similarity", which is printed: the mean cosine.
    """
    texts = text or []
    if not images and not texts:
        raise ValueError("nothing to embed: name images, or texts with --text")
    if output.file is not None:
        check_file("--out", output.file, _SUFFIXES)

    from xdecoder.cli.over_images import ImageTask, run_over_images
    from xdecoder.jobs.files import remove_drafts, write_whole
    from xdecoder.tasks.retrieval import ImageEmbeddings

    rows: dict[str, ImageEmbeddings] = {}
    of_texts: list[torch.Tensor] = []

    def prepare(results: Results) -> ImageTask[ImageEmbeddings]:
        predictor = model.load()
        if texts:
            of_texts.append(predictor.embed_texts(texts).cpu())

        def compute(images: list[Pixels]) -> list[ImageEmbeddings]:
            found = predictor.embed_images(predictor.encode(images, short_side=model.short_side))
            return [found.row(i) for i in range(len(images))]

        def finish(target: Target, row: ImageEmbeddings) -> None:
            rows[str(target.path)] = ImageEmbeddings(decoder=row.decoder.cpu(), backbone=row.backbone.cpu())

        return ImageTask(compute=compute, batch_size=predictor.batch_size, finish=finish)

    code = run_over_images(images or [], DataOutput(as_json=output.as_json), prepare, debug=debug)
    arrays = _arrays(list(rows.values()), of_texts)
    if output.file is not None:
        output.file.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(output.file.parent)
        write_whole(output.file, _packed(output.file.suffix.lower(), arrays, list(rows), texts))
    if output.as_json:
        _print_lines(list(rows), texts, arrays)
    elif rows and texts:
        _print_table(list(rows), texts, arrays["similarity"])
    return code


def _arrays(images: Sequence[ImageEmbeddings], texts: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
    from xdecoder.tasks.retrieval import ImageEmbeddings

    arrays: dict[str, np.ndarray] = {}
    if images:
        both = ImageEmbeddings.concatenate(images)
        arrays = {"decoder": both.decoder.numpy(), "backbone": both.backbone.numpy()}
        if texts:
            arrays["similarity"] = both.similarity(texts[0]).numpy()
    if texts:
        arrays["texts"] = texts[0].numpy()
    return arrays


def _packed(suffix: str, arrays: dict[str, np.ndarray], images: Sequence[str], texts: Sequence[str]) -> bytes:
    import numpy as np
    import safetensors.numpy

    names = {"image_names": list(images), "text_names": list(texts)}
    if suffix == ".safetensors":
        return safetensors.numpy.save(arrays, metadata={k: json.dumps(v) for k, v in names.items()})
    stream = io.BytesIO()
    np.savez(stream, **arrays, **{k: np.array(v, np.str_) for k, v in names.items()})  # pyright: ignore[reportArgumentType]
    return stream.getvalue()


def _print_lines(images: Sequence[str], texts: Sequence[str], arrays: dict[str, np.ndarray]) -> None:
    from xdecoder.cli.over_images import print_json

    for i, text in enumerate(texts):
        print_json({"text": text, "embedding": arrays["texts"][i].tolist()})
    for i, name in enumerate(images):
        line: dict[str, Any] = {"file": name}
        line |= {key: arrays[key][i].tolist() for key in ("decoder", "backbone")}
        if texts:
            line["similarity"] = arrays["similarity"][i].tolist()
        print_json(line)


def _print_table(images: Sequence[str], texts: Sequence[str], similarity: np.ndarray) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", box=None, pad_edge=False, title="Similarity", title_justify="left")
    for text in texts:
        table.add_column(escape(printable(text)), justify="right")
    for name, row in zip(images, similarity.tolist(), strict=True):
        table.add_row(escape(printable(name)), *(f"{value:.3f}" for value in row))
    Console().print(table)
