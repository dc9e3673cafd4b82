"""A region recolored, its shading kept."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import ImageColor

from xdecoder.drawing.oklab import lab_to_srgb, srgb_to_lab
from xdecoder.editing.change import Change

_CELL = 0.05
_GRAY_WEIGHT = 0.03
_SAME_HUE = (0.06, 0.12)


@final
@dataclass(frozen=True, kw_only=True)
class Recolor(Change):
    """Give the region another color: its main color becomes `color`, and its shading stays.

    Lightness and chroma are carried over in OKLab. What is darker or lighter than the main color stays so,
    down to black and up to white, which keep; so do details of another hue.

    Attributes:
        color: a CSS name ("teal") or "#rrggbb".
    """

    color: str

    def __post_init__(self) -> None:
        parse_color(self.color)

    def apply(
        self, image: UInt8[np.ndarray, "H W 3"], area: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        lab = srgb_to_lab(image[area])
        main = _main_color(lab)
        target = srgb_to_lab(np.array(parse_color(self.color), np.uint8))
        share = _closeness(lab[:, 1:], main[1:])[:, None]
        result = image.copy()
        result[area] = lab_to_srgb(lab + share * (_shaded(lab[:, 0], float(main[0]), target) - lab))
        return result


def parse_color(text: str) -> tuple[int, int, int]:
    """Red, green and blue of a color's name or "#rrggbb".

    Raises:
        ValueError: there is no such color.
    """
    try:
        return ImageColor.getrgb(text)[:3]
    except ValueError as error:
        near = difflib.get_close_matches(text.strip().lower(), ImageColor.colormap, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"no color {text!r}; give a CSS name, such as teal, or #rrggbb, such as #0a8080{hint}"
        ) from error


def _main_color(lab: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " 3"]:
    """The color that most pixels have, vivid ones counting more: a car's, not its windows'."""
    _, cells = np.unique(np.floor(lab[:, 1:] / _CELL), axis=0, return_inverse=True)
    votes = np.bincount(cells, np.linalg.norm(lab[:, 1:], axis=1) + _GRAY_WEIGHT)
    return np.median(lab[cells == votes.argmax()], axis=0)


def _shaded(
    lightness: Float[np.ndarray, " N"], main: float, target: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "N 3"]:
    """The target's color where the lightness is `main`, with black and white where they were.

    Lightness follows two straight lines, from black to the main color's and on to white; the target's chroma
    fades along them.
    """
    main = min(max(main, 0.05), 0.95)
    below = np.minimum(lightness / main, 1)
    above = np.clip((lightness - main) / (1 - main), 0, 1)
    shade = below * target[0] + above * (1 - target[0])
    return np.column_stack([shade, (below * (1 - above))[:, None] * target[1:]])


def _closeness(chroma: Float[np.ndarray, "N 2"], main: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " N"]:
    """1 for grays and for the main color's hue, 0 for other hues, with a soft passage."""
    along = np.clip(chroma @ main / max(float(main @ main), 1e-6), 0, 2)
    distance = np.linalg.norm(chroma - along[:, None] * main, axis=1)
    near, far = _SAME_HUE
    return np.clip((far - distance) / (far - near), 0, 1)
