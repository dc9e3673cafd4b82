"""The README's picture: scenes in rows, what the model makes of each beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image, ImageDraw, ImageFont

from xdecoder.demo.held_out import CheckedCaption, SceneResult
from xdecoder.drawing.regions import Color, label_color
from xdecoder.drawing.sheet import SheetStyle, draw_cell, join_cells
from xdecoder.html.panels import lit, painted, regions_of
from xdecoder.html.tags import Tag, place_tags
from xdecoder.structures.png import png_bytes

_STYLE = SheetStyle(
    side=280, font_size=15, corners=10, paper=(250, 248, 244), ink=(29, 26, 22), soft=(106, 99, 89)
)
_WHITE: Color = (255, 255, 255)
_TITLES = ("a drawn scene", "segment", "refer", "describe")
_VERDICTS: dict[str, tuple[str, Color]] = {
    "true": ("true of the scene", (43, 122, 61)),
    "false": ("not true of the scene", (184, 48, 42)),
    "unclear": ("nothing that can be checked", (184, 48, 42)),
}


def draw_poster(results: Sequence[SceneResult]) -> bytes:
    """The picture as the bytes of a PNG file.

    Args:
        results: pictures and what was found in each, one a row.

    Raises:
        ValueError: there are none.
    """
    if not results:
        raise ValueError("the picture needs at least one scene")
    heads = [draw_cell(None, title, style=replace(_STYLE, font_size=17)) for title in _TITLES]
    cells = [cell for result in results for cell in _draw_row(result)]
    return png_bytes(join_cells([*heads, *cells], columns=len(_TITLES), style=_STYLE))


def _draw_row(result: SceneResult) -> list[Image.Image]:
    image = result.scene.image
    segments = painted(result.panoptic).resize((_STYLE.side, _STYLE.side), Image.Resampling.LANCZOS)
    for tag in place_tags(regions_of(result.panoptic)):
        _write_tag(segments, tag)
    found = f"{result.found} of {len(result.scene.segments)} segments right"
    cells = [
        draw_cell(Image.fromarray(image), style=_STYLE),
        draw_cell(segments, texts=[found], style=_STYLE),
    ]
    phrases = [
        draw_cell(lit(image, g.found), texts=[f"“{g.text}”"], style=_STYLE) for g in result.phrases[:1]
    ]
    blank = draw_cell(None, style=_STYLE)
    return [*cells, *(phrases or [blank]), draw_cell(_draw_words(result.caption), style=_STYLE)]


def _draw_words(caption: CheckedCaption) -> Image.Image:
    """The caption on a card, and whether it is true."""
    card = Image.new("RGB", (_STYLE.side, _STYLE.side), _WHITE)
    draw = ImageDraw.Draw(card)
    text = textwrap.fill(f"“{caption.text}”", 24)
    words, verdict = ImageFont.load_default(20), ImageFont.load_default(15)
    middle = _STYLE.side // 2
    draw.multiline_text(
        (middle, middle - 16), text, fill=_STYLE.ink, font=words, anchor="mm", align="center", spacing=7
    )
    lines = text.count("\n") + 1
    said, color = _VERDICTS[caption.verdict]
    draw.text((middle, middle + 16 * lines + 14), said, fill=color, font=verdict, anchor="mm")
    return card


def _write_tag(picture: Image.Image, tag: Tag) -> None:
    font = ImageFont.load_default(13)
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = draw.textbbox((0, 0), tag.text, font=font)
    width, height = right - left + 12, bottom - top + 8
    x = round(min(max(tag.x * picture.width - width / 2, 2), picture.width - width - 2))
    y = round(min(max(tag.y * picture.height - height / 2, 2), picture.height - height - 2))
    red, green, blue = (round(0.35 * value) for value in label_color(tag.label))
    draw.rounded_rectangle((x, y, x + width, y + height), radius=height // 2, fill=(red, green, blue))
    draw.text((x + 6 - left, y + 4 - top), tag.text, fill=_WHITE, font=font)
