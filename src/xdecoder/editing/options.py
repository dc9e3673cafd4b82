"""How far and how strongly a change goes, checked: one record for Python, the command line and servers."""

from __future__ import annotations

from dataclasses import dataclass

from xdecoder.bounds import require


@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """How a region is changed.

    Attributes:
        grow_by: pixels that the region grows first, or, negative, shrinks; None for what the change needs.
        feather: pixels within which the change fades out; None for a 200th of the longer side.
        strength: how much of the change is mixed in, 0 to 1.
        size: the result's longer side in pixels; None for the picture's own.
    """

    grow_by: int | None = None
    feather: int | None = None
    strength: float = 1.0
    size: int | None = None

    def __post_init__(self) -> None:
        require(0 <= self.strength <= 1, f"strength must be between 0 and 1, got {self.strength}")
        require(
            self.feather is None or self.feather >= 0,
            f"feather must be at least 0 pixels, got {self.feather}",
        )
        require(self.size is None or self.size >= 1, f"size must be at least 1 pixel, got {self.size}")
