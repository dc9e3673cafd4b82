"""OKLab (Ottosson 2020): colors as lightness and two opponents, even to the eye; and sRGB."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

_LAB_TO_LMS = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_LMS_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def lab_to_linear(lab: Float[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
    """Linear sRGB, below 0 or over 1 where the color lies outside it."""
    return (lab @ _LAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T


def lab_to_srgb(lab: Float[np.ndarray, "*N 3"]) -> UInt8[np.ndarray, "*N 3"]:
    """8-bit sRGB, the nearest of each channel where the color lies outside it."""
    linear = lab_to_linear(lab).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 255).astype(np.uint8)


def srgb_to_lab(rgb: UInt8[np.ndarray, "*N 3"]) -> Float[np.ndarray, "*N 3"]:
    """The inverse of `lab_to_srgb`."""
    encoded = np.arange(256) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)[rgb]
    return np.cbrt(linear @ np.linalg.inv(_LMS_TO_RGB).T) @ np.linalg.inv(_LAB_TO_LMS).T
