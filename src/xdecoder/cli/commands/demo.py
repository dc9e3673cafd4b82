"""`xdecoder demo`: one page that shows the model at work."""

from __future__ import annotations

import os
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from xdecoder.cli.console import FAILED, console, print_error
from xdecoder.cli.options import ModelChoice, check_file

EPILOG = "xdecoder demo\n\nxdecoder demo photos/ --phrase 'the left dog' --weights xdecoder_focalt_last"


def demo(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images of your own to show as well: files, folders and globs.",
            metavar="IMAGE",
            show_default=False,
        ),
    ] = None,
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            "--phrase",
            "-p",
            help="What to find in your images; may be given several times.",
            show_default=False,
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes for your images: coco, ade20k, ..., names with commas, or a .txt or .json file. By "
            "default the model's own.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.", metavar="FILE.html")] = Path(
        "demo.html"
    ),
    picture: Annotated[
        Path | None,
        typer.Option(
            help="Write the README's picture too: three scenes with segments, a phrase and a caption.",
            metavar="FILE.png",
            show_default=False,
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser, where there is a display.")
    ] = True,
    *,
    model: ModelChoice,
) -> int:
    """Show the model at work, on one page: drawn scenes that it never saw, and your own images."""
    check_file("--out", out, (".html", ".htm"))
    if picture is not None:
        check_file("--picture", picture, (".png",))
    if (phrase or vocabulary) and not images:
        raise ValueError("--phrase and --vocabulary are about images of your own: name some")

    from xdecoder.demo.build import build_demo
    from xdecoder.demo.page import write_page
    from xdecoder.demo.poster import draw_poster
    from xdecoder.images import find_images
    from xdecoder.jobs.files import remove_drafts, write_whole
    from xdecoder.vocabularies import parse_vocabulary

    paths = find_images(images) if images else []
    words = None if vocabulary is None else parse_vocabulary(vocabulary)
    named = model if paths else replace(model, weights=model.source)  # drawn scenes need no warning
    predictor = named.load(batch_size=8)
    with console().status("reading pictures"):
        result = build_demo(predictor, model.source, images=paths, vocabulary=words, phrases=phrase or ())
        out.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(out.parent)
        write_whole(out, write_page(result).encode())
        if picture is not None:
            picture.parent.mkdir(parents=True, exist_ok=True)
            remove_drafts(picture.parent)
            write_whole(picture, draw_poster(result.held_out.results[:3]))
    address = out.resolve().as_uri()
    opened = show and _has_display() and webbrowser.open(address)
    typer.echo(f"{'opened' if opened else 'open'} {address}")
    for failure in result.failures:
        print_error(str(failure.error))
    return FAILED if result.failures else 0


def _has_display() -> bool:
    """Whether a browser would have somewhere to show itself."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
