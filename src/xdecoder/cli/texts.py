"""An image and what is asked about it: the arguments of `refer` and `answer`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

FirstImage = Annotated[
    str, typer.Argument(help="An image, a folder or a glob.", metavar="IMAGE", show_default=False)
]


def images_and_texts(
    command: str,
    image: str,
    more: Sequence[str] | None,
    named: Sequence[str] | None,
    *,
    what: str,
    example: str,
) -> tuple[list[str], list[str]]:
    """Which arguments are images and which are texts: all are images where an option gives the texts.

    Args:
        command: for the examples in errors.
        image: the first argument.
        more: the others.
        named: the texts that the option gives.
        what: what a text is called; also the option's name, whose first letter is its short form.
        example: of a text.

    Raises:
        ValueError: there are no texts, one is empty, or one is a file.
    """
    texts = list(named or more or [])
    if not texts:
        raise ValueError(f"no {what} given; add one: xdecoder {command} {image} '{example}'")
    if not named and (file := next(filter(_exists, texts), None)):
        raise ValueError(
            f"{file} is a file, and stands where {what}s are; for several images, give the {what}s "
            f"with -{what[0]}: xdecoder {command} IMAGE IMAGE -{what[0]} '{example}'"
        )
    if not all(text.strip() for text in texts):
        raise ValueError(f"an empty {what} means nothing; leave it out or write some words")
    return ([image, *(more or [])] if named else [image]), texts


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a path
        return False
