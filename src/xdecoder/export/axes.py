"""Which axes of the graphs' inputs are free."""

from __future__ import annotations

from torch.export import Dim

from xdecoder.config import ModelConfig
from xdecoder.networks.decoder_states import LEVELS
from xdecoder.runtime.manifest import Part
from xdecoder.tasks.sizes import STRIDE

Axes = dict[int, Dim]

_MOST_CELLS = 1 << 10


class FreeAxes:
    """The free axes of inputs, by their names.

    Args:
        config: of the model.
        size_is_free: images have any size.
    """

    def __init__(self, config: ModelConfig, *, size_is_free: bool) -> None:
        context, queries = config.text.context_length, config.decoder.queries
        rows = Dim("rows")
        length = Dim("length", max=context)
        earlier = Dim("earlier", max=context - 1)
        seen = Dim("seen", min=queries + 1, max=queries + context - 1)
        past: Axes = {1: rows, 3: earlier}
        self._of: dict[str, Axes] = {
            "text.ids": {0: rows, 1: length},
            "phrases.tokens": {0: rows, 1: length},
            "phrases.valid": {0: rows, 1: length},
            "caption.ids": {0: rows},
            "caption.token_keys": past,
            "caption.token_values": past,
            "caption.keys": {1: rows, 3: seen},
            "caption.values": {1: rows, 3: seen},
            "answer.ids": {0: rows},
            "answer.keys": {1: rows},
            "answer.values": {1: rows},
        }
        self._cells: list[Dim] = []
        if size_is_free:
            sides = (Dim(name, min=1, max=_MOST_CELLS) for name in ("rows_of_32", "columns_of_32"))
            height, width = (STRIDE * side for side in sides)
            self._of["image.pixels"] = {2: height, 3: width}
            self._cells = [Dim(f"cells_{i}") for i in range(LEVELS)]

    def of(self, part: Part, name: str) -> Axes:
        """The free axes of an input: their numbers and names."""
        kind, _, number = name.rpartition("_")
        if self._cells and number.isdigit():
            axis = {"level_masks": 2, "cross_keys": 2, "cross_values": 2}.get(kind, 1)
            return {axis: self._cells[int(number) % LEVELS]}
        return self._of.get(f"{part}.{name}", {})
