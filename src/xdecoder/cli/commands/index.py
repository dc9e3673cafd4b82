"""`xdecoder index`: a folder's images and their regions, to be searched."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.console import FAILED, describe_file, print_error, print_notice, print_text
from xdecoder.cli.options import ClusterOptions, ModelOptions
from xdecoder.jobs.printable import printable

if TYPE_CHECKING:
    from xdecoder.search import Index, IndexingReport

EPILOG = (
    "xdecoder index photos/ --to photos.index\n\n"
    "xdecoder index photos/ --to s3://bucket/photos.index --vocabulary 'car, tree, road'\n\n"
    "xdecoder index photos/ --to photos.index --images-only\n\n"
    "xdecoder index photos/ --to photos.index --cluster ray --actors 1-16\n\n"
    "xdecoder index stats --to photos.index"
)


@dataclass(frozen=True, kw_only=True)
class IndexOptions:
    """What is indexed, and how it is kept."""

    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes of the regions, as for segment. By default those that the index has; for a new "
            "one the model's own.",
            show_default=False,
        ),
    ] = None
    regions: Annotated[
        bool | None,
        typer.Option(
            "--regions/--images-only",
            help="Index images' regions too, or whole images alone. By default as the index has it; a new "
            "one with regions.",
            show_default=False,
        ),
    ] = None
    optimize: Annotated[
        bool,
        typer.Option(
            "--optimize/--no-optimize",
            help="Join small files and build approximate indexes at the end. Of several processes on one "
            "index, let one do it.",
        ),
    ] = True


def index(
    folder: Annotated[
        str,
        typer.Argument(
            help="Images, with those in subfolders; stats tells how the index lies in storage.",
            metavar="FOLDER|stats",
            show_default=False,
        ),
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
    *,
    options: IndexOptions,
    cluster: ClusterOptions,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Index a folder's images and their regions, to be found by `xdecoder search`.

    Run it again after changes: what is unchanged is passed over, what is gone
    is taken out. A run that was killed goes on in the same way, and several may
    work on one index at once.
    """
    if folder == "stats":
        _tell_stats(to)
        return 0
    from xdecoder.cli.loading import embed_vocabulary
    from xdecoder.cli.progress import ProgressBar
    from xdecoder.predictor.model_source import ModelSource
    from xdecoder.search import Index
    from xdecoder.search.cluster import index_on_cluster
    from xdecoder.search.folder import absolute

    predictor = model.load()
    actors = cluster.find_actors(predictor)
    opened = Index.create(
        to,
        predictor,
        vocabulary=options.vocabulary,
        short_side=model.short_side,
        regions=options.regions,
        weights=str(absolute(model.source)) if Path(model.source).is_dir() else model.source,
    )
    if opened.config.regions:
        embed_vocabulary(predictor, opened.config.vocabulary)
    start = time.monotonic()
    with ProgressBar("images", speed=True) as progress:
        if actors is None:
            report = opened.update(folder, optimize=options.optimize, progress=progress, debug=debug)
        else:
            source = ModelSource.of(model.source, predictor)
            report = index_on_cluster(
                opened.tables, source, folder, actors=actors, optimize=options.optimize, progress=progress
            )
    _print_report(report, opened, time.monotonic() - start)
    return FAILED if report.failures else 0


def _tell_stats(place: str) -> None:
    """What an index holds, and how it lies in storage."""
    from xdecoder.search.stats import read_stats
    from xdecoder.search.tables import Tables

    tables = Tables.open(place)
    config = tables.config
    words = f"{config.vocabulary.name} ({len(config.vocabulary)} classes)" if config.regions else "no regions"
    print_text(f"{printable(place)}: {printable(config.weights)} ({config.model[:8]}), {printable(words)}")
    for table in read_stats(tables):
        print_text(
            f"{table.name}: {table.rows} rows, {table.bytes / 1e6:.1f} MB, in {table.fragments} files, "
            f"{table.small_fragments} of them small; {table.version} commits, {table.versions} versions kept"
        )
        for name, kind, left in table.indexes:
            print_text(f"    approximate index {name} ({kind}), {left} rows not in it yet")


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
