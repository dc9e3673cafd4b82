"""Pictures on one sheet, row by row, words below each."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from xdecoder.drawing.regions import Color


@dataclass(frozen=True, kw_only=True)
class SheetStyle:
    """How a sheet looks; lengths are in pixels.

    Attributes:
        side: width of a cell, and height of a picture at the most.
        gap: between cells and around them.
        font_size: of titles and texts.
        lines: of text below a picture, at the most.
        corners: radius of the pictures' round corners.
        paper: behind everything.
        soft: of titles.
        ink: of texts.
    """

    side: int = 560
    gap: int = 12
    font_size: int = 14
    lines: int = 4
    corners: int = 0
    paper: Color = (255, 255, 255)
    soft: Color = (128, 128, 128)
    ink: Color = (0, 0, 0)

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return round(1.4 * self.font_size)

    @property
    def letters(self) -> int:
        """Letters in a line of text, as wide as they are on average."""
        return max(8, int(self.side / (0.5 * self.font_size)))


def draw_cell(
    picture: Image.Image | None, title: str = "", texts: Sequence[str] = (), *, style: SheetStyle
) -> Image.Image:
    """A picture at the width of a cell; below it a title and some texts, two lines of each at the most.

    Args:
        picture: shrunk or grown to fit, its shape kept; None for words alone.
        title: one line; "" for none.
        texts: the first lines of all are kept.
        style: how it looks.
    """
    lines = [line for text in texts for line in textwrap.wrap(text, style.letters)[:2]][: style.lines]
    words = [(title, style.soft)] * bool(title) + [(line, style.ink) for line in lines]
    shown = None if picture is None else _fitted(picture, style.side)
    height = shown.height if shown else 0
    cell = Image.new("RGB", (style.side, height + (4 + style.line * len(words)) * bool(words)), style.paper)
    if shown:
        cell.paste(shown, ((style.side - shown.width) // 2, 0), _round_corners(shown.size, style.corners))
    pen, font = ImageDraw.Draw(cell), ImageFont.load_default(size=style.font_size)
    for row, (text, color) in enumerate(words):
        pen.text((0, height + 4 + row * style.line), text, fill=color, font=font)
    return cell


def join_cells(cells: Sequence[Image.Image], *, columns: int, style: SheetStyle) -> Image.Image:
    """Cells on a sheet, row by row, each row as high as its highest.

    Args:
        cells: all of the style's width.
        columns: cells in a row.
        style: how it looks.

    Raises:
        ValueError: there are none.
    """
    if not cells:
        raise ValueError("nothing to draw: a sheet needs at least one picture")
    rows = [cells[i : i + columns] for i in range(0, len(cells), columns)]
    heights = [max(cell.height for cell in row) for row in rows]
    width = columns * style.side + (columns + 1) * style.gap
    sheet = Image.new("RGB", (width, sum(heights) + (len(rows) + 1) * style.gap), style.paper)
    top = style.gap
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (style.gap + column * (style.side + style.gap), top))
        top += height + style.gap
    return sheet


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    width, height = (max(1, round(length * scale)) for length in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def _round_corners(size: tuple[int, int], radius: int) -> Image.Image:
    large = Image.new("L", (4 * size[0], 4 * size[1]))
    box = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(box, radius=4 * radius, fill=255)
    return large.resize(size, Image.Resampling.BOX)
