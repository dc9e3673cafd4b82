"""`xdecoder evaluate`: benchmarks by the field's protocols, beside the published scores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from xdecoder.cli.console import console
from xdecoder.cli.options import ClusterOptions, ModelChoice, OptionalDataFolder
from xdecoder.cli.progress import ProgressBar

if TYPE_CHECKING:
    from xdecoder.evaluation.report import BenchmarkReport

EPILOG = (
    "xdecoder evaluate list\n\n"
    "xdecoder evaluate coco --data ~/data --weights xdecoder_focalt_last --out results\n\n"
    "xdecoder evaluate open-vocabulary seginw --data ~/data --weights xdecoder_focalt_best_openseg\n\n"
    "xdecoder evaluate picturebook --limit 200\n\n"
    "torchrun --nproc-per-node 8 -m xdecoder evaluate coco-panoptic --data ~/data --weights FOLDER\n\n"
    "xdecoder evaluate coco-panoptic --data ~/data --weights FOLDER --cluster ray --actors 1-16"
)


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """What to do otherwise than published."""

    short_side: Annotated[
        int | None,
        typer.Option(
            min=1, help="Another input size than the published; the report says so.", show_default=False
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="The first images alone; the report says so.", show_default=False),
    ] = None
    classes: Annotated[
        Literal["global", "present"],
        typer.Option(
            help="global: ask every image for all classes, as published. present: for those of its own truth "
            "alone, an easier protocol; the report says so.",
        ),
    ] = "global"
    miou_over: Annotated[
        Literal["union", "truth"],
        typer.Option(
            help="Which classes mIoU is the mean over. union: those in the truth or the prediction, as "
            "published. truth: those in the truth alone; the report says so.",
        ),
    ] = "union"
    skip_missing: Annotated[
        bool, typer.Option("--skip-missing", help="Leave images out whose files are missing, and list them.")
    ] = False


def evaluate(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Benchmarks or groups: open-vocabulary, seginw, coco, vl; picturebook, which is drawn and "
            "needs no data; list names all.",
            metavar="NAME|list",
            show_default=False,
        ),
    ] = None,
    data: OptionalDataFolder = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for reports and predictions; a run that was stopped goes on there."
        ),
    ] = Path("evaluation"),
    checkpoint: Annotated[
        str | None,
        typer.Option(
            help="The published checkpoint to compare with; by default the one of --weights' name.",
            show_default=False,
        ),
    ] = None,
    *,
    protocol: ProtocolOptions,
    cluster: ClusterOptions,
    model: ModelChoice,
) -> None:
    """Score a model on benchmarks, by the published protocols.

    Exit codes: 0 done, 1 a failure on the way, 2 usage or bad input, 130 interrupted.
    """
    if names == ["list"]:
        _list()
        return
    from xdecoder.evaluation.benchmarks import find_benchmarks
    from xdecoder.evaluation.plan import Overrides, check_data
    from xdecoder.evaluation.published import checkpoint_of, published_scores

    rows = find_benchmarks(names or [])
    compared = checkpoint or checkpoint_of(model.source)
    published_scores(rows[0], compared)  # refuses an unknown checkpoint before the work begins
    overrides = Overrides(
        short_side=protocol.short_side,
        limit=protocol.limit,
        classes=protocol.classes,
        skip_missing=protocol.skip_missing,
        absent=protocol.miou_over,
    )
    with console().status("opening the data sets"):
        check_data(rows, data, overrides)

    from xdecoder.cli.loading import load_predictor
    from xdecoder.evaluation.report import write_report
    from xdecoder.evaluation.run import EvaluatedModel, evaluate
    from xdecoder.jobs.devices import find_device
    from xdecoder.jobs.distributed import join_world, leave_world

    if cluster.cluster and "WORLD_SIZE" in os.environ:
        raise ValueError("a cluster shares the work out by itself: do not use torchrun with --cluster")
    world = join_world(None if model.device is None else find_device(model.device).type)
    place = model.device if world.size == 1 and model.device else str(world.device)
    reports: list[BenchmarkReport] = []
    try:
        drawn = all(row.data == "picturebook" for row in rows)
        named = model.source if drawn else model.weights  # the drawn world needs no warning
        predictor = load_predictor(named, device=place, dtype=model.dtype, batch_size=1)
        evaluated = EvaluatedModel.of(model.source, predictor, compared)
        for row in rows:
            with ProgressBar(row.name, visible=world.is_first, ending="scoring") as progress:
                report = evaluate(
                    row,
                    evaluated,
                    data=data,
                    out=out,
                    overrides=overrides,
                    world=world,
                    actors=cluster.find_actors(predictor),
                    progress=progress,
                )
            if report is not None:
                reports.append(report)
                _tell(report)
                write_report(reports, out)  # after each, so that a later failure loses none
    finally:
        leave_world()
    if reports:
        console().print(f"report: {out / 'report.md'}", highlight=False, soft_wrap=True)


def _tell(report: BenchmarkReport) -> None:
    figures = report.scores.figures
    for metric in report.benchmark.metrics:
        known = report.published.get(metric)
        beside = "" if known is None else f"  (published {known:.1f}, {report.checkpoint})"
        typer.echo(f"{report.benchmark.name}  {metric} {figures[metric]:.1f}{beside}")
    typer.echo(f"    {report.scores.images} images; {report.protocol}")
    for change in report.changes:
        typer.echo(f"    not the published protocol: {change}")


def _list() -> None:
    from xdecoder.evaluation.benchmarks import BENCHMARKS, GROUPS

    for row in BENCHMARKS.values():
        typer.echo(f"{row.name}: {row.data} ({row.split}), {row.kind}, {', '.join(row.metrics)}")
    for group, members in GROUPS.items():
        typer.echo(f"{group} (group): {', '.join(members)}")
