"""What pages are put together of: pictures, names over them, figures, chips."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from xdecoder.drawing.regions import Region, label_color
from xdecoder.html.panels import inlined
from xdecoder.html.tags import place_tags


def picture(image: UInt8[np.ndarray, "H W 3"], *, side: int, alt: str = "The picture") -> str:
    """An image, shrunk to at most `side` pixels a side."""
    shown = Image.fromarray(image)
    shown.thumbnail((side, side), Image.Resampling.LANCZOS)
    size = f'width="{shown.width}" height="{shown.height}"'
    return f'<img src="{inlined(shown, quality=80)}" alt="{escape(alt)}" {size} loading="lazy">'


def overlaid(
    image: UInt8[np.ndarray, "H W 3"],
    over: Image.Image,
    tags: str = "",
    *,
    side: int,
    alt: str = "The model's answer",
) -> str:
    """The plain picture under a painted one, which goes away where the pointer is.

    Args:
        image: the plain picture.
        over: the painted one.
        tags: names over both, as `names` makes them.
        side: pixels of the plain picture's longer side, at the most.
        alt: what the painted picture shows.
    """
    return (
        f'<div class="panel" tabindex="0">{picture(image, side=side)}'
        f'<div class="over"><img src="{inlined(over)}" alt="{escape(alt)}">{tags}</div></div>'
    )


def names(regions: Iterable[Region]) -> str:
    """The names of regions, each in its region's widest place."""

    def color(label: str) -> str:
        return "#{:02x}{:02x}{:02x}".format(*label_color(label))

    return "".join(
        f'<span class="tag" style="left:{100 * tag.x:.1f}%;top:{100 * tag.y:.1f}%;--c:{color(tag.label)}">'
        f"{escape(tag.text)}</span>"
        for tag in place_tags(list(regions))
    )


def figure(body: str, caption: str) -> str:
    """Something and what it is."""
    return f"<figure>{body}<figcaption>{caption}</figcaption></figure>"


def chip(text: str, kind: str = "") -> str:
    """A few words in a pill; `kind` is "good", "bad", "new" or "" for a plain one."""
    return f'<span class="chip {kind}">{escape(text)}</span>'
