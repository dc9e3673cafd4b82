"""`xdecoder datasets`: list, check, convert and prepare data sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from xdecoder.cli.command import add_command
from xdecoder.cli.console import FAILED, print_text
from xdecoder.cli.options import DataFolder, ModelChoice
from xdecoder.cli.progress import ProgressBar
from xdecoder.jobs.printable import printable

if TYPE_CHECKING:
    from xdecoder.data.check import DatasetReport
    from xdecoder.vocabularies import Vocabulary

_SHOWN = 20
"""Lines of a kind that are printed; the rest is counted."""

app = typer.Typer(
    no_args_is_help=True,
    help="List, check, convert and prepare data sets.",
    epilog="xdecoder datasets list\n\nxdecoder datasets check coco --data ~/data",
)
prepare_app = typer.Typer(
    no_args_is_help=True,
    help="Leak-free training lists, and training shards.",
    epilog="xdecoder datasets prepare leakfree --data ~/data",
)
app.add_typer(prepare_app, name="prepare")


@add_command(app, name="list", epilog="xdecoder datasets list\n\nxdecoder datasets list --json")
def list_datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
) -> None:
    """Name the data sets: what they are, tasks, splits, size, license; source and files with --json."""
    from rich.table import Table

    from xdecoder.data.catalog import DATASETS

    if as_json:
        typer.echo(json.dumps([_row(name, info) for name, info in DATASETS.items()], indent=2))
        return
    table = Table("name", "what", "tasks", "splits", "size", "license", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for name, info in DATASETS.items():
        splits = ", ".join(f"{s} {info.splits[s].images or ''}".strip() for s in info.splits)
        table.add_row(name, info.title, ", ".join(info.tasks), splits, info.origin.size, info.origin.license)
    Console().print(table)
    typer.echo("Layout: xdecoder datasets check NAME --data FOLDER. Source, vocabulary: --json.")


@add_command(
    app,
    epilog="xdecoder datasets check coco --data ~/data\n\n"
    "xdecoder datasets check custom-instances --data mydata --split train --samples all",
)
def check(
    name: Annotated[str, typer.Argument(help="A data set of `xdecoder datasets list`.")],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            "--root",
            help="The folder that holds the data sets: coco/, cityscapes/ and so on.",
            metavar="FOLDER",
            show_default=False,
        ),
    ],
    task: Annotated[str | None, typer.Option(help="One task; otherwise all.")] = None,
    split: Annotated[str | None, typer.Option(help="One split; otherwise the first.")] = None,
    samples: Annotated[
        str, typer.Option(help="How many samples to decode for each task, or all.", metavar="N|all")
    ] = "16",
    picture: Annotated[
        Path | None, typer.Option(help="Where to draw four samples; by default NAME-check.png.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report, for programs.")] = False,
) -> int:
    """Say what of a data set is there, open samples of it and draw four.

    Exit codes: 0 all is there and opens; 1 something is missing or wrong; 2 no such data set, task or split.
    """
    from xdecoder.data.check import check_dataset, expected_tree
    from xdecoder.data.classes import bar_chart

    sheet = picture or Path(f"{name}-check.png")
    with ProgressBar(f"checking {name}") as progress:
        report = check_dataset(
            name,
            data,
            task=cast("Any", task),
            split=split,
            opened=_count(samples),
            picture=sheet,
            progress=progress,
        )
    if as_json:
        typer.echo(json.dumps({**asdict(report), "ok": report.ok}, indent=2))
    else:
        print_text(expected_tree(report))
        for entry in report.tasks:
            of = f" of {entry.expected}" if entry.expected else ""
            typer.echo(f"{entry.task} ({entry.split}): {entry.samples}{of} images, {entry.opened} opened")
            _echo_some("left out", [f"{skip.item}: {skip.reason}" for skip in entry.skipped])
            _echo_some("problem:", entry.problems)
            _echo_some("note:", entry.notes)
            if entry.classes:
                if entry.counted < entry.samples:
                    typer.echo(f"    classes of {entry.counted} images; --samples all counts all:")
                print_text(indent(bar_chart(entry.classes), "    "))
        if any(entry.opened for entry in report.tasks):
            typer.echo(f"four samples: {sheet}")
        typer.echo(printable(_verdict(report)))
    return 0 if report.ok else FAILED


@add_command(
    app,
    epilog="xdecoder datasets vocabulary ade20k --against coco\n\n"
    "xdecoder datasets vocabulary 'dog, unicorn' --weights xdecoder_focalt_last",
)
def vocabulary(
    name: Annotated[
        str,
        typer.Argument(help="A built-in vocabulary, a data set that has one, a .txt or .json file, names."),
    ],
    against: Annotated[
        str, typer.Option(help="The vocabulary that the model was trained on, as for NAME.")
    ] = "coco",
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for programs.")] = False,
    *,
    model: ModelChoice,
) -> None:
    """Say how far a vocabulary is from the one of training.

    For each class its nearest training classes by text embedding and by spelling, and how many are unseen.
    """
    from rich.table import Table

    from xdecoder.evaluation.seen_classes import nearest_classes

    asked, trained = _vocabulary(name), _vocabulary(against)
    predictor = model.load()
    vectors = [predictor.embed_vocabulary(v)[: len(v)].float().cpu().numpy() for v in (asked, trained)]
    neighbors = nearest_classes(
        asked.classes, trained.classes, embeddings=vectors[0], trained_embeddings=vectors[1]
    )
    unseen = sum(not neighbor.seen for neighbor in neighbors)
    if as_json:
        classes = [asdict(neighbor) for neighbor in neighbors]
        typer.echo(json.dumps({"against": against, "unseen": unseen, "classes": classes}, indent=2))
        return
    table = Table("class", "seen", "nearest by embedding", "by spelling", box=None, pad_edge=False)
    for neighbor in neighbors:
        near = ", ".join(f"{other} {cosine:.2f}" for other, cosine in neighbor.by_embedding)
        other, alike = neighbor.by_spelling
        table.add_row(neighbor.name, "yes" if neighbor.seen else "no", near, f"{other} {alike:.2f}")
    Console().print(table)
    typer.echo(
        f"{unseen} of {len(neighbors)} classes ({100 * unseen / len(neighbors):.0f} %) are not in {against}"
    )


def _vocabulary(name: str) -> Vocabulary:
    """A vocabulary as `segment` takes it, or that of a data set."""
    from xdecoder.data.catalog import DATASETS
    from xdecoder.vocabularies import BUILT_IN, parse_vocabulary

    if name not in BUILT_IN and name in DATASETS:
        own = DATASETS[name].vocabulary
        if own not in BUILT_IN:
            raise ValueError(f"{name} has no built-in vocabulary, but {own}; name a file of its classes")
        name = own
    return parse_vocabulary(name)


@add_command(
    app,
    epilog="xdecoder datasets convert labels mydata --val 0.1\n\n"
    "xdecoder datasets convert scenes mydata --from coco-panoptic --val 0.2",
)
def convert(
    source: Annotated[Path, typer.Argument(help="The folder of images and labels.", metavar="SRC")],
    out: Annotated[Path, typer.Argument(help="The folder to make.", metavar="DST")],
    format: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="masks, voc, yolo, labelme, labelstudio, cvat, fiftyone, coco, coco-panoptic or cityscapes; "
            "by default what the folder looks like.",
            show_default=False,
        ),
    ] = None,
    val: Annotated[
        float | None,
        typer.Option(help="The share of the training images that validates; by default the source's splits."),
    ] = None,
) -> None:
    """Make a labeling tool's files a folder that training and evaluation read."""
    from xdecoder.data.convert import convert

    with ProgressBar(f"converting {source}") as progress:
        result = convert(source, out, format=format, val=val, progress=progress)
    typer.echo(printable(f"{source}: read as {result.format} ({result.seen})"))
    splits = ", ".join(f"{count} {split}" for split, count in result.images.items())
    typer.echo(printable(f"{out}: {splits}; {len(result.classes)} classes: {', '.join(result.classes)}"))
    _echo_some("note:", result.notes)
    _echo_some("left out", [f"{skip.reason}" for skip in result.skipped])
    if "val" not in result.images:
        typer.echo("no validation split: convert again with --val 0.1 to have one")
    split = "train" if "train" in result.images else next(iter(result.images))
    typer.echo(printable(f"next: xdecoder datasets check {result.dataset} --data {out} --split {split}"))


@add_command(prepare_app, epilog="xdecoder datasets prepare leakfree --data ~/data")
def leakfree(data: DataFolder) -> None:
    """Write COCO's training lists without RefCOCOg-UMD val and Karpathy's test images."""
    from xdecoder.data.prepare import write_leakfree

    for written in write_leakfree(data):
        without = ", ".join(f"{count} of {reason}" for reason, count in written.taken_out.items())
        typer.echo(f"{written.path}: {written.kept} images, without {without}")


@add_command(
    prepare_app,
    epilog="xdecoder datasets prepare shards coco-karpathy --data ~/data --out ~/data/shards --split train",
)
def shards(
    name: Annotated[str, typer.Argument(help="A data set with captions.")],
    data: DataFolder,
    out: Annotated[Path, typer.Option(help="The folder for the shards.")],
    split: Annotated[str | None, typer.Option(help="The split; otherwise the first.")] = None,
    per_shard: Annotated[int, typer.Option(min=1, help="Images in a shard.")] = 1000,
) -> None:
    """Write a caption data set as WebDataset tar shards; run again to go on where it stopped."""
    from xdecoder.data.opening import open_dataset
    from xdecoder.data.prepare import write_shards

    pairs = open_dataset(name, data, task="caption", split=split, missing="skip")
    with ProgressBar(f"{name} {pairs.split}") as progress:
        result = write_shards(pairs, out, per_shard=per_shard, progress=progress)
    typer.echo(f"{out}: {result.shards} shards ({result.written} new), {result.samples} images")
    left_out = (*pairs.skipped, *result.skipped)
    for skip in left_out[:5]:
        print_text(f"left out {printable(str(skip.item))}: {printable(skip.reason)}")
    if left_out:
        typer.echo(f"{len(left_out)} left out in all")


def _verdict(report: DatasetReport) -> str:
    if report.ok:
        return "complete"
    if any(entry.found is None for entry in report.entries):
        return "incomplete: '+' is there, '-' is missing"
    wrong = [line for task in report.tasks for line in (*task.problems, *(s.reason for s in task.skipped))]
    return f"complete, but {len(wrong)} thing(s) are wrong or left out; the first: {wrong[0]}"


def _count(samples: str) -> int | None:
    if samples == "all":
        return None
    if not samples.isdecimal() or int(samples) < 1:
        raise ValueError(f"--samples is a number from 1 on, or all; got {samples!r}")
    return int(samples)


def _echo_some(what: str, lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        print_text(f"    {what} {printable(line)}")
    if len(lines) > _SHOWN:
        typer.echo(f"    {what} ... and {len(lines) - _SHOWN} more")


def _row(name: str, info: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": info.title,
        "splits": {split: asdict(value) for split, value in info.splits.items()},
        "files": dict(info.files),
        "size": info.origin.size,
        "source": info.origin.source,
        "license": info.origin.license,
        "vocabulary": info.vocabulary,
    }
