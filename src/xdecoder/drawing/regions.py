"""Results out, as pictures: colored regions with outlines, each named where it is widest.

A label has one color in every picture. Sizes follow the picture's: line and font grow with its side.
"""

from __future__ import annotations

import functools
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from xdecoder.drawing.oklab import lab_to_linear, lab_to_srgb
from xdecoder.vocabularies import clean_name, known_classes, normal_name

Color = tuple[int, int, int]
_Rect = tuple[int, int, int, int]
_Lab = tuple[float, float, float]

_COLORS = 256
_GRID = 64
_TAG_OPACITY = 215
_LARGEST_TAG = 12
_TEXT_COLOR: Color = (255, 255, 255)


_COMMON: dict[str, _Lab] = {
    "person": (0.63, 0.23, 22),
    "sky": (0.77, 0.13, 240),
    "tree": (0.58, 0.16, 148),
    "grass": (0.82, 0.19, 125),
    "road": (0.56, 0.20, 300),
    "pavement": (0.72, 0.19, 340),
    "sidewalk": (0.72, 0.19, 340),
    "building": (0.74, 0.16, 58),
    "wall": (0.77, 0.12, 290),
    "floor": (0.87, 0.13, 108),
    "ceiling": (0.86, 0.12, 180),
    "table": (0.60, 0.13, 60),
    "sea": (0.60, 0.18, 255),
    "river": (0.66, 0.13, 220),
    "water": (0.62, 0.15, 238),
    "car": (0.55, 0.24, 270),
    "mountain": (0.66, 0.10, 100),
    "dirt": (0.68, 0.14, 45),
    "sand": (0.88, 0.11, 80),
    "snow": (0.90, 0.06, 220),
    "window": (0.84, 0.14, 205),
    "fence": (0.58, 0.19, 350),
    "dog": (0.80, 0.17, 75),
    "cat": (0.74, 0.16, 165),
}
"""OKLab lightness, chroma and hue (degrees) of what most pictures show; other labels keep away from them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Region:
    """A part of a picture that has a name.

    Attributes:
        mask: where it is, (H, W).
        label: what it is, in raw form; decides its color.
        category: place of the label in a vocabulary, or of the phrase among those asked; None without one.
        score: how sure the model is of it; None without one.
        text: what is drawn on it; "" for nothing, None for label and score.
    """

    mask: Bool[np.ndarray, "H W"]
    label: str
    category: int | None = None
    score: float | None = None
    text: str | None = None

    @property
    def name(self) -> str:
        """What is drawn on it."""
        if self.text is not None:
            return self.text
        label = clean_name(self.label)
        return label if self.score is None else f"{label} {self.score:.2f}"


@dataclass(frozen=True, kw_only=True)
class _Patch:
    """A region cut to its box: a mask of 0 and 255 whose top left corner is at (left, top)."""

    mask: Image.Image
    left: int
    top: int
    area: int
    color: Color
    line_color: Color
    tag_color: Color
    text: str


def label_color(label: str) -> Color:
    """The color of a label, the same in every picture.

    The classes of the built-in vocabularies have colors of their own, as far from one another as can be for
    the first of them, COCO's; other labels draw one of the same 256 by their letters.
    """
    return _to_rgb(_label_lab(label))


def draw_regions(
    image: UInt8[np.ndarray, "H W 3"], regions: Iterable[Region], *, opacity: float = 0.45
) -> Image.Image:
    """A picture with regions painted over it, smaller ones over larger ones, and named.

    A second region of a label has a lighter or darker shade of its color. No two names overlap: one that has
    no room in or around its region, or would cover twelve times its area, is left out.

    Args:
        image: the picture that the regions are drawn on.
        regions: what to paint; empty masks are passed over.
        opacity: of the paint, 0 (outlines only) to 1.

    Raises:
        ValueError: opacity outside 0 to 1, or a mask of another size than the picture.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must lie between 0 and 1, got {opacity}")
    picture = Image.fromarray(image)
    side = (picture.width * picture.height) ** 0.5
    patches = sorted(_patches(regions, picture.size), key=lambda patch: -patch.area)
    for patch in patches:
        _paint(picture, patch, opacity, line=max(1.2, side / 260))
    _write_names(picture, patches, font_size=max(9.0, side / 38))
    return picture


def _patches(regions: Iterable[Region], size: tuple[int, int]) -> Iterator[_Patch]:
    seen: Counter[str] = Counter()
    for region in regions:
        height, width = region.mask.shape
        if (width, height) != size:
            raise ValueError(
                f"the mask of {region.label!r} is {width} x {height}, the picture {size[0]} x {size[1]}; "
                "resize the mask to the picture"
            )
        rows, columns = np.flatnonzero(region.mask.any(1)), np.flatnonzero(region.mask.any(0))
        if not rows.size:
            continue
        top, left = int(rows[0]), int(columns[0])
        crop = region.mask[top : rows[-1] + 1, left : columns[-1] + 1]
        key = normal_name(region.label)
        lab = _shade(_label_lab(region.label), seen[key])
        seen[key] += 1
        yield _Patch(
            mask=Image.fromarray(crop.astype(np.uint8) * 255),
            left=left,
            top=top,
            area=int(np.count_nonzero(crop)),
            color=_to_rgb(lab),
            line_color=_to_rgb((0.45 + 0.55 * lab[0], lab[1], lab[2])),
            tag_color=_to_rgb((0.32, lab[1] * 0.55, lab[2] * 0.55)),
            text=region.name,
        )


def _paint(picture: Image.Image, patch: _Patch, opacity: float, line: float) -> None:
    """Fill with smooth edges, then a line along the border, half of it on either side."""
    margin = int(2 * line) + 2
    left, top = patch.left - margin, patch.top - margin
    padded = Image.new("L", (patch.mask.width + 2 * margin, patch.mask.height + 2 * margin))
    padded.paste(patch.mask, (margin, margin))
    _fill_edges(padded, patch, margin, picture.size)
    soft = padded.filter(ImageFilter.GaussianBlur(0.6))
    picture.paste(patch.color, (left, top), soft.point([round(v * opacity) for v in range(256)]))
    # Blurred with the line's width, the mask falls from 255 to 0 across its border, 127 on the border itself.
    across = padded.filter(ImageFilter.GaussianBlur(max(0.8, 0.6 * line)))
    picture.paste(patch.line_color, (left, top), across.point([_line_alpha(v) for v in range(256)]))


def _fill_edges(padded: Image.Image, patch: _Patch, margin: int, size: tuple[int, int]) -> None:
    """Continue the mask beyond the picture's edge, where a region that is cut off has no border to draw."""
    width, height = patch.mask.size
    if patch.left == 0:
        padded.paste(
            padded.crop((margin, 0, margin + 1, padded.height)).resize((margin, padded.height)), (0, 0)
        )
    if patch.left + width == size[0]:
        column = padded.crop((margin + width - 1, 0, margin + width, padded.height))
        padded.paste(column.resize((margin, padded.height)), (margin + width, 0))
    if patch.top == 0:
        padded.paste(
            padded.crop((0, margin, padded.width, margin + 1)).resize((padded.width, margin)), (0, 0)
        )
    if patch.top + height == size[1]:
        row = padded.crop((0, margin + height - 1, padded.width, margin + height))
        padded.paste(row.resize((padded.width, margin)), (0, margin + height))


def _line_alpha(blurred: int) -> int:
    return round(255 * min(1.0, max(0.0, 2.2 - abs(blurred - 127.5) / 42)))


def _write_names(picture: Image.Image, patches: list[_Patch], font_size: float) -> None:
    """Names, the largest region's first, each in the first free place of its candidates."""
    taken: list[_Rect] = []
    large = 0.01 * picture.width * picture.height
    for patch in patches:
        if not patch.text:
            continue
        for scale in (1.0, 0.8) if patch.area > large else (0.8,):
            font = ImageFont.load_default(max(8.0, font_size * scale))
            text = _wrap(patch.text, font, picture.width * 0.45)
            size, pad = _tag_size(text, font)
            if size[0] * size[1] > _LARGEST_TAG * patch.area:
                continue
            place = next(
                (rect for rect in _places(patch, size, picture.size) if _is_free(rect, taken, picture.size)),
                None,
            )
            if place:
                taken.append(place)
                _write_tag(picture, place, text, font, pad, patch.tag_color)
                break


def _tag_size(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> tuple[tuple[int, int], int]:
    canvas = ImageDraw.Draw(Image.new("L", (1, 1)))
    _, _, right, bottom = canvas.multiline_textbbox((0, 0), text, font=font, spacing=1)
    pad = max(1, round(bottom / (text.count("\n") + 1) * 0.22))
    return (int(right) + 2 * pad + pad, int(bottom) + 2 * pad), pad


def _write_tag(
    picture: Image.Image,
    place: _Rect,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    pad: int,
    color: Color,
) -> None:
    left, top, right, bottom = place
    width, height = right - left, bottom - top
    corners = Image.new("L", (4 * width, 4 * height))
    box = (0, 0, 4 * width - 1, 4 * height - 1)
    ImageDraw.Draw(corners).rounded_rectangle(box, radius=7 * pad, fill=_TAG_OPACITY)
    picture.paste(color, (left, top), corners.resize((width, height), Image.Resampling.BOX))
    draw = ImageDraw.Draw(picture)
    draw.multiline_text(
        (left + 1.5 * pad, top + pad), text, fill=_TEXT_COLOR, font=font, spacing=1, align="center"
    )


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> str:
    """The text in at most three lines; what is over ends in an ellipsis."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > 3:
        lines = [*lines[:2], f"{lines[2]}…"]
    return "\n".join(lines)


def _places(patch: _Patch, size: tuple[int, int], picture: tuple[int, int]) -> Iterator[_Rect]:
    """Where a tag may lie, best first: inside the region if it fits, else around it, else across it."""
    width, height = size
    inside: list[_Rect] = []
    across: list[_Rect] = []
    for x, y, fits in _centers(patch, size):
        rect = _clamp(x - width // 2, y - height // 2, size, picture)
        (inside if fits else across).append(rect)
    yield from inside
    narrow_but_long = patch.mask.width * patch.mask.height > 9 * width * height  # its box tells little of it
    if inside or narrow_but_long:
        yield from across
        return
    middle_x = patch.left + (patch.mask.width - width) // 2
    middle_y = patch.top + (patch.mask.height - height) // 2
    right, bottom = patch.left + patch.mask.width, patch.top + patch.mask.height
    yield _clamp(middle_x, patch.top - height - 1, size, picture)
    yield _clamp(middle_x, bottom + 1, size, picture)
    yield _clamp(right + 1, middle_y, size, picture)
    yield _clamp(patch.left - width - 1, middle_y, size, picture)
    yield from across


def _centers(patch: _Patch, size: tuple[int, int]) -> Iterator[tuple[int, int, bool]]:
    """Points in the region, farthest from its border first, and whether a tag fits there.

    Distances are measured in tags: as the tag is wide and low, so is the neighborhood that must be free.
    """
    scale = max(patch.mask.width, patch.mask.height) / _GRID
    columns = max(1, round(patch.mask.width / max(scale, 1)))
    rows = max(1, round(patch.mask.height / max(scale, 1)))
    cells = np.asarray(patch.mask.resize((columns, rows), Image.Resampling.BOX)) >= 128
    if not cells.any():
        cells = np.ones_like(cells)
    cell_x, cell_y = patch.mask.width / columns, patch.mask.height / rows
    step_x, step_y = 2 * cell_x / size[0], 2 * cell_y / size[1]
    distance = distance_to_border(cells, step_x=step_x, step_y=step_y)
    ys, xs = np.indices(cells.shape)
    weight = cells / np.count_nonzero(cells)
    off_center = np.hypot((xs - (xs * weight).sum()) * step_x, (ys - (ys * weight).sum()) * step_y)
    score = np.where(cells, np.minimum(distance, 3.0) - 0.05 * off_center, -np.inf)
    for _ in range(6):
        y, x = np.unravel_index(int(score.argmax()), score.shape)
        if not np.isfinite(score[y, x]):
            return
        yield (
            round(patch.left + (x + 0.5) * cell_x),
            round(patch.top + (y + 0.5) * cell_y),
            bool(distance[y, x] >= 1.2),
        )
        near = (np.abs(xs - x) * step_x < 2.2) & (np.abs(ys - y) * step_y < 2.2)
        score = np.where(near, -np.inf, score)


def distance_to_border(
    cells: Bool[np.ndarray, "H W"], *, step_x: float = 1.0, step_y: float = 1.0
) -> Float[np.ndarray, "H W"]:
    """Euclidean distance of each cell to the nearest cell outside; all around the grid is outside.

    Args:
        cells: which cells are inside; a coarse grid, as the work grows with H · H · W.
        step_x: width of a cell.
        step_y: height of a cell.
    """
    height, width = cells.shape
    padded = np.pad(cells, 1)
    columns = np.arange(width + 2)
    last = np.maximum.accumulate(np.where(padded, -1, columns), axis=1)
    following = np.minimum.accumulate(np.where(padded, width + 2, columns)[:, ::-1], axis=1)[:, ::-1]
    along_row = np.minimum(columns - last, following - columns)[:, 1:-1] * step_x
    rows = np.arange(height + 2)
    between = ((rows[1:-1, None] - rows[None, :]) * step_y) ** 2
    return np.sqrt((between[:, :, None] + along_row[None] ** 2).min(axis=1))


def _clamp(left: int, top: int, size: tuple[int, int], picture: tuple[int, int]) -> _Rect:
    left = max(0, min(left, picture[0] - size[0]))
    top = max(0, min(top, picture[1] - size[1]))
    return left, top, left + size[0], top + size[1]


def _is_free(rect: _Rect, taken: list[_Rect], picture: tuple[int, int]) -> bool:
    left, top, right, bottom = rect
    if right > picture[0] or bottom > picture[1]:
        return False
    return not any(left < r and x < right and top < b and t < bottom for x, t, r, b in taken)


def _label_lab(label: str) -> _Lab:
    name = normal_name(label)
    index = _known_places().get(name, zlib.crc32(name.encode()))
    lightness, a, b = _palette()[index % _COLORS]
    return float(lightness), float(a), float(b)


@functools.cache
def _known_places() -> dict[str, int]:
    return {name: i for i, name in enumerate(dict.fromkeys([*_COMMON, *known_classes()]))}


@functools.cache
def _palette() -> Float[np.ndarray, "N 3"]:
    """Colors in OKLab: `_COMMON`'s, then each the farthest from all before it (Gonzalez 1985)."""
    given = _from_polar(*np.array(list(_COMMON.values())).T)
    grid = np.meshgrid(np.linspace(0.55, 0.86, 8), np.linspace(0.13, 0.28, 7), np.arange(0, 360, 7.5))
    lab = _from_polar(*(axis.reshape(-1) for axis in grid))
    rgb = lab_to_linear(lab)
    lab = np.concatenate([given, lab[((rgb >= 0) & (rgb <= 1)).all(axis=1)]])
    weighted = lab * [0.7, 1, 1]  # over a photograph, hue tells more than lightness
    nearest = np.full(len(lab), np.inf)
    chosen: list[int] = []
    while len(chosen) < _COLORS:
        chosen.append(len(chosen) if len(chosen) < len(given) else int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(weighted - weighted[chosen[-1]], axis=1))
    return lab[chosen]


def _from_polar(
    lightness: Float[np.ndarray, " N"], chroma: Float[np.ndarray, " N"], degrees: Float[np.ndarray, " N"]
) -> Float[np.ndarray, "N 3"]:
    hue = np.deg2rad(degrees)
    return np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)


def _shade(lab: _Lab, count: int) -> _Lab:
    """Another lightness for each further region of a label."""
    offset = (0.0, 0.10, -0.10, 0.05, -0.05)[count % 5]
    return min(0.9, max(0.4, lab[0] + offset)), lab[1], lab[2]


def _to_rgb(lab: _Lab) -> Color:
    red, green, blue = lab_to_srgb(np.array(lab)).tolist()
    return red, green, blue
