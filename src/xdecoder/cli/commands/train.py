"""`xdecoder train`: run a recipe, or go on with one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xdecoder.cli.options import Device, OptionalDataFolder

EPILOG = (
    "xdecoder train list\n\n"
    "xdecoder train picturebook --out runs/picturebook\n\n"
    "xdecoder train custom --data mydata --set steps=2000 --out runs/custom"
)


def train(
    recipe: Annotated[
        str,
        typer.Argument(help="The recipe's name; list names all.", metavar="RECIPE|list", show_default=False),
    ],
    out: Annotated[Path, typer.Option("--out", help="The run's folder; a run found there goes on.")] = Path(
        "runs/latest"
    ),
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Start from a model (folder or name) or a run; custom by default from picturebook-lite.",
        ),
    ] = None,
    data: OptionalDataFolder = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="What to learn, for custom: auto takes what the annotations give.",
            metavar="auto|instance|panoptic|semantic",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: steps=200, run.save_every=50.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print sizes and estimates of memory and time, and stop.")
    ] = False,
    device: Device = None,
) -> None:
    """Train a model with a recipe.

    Several processes: `torchrun --nproc-per-node N -m xdecoder train ...`.
    """
    if recipe == "list":
        from xdecoder.training.recipes import list_recipes

        typer.echo(list_recipes())
        return
    from xdecoder.training.run import run_recipe

    run_recipe(
        recipe,
        out=out,
        start=start,
        data=data,
        task=task,
        settings=settings or [],
        dry_run=dry_run,
        device=device,
    )
