"""The region that several commands take: a phrase, a box or a mask."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xdecoder.predictor.prompts import Prompt

_REGION = "Prompt"

RegionPhrase = Annotated[
    str | None,
    typer.Option(
        "--region",
        "-r",
        help="The region is what this phrase means.",
        metavar="PHRASE",
        show_default=False,
        rich_help_panel=_REGION,
    ),
]
RegionBox = Annotated[
    str | None,
    typer.Option(
        "--box",
        help="The region is this box, in pixels.",
        metavar="LEFT,TOP,RIGHT,BOTTOM",
        show_default=False,
        rich_help_panel=_REGION,
    ),
]
RegionMask = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        help="The region is where this picture of the image's size is white.",
        metavar="FILE.png",
        show_default=False,
        rich_help_panel=_REGION,
    ),
]


def parse_prompt(phrase: str | None, box: str | None, mask: Path | None) -> Prompt | None:
    """The region that one of three options gives; None without any.

    Raises:
        ValueError: more than one is given, or it is malformed.
        FileNotFoundError: there is no such mask.
    """
    if sum(option is not None for option in (phrase, box, mask)) > 1:
        raise ValueError("give the region once: --region, --box or --mask")
    if phrase is not None and not phrase.strip():
        raise ValueError("an empty phrase means nothing; leave it out or write some words")
    if mask is not None:
        from xdecoder.images import read_image

        return read_image(mask).min(axis=2) > 127
    if box is None:
        return phrase
    try:
        left, top, right, bottom = (float(number) for number in box.split(","))
    except ValueError:
        raise ValueError(f"--box takes four numbers, LEFT,TOP,RIGHT,BOTTOM; got {box!r}") from None
    return left, top, right, bottom
