"""Changing a recipe from the command line: `steps=200`, `segments.task=panoptic`, `mixture.questions=3`."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

T = TypeVar("T")


def override(record: T, settings: Iterable[str]) -> T:
    """A copy of a frozen record with some fields set.

    Args:
        record: a dataclass; fields that are dataclasses themselves are reached with a dot. One that is not
            set yet (None) begins with its defaults, where it has them all.
        settings: each "name=value", the value written as in YAML: `null`, `[0.5, 0.9]`, `{steps: 3}`. A field
            that is one of several dataclasses is chosen by its name (`schedule=Cosine`).

    Raises:
        ValueError: a setting has no "=", names no field, or its value is of another type.
    """
    given: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise ValueError(f"expected name=value, got {setting!r}")
        try:
            value: Any = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise ValueError(f"{setting!r}: the value cannot be read: {error}") from error
        _nest(given, name.strip().split("."), value)
    return _changed(record, given, "")


def _nest(given: dict[str, Any], path: list[str], value: Any) -> None:
    """Put a value into nested dictionaries, so that the settings of one record are set together."""
    for name in path[:-1]:
        inner: Any = given.get(name)
        if not isinstance(inner, dict):
            inner = {} if inner is None else {"": inner}
            given[name] = inner
        given = cast("dict[str, Any]", inner)
    if isinstance(given.get(path[-1]), dict) and not isinstance(value, dict):
        given[path[-1]][""] = value
    else:
        given[path[-1]] = value


def _changed(record: T, given: dict[str, Any], where: str) -> T:
    """The record with the given fields set."""
    kind: Any = type(record)
    fields = {f.name for f in dataclasses.fields(cast("Any", record)) if f.init}
    hints = typing.get_type_hints(kind)
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name not in fields:
            raise ValueError(
                f"{where}{name}: {kind.__name__} has no setting {name!r}; it has {', '.join(sorted(fields))}"
            )
        changes[name] = _read(value, hints[name], getattr(record, name), f"{where}{name}")
    return dataclasses.replace(cast("Any", record), **changes)


def _read(value: Any, hint: Any, now: Any, where: str) -> Any:
    """A value of the type that a field is declared to have.

    Args:
        value: as YAML gives it.
        hint: the field's type.
        now: what the field holds; a dictionary changes it, where it is a record.
        where: the field's dotted name.
    """
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    records: list[Any] = [option for option in options if dataclasses.is_dataclass(option)]
    if isinstance(value, dict) and records:
        return _record(cast("dict[str, Any]", value), records, now, where)
    for record in records:
        if value == record.__name__:
            return _made(record, {}, where)
    for option in options:
        if value is None and option is type(None):
            return None
        found = _plain(value, option)
        if found is not None:
            return found
    if isinstance(value, dict):
        raise ValueError(f"{where} has no settings of its own")
    raise ValueError(f"{where}: expected {' or '.join(map(_word, options))}, got {value!r}")


def _record(value: dict[str, Any], records: list[Any], now: Any, where: str) -> Any:
    """A record with settings of its own; an entry without a name chooses its kind."""
    given = dict(value)
    chosen = given.pop("", None)
    if chosen is not None:
        now = _read(chosen, typing.Union[tuple(records)], None, where)  # noqa: UP007  (made at run time)
    if now is not None:
        return _changed(now, given, f"{where}.")
    return _made(records[0], given, where)


def _made(kind: Any, given: dict[str, Any], where: str) -> Any:
    """A record of which nothing is set yet."""
    needed = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    absent = [name for name in needed if name not in given]
    if absent:
        raise ValueError(f"{where} is not set yet: set {', '.join(f'{where}.{name}' for name in absent)} too")
    hints = typing.get_type_hints(kind)
    first = {name: _read(given[name], hints[name], None, f"{where}.{name}") for name in needed}
    rest = {name: value for name, value in given.items() if name not in needed}
    return _changed(kind(**first), rest, f"{where}.")


def _plain(value: Any, kind: Any) -> Any:
    """A value as a type that is no record; None where it is none of it."""
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return value if value in typing.get_args(kind) else None
    if origin is tuple and isinstance(value, list):
        return _tuple(cast("list[Any]", value), typing.get_args(kind))
    if kind is float:
        return _number(value)
    if kind is Path:
        return Path(value) if isinstance(value, str) and value else None
    return value if kind in (int, str, bool) and type(value) is kind else None


def _number(value: Any) -> float | None:
    """A float; YAML reads 1e-4 as text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _tuple(values: list[Any], kinds: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A tuple of the types declared; None where an item is not of its type, or one is missing."""
    wanted = kinds[:1] * len(values) if kinds[1:] == (...,) else kinds
    if len(wanted) != len(values):
        return None
    found = tuple(
        _made(kind, cast("dict[str, Any]", value), kind.__name__)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict)
        else _plain(value, kind)
        for value, kind in zip(values, wanted, strict=True)
    )
    return None if any(item is None for item in found) else found


def _word(kind: Any) -> str:
    if kind is type(None):
        return "null"
    if typing.get_origin(kind) is typing.Literal:
        return ", ".join(map(str, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        first, *others = typing.get_args(kind)
        of = f"any of {_word(first)}" if others == [...] else ", ".join(map(_word, (first, *others)))
        return f"a list [{of}]"
    return getattr(kind, "__name__", str(kind)) if typing.get_origin(kind) is None else str(kind)
