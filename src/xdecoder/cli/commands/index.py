"""`xdecoder index`: a folder's images and their regions, to be searched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.console import FAILED, describe_file, print_error, print_notice
from xdecoder.cli.options import ModelOptions

if TYPE_CHECKING:
    from xdecoder.search import Index, IndexingReport

EPILOG = (
    "xdecoder index photos/ --to photos.index\n\n"
    "xdecoder index photos/ --to s3://bucket/photos.index --vocabulary 'car, tree, road'"
)


def index(
    folder: Annotated[
        Path, typer.Argument(help="Images, with those in subfolders.", metavar="FOLDER", show_default=False)
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Where the index is or will be: a folder, or an address such as s3://bucket/index.",
            metavar="DIR",
            show_default=False,
        ),
    ],
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes of the regions, as for segment. By default those that the index has; for a new "
            "one the model's own.",
            show_default=False,
        ),
    ] = None,
    *,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Index a folder's images and their regions, to be found by `xdecoder search`.

    Run it again after changes: what is unchanged is passed over, what is gone
    is taken out. A run that was killed goes on in the same way, and several may
    work on one index at once.
    """
    from xdecoder.cli.loading import embed_vocabulary
    from xdecoder.cli.progress import ProgressBar
    from xdecoder.search import Index
    from xdecoder.search.folder import absolute

    predictor = model.load()
    opened = Index.create(
        to,
        predictor,
        vocabulary=vocabulary,
        short_side=model.short_side,
        weights=str(absolute(model.source)) if Path(model.source).is_dir() else model.source,
    )
    embed_vocabulary(predictor, opened.config.vocabulary)
    start = time.monotonic()
    with ProgressBar("images", speed=True) as progress:
        report = opened.update(folder, progress=progress, debug=debug)
    _print_report(report, opened, time.monotonic() - start)
    return FAILED if report.failures else 0


def _print_report(report: IndexingReport, opened: Index, seconds: float) -> None:
    """What was done, and the images that could not be read."""
    from xdecoder.cli.progress import speed

    speed_of = f" ({speed(report.indexed / seconds)})" if report.indexed > 1 else ""
    images, regions = opened.tables.count("images"), opened.tables.count("regions")
    print_notice(
        f"{report.indexed} images indexed in {seconds:.1f} s{speed_of}, {report.unchanged} unchanged, "
        f"{report.removed} removed; {opened.tables.place} holds {images} images and {regions} regions"
    )
    for failure in report.failures:
        print_error(describe_file(failure.path, failure.error))
