"""What is wrong with annotation files: all of it told at once, each with file and entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeGuard, TypeVar, final

_SHOWN: Final = 20

T = TypeVar("T")


class MalformedError(ValueError):
    """An annotation file that cannot be used; `problems` are the reasons, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        more = len(self.problems) - _SHOWN
        lines = [*self.problems[:_SHOWN], *([f"... and {more} more"] if more > 0 else [])]
        head = [] if len(lines) == 1 else [f"{len(self.problems)} problems:"]
        super().__init__("\n  ".join([*head, *lines]))


@final
@dataclass
class Problems:
    """Collects what is wrong with one file, to tell it together.

    Attributes:
        path: the file, which every problem names.
        found: the problems so far.
    """

    path: Path
    found: list[str] = field(default_factory=list[str])

    def add(self, what: str) -> None:
        """Note a problem."""
        self.found.append(f"{self.path}: {what}")

    def refuse(self) -> None:
        """End here if there was any.

        Raises:
            MalformedError: with all of them.
        """
        if self.found:
            raise MalformedError(self.found)


def rows_of(data: object, key: str, path: Path, what: str) -> list[dict[str, Any]]:
    """The list of objects under a key of a file's object.

    Raises:
        MalformedError: the file is no object, the key is missing, or something in the list is no object.
    """
    if not isinstance(data, dict):
        raise MalformedError([f"{path}: not {what}; expected an object with {key!r}, got {_kind(data)}"])
    rows: object = data.get(key)
    if not isinstance(rows, list):
        found = f"{key!r} is {_kind(rows)}" if key in data else f"{key!r} is missing"
        raise MalformedError([f"{path}: not {what}; {found}, expected a list of objects"])
    wrong = [(i, row) for i, row in enumerate(rows) if not isinstance(row, dict)]
    if wrong:
        raise MalformedError([f"{path}: {key}[{i}] is {_kind(row)}, expected an object" for i, row in wrong])
    return rows


def has_fields(
    row: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]], where: str, problems: Problems
) -> bool:
    """Whether a row has fields of these types; what is missing or of another type is noted."""
    good = True
    for name, kinds in fields.items():
        value = row.get(name)
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
            continue
        good = False
        wanted = " or ".join(_NAMES.get(kind, kind.__name__) for kind in kinds)
        problems.add(
            f"{where}: {name!r} is {_kind(value)}, expected {wanted}"
            if name in row
            else f"{where}: lacks {name!r}"
        )
    return good


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value of JSON is a number that can be reckoned with: finite, and below 1e18."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e18


def refuse_duplicates(ids: Iterable[Hashable], *, what: str, where: Path | str) -> None:
    """Refuse ids that occur twice.

    Raises:
        MalformedError: with the first duplicates.
    """
    twice = [i for i, n in Counter(ids).items() if n > 1]
    if twice:
        raise MalformedError(
            [
                f"{where}: duplicate {what} id(s) {twice[:5]} ({len(twice)} in all); ids must be unique, "
                "merge or renumber the entries"
            ]
        )


_NAMES: Final[Mapping[type, str]] = {
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    bool: "true or false",
}


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, (bool, int, float)):
        return str(value)[:40]
    return _NAMES.get(type(value), type(value).__name__)
