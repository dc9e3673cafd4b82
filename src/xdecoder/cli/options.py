"""The options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import typer

if TYPE_CHECKING:
    from xdecoder.jobs.cluster import Actors
    from xdecoder.predictor.predictor import Predictor
    from xdecoder.predictor.prompts import Prompt

_MODEL = "Model"
_OUTPUT = "Output"
_PROMPT = "Prompt"
_PROCESSES = "Several processes"


Images = Annotated[
    list[str],
    typer.Argument(
        help="Images, folders (with their subfolders) and globs ('shots/**/*.jpg').",
        metavar="IMAGE",
        show_default=False,
    ),
]
FirstImage = Annotated[
    str, typer.Argument(help="An image, a folder or a glob.", metavar="IMAGE", show_default=False)
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        "-w",
        help="The model: picturebook, picturebook-lite, a name of `xdecoder weights list`, a model folder, "
        "or a Hugging Face repository. By default yours (`xdecoder weights default`), or picturebook, for "
        "drawn scenes.",
        metavar="NAME|FOLDER|HUB_ID",
        show_default=False,
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
    Literal["float32", "bfloat16", "float16", "int8"] | None,
    typer.Option(
        "--dtype",
        help="Kind of numbers; by default as the weights are stored, but float32 on a CPU for weights stored "
        "in float16. In int8, and on a CPU in float16, only weights are kept; float32 is computed in.",
        show_default=False,
        rich_help_panel=_MODEL,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Images worked on together; by default 1 on a CPU, 8 on a GPU. Results differ by "
        "rounding at most.",
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
_DATA = typer.Option(
    "--data",
    help="The folder that holds the data sets: coco/, cityscapes/ and so on; for custom-* and train custom "
    "the folder of your own data.",
    metavar="FOLDER",
    show_default=False,
)
DataFolder = Annotated[Path, _DATA]
OptionalDataFolder = Annotated[Path | None, _DATA]
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
RegionPhrase = Annotated[
    str | None,
    typer.Option(
        "--region",
        "-r",
        help="The region is what this phrase means.",
        metavar="PHRASE",
        show_default=False,
        rich_help_panel=_PROMPT,
    ),
]
RegionBox = Annotated[
    str | None,
    typer.Option(
        "--box",
        help="The region is this box, in pixels.",
        metavar="LEFT,TOP,RIGHT,BOTTOM",
        show_default=False,
        rich_help_panel=_PROMPT,
    ),
]
RegionMask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        help="The region is where this picture of the image's size is white.",
        metavar="FILE.png",
        show_default=False,
        rich_help_panel=_PROMPT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """The machines that a command works on."""

    cluster: Annotated[
        Literal["ray"] | None,
        typer.Option(
            "--cluster",
            help="Share the work out over a Ray cluster, the one of RAY_ADDRESS or of this machine.",
            show_default=False,
            rich_help_panel=_PROCESSES,
        ),
    ] = None
    actors: Annotated[
        str,
        typer.Option(
            "--actors",
            help="Processes of the cluster that hold the model, each on a core or a GPU: a number, or a "
            "range, of which as many are started as there is room and work for.",
            metavar="N|MIN-MAX",
            rich_help_panel=_PROCESSES,
        ),
    ] = "1-1024"

    def find_actors(self, predictor: Predictor) -> Actors | None:
        """The processes that hold the model; None where this one does the work.

        Raises:
            ValueError: their number is malformed.
        """
        if self.cluster is None:
            return None

        from xdecoder.jobs.cluster import Actors

        return Actors.parse(self.actors, gpus=1 if predictor.device.type == "cuda" else 0)


@dataclass(frozen=True, kw_only=True)
class PictureOutput:
    """Where a command's pictures and data go."""

    draws: ClassVar[bool] = True
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

    draws: ClassVar[bool] = False
    out: DataOut = None
    as_json: Json = False
    skip_existing: SkipExisting = False

    @property
    def folder(self) -> Path | None:
        """For files; None writes none."""
        return self.out


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """What of a video is worked on."""

    every: Annotated[
        int, typer.Option(min=1, help="Of a video or a camera: work on one of so many frames.")
    ] = 1


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """The model that a command runs, and where."""

    weights: Weights = None
    device: Device = None
    dtype: DtypeOption = None

    @property
    def source(self) -> str:
        """What `xdecoder.load` takes: the model that was named, or the default."""
        if self.weights is not None:
            return self.weights

        from xdecoder.weights.default import default_weights

        return default_weights().name

    def load(self, *, batch_size: int | None = None) -> Predictor:
        """The model; errors as `load_predictor`."""
        from xdecoder.cli.loading import load_predictor

        return load_predictor(self.weights, device=self.device, dtype=self.dtype, batch_size=batch_size)


@dataclass(frozen=True, kw_only=True)
class ModelOptions(ModelChoice):
    """The model that a command runs over images, and how."""

    batch_size: BatchSize = None
    short_side: ShortSide = None

    def __post_init__(self) -> None:
        from xdecoder.predictor.options import EncodeOptions

        EncodeOptions(short_side=self.short_side)  # refuses a size before a model is loaded

    def load(self, *, batch_size: int | None = None) -> Predictor:
        """The model; errors as `load_predictor`."""
        return super().load(batch_size=batch_size or self.batch_size)


@dataclass(frozen=True, kw_only=True)
class ImagePrompt:
    """The region of an image of one's own: a box or a mask."""

    box: RegionBox = None
    mask: RegionMask = None

    def parse(self) -> Prompt | None:
        """The region; None without one.

        Raises:
            ValueError: both are given, or the box is malformed.
            FileNotFoundError: there is no such mask.
        """
        if self.box is not None and self.mask is not None:
            raise ValueError("give the region once: --box or --mask")
        if self.mask is not None:
            from xdecoder.images import read_image

            return read_image(self.mask).min(axis=2) > 127
        if self.box is None:
            return None
        try:
            left, top, right, bottom = (float(number) for number in self.box.split(","))
        except ValueError:
            raise ValueError(f"--box takes four numbers, LEFT,TOP,RIGHT,BOTTOM; got {self.box!r}") from None
        return left, top, right, bottom


@dataclass(frozen=True, kw_only=True)
class RegionPrompt:
    """The region of every image: a phrase, a box or a mask."""

    region: RegionPhrase = None
    box: RegionBox = None
    mask: RegionMask = None

    def parse(self) -> Prompt | None:
        """The region; None without one.

        Raises:
            ValueError: more than one is given, or it is malformed.
            FileNotFoundError: there is no such mask.
        """
        if self.region is None:
            return ImagePrompt(box=self.box, mask=self.mask).parse()
        if self.box is not None or self.mask is not None:
            raise ValueError("give the region once: --region, --box or --mask")
        if not self.region.strip():
            raise ValueError("an empty phrase means nothing; leave it out or write some words")
        return self.region


def images_and_texts(
    command: str,
    image: str,
    more: Sequence[str] | None,
    named: Sequence[str] | None,
    *,
    what: str,
    example: str,
) -> tuple[list[str], list[str]]:
    """Which arguments are images and which are texts: all are images where an option gives the texts.

    Args:
        command: for the examples in errors.
        image: the first argument.
        more: the arguments after the first.
        named: the texts that the option gives.
        what: what a text is called; also the option's name, whose first letter is its short form.
        example: of a text, for the error.

    Raises:
        ValueError: there are no texts, one is empty, or one is a file.
    """
    texts = list(named or more or [])
    if not texts:
        raise ValueError(f"no {what} given; add one: xdecoder {command} {image} '{example}'")
    if not named and (file := next(filter(_exists, texts), None)):
        raise ValueError(
            f"{file} is a file, and stands where {what}s are; for several images, give the {what}s "
            f"with -{what[0]}: xdecoder {command} IMAGE IMAGE -{what[0]} '{example}'"
        )
    if not all(text.strip() for text in texts):
        raise ValueError(f"an empty {what} means nothing; leave it out or write some words")
    return ([image, *(more or [])] if named else [image]), texts


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a path
        return False


def check_file(option: str, file: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file that cannot be written.

    Args:
        option: the option's name, for the error, such as "--out".
        file: that will be written.
        suffixes: that its name may end in.

    Raises:
        ValueError: it has another suffix, it is a folder, or no folder for it can be made.
    """
    if file.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {file}: expected a name ending in {' or '.join(suffixes)}")
    if file.is_dir():
        raise ValueError(f"{option} {file} is a folder; give a file")
    check_folder(option, file.parent)


def check_folder(option: str, folder: Path) -> None:
    """Refuse a folder that cannot be made.

    Raises:
        ValueError: it is a file, or lies below one.
    """
    existing = next(path for path in (folder, *folder.parents, Path()) if os.path.lexists(path))
    if not existing.is_dir():
        raise ValueError(f"{option} {folder}: {existing} is no folder; choose another")
