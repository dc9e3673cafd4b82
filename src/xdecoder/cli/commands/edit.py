"""`xdecoder edit`: a region found by words, and changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.console import report_errors
from xdecoder.cli.edit_options import Edits, Extent, Painting, make_change
from xdecoder.cli.options import ModelOptions, PictureOutput
from xdecoder.cli.prompts import RegionBox, RegionMask, RegionPhrase, parse_prompt
from xdecoder.cli.texts import FirstImage, images_and_texts

if TYPE_CHECKING:
    import numpy as np

    from xdecoder.cli.over_images import Pixels
    from xdecoder.cli.targets import Target
    from xdecoder.predictor.prompts import Prompt

EPILOG = (
    "xdecoder edit photo.jpg 'the red car' --recolor teal\n\n"
    "xdecoder edit photos/ 'the person' --blur --out blurred\n\n"
    "xdecoder edit one.jpg two.jpg -r 'the dog' --replace-background beach.jpg\n\n"
    "xdecoder edit photo.jpg --box 10,20,200,180 --remove\n\n"
    "xdecoder edit photo.jpg 'the boat' --prompt 'a blue boat' --pipeline FOLDER"
)


@dataclass(frozen=True, kw_only=True)
class _Edited:
    picture: Pixels
    mask: np.ndarray


def edit(
    image: FirstImage,
    more: Annotated[
        list[str] | None,
        typer.Argument(
            help="The region in words; with --region, --box or --mask, further images.",
            metavar="PHRASE",
            show_default=False,
        ),
    ] = None,
    region: RegionPhrase = None,
    box: RegionBox = None,
    mask: RegionMask = None,
    *,
    edits: Edits,
    extent: Extent,
    painting: Painting,
    pictures: PictureOutput,
    options: ModelOptions,
) -> None:
    """Change a region of images, and not a pixel besides.

    The first argument is an image, a folder or a glob, the second says what to
    change. For several images give that with -r: all arguments are images then.
    """
    with report_errors(debug=options.debug):
        part = parse_prompt(region, box, mask)
        sources = [image, *(more or [])]
        if part is None or isinstance(part, str):
            named = None if part is None else [part]
            sources, phrases = images_and_texts(
                "edit", image, more, named, what="region", example="the red car"
            )
            if len(phrases) > 1:
                raise ValueError(f"one region at a time; got {', '.join(map(repr, phrases))}")
            part = phrases[0]

        from PIL import Image

        from xdecoder.cli.over_images import Output, find_device, run
        from xdecoder.cli.targets import find_targets
        from xdecoder.jobs.files import write_whole
        from xdecoder.structures import mask_box
        from xdecoder.structures.result import Part, png_bytes

        name = edits.name
        output = Output(
            folder=pictures.folder, as_json=pictures.as_json, skip_existing=pictures.skip_existing
        )
        targets = find_targets(sources, pictures.folder)
        change = make_change(edits, painting, strength=extent.strength, device=find_device(options.device))
        locate, batch_size = _locator(part, options)

        def work(pictures: list[Pixels]) -> list[_Edited]:
            found = zip(pictures, locate(pictures), strict=True)
            return [_Edited(picture=extent.apply(change, *pair), mask=pair[1]) for pair in found]

        def finish(target: Target, result: _Edited) -> None:
            label = part if isinstance(part, str) else "box" if box else "mask"
            where = Part(label=label, category=0, score=None, mask=result.mask, box=mask_box(result.mask))
            height, width = result.mask.shape
            data = {"kind": "edit", "edit": name, "height": height, "width": width, "region": where.to_dict()}
            picture = png_bytes(Image.fromarray(result.picture))
            output.write(target, data, lambda path: write_whole(path, picture))
            if len(targets) == 1 and not pictures.as_json:
                corners = ",".join(f"{side:.0f}" for side in where.box)
                typer.echo(f"{label}: {100 * result.mask.mean():.1f} % of the picture, --box {corners}")

        code = run(targets, output, batch_size=batch_size, verb=work, finish=finish, debug=options.debug)
        raise typer.Exit(code)


def _locator(region: Prompt, options: ModelOptions) -> tuple[Callable[[list[Pixels]], list[np.ndarray]], int]:
    """What finds the region, in how many images at a time; a model is loaded for phrases alone."""
    from xdecoder.predictor.prompts import prompt_mask

    if not isinstance(region, str):
        return lambda pictures: [prompt_mask(region, (len(p), len(p[0]))) for p in pictures], 1
    predictor = options.load()

    def locate(pictures: list[Pixels]) -> list[np.ndarray]:
        return predictor.locate(predictor.encode(pictures, short_side=options.short_side), region)

    return locate, predictor.batch_size
