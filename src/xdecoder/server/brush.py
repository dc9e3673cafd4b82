"""Label Studio's brush masks: run lengths packed bit by bit, as its editor unpacks them.

The code, most significant bit first: the number of values in 32 bits; the bits of a value less one in 5; four
widths of run lengths, each less one in 4; then runs: a bit that says whether one value is repeated, two bits
that choose the width, the run's length less one, and the value, or so many values.

Source: the format of the package @thi.ng/rle-pack, which Label Studio's editor uses.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

_WORD = 8
_WIDTHS = (3, 4, 8, 16)
_CHANNELS = 4  # the editor reads red, green, blue and opacity
_MARKED = 255


def encode_brush(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """A mask as the bytes that Label Studio calls `rle`: opaque white where it is, else transparent black."""
    values = mask.reshape(-1)
    ends = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, values.size)
    lengths = np.diff(ends, prepend=0) * _CHANNELS
    bits = [f"{values.size * _CHANNELS:032b}{_WORD - 1:05b}", *(f"{width - 1:04b}" for width in _WIDTHS)]
    for end, length in zip(ends.tolist(), lengths.tolist(), strict=True):
        value = f"{_MARKED if values[end - 1] else 0:0{_WORD}b}"
        while length:
            choice, width = next(
                (i, w) for i, w in enumerate(_WIDTHS) if length <= 1 << w or w == _WIDTHS[-1]
            )
            part = min(length, 1 << width)
            bits.append(f"1{choice:02b}{part - 1:0{width}b}{value}")
            length -= part
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8))
