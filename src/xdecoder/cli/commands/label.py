"""`xdecoder label`: many images labeled into one table, by one process or many."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.console import FAILED, console, print_notice, print_text
from xdecoder.cli.options import ClusterOptions, ModelOptions, check_folder
from xdecoder.jobs.printable import printable

if TYPE_CHECKING:
    from xdecoder.bulk import Failure, LabelingConfig, LabelingReport, Shard, SourceImage, Status
    from xdecoder.bulk.destination import Format
    from xdecoder.predictor.predictor import Predictor

EPILOG = (
    "xdecoder label photos/ --to labels --verbs segment,caption,embed --vocabulary 'car, tree, road'\n\n"
    "xdecoder label s3://bucket/photos --to s3://bucket/labels --dry-run\n\n"
    "xdecoder label 'shards/{000000..000099}.tar' --to labels --shard 0/4\n\n"
    "torchrun --nproc-per-node 8 -m xdecoder label photos.parquet --to labels\n\n"
    "xdecoder label s3://bucket/photos --to s3://bucket/labels --cluster ray --actors 1-16\n\n"
    "xdecoder label --to labels --status\n\n"
    "xdecoder label photos/ --to labels --retry-failed"
)
_FAILURES = 20  # listed


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What is asked of every image."""

    verbs: Annotated[
        str, typer.Option(help="What to make, with commas: segment, caption, embed.", metavar="VERB,...")
    ] = "segment,caption,embed"
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes of the segments, as for segment; by default the model's own.",
            show_default=False,
        ),
    ] = None
    column: Annotated[
        str, typer.Option(help="The column of a .parquet or .lance table that holds the images' bytes.")
    ] = "image"
    table_format: Annotated[
        Literal["parquet", "lance", "coco"],
        typer.Option(
            "--format",
            help="What the rows are joined into: Parquet files in DEST/labels, a LanceDB table, or Parquet "
            "with COCO's JSON beside it.",
        ),
    ] = "parquet"


@dataclass(frozen=True, kw_only=True)
class ShardOptions(ClusterOptions):
    """How the work is shared out."""

    shard: Annotated[
        str | None,
        typer.Option(
            help="This process's part of several, counted from 0. By default as torchrun or SLURM says, "
            "else all.",
            metavar="I/N",
            show_default=False,
            rich_help_panel="Several processes",
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ModeOptions:
    """What to do other than to label, or how to go on."""

    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Measure a sample, tell time and space for all, and write nothing."),
    ] = False
    sample: Annotated[int, typer.Option(min=1, help="Images that --dry-run measures.")] = 16
    status: Annotated[
        bool,
        typer.Option("--status", help="Tell how far all processes are, and what failed."),
    ] = False
    commit: Annotated[
        bool,
        typer.Option("--commit", help="Join what there is, as the last process does by itself."),
    ] = False
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Do images again that failed before.")
    ] = False


def label(
    source: Annotated[
        str | None,
        typer.Argument(
            help="A folder, a glob, a .txt list; .tar shards or .parquet or .lance tables of images; on disk "
            "or under an address such as s3://bucket/photos.",
            metavar="SOURCE",
            show_default=False,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Where the labels go: a folder, or an address such as s3://bucket/labels.",
            metavar="DEST",
            show_default=False,
        ),
    ] = None,
    *,
    options: LabelOptions,
    sharding: ShardOptions,
    mode: ModeOptions,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Label many images into one table: segments, captions, embeddings.

    One row an image, unreadable ones with an error. Run it again after a stop
    or with more images: what has rows is passed over. Several processes share
    the work with --shard, torchrun, SLURM or --cluster ray; the last joins.

    Exit codes: 0 done, or a shard done; 1 some images failed, or a failure on
    the way; 2 usage or bad input; 130 interrupted, what was done is written.
    """
    if mode.status or mode.commit:
        return _tell_or_join(to or source, mode)
    if source is None or to is None:
        raise ValueError(
            "name what to label and where the labels go: xdecoder label SOURCE --to DEST; for labels that "
            "are there: xdecoder label --to DEST --status"
        )
    if "://" not in to:
        check_folder("--to", Path(to))
    work = _prepare(source, options, sharding, mode, model, debug=debug)
    if mode.dry_run:
        return _tell_costs(work, mode.sample)
    return _label(work, to, options.table_format, sharding, retry_failed=mode.retry_failed)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    """What there is to do."""

    images: Sequence[SourceImage]
    predictor: Predictor
    config: LabelingConfig
    shard: Shard
    column: str
    debug: bool


def _prepare(
    source: str,
    options: LabelOptions,
    sharding: ShardOptions,
    mode: ModeOptions,
    model: ModelOptions,
    *,
    debug: bool,
) -> _Work:
    from xdecoder.bulk import LabelingConfig, Shard, find_source
    from xdecoder.bulk.config import check_verbs
    from xdecoder.cli.loading import embed_vocabulary
    from xdecoder.vocabularies import parse_vocabulary

    verbs = check_verbs([verb.strip() for verb in options.verbs.split(",") if verb.strip()])
    words = None if options.vocabulary is None else parse_vocabulary(options.vocabulary)
    shard = Shard.parse(sharding.shard) if sharding.shard else Shard.find(os.environ)
    if sharding.cluster and shard.count > 1:
        raise ValueError("a cluster shares the work out by itself: leave --shard and torchrun out")
    with console().status(f"looking through {printable(source)}"):
        images = find_source(source, Shard() if mode.dry_run else shard, column=options.column)
    predictor = _load(model)
    config = LabelingConfig.of(
        predictor,
        verbs,
        vocabulary=words,
        short_side=model.short_side,
        weights=str(Path(model.source).absolute()) if Path(model.source).is_dir() else model.source,
    )
    if config.vocabulary is not None:
        embed_vocabulary(predictor, config.vocabulary)
    return _Work(
        images=images, predictor=predictor, config=config, shard=shard, column=options.column, debug=debug
    )


def _load(model: ModelOptions) -> Predictor:
    """The model, on the GPU of this process's number where a launcher started several."""
    import torch

    from xdecoder.bulk.shards import local_rank
    from xdecoder.cli.loading import load_predictor
    from xdecoder.jobs.devices import find_device

    device = find_device(model.device)
    if device == torch.device("cuda"):
        device = torch.device("cuda", local_rank(os.environ) % torch.cuda.device_count())
    return load_predictor(model.weights, device=str(device), dtype=model.dtype, batch_size=model.batch_size)


def _label(work: _Work, to: str, table: Format, sharding: ShardOptions, *, retry_failed: bool) -> int:
    from xdecoder.bulk import Destination, label
    from xdecoder.bulk.cluster import label_on_cluster
    from xdecoder.cli.progress import ProgressBar
    from xdecoder.predictor.model_source import ModelSource

    destination = Destination.create(to, work.config, table)
    actors = sharding.find_actors(work.predictor)
    name = f"images of shard {work.shard}" if work.shard.count > 1 else "images"
    start = time.monotonic()
    with _stopped_as_by_hand(), ProgressBar(name, speed=True, ending="joining") as progress:
        if actors is None:
            report = label(
                work.images,
                work.predictor,
                destination,
                shard=work.shard,
                column=work.column,
                retry_failed=retry_failed,
                progress=progress,
                debug=work.debug,
            )
        else:
            report = label_on_cluster(
                work.images,
                ModelSource.of(work.config.weights, work.predictor),
                destination,
                actors=actors,
                column=work.column,
                retry_failed=retry_failed,
                progress=progress,
            )
    _tell_report(report, to, work.shard, time.monotonic() - start)
    alone = work.shard.count == 1  # launchers end all processes where one fails
    return FAILED if report.failed and alone else 0


@contextmanager
def _stopped_as_by_hand() -> Generator[None]:
    """A cluster that stops the process stops it as Ctrl-C does: what is done is written first."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell_report(report: LabelingReport, to: str, shard: Shard, seconds: float) -> None:
    from xdecoder.cli.progress import speed

    new = report.labeled + report.failed
    speed_of = f" ({speed(new / seconds)})" if new > 1 else ""
    part = f"shard {shard}: " if shard.count > 1 else ""
    place = printable(to)
    print_notice(
        f"{part}{report.labeled} images labeled in {seconds:.1f} s{speed_of}, {report.failed} failed, "
        f"{report.before} had rows before"
    )
    if report.joined is not None:
        print_notice(f"{place} is joined and holds {report.joined} images")
    else:
        print_notice(f"other shards are not done: xdecoder label --to {place} --status tells of them")
    if report.failed:
        print_notice(f"xdecoder label --to {place} --status lists what failed; --retry-failed tries again")


def _tell_costs(work: _Work, sample: int) -> int:
    from xdecoder.bulk import estimate
    from xdecoder.cli.progress import speed

    with console().status(f"measuring {min(sample, len(work.images))} images"):
        found = estimate(
            work.images, work.predictor, work.config, sample=sample, column=work.column, debug=work.debug
        )
    several = ", ".join(f"{found.hours(n):.3g} with {n}" for n in (1, 8, 64))
    print_text(
        f"{found.images} images; {found.sampled} measured, {found.failed} of them failed\n"
        f"{speed(1 / found.seconds)} for each process\n"
        f"hours by the number of processes: {several}\n"
        f"{found.bytes * found.images / 1e9:.3g} GB to be written, {found.bytes:.0f} bytes an image"
    )
    return 0


def _tell_or_join(to: str | None, mode: ModeOptions) -> int:
    """Join what there is, or tell of it."""
    if to is None:
        raise ValueError("name the labels: xdecoder label --to DEST --status")
    from xdecoder.bulk import Destination, finish, read_status

    destination = Destination.open(to)
    if mode.commit:
        print_notice(f"{printable(to)} is joined and holds {finish(destination)} images")
    if mode.status:
        _tell_status(read_status(destination))
    return 0


def _tell_status(status: Status) -> None:
    done = status.labeled + len(status.failures)
    begun = (
        "" if status.shards_begun == status.shards else f", of {status.shards_begun} shards that have begun"
    )
    print_text(
        f"{done} of {max(status.images, done)} images done{begun}: {status.labeled} labeled, "
        f"{len(status.failures)} failed"
    )
    print_text(
        f"{status.shards_done} of {status.shards} shards done; {'' if status.joined else 'not yet '}joined"
    )
    if status.rate is not None and status.seconds_left:
        print_text(
            f"{status.rate:.3g} images/s over all processes, {status.seconds_left / 3600:.3g} hours left"
        )
    if status.failures:
        _tell_failures(status.failures)


def _tell_failures(failures: Sequence[Failure]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title="Failed", title_justify="left")
    table.add_column("image", overflow="fold")
    table.add_column("error", overflow="fold")
    for failure in failures[:_FAILURES]:
        reason = failure.error.removeprefix(failure.path).lstrip(": ")
        table.add_row(escape(printable(failure.path)), escape(printable(reason)))
    Console().print(table)
    if len(failures) > _FAILURES:
        print_text(f"... and {len(failures) - _FAILURES} more; their rows have the column error")
