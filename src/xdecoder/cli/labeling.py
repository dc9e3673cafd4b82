"""Results written as labeling tools' files: the options, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xdecoder.cli.console import print_error, print_notice
from xdecoder.cli.progress import ProgressBar
from xdecoder.jobs.printable import printable

if TYPE_CHECKING:
    from xdecoder.labeling.export import ExportReport

_OUTPUT = "Output"
_SHOWN = 20


LabelingFormat = Literal["coco", "yolo", "labelme", "labelstudio", "cvat", "fiftyone"]
"""Labeling tools' formats, as `xdecoder.labeling.table.FORMATS` has them."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a labeling tool's files are written."""

    shapes: Annotated[
        Literal["masks", "polygons"] | None,
        typer.Option(
            help="masks: pixel by pixel; polygons: outlines that can be edited, with holes filled. By "
            "default masks where the format has them.",
            show_default=False,
            rich_help_panel=_OUTPUT,
        ),
    ] = None
    copy_images: Annotated[
        bool, typer.Option(help="Copy the images beside their labels.", rich_help_panel=_OUTPUT)
    ] = True


@dataclass(frozen=True, kw_only=True)
class FormatOptions(ExportOptions):
    """What a command that makes masks writes beside its own files."""

    format: Annotated[
        LabelingFormat | None,
        typer.Option(
            help="Also write all results of the folder as a labeling tool's files, in OUT/FORMAT.",
            show_default=False,
            rich_help_panel=_OUTPUT,
        ),
    ] = None

    def check(self, folder: Path | None) -> None:
        """Refuse what cannot be written, before a model is loaded.

        Args:
            folder: that results are written to.

        Raises:
            ValueError: there is no folder, or the format has no such shapes.
        """
        if self.format is None:
            if self.shapes is not None or not self.copy_images:
                raise ValueError("--shapes and --no-copy-images go with a --format, such as --format coco")
            return
        if folder is None:
            raise ValueError(f"--format {self.format} needs a folder: add --out FOLDER")

        from xdecoder.labeling.export import check_format

        check_format(self.format, self.shapes)

    def write(self, folder: Path | None) -> None:
        """Write the results of the folder in the format, where one is asked for."""
        if self.format is not None and folder is not None:
            write_export(folder, folder / self.format, self.format, self, replace=True)


def write_export(
    results: Path, folder: Path, to: LabelingFormat, options: ExportOptions, *, replace: bool
) -> ExportReport:
    """Write the files and say what was written; errors as `xdecoder.labeling.export.export`."""
    from xdecoder.labeling.export import export

    with ProgressBar(f"writing {to}") as progress:
        exported = export(
            results,
            folder,
            format=to,
            shapes=options.shapes,
            images=options.copy_images,
            replace=replace,
            progress=progress,
        )
    labels = f"{len(exported.classes)} class{'' if len(exported.classes) == 1 else 'es'}"
    count = f"{exported.images} image{'' if exported.images == 1 else 's'}"
    print_notice(f"{count} with {labels} written to {printable(str(folder))}")
    if options.copy_images and exported.copied < exported.images:
        missing = exported.images - exported.copied
        print_notice(
            f"{missing} of them have no copy of their image: their results are of a video, or name a file "
            "that is not there; run convert where they were made"
        )
    for change in exported.simplified:
        print_notice(change)
    for reason in exported.skipped[:_SHOWN]:
        print_error(printable(reason))
    if len(exported.skipped) > _SHOWN:
        print_notice(f"... and {len(exported.skipped) - _SHOWN} more")
    return exported
