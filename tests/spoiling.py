"""Data spoilt at random: values put in others' places, taken out, doubled, made texts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2, 3.5, 10**9, 10**30, -(10**400), float("nan"), float("inf"), 1e308, "", "1", "x",
    "../../x", "/etc/passwd", "a\nb", "\x1b[31m", "\x00", "\ud800", "é" * 300, [], [[]], [1], {}, {"id": 1},
    [None], [[1, 2, 3, 4]], [[1e8] * 8], {"size": [12, 16], "counts": "zz"},
    {"size": [10**5, 10**5], "counts": [1]},
    {"size": [12, 16], "counts": [5]}, {"size": [12], "counts": ""}, {"size": "ab", "counts": "0"},
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*path, i))


def spoil(data: Any, draw: random.Random) -> Any:
    """One to three changes: a value put in another's place, taken out, doubled or made a text."""
    spoilt: Any = deepcopy(data)
    for _ in range(draw.randint(1, 3)):
        path = draw.choice(list(places(spoilt)))
        if not path:
            return draw.choice(ODD)
        parent: Any = spoilt
        for key in path[:-1]:
            parent = parent[key]
        match draw.choice(["odd", "odd", "odd", "remove", "double", "text"]):
            case "remove":
                del parent[path[-1]]
            case "double" if isinstance(parent, list):
                parent.append(deepcopy(parent[path[-1]]))
            case "text":
                parent[path[-1]] = str(parent[path[-1]])
            case _:
                parent[path[-1]] = deepcopy(draw.choice(ODD))
    return spoilt
