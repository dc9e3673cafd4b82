"""`xdecoder caption`: images, or regions of them, in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.options import DataOutput, Images, ModelOptions, RegionPrompt

if TYPE_CHECKING:
    from xdecoder.cli.over_images import ImageTask, Pixels, Results
    from xdecoder.cli.targets import Target
    from xdecoder.structures import Caption

EPILOG = (
    "xdecoder caption photo.jpg\n\n"
    "xdecoder caption photos/ --beams 4 --json\n\n"
    "xdecoder caption photo.jpg --region 'the left dog'\n\n"
    "xdecoder caption photo.jpg --box 10,20,200,180"
)


def caption(
    images: Images,
    beams: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Sentences kept while searching; 1 takes the likeliest word; by default the model's own.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens at the most; by default the model's own.", show_default=False),
    ] = None,
    *,
    prompt: RegionPrompt,
    output: DataOutput,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Describe images, or a region of them, in a sentence.

    Prints the sentence; for several images, after the file's name and a tab.
    """
    region = prompt.parse()

    from xdecoder.cli.over_images import ImageTask, run_over_images

    def prepare(results: Results) -> ImageTask[Caption]:
        predictor = model.load()
        predictor.caption([], beams=beams, steps=steps)  # refuses a model without captions, before any image

        def compute(images: list[Pixels]) -> list[Caption]:
            encoded = predictor.encode(images, short_side=model.short_side)
            return predictor.caption(encoded, region=region, beams=beams, steps=steps)

        def finish(target: Target, result: Caption) -> None:
            results.write(target, {"kind": "caption", **result.to_dict()})
            results.print_line(target, result.text)

        return ImageTask(compute=compute, batch_size=predictor.batch_size, finish=finish, prints=True)

    return run_over_images(images, output, prepare, debug=debug)
