"""A region removed: filled from what is around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from jaxtyping import Bool, UInt8

from xdecoder.editing.change import Change
from xdecoder.editing.filling import fill


@final
@dataclass(frozen=True, kw_only=True)
class Remove(Change):
    """Fill the region with patches from the rest of the picture; see `xdecoder.editing.filling`."""

    reach: ClassVar[float] = 1 / 60

    def apply(
        self, image: UInt8[np.ndarray, "H W 3"], area: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        if area.all():
            raise ValueError("the region is the whole picture: nothing is left to fill it from")
        return fill(image, area)
