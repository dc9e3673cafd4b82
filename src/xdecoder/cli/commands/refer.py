"""`xdecoder refer`: what phrases mean, found in images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.labeling import FormatOptions
from xdecoder.cli.options import FirstImage, ModelOptions, PictureOutput, VideoOptions, images_and_texts

if TYPE_CHECKING:
    from xdecoder.cli.over_images import ImageTask, Pixels, Results
    from xdecoder.structures import Grounding

EPILOG = (
    "xdecoder refer photo.jpg 'the left dog'\n\n"
    "xdecoder refer photos/ 'the left dog' 'a red ball' --one-by-one\n\n"
    "xdecoder refer one.jpg two.jpg -p 'the left dog' -p 'a red ball'"
)


def refer(
    image: FirstImage,
    more: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to find, a phrase each; with --phrase, further images.",
            metavar="PHRASE",
            show_default=False,
        ),
    ] = None,
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            "--phrase",
            "-p",
            help="What to find; may be given several times. All arguments are then images.",
            show_default=False,
        ),
    ] = None,
    one_by_one: Annotated[
        bool,
        typer.Option(
            "--one-by-one",
            help="Find each phrase by itself, so that its mask does not depend on the others; else they see "
            "one another, as the published numbers were made.",
        ),
    ] = False,
    *,
    output: PictureOutput,
    export: FormatOptions,
    video: VideoOptions,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Find what phrases mean: one mask for each.

    The first argument is an image, a folder or a glob, the others are phrases.
    For several images give the phrases with -p: all arguments are images then.
    """
    sources, phrases = images_and_texts("refer", image, more, phrase, what="phrase", example="the left dog")
    export.check(output.folder)

    from xdecoder.cli.over_images import ImageTask
    from xdecoder.cli.over_video import run_over_sources

    def prepare(results: Results) -> ImageTask[Grounding]:
        predictor = model.load()

        def compute(images: list[Pixels]) -> list[Grounding]:
            encoded = predictor.encode(images, short_side=model.short_side)
            return predictor.refer(encoded, phrases, together=not one_by_one)

        return ImageTask(compute=compute, batch_size=predictor.batch_size, finish=results.write_picture)

    return run_over_sources(sources, output, prepare, export=export, video=video, debug=debug)
