"""Result files: written entry by entry, and read with every fault named."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeGuard

from xdecoder.data.decoding import read_json
from xdecoder.data.problems import Problems, has_fields, is_number
from xdecoder.data.records import ImageId
from xdecoder.jobs.files import name_file, whole_file

Entry = dict[str, Any]
"""One image's prediction, ready for JSON; `image_id` is among its fields."""

Fields = Mapping[str, type | tuple[type, ...]]
"""The fields that an object of a result file has, and their types."""

ID = (int, str)
NUMBER = (int, float)

_NONE: Mapping[str, Fields] = {}


def write_list(
    entries: Iterable[Any], path: Path, *, head: Mapping[str, Any] | None = None, key: str = ""
) -> None:
    """Write a JSON list entry by entry, or an object whose last field `key` is that list."""
    with whole_file(path) as file:
        start = (
            ""
            if head is None
            else json.dumps(dict(head))[:-1] + (", " if head else "") + json.dumps(key) + ": "
        )
        file.write(f"{start}[".encode())
        for number, entry in enumerate(entries):
            file.write(((",\n" if number else "\n") + json.dumps(entry)).encode())
        file.write(("\n]" + ("" if head is None else "}") + "\n").encode())


def write_lines(entries: Iterable[Entry], path: Path) -> None:
    """Write a line of JSON for each entry."""
    with whole_file(path) as file:
        for entry in entries:
            file.write(json.dumps(entry).encode() + b"\n")


def read_list(
    path: Path, fields: Fields, *, key: str | None = None, nested: Mapping[str, Fields] = _NONE
) -> list[Entry]:
    """A JSON list of objects, or an object's field `key` that is one, each field of its type.

    Args:
        path: a JSON file that holds one list.
        fields: what each object has.
        key: the object's field; None where the file is the list itself.
        nested: of fields that are lists of objects, what each of these has.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else; all entries that are wrong are named, up to a limit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such result file")
    data: Any = read_json(path)
    if key is not None:
        data = data.get(key) if isinstance(data, dict) else None
    if not isinstance(data, list):
        where = "a list" if key is None else f'an object with a list "{key}"'
        raise ValueError(f"{path}: expected {where} of objects with {', '.join(fields)}")
    return _checked(data, path, fields, "entry", nested)


def read_lines(path: Path, fields: Fields) -> list[Entry]:
    """Lines of JSON objects; errors as `read_list`."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such result file")
    rows: list[object] = []
    with name_file(path), path.open("rb") as file:
        for number, line in enumerate(file):
            try:
                rows.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}: line {number} is not valid JSON ({error})") from error
    return _checked(rows, path, fields, "line", _NONE)


def _checked(
    rows: Sequence[object], path: Path, fields: Fields, what: str, nested: Mapping[str, Fields]
) -> list[Entry]:
    problems = Problems(path)
    kept: list[Entry] = []
    for number, row in enumerate(rows):
        where = f"{what} {number}"
        if not _is_row(row, fields, where, problems):
            continue
        kept.append(row)
        for name, inner in nested.items():
            for place, part in enumerate(row[name]):
                _is_row(part, inner, f"{where}, {name}[{place}]", problems)
    problems.refuse()
    return kept


def _is_row(row: object, fields: Fields, where: str, problems: Problems) -> TypeGuard[Entry]:
    """Whether something is an object with these fields; what is wrong is noted."""
    if not isinstance(row, dict):
        problems.add(f"{where} is {str(row)[:40]!r}, expected an object with {', '.join(fields)}")
        return False
    entry: Entry = row
    if not has_fields(entry, fields, where, problems):
        return False
    endless = [name for name, kinds in fields.items() if kinds == NUMBER and not is_number(entry[name])]
    for name in endless:
        problems.add(f"{where}: {name!r} is {str(entry[name])[:40]}, expected a finite number")
    return not endless


def by_id(
    rows: Iterable[Entry], path: Path, known: Collection[ImageId] | None = None, *, id_field: str = "image_id"
) -> dict[ImageId, Entry]:
    """Entries by their id; `known` are the truth's ids, where they are to be checked.

    Raises:
        ValueError: an id is there twice, or is none of the known ones.
    """
    found: dict[ImageId, Entry] = {}
    twice: list[ImageId] = []
    for row in rows:
        if row[id_field] in found:
            twice.append(row[id_field])
        found[row[id_field]] = row
    if twice:
        raise ValueError(f"{path}: {len(twice)} duplicate {id_field}(s): {twice[:5]}; give each one result")
    if known is not None:
        refuse_unknown(found, path, known, id_field=id_field)
    return found


def refuse_unknown(
    ids: Iterable[ImageId], path: Path, known: Collection[ImageId], *, id_field: str = "image_id"
) -> None:
    """Refuse results for what the truth does not have.

    Raises:
        ValueError: with the first unknown ids.
    """
    unknown = sorted({i for i in ids if i not in known}, key=str)
    if unknown:
        raise ValueError(
            f"{path}: {len(unknown)} {id_field}(s) that the truth lacks: {unknown[:5]}; score results "
            "against the split they were made for"
        )


def path_inside(folder: Path, name: object) -> Path:
    """The path of a file that a result file names.

    Raises:
        ValueError: it is no name, or lies outside the folder.
    """
    if not isinstance(name, str) or not name or "\0" in name:
        raise ValueError(f"{folder}: a file_name is {name!r}, expected the name of a file in this folder")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive:
        raise ValueError(f"{folder}: the file_name {name!r} leads out of this folder; name files inside it")
    return folder / path
