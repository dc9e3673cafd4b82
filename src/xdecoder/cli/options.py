"""The options that several commands share."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from xdecoder.predictor.predictor import Predictor

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
DataOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        help="Folder for a NAME.json for each image; by default none is written.",
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


@dataclass(frozen=True, kw_only=True)
class PictureOutput:
    """Where a command's pictures and data go."""

    out: Out = None
    as_json: Json = False
    skip_existing: SkipExisting = False

    @property
    def folder(self) -> Path | None:
        """For files; None writes none."""
        return self.out if self.out is not None or self.as_json else Path("results")


@dataclass(frozen=True, kw_only=True)
class DataOutput:
    """Where the data of a command that draws nothing go."""

    out: DataOut = None
    as_json: Json = False
    skip_existing: SkipExisting = False


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The model that a command runs, and how."""

    weights: Weights = "picturebook"
    device: Device = None
    dtype: DtypeOption = None
    batch_size: BatchSize = None
    short_side: ShortSide = None
    debug: Debug = False

    def load(self) -> Predictor:
        """The model; errors as `load_predictor`."""
        from xdecoder.cli.over_images import load_predictor

        return load_predictor(self.weights, device=self.device, dtype=self.dtype, batch_size=self.batch_size)


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer sees it: each parameter that is a record of options becomes these options."""
    hints = get_type_hints(command, include_extras=True)
    records: dict[str, Any] = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name not in records:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
            continue
        own = get_type_hints(records[parameter.name], include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=own[field.name]
            )
            for field in dataclasses.fields(records[parameter.name])
        ]

    def call(**options: Any) -> None:
        for name, record in records.items():
            options[name] = record(**{f.name: options.pop(f.name) for f in dataclasses.fields(record)})
        command(**options)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return call
