"""Changing a recipe from the command line: `steps=200`, `mixture.questions=3`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml

T = TypeVar("T")


def override(record: T, settings: Iterable[str]) -> T:
    """A copy of a frozen record with some fields set.

    Args:
        record: a dataclass; fields that are dataclasses themselves are reached with a dot.
        settings: each "name=value", the value written as in YAML.

    Raises:
        ValueError: a setting has no "=", names no field, or its value is of another type.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"expected name=value, got {setting!r}")
        record = _set(record, name.strip().split("."), text, setting)
    return record


def _set(record: Any, path: list[str], text: str, setting: str) -> Any:
    fields = {f.name for f in dataclasses.fields(record) if f.init}
    name, *rest = path
    if name not in fields:
        raise ValueError(
            f"{setting!r}: {type(record).__name__} has no setting {name!r}; "
            f"it has {', '.join(sorted(fields))}"
        )
    value = getattr(record, name)
    if rest:
        if not dataclasses.is_dataclass(value):
            raise ValueError(f"{setting!r}: {name!r} has no settings of its own")
        return dataclasses.replace(record, **{name: _set(value, rest, text, setting)})
    hint = typing.get_type_hints(type(record))[name]
    return dataclasses.replace(record, **{name: _read(text, hint, setting)})


def _read(text: str, hint: Any, setting: str) -> Any:
    value: Any = yaml.safe_load(text)
    options = typing.get_args(hint) if typing.get_origin(hint) is not tuple else ()
    kinds: tuple[Any, ...] = options or (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if kind is float and isinstance(value, str):  # YAML reads 1e-4 as text
            try:
                return float(value)
            except ValueError:
                continue
        if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if kind is Path and isinstance(value, str):
            return Path(value)
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            return _tuple(value)
        if kind in (int, str, bool) and type(value) is kind:
            return value
    expected = " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    raise ValueError(f"{setting!r}: expected {expected}, got {text!r}")


def _tuple(value: Any) -> Any:
    """Lists, nested ones too, as tuples."""
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value
