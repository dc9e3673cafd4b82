"""`xdecoder export`: a model becomes graphs that run without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xdecoder.cli.console import FAILED
from xdecoder.export.config import ExportConfig, StoredDtype, parse_parts, parse_size

if TYPE_CHECKING:
    from xdecoder.export.onnx import Export

EPILOG = (
    "xdecoder export picturebook picturebook-onnx --to onnx --check\n\n"
    "xdecoder export xdecoder_focalt_last focalt-onnx --to onnx --size 1024x1024 --dtype float16\n\n"
    "xdecoder export picturebook regions --to onnx --parts image,text,latents"
)


def export(
    model: Annotated[
        str,
        typer.Argument(
            help="picturebook, picturebook-lite, a name of `xdecoder weights list`, a model folder, or a "
            "Hugging Face repository.",
            metavar="MODEL",
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to make.", metavar="OUT")],
    to: Annotated[Literal["onnx"], typer.Option("--to", help="The format.", show_default=False)],
    size: Annotated[
        str,
        typer.Option(
            "--size",
            help="Height and width of the images that the graphs take, multiples of 32 such as 1024x1024, "
            "or free.",
            metavar="HxW|free",
        ),
    ] = "free",
    parts: Annotated[
        str | None,
        typer.Option(
            "--parts",
            help="The graphs, of image, text, latents, phrases, caption and answer, with commas between "
            "them. By default all that the model has.",
            metavar="NAMES",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[
        StoredDtype | None,
        typer.Option(
            "--dtype",
            help="Kind of numbers that weights are stored in, by default as in the model. The graphs compute "
            "in float32.",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Compare every graph with the model; exit code 1 if one differs.")
    ] = False,
) -> int:
    """Export a model as graphs that run without PyTorch; words stay free.

    `xdecoder.runtime.load(OUT)` runs them.
    """
    config = ExportConfig(
        size=parse_size(size),
        parts=None if parts is None else parse_parts(parts),
        dtype=dtype,
    )

    from xdecoder.cli.progress import ProgressBar
    from xdecoder.export.onnx import export_onnx

    with ProgressBar("exporting") as bar:
        done = export_onnx(model, out, config, bar)
    typer.echo(
        f"{done.folder}: {', '.join(done.manifest.parts)}; {done.bytes / 1e6:.1f} MB, {done.manifest.dtype}"
    )
    return _check(done) if check else 0


def _check(done: Export) -> int:
    from xdecoder.export.check import TOLERANCE, differences

    largest: dict[str, float] = {}
    for difference in differences(done):
        largest[difference.part] = max(largest.get(difference.part, 0.0), difference.share)
    for part, share in largest.items():
        verdict = "" if share <= TOLERANCE else f": more than {TOLERANCE:g}"
        typer.echo(f"{part}: differs by {share:.1e} of the largest value at the most{verdict}")
    return 0 if max(largest.values()) <= TOLERANCE else FAILED
