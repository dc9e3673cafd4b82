"""The README's picture: scenes in rows, what the model makes of each beside it."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from xdecoder.demo.held_out import SceneReading, Told
from xdecoder.drawing.regions import Color, label_color
from xdecoder.html.panels import lit, painted, regions_of
from xdecoder.html.tags import Tag, place_tags

_CELL = 280
_GAP = 12
_HEAD = 34
_FOOT = 46
_PAPER: Color = (250, 248, 244)
_INK: Color = (29, 26, 22)
_SOFT: Color = (106, 99, 89)
_WHITE: Color = (255, 255, 255)
_TITLES = ("a drawn scene", "segment", "refer", "describe")
_VERDICTS: dict[str, tuple[str, Color]] = {
    "true": ("true of the scene", (43, 122, 61)),
    "false": ("not true of the scene", (184, 48, 42)),
    "unclear": ("nothing that can be checked", (184, 48, 42)),
}


def draw_poster(readings: Sequence[SceneReading]) -> bytes:
    """The picture as the bytes of a PNG file.

    Args:
        readings: one a row.

    Raises:
        ValueError: there are none.
    """
    if not readings:
        raise ValueError("the picture needs at least one scene")
    columns = len(_TITLES)
    width = columns * _CELL + (columns + 1) * _GAP
    poster = Image.new("RGB", (width, _HEAD + len(readings) * (_CELL + _FOOT) + _GAP), _PAPER)
    for column, title in enumerate(_TITLES):
        _write(poster, title, (_left(column), 10), size=17, color=_SOFT)
    for row, reading in enumerate(readings):
        _draw_row(poster, reading, _HEAD + row * (_CELL + _FOOT))
    stream = io.BytesIO()
    poster.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _draw_row(poster: Image.Image, reading: SceneReading, top: int) -> None:
    image = reading.scene.image
    segments = _fitted(painted(reading.panoptic))
    for tag in place_tags(regions_of(reading.panoptic)):
        _write_tag(segments, tag)
    pictures = [_fitted(image), segments]
    for grounded in reading.grounded[:1]:
        pictures.append(_fitted(lit(image, grounded.found)))
        _write(poster, f"“{grounded.text}”", (_left(2), top + _CELL + 6), size=15, color=_INK, width=34)
    for column, picture in enumerate(pictures):
        poster.paste(picture, (_left(column), top), _corners(_CELL))
    found = f"{reading.found} of {len(reading.scene.segments)} segments right"
    _write(poster, found, (_left(1), top + _CELL + 6), size=15, color=_INK)
    _draw_words(poster, reading.told, top)


def _draw_words(poster: Image.Image, told: Told, top: int) -> None:
    """The caption on a card, and whether it is true."""
    card = Image.new("RGB", (_CELL, _CELL), _WHITE)
    draw = ImageDraw.Draw(card)
    text = textwrap.fill(f"“{told.text}”", 24)
    words, verdict = ImageFont.load_default(20), ImageFont.load_default(15)
    middle = _CELL // 2
    draw.multiline_text(
        (middle, middle - 16), text, fill=_INK, font=words, anchor="mm", align="center", spacing=7
    )
    lines = text.count("\n") + 1
    said, color = _VERDICTS[told.verdict]
    draw.text((middle, middle + 16 * lines + 14), said, fill=color, font=verdict, anchor="mm")
    poster.paste(card, (_left(3), top), _corners(_CELL))


def _left(column: int) -> int:
    return _GAP + column * (_CELL + _GAP)


def _fitted(picture: Image.Image | UInt8[np.ndarray, "H W 3"]) -> Image.Image:
    whole = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return whole.resize((_CELL, _CELL), Image.Resampling.LANCZOS)


def _corners(side: int) -> Image.Image:
    large = Image.new("L", (4 * side, 4 * side))
    ImageDraw.Draw(large).rounded_rectangle((0, 0, 4 * side - 1, 4 * side - 1), radius=40, fill=255)
    return large.resize((side, side), Image.Resampling.BOX)


def _write(
    poster: Image.Image,
    text: str,
    place: tuple[int, int],
    *,
    size: int,
    color: Color,
    width: int | None = None,
) -> None:
    lines = textwrap.wrap(text, width)[:2] if width else [text]
    font = ImageFont.load_default(size)
    ImageDraw.Draw(poster).multiline_text(place, "\n".join(lines), fill=color, font=font, spacing=size // 4)


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
