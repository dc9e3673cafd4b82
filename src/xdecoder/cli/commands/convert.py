"""`xdecoder convert`: results become a labeling tool's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xdecoder.cli.console import FAILED
from xdecoder.cli.labeling import ExportOptions, LabelingFormat, write_export

EPILOG = (
    "xdecoder convert results --to yolo\n\n"
    "xdecoder convert results --to labelstudio --shapes polygons --out tasks\n\n"
    "xdecoder segment photos/ --json > lines.jsonl && xdecoder convert lines.jsonl --to coco"
)


def convert(
    results: Annotated[
        Path,
        typer.Argument(
            help="The folder of results of segment or refer, a NAME.json of it, or lines of --json (.jsonl).",
            metavar="RESULTS",
            show_default=False,
        ),
    ],
    to: Annotated[LabelingFormat, typer.Option("--to", help="The format.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The folder to make. By default RESULTS/FORMAT.",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    *,
    export: ExportOptions,
) -> int:
    """Make results of segment or refer the files of a labeling tool, images included.

    `xdecoder datasets convert` is the way back: a labeling tool's files become a data set.
    """
    folder = out or _beside(results) / to
    exported = write_export(results, folder, to, export, replace=False)
    return FAILED if exported.skipped else 0


def _beside(results: Path) -> Path:
    return results if results.is_dir() else results.with_suffix("")
