"""What a model is exported as, checked before anything heavy is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from xdecoder.bounds import require
from xdecoder.runtime.manifest import PARTS, Part
from xdecoder.tasks.sizes import STRIDE

StoredDtype = Literal["float32", "float16"]

FREE = "free"
_MOST = 1 << 15


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What graphs are made.

    Attributes:
        size: height and width of the images that they take, padded; None for any multiples of 32.
        parts: the graphs; None for all that the model has parameters for.
        dtype: the numbers that the weights are stored in; None as in the model folder.
    """

    size: tuple[int, int] | None = None
    parts: tuple[Part, ...] | None = None
    dtype: StoredDtype | None = None

    def __post_init__(self) -> None:
        for side in self.size or ():
            require(
                0 < side <= _MOST and side % STRIDE == 0,
                f"the size must be multiples of {STRIDE} pixels up to {_MOST}, got {self.size}",
            )
        require(self.parts is None or bool(self.parts), f"no parts given; there are {', '.join(PARTS)}")


def parse_size(text: str) -> tuple[int, int] | None:
    """Height and width of "HxW"; None of "free".

    Raises:
        ValueError: it is neither.
    """
    if text == FREE:
        return None
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    require(match is not None, f"the size must be HEIGHTxWIDTH, such as 160x224, or {FREE}; got {text!r}")
    assert match is not None
    return int(match[1]), int(match[2])


def parse_parts(text: str) -> tuple[Part, ...]:
    """The graphs of "image,text".

    Raises:
        ValueError: one is unknown.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in PARTS]
    require(not unknown, f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return tuple(part for part in PARTS if part in names)
