"""`xdecoder score`: result files, ours or anybody's, without a model."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from xdecoder.cli.console import print_text
from xdecoder.cli.options import OptionalDataFolder
from xdecoder.jobs.printable import printable

_LISTED = 5

EPILOG = (
    "xdecoder score panoptic panoptic.json --truth panoptic_val2017.json\n\n"
    "xdecoder score instance instances.json --truth instances_val2017.json\n\n"
    "xdecoder score lvis instances.json --truth lvis_v1_val.json\n\n"
    "xdecoder score semantic maps/ --truth labels/ --vocabulary ade20k\n\n"
    "xdecoder score caption captions.json --truth captions_val2017.json\n\n"
    "xdecoder score vqa answers.json --truth v2_mscoco_val2014_annotations.json\n\n"
    "xdecoder score refcocog-umd-val referring.json --data ~/data"
)


@dataclass(frozen=True, kw_only=True)
class TruthOptions:
    """What the results are held against."""

    truth: Annotated[
        Path | None,
        typer.Option(help="The annotation file; for semantic maps the folder.", show_default=False),
    ] = None
    truth_maps: Annotated[
        Path | None,
        typer.Option(help="Folder of the truth's panoptic PNGs, if not beside it.", show_default=False),
    ] = None
    maps: Annotated[
        Path | None,
        typer.Option(help="Folder of the results' panoptic PNGs, if not beside them.", show_default=False),
    ] = None
    vocabulary: Annotated[
        str | None,
        typer.Option("--vocabulary", "-v", help="Classes of semantic maps, in order.", show_default=False),
    ] = None
    data: OptionalDataFolder = None
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="For a benchmark: its first images alone.", show_default=False),
    ] = None
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing", help="For a benchmark: leave images out whose files are missing."),
    ] = False
    miou_over: Annotated[
        Literal["union", "truth"],
        typer.Option(
            help="Classes that mIoU is the mean over: those in the truth or the prediction, as published; or "
            "those in the truth alone.",
        ),
    ] = "union"


def score(
    name: Annotated[
        str,
        typer.Argument(
            help="Kind of file: panoptic, instance, lvis, semantic, caption, vqa or retrieval; or a "
            "benchmark, whose data set is then the truth.",
            metavar="KIND|BENCHMARK",
        ),
    ],
    predictions: Annotated[
        Path, typer.Argument(help="The result file; for semantic maps the folder.", metavar="RESULTS")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for plots of the scores.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    *,
    truth: TruthOptions,
) -> None:
    """Score a result file against a truth, without a model. Figures are percentages."""
    from xdecoder.evaluation.plots import plot_scores
    from xdecoder.evaluation.scoring import Truth
    from xdecoder.evaluation.scoring import score as score_file

    scores = score_file(
        name,
        predictions,
        Truth(
            file=truth.truth,
            maps=truth.truth_maps,
            predicted_maps=truth.maps,
            vocabulary=truth.vocabulary,
            data=truth.data,
            skip_missing=truth.skip_missing,
            limit=truth.limit,
            absent=truth.miou_over,
        ),
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        plot_scores(scores, out, title=predictions.name)
    if as_json:
        from xdecoder.evaluation.report import without_nan

        typer.echo(
            json.dumps(
                {
                    "figures": without_nan(scores.figures),
                    "images": scores.images,
                    "per_class_metric": scores.per_class_metric,
                    "per_class": without_nan(scores.per_class),
                    "missing": list(scores.missing),
                    "skipped": [{"item": s.item, "reason": s.reason} for s in scores.skipped],
                }
            )
        )
        return
    for figure, value in scores.figures.items():
        typer.echo(f"{figure:<14} {'–' if math.isnan(value) else f'{value:.2f}'}")
    typer.echo(f"{scores.images} images")
    if scores.missing:
        shown = ", ".join(printable(str(image)) for image in scores.missing[:_LISTED])
        typer.echo(f"{len(scores.missing)} without a result, counted as missed: {shown}")
    for skip in scores.skipped[:_LISTED]:
        print_text(f"left out {printable(str(skip.item))}: {printable(skip.reason)}")
    if len(scores.skipped) > _LISTED:
        typer.echo(f"{len(scores.skipped)} left out in all")
