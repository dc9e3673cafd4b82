"""The options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_MODEL = "Model"
_OUTPUT = "Output"


class Dtype(StrEnum):
    """Kinds of numbers a model can run in."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


Images = Annotated[
    list[str],
    typer.Argument(
        help="Images, folders (with their subfolders) and globs ('shots/**/*.jpg').",
        metavar="IMAGE",
        show_default=False,
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights",
        "-w",
        help="The model: picturebook, a name of `xdecoder weights list`, a model folder, or a Hugging Face "
        "repository.",
        metavar="NAME|FOLDER|HUB_ID",
        rich_help_panel=_MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="cpu, cuda, cuda:1, ... By default a GPU, if there is one.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
DtypeOption = Annotated[
    Dtype | None,
    typer.Option(
        "--dtype",
        help="Kind of numbers; by default as the weights are stored.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Images worked on together; by default 1 on a CPU, 8 on a GPU. No result depends on it.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
ShortSide = Annotated[
    int | None,
    typer.Option(
        "--short-side",
        min=1,
        help="Pixels that the shorter side is resized to for the model; by default the model's own.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder for the results, a drawn NAME.png and a NAME.json for each image; names keep the "
        "images' subfolders. By default results; with --json none.",
        metavar="FOLDER",
        show_default=False,
        rich_help_panel=_OUTPUT,
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Go on with an earlier run: pass over images whose results are in the folder.",
        rich_help_panel=_OUTPUT,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print one line of JSON for each image, for machines.", rich_help_panel=_OUTPUT
    ),
]
JsonFacts = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.", rich_help_panel=_OUTPUT)]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        envvar="XDECODER_DEBUG",
        help="Show where an error comes from.",
        rich_help_panel=_OUTPUT,
    ),
]
