"""`xdecoder picturebook`: scenes of the drawn world as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from xdecoder.cli.command import add_command
from xdecoder.cli.console import print_notice
from xdecoder.cli.progress import ProgressBar

app = typer.Typer(no_args_is_help=True, help="Draw scenes that know their segments, captions and answers.")


@app.callback()
def root() -> None:
    """Draw scenes that know their segments, captions, phrases, questions and answers."""


@add_command(app, epilog="xdecoder picturebook export --n 1000 --split val --out scenes")
def export(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.", metavar="FOLDER")],
    count: Annotated[int, typer.Option("--n", "-n", min=1, help="Scenes.")] = 1000,
    split: Annotated[
        Literal["train", "val"], typer.Option(help="train, or val: scenes that no training shows.")
    ] = "val",
    size: Annotated[int, typer.Option(help="Side of the pictures in pixels.")] = 160,
    seed: Annotated[int, typer.Option(min=0, help="The first scene's seed; the others follow it.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the folder, with everything in it.")
    ] = False,
) -> None:
    """Write scenes with all that is known of them, in COCO's and VQAv2's formats.

    Pictures, panoptic PNGs, panoptic, instance and caption annotations, referring
    phrases, questions and answers, and sheet.png, a look at the first scenes.
    The folder is whole or not there.
    """
    from xdecoder.picturebook import export as export_scenes

    with ProgressBar("scenes") as progress:
        done = export_scenes(
            out,
            count=count,
            split=split,
            size=size,
            seed=seed,
            overwrite=overwrite,
            progress=progress,
        )
    print_notice(
        f"{out}: {done.images} scenes with {done.instances} instances, {done.captions} captions, "
        f"{done.sentences} phrases and {done.questions} questions"
    )
