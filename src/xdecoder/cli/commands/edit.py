"""`xdecoder edit`: a region found by words, and changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.options import (
    FirstImage,
    ModelOptions,
    PictureOutput,
    RegionPrompt,
    images_and_texts,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

    from xdecoder.cli.over_images import ImageTask, Pixels, Results
    from xdecoder.cli.targets import Target
    from xdecoder.editing import Change, EditOptions
    from xdecoder.predictor.prompts import Prompt

EPILOG = (
    "xdecoder edit photo.jpg 'the red car' --recolor teal\n\n"
    "xdecoder edit photos/ 'the person' --blur --out blurred\n\n"
    "xdecoder edit one.jpg two.jpg -r 'the dog' --replace-background beach.jpg\n\n"
    "xdecoder edit photo.jpg --box 10,20,200,180 --remove\n\n"
    "xdecoder edit photo.jpg 'the boat' --prompt 'a blue boat' --pipeline FOLDER"
)
_EDIT = "Edit (one of these)"
_EDGES = "How"
_PAINT = "With --prompt"


@dataclass(frozen=True, kw_only=True)
class Edits:
    """The edits, one of which is asked for."""

    remove: Annotated[
        bool, typer.Option("--remove", help="Fill the region from around it.", rich_help_panel=_EDIT)
    ] = False
    recolor: Annotated[
        str | None,
        typer.Option(
            help="Give the region another color and keep its shading: a CSS name, or '#rrggbb'.",
            metavar="COLOR",
            show_default=False,
            rich_help_panel=_EDIT,
        ),
    ] = None
    blur: Annotated[bool, typer.Option("--blur", help="Blur the region.", rich_help_panel=_EDIT)] = False
    replace_background: Annotated[
        Path | None,
        typer.Option(
            help="Set the region before another picture.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_EDIT,
        ),
    ] = None
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Paint this into the region, with --pipeline.",
            metavar="WORDS",
            show_default=False,
            rich_help_panel=_EDIT,
        ),
    ] = None

    @property
    def name(self) -> str:
        """The one that was asked for.

        Raises:
            ValueError: none was, or several were.
        """
        given = {
            "remove": self.remove,
            "recolor": self.recolor is not None,
            "blur": self.blur,
            "replace-background": self.replace_background is not None,
            "prompt": self.prompt is not None,
        }
        asked = [name for name, wanted in given.items() if wanted]
        if len(asked) != 1:
            got = " and ".join(f"--{name}" for name in asked) or "none"
            raise ValueError(f"give one edit, --{', --'.join(given)}; got {got}")
        return asked[0]


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How far and how strongly an edit goes."""

    grow: Annotated[
        int | None,
        typer.Option(
            help="Pixels that the region grows first, or, negative, shrinks; by default as the edit needs.",
            show_default=False,
            rich_help_panel=_EDGES,
        ),
    ] = None
    feather: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Pixels within which the edit fades out, inside the region; by default a 200th of the "
            "longer side.",
            show_default=False,
            rich_help_panel=_EDGES,
        ),
    ] = None
    strength: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="How much of the edit is mixed in; with --prompt, how far the pipeline departs from what is "
            "there.",
            show_default=False,
            rich_help_panel=_EDGES,
        ),
    ] = None
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Longer side of the result, in pixels; by default the image's own.",
            show_default=False,
            rich_help_panel=_EDGES,
        ),
    ] = None

    def options(self, edit: str) -> EditOptions:
        """As the edit of a name takes them; what --prompt paints is mixed in whole: the pipeline is told."""
        from xdecoder.editing import EditOptions

        mixed = None if edit == "prompt" else self.strength
        return EditOptions(
            grow_by=self.grow,
            feather=self.feather,
            strength=1.0 if mixed is None else mixed,
            size=self.size,
        )


@dataclass(frozen=True, kw_only=True)
class Painting:
    """What --prompt needs besides."""

    pipeline: Annotated[
        str | None,
        typer.Option(
            help="An inpainting pipeline of diffusers.",
            metavar="FOLDER|HUB_ID",
            show_default=False,
            rich_help_panel=_PAINT,
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(help="Of the noise; 0 by default.", show_default=False, rich_help_panel=_PAINT),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of the pipeline; by default its own.",
            show_default=False,
            rich_help_panel=_PAINT,
        ),
    ] = None
    paint_size: Annotated[
        int | None,
        typer.Option(
            min=16,
            help="Longer side in pixels at which the pipeline paints the region and its surroundings; 512 by "
            "default.",
            show_default=False,
            rich_help_panel=_PAINT,
        ),
    ] = None


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
    *,
    prompt: RegionPrompt,
    edits: Edits,
    extent: Extent,
    painting: Painting,
    output: PictureOutput,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Change a region of images, and not a pixel besides.

    The first argument is an image, a folder or a glob, the second says what to
    change. For several images give that with -r: all arguments are images then.
    """
    sources, region = _sources_and_region(image, more, prompt)
    name = edits.name

    from xdecoder.cli.over_images import ImageTask, run_over_images
    from xdecoder.drawing.regions import Region
    from xdecoder.jobs.files import write_whole
    from xdecoder.structures import mask_box
    from xdecoder.structures.png import png_bytes
    from xdecoder.structures.result import region_to_dict

    label = region if isinstance(region, str) else "box" if prompt.box else "mask"

    def prepare(results: Results) -> ImageTask[_Edited]:
        from xdecoder.editing import edit_region
        from xdecoder.jobs.devices import find_device

        options = extent.options(name)
        change = _make_change(edits, painting, strength=extent.strength, device=find_device(model.device))
        locate, batch_size = _locator(region, model)

        def compute(images: list[Pixels]) -> list[_Edited]:
            found = zip(images, locate(images), strict=True)
            return [_Edited(picture=edit_region(*pair, change, options), mask=pair[1]) for pair in found]

        def finish(target: Target, result: _Edited) -> None:
            region = Region(label=label, category=0, mask=result.mask)
            height, width = result.mask.shape
            data = {
                "kind": "edit",
                "edit": name,
                "height": height,
                "width": width,
                "region": region_to_dict(region),
            }
            picture = png_bytes(result.picture)
            results.write(target, data, lambda path: write_whole(path, picture))
            corners = ",".join(f"{side:.0f}" for side in mask_box(result.mask))
            results.print_summary(
                lambda: f"{label}: {100 * result.mask.mean():.1f} % of the picture, --box {corners}"
            )

        return ImageTask(compute=compute, batch_size=batch_size, finish=finish)

    return run_over_images(sources, output, prepare, debug=debug)


def _sources_and_region(image: str, more: list[str] | None, prompt: RegionPrompt) -> tuple[list[str], Prompt]:
    """The images, and the region, that an option gives or the second argument."""
    region = prompt.parse()
    if region is not None and not isinstance(region, str):
        return [image, *(more or [])], region
    named = None if region is None else [region]
    sources, phrases = images_and_texts("edit", image, more, named, what="region", example="the red car")
    if len(phrases) > 1:
        raise ValueError(f"one region at a time; got {', '.join(map(repr, phrases))}")
    return sources, phrases[0]


def _locator(region: Prompt, model: ModelOptions) -> tuple[Callable[[list[Pixels]], list[np.ndarray]], int]:
    """What finds the region, in how many images at a time; a model is loaded for phrases alone."""
    from xdecoder.predictor.prompts import prompt_mask

    if not isinstance(region, str):
        return lambda pictures: [prompt_mask(region, (len(p), len(p[0]))) for p in pictures], 1
    predictor = model.load()

    def locate(pictures: list[Pixels]) -> list[np.ndarray]:
        return predictor.locate(predictor.encode(pictures, short_side=model.short_side), region)

    return locate, predictor.batch_size


def _make_change(edits: Edits, painting: Painting, *, strength: float | None, device: torch.device) -> Change:
    """The change that the options describe.

    Args:
        edits: the options --remove, --recolor and so on, one of which is given.
        painting: what --prompt needs besides: pipeline, seed, steps and size.
        strength: of painting; None for the pipeline's own.
        device: where a pipeline runs.

    Raises:
        ValueError: there is not one edit, or an option is wrong or belongs to another edit.
        FileNotFoundError: there is no such background or pipeline.
        ImportError: a package is missing.
    """
    from xdecoder import editing
    from xdecoder.images import read_image

    name = edits.name
    if edits.prompt is not None:
        if painting.pipeline is None:
            raise ValueError(
                "--prompt paints with an inpainting pipeline of diffusers: add --pipeline FOLDER or HUB_ID"
            )
        return editing.Paint(
            prompt=edits.prompt,
            pipeline=editing.load_pipeline(painting.pipeline, device=device),
            strength=strength,
            seed=painting.seed or 0,
            steps=painting.steps,
            side=painting.paint_size or 512,
        )
    if painting != Painting():
        raise ValueError(f"--pipeline, --seed, --steps and --paint-size belong to --prompt, not to --{name}")
    if edits.recolor is not None:
        return editing.Recolor(color=edits.recolor)
    if edits.replace_background is not None:
        return editing.ReplaceBackground(background=read_image(edits.replace_background))
    return editing.Remove() if edits.remove else editing.Blur()
