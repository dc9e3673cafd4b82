"""What was found, as one HTML page that needs nothing beside it."""

from __future__ import annotations

from html import escape
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from xdecoder.html.frame import frame
from xdecoder.html.panels import lit
from xdecoder.html.parts import chip, overlaid, picture
from xdecoder.images import read_image
from xdecoder.search.found import Found, Hit
from xdecoder.structures import decode_rle
from xdecoder.vocabularies import clean_name

_SIDE = 480
_KINDS = {
    "images": "whole images, by the mean cosine of decoder and backbone",
    "regions": "panoptic segments, by the cosine of their class embeddings",
    "grounded": "whole images, then the phrase in each of them",
}


def write_page(found: Found) -> str:
    """The page, as the text of an HTML file; pictures are read from the files of the hits."""
    of = "regions" if found.kind == "regions" else "images"
    facts = {"searched": f"{found.searched:,} {of}", "compared": _KINDS[found.kind]}
    if found.where is not None:
        facts["filter"] = f"<code>{escape(found.where)}</code>"
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    cards = "".join(_card(rank, hit, found.kind) for rank, hit in enumerate(found.hits, start=1))
    nothing = '<p class="lead">Nothing in the index fits the filter.</p>'
    body = f'<div class="cards tiny">{cards}</div>' if cards else nothing
    return frame(
        title=f"{found.query} - X-Decoder",
        main=(
            f'<section class="hero"><h1 class="asked">{escape(found.query)}</h1>'
            f'<dl class="facts">{listed}</dl></section>'
            f'<section class="task">{body}</section>'
        ),
        footer=(
            "<p>Made by <code>xdecoder search</code>. Point at a picture, or tap it, to see it plain. The "
            "last number is the cosine of query and hit.</p>"
        ),
        style="section.task { padding-top: 1.8rem; }",
    )


def _card(rank: int, hit: Hit, kind: str) -> str:
    chips = [chip(f"{hit.similarity:.3f}")]
    region = hit.region
    if kind == "regions" and region is not None:
        chips.insert(0, chip(f"{clean_name(region.label)} {region.score:.2f}", "new"))
    elif kind == "grounded":
        found = chip("not found", "bad") if region is None else chip(f"grounded {region.score:.2f}", "new")
        chips.insert(0, found)
    return (
        f'<article class="card"><header><strong>{rank}.</strong>'
        f'<span class="chips">{"".join(chips)}</span></header>{_picture(hit)}'
        f'<div class="file" title="{escape(hit.path)}">{escape(Path(hit.path).name)}</div></article>'
    )


def _picture(hit: Hit) -> str:
    """The picture with its region lit, or why there is none."""
    try:
        image = read_image(hit.path)
    except (ValueError, OSError) as error:
        return f'<p class="note">{escape(str(error))}</p>'
    if hit.region is None:
        return f'<div class="panel">{picture(image, side=_SIDE)}</div>'
    if image.shape[:2] != hit.size:
        return '<p class="note">The picture has changed since it was indexed: index its folder again.</p>'
    small, mask = _shrunk(image, decode_rle(hit.region.mask))
    return overlaid(small, lit(small, mask), side=_SIDE, alt=hit.region.label)


def _shrunk(
    image: UInt8[np.ndarray, "H W 3"], mask: Bool[np.ndarray, "H W"]
) -> tuple[UInt8[np.ndarray, "h w 3"], Bool[np.ndarray, "h w"]]:
    """An image and a mask of it, as large as the page shows them."""
    whole = Image.fromarray(image)
    whole.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    small = Image.fromarray(mask.astype(np.uint8) * 255).resize(whole.size, Image.Resampling.BOX)
    return np.asarray(whole), np.asarray(small) >= 128
