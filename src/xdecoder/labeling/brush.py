"""Label Studio's brush masks: run lengths packed bit by bit, as its editor packs and unpacks them.

The code, most significant bit first: the number of values in 32 bits; the bits of a value less one in 5; four
widths of run lengths, each less one in 4; then runs: a bit that says whether one value is repeated, two bits
that choose the width, the run's length less one, and the value, or so many values.

Source: the format of the package @thi.ng/rle-pack, which Label Studio's editor uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool

from xdecoder.images import MAX_PIXELS

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


def decode_brush(code: Any, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
    """The mask of brush strokes: where their opacity is not 0.

    Args:
        code: bytes, as a list of numbers.
        size: the image's height and width.

    Raises:
        ValueError: the code is damaged or of another size.
    """
    if not isinstance(code, list) or not all(type(v) is int and 0 <= v <= 255 for v in code):
        raise ValueError('its "rle" is no list of bytes')
    height, width = size
    bits = np.unpackbits(np.array(code, np.uint8))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > bits.size:
            raise ValueError("its brush strokes are cut short")
        value = int("".join(map(str, bits[place : place + count])), 2)
        place += count
        return value

    total, word = take(32), take(5) + 1
    lengths = [take(4) + 1 for _ in range(4)]
    if total != _CHANNELS * height * width or total > _CHANNELS * MAX_PIXELS:
        raise ValueError(f"its brush strokes have {total} values, not 4 for each of {width}x{height} pixels")
    values = np.zeros(total, np.uint32)
    done = 0
    while done < total:
        same = take(1)
        end = done + take(lengths[take(2)]) + 1
        if end > total:
            raise ValueError("its brush strokes are longer than the image")
        if same:
            values[done:end] = take(word)
        else:
            wanted = word * (end - done)
            if place + wanted > bits.size:
                raise ValueError("its brush strokes are cut short")
            rows = bits[place : place + wanted].reshape(end - done, word)
            values[done:end] = rows @ (1 << np.arange(word - 1, -1, -1))
            place += wanted
        done = end
    return values[_CHANNELS - 1 :: _CHANNELS].reshape(height, width) > 0
