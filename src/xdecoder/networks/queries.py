"""Who sees whom: the one table of self-attention in the generalized decoder (figure 3 of the paper).

The table falls apart into streams that can be computed one after the other, exactly:

- the latent queries (object and global) see no other kind, so they are decoded first and once an image;
- texts read along (captions, questions) see the latent queries' keys and values, layer by layer;
- referring (copied object queries and phrase tokens) sees only itself.

An `InteractionConfig` only ever takes sight away, so the streams are exact whatever it says.
"""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

from xdecoder.config import InteractionConfig

PUBLISHED = InteractionConfig()
"""Everything that the table lets interact does."""


class QueryKind(Enum):
    """The kinds of queries."""

    OBJECT = "object queries"
    GLOBAL = "global query"
    CAPTION = "caption tokens"
    QUESTION = "question tokens"
    COPY = "copied object queries"
    PHRASE = "phrase tokens"


class Sight(Enum):
    """What a row sees of a kind of columns."""

    ALL = "all"
    EARLIER = "itself and earlier"
    NOTHING = "nothing"


_SIGHTS = {"+": Sight.ALL, "<": Sight.EARLIER, ".": Sight.NOTHING}

VISIBILITY: dict[QueryKind, dict[QueryKind, Sight]] = {
    row: dict(zip(QueryKind, (_SIGHTS[mark] for mark in marks.split()), strict=True))
    for row, marks in {
        # rows       columns: object global caption question copy phrase
        QueryKind.OBJECT: "           +      .      .       .      .     .   ",
        QueryKind.GLOBAL: "           .      +      .       .      .     .   ",
        QueryKind.CAPTION: "          +      +      <       .      .     .   ",
        QueryKind.QUESTION: "         +      +      .       +      .     .   ",
        QueryKind.COPY: "             .      .      .       .      +     +   ",
        QueryKind.PHRASE: "           .      .      .       .      +     +   ",
    }.items()
}


def sight(row: QueryKind, column: QueryKind, interactions: InteractionConfig) -> Sight:
    """What a kind sees of another: the table's entry, or nothing where the interaction is turned off."""
    match row, column:
        case ((QueryKind.CAPTION | QueryKind.QUESTION), QueryKind.OBJECT):
            interacts = interactions.texts_see_objects
        case ((QueryKind.CAPTION | QueryKind.QUESTION), QueryKind.GLOBAL):
            interacts = interactions.texts_see_global
        case QueryKind.COPY, QueryKind.PHRASE:
            interacts = interactions.copies_see_phrases
        case _:
            interacts = True
    return VISIBILITY[row][column] if interacts else Sight.NOTHING


def visibility(
    rows: dict[QueryKind, int],
    columns: dict[QueryKind, int],
    device: torch.device | str,
    interactions: InteractionConfig = PUBLISHED,
) -> Tensor:
    """The table written out: (rows, columns), True where a row sees a column.

    Args:
        rows: how many rows of each kind, in order.
        columns: how many columns of each kind, in order. Where a kind has more columns than rows, its last
            rows are meant (those before are earlier tokens).
        device: where the mask is made.
        interactions: what of the table is turned off.
    """
    blocks: list[Tensor] = []
    for row, n in rows.items():
        line: list[Tensor] = []
        for column, m in columns.items():
            block = torch.ones(n, m, dtype=torch.bool, device=device)
            seen = sight(row, column, interactions)
            line.append(block.tril(m - n) if seen is Sight.EARLIER else block & (seen is Sight.ALL))
        blocks.append(torch.cat(line, dim=1))
    return torch.cat(blocks)
