"""What may be named in a picture: lists of classes, which of them are things, and the prompts of a name.

`parse_vocabulary` takes what a user writes; `prompts` gives the 81 texts whose mean embeds a class.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast

from xdecoder.config import ClassList

ThingOrStuff = Literal["thing", "stuff"]

LONGEST_NAME = 200
"""Characters a class name may have: the text encoder reads 77 tokens, the template's words among them."""

BUILT_IN: dict[str, str] = {
    "coco": "coco_panoptic_133",
    "ade20k": "ade20k_150",
    "ade20k-847": "ade20k_847",
    "cityscapes": "cityscapes_19",
    "scannet": "scannet_20",
    "scannet-40": "scannet_40",
    "sun": "sun_rgbd_37",
    "bdd": "bdd100k_semantic_19",
    "bdd-panoptic": "bdd100k_panoptic_40",
    "voc": "pascal_voc_20",
    "picturebook": "picturebook",
}
"""The built-in vocabularies: the name a user writes, and the name in `assets/vocabularies.json`."""


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The classes that a picture is divided into.

    "background" is not among them: the model adds it, as its no-object class.

    Attributes:
        classes: names, in raw form ("sky-other-merged"); a class's category is its place here. Two classes
            may share a name (ADE20K's long list has ten that do); `parse_vocabulary` refuses that of users.
        things: categories that are countable objects; all others are stuff.
        name: the built-in name, the file's stem, or "custom".

    Raises:
        ValueError: no classes; a class that is empty, longer than `LONGEST_NAME` or "background"; a category
            in `things` that is not in `classes`.
    """

    classes: tuple[str, ...]
    things: frozenset[int]
    name: str = "custom"

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("the vocabulary is empty; name at least one class, such as 'person, sky'")
        for name in self.classes:
            _check_name(name)
        outside = sorted(i for i in self.things if not 0 <= i < len(self.classes))
        if outside:
            raise ValueError(
                f"things {outside} are no categories: {len(self.classes)} classes have categories "
                f"0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def stuff(self) -> frozenset[int]:
        """Categories that are stuff: sky, grass, road; no countable objects."""
        return frozenset(range(len(self.classes))) - self.things

    def is_thing(self, category: int) -> bool:
        """Whether a category is a countable object."""
        return category in self.things


VocabularySpec = str | os.PathLike[str] | Sequence[str] | Vocabulary


def clean_name(name: str) -> str:
    """The words of a class name that the text encoder reads.

    "-other", "-merged" and "-stuff" are taken out wherever they are, in this order, as the published program
    does: "sky-other-merged" is "sky".
    """
    return name.replace("-other", "").replace("-merged", "").replace("-stuff", "")


def prompts(name: str) -> tuple[str, ...]:
    """The 81 texts whose mean embedding stands for a class: "person.", "a photo of a person.", ..."""
    cleaned = clean_name(name)
    return tuple(template.format(cleaned) for template in _templates())


def training_prompt(name: str, template: int) -> str:
    """The one text that stands for a class in a step of training, which draws `template` from 0 to 80.

    Unlike in `prompts`, commas are dropped and "+" becomes a space: docs/parity.md.
    """
    return _templates()[template].format(clean_name(name).replace(",", "").replace("+", " "))


def built_in(name: str) -> Vocabulary:
    """A built-in vocabulary by its name in `BUILT_IN`.

    Where the list does not say which classes are things (ade20k-847, sun, scannet-40, bdd, voc), each class
    has the kind it has in the other lists, and is a thing if it is in none.

    Raises:
        ValueError: there is no such vocabulary.
    """
    if name not in BUILT_IN:
        raise ValueError(f"no built-in vocabulary {name!r}; there are {', '.join(BUILT_IN)}")
    entry = _lists()[BUILT_IN[name]]
    classes = tuple(entry["classes"])
    things = frozenset(entry["things"]) if "things" in entry else _usual_things(classes)
    return Vocabulary(classes=classes, things=things, name=name)


def model_vocabulary(words: str | ClassList) -> Vocabulary:
    """The classes that a model divides images into unless told otherwise (`InferenceConfig.vocabulary`)."""
    if isinstance(words, str):
        return built_in(words)
    return Vocabulary(classes=words.classes, things=frozenset(words.things))


@functools.cache
def known_classes() -> tuple[str, ...]:
    """Every class of the built-in vocabularies once, normalized: COCO's first."""
    names = (normal_name(name) for key in BUILT_IN.values() for name in _lists()[key]["classes"])
    return tuple(dict.fromkeys(names))


def normal_name(name: str) -> str:
    """A name as it is compared with others: cleaned, in lower case, with single spaces."""
    return " ".join(clean_name(name.casefold()).split())


def parse_vocabulary(
    spec: VocabularySpec | None = None,
    *,
    things: str | Sequence[str] | None = None,
    stuff: str | Sequence[str] | None = None,
) -> Vocabulary:
    """A vocabulary from what a user wrote.

    A class that nobody calls thing or stuff has the kind it has in the built-in lists, and is a thing if it
    is in none of them.

    Args:
        spec: one of
            a built-in name (`BUILT_IN`): "coco", "ade20k", ...;
            names with commas between them: "person, sky" (a single name that is also a built-in one takes a
            comma after it: "sun,");
            a .txt file with one class a line. "#" starts a comment line. "thing: dog" and "stuff: sky" say
            the kind of one class; a line "things:" or "stuff:" alone says it for all lines below;
            a .json file: a list of names; an object with "classes" and, as names or as categories, "things"
            or "stuff" (only one given: the rest is the other kind); or COCO's "categories", each with "name"
            and, where known, "isthing";
            a sequence of names (here a name may contain a comma); a `Vocabulary`.
            None: the classes are `things` followed by `stuff`.
        things: names, in a sequence or with commas between them, that are things whatever the lists say.
        stuff: names of stuff, likewise.

    Raises:
        ValueError: the vocabulary is empty or malformed; two names are the same but for case, spaces and
            "-other", "-merged", "-stuff"; a name is over-long or "background"; `things` or `stuff` name a
            class that is not in the vocabulary, or both name one.
        FileNotFoundError: there is no such file.
    """
    told: dict[str, ThingOrStuff] = {}
    told_things, told_stuff = (_names(() if names is None else names) for names in (things, stuff))
    told.update((normal_name(name), "thing") for name in told_things)
    for name in told_stuff:
        if told.setdefault(normal_name(name), "stuff") == "thing":
            raise ValueError(f"{name!r} is among both things and stuff; keep it in one of them")
    if spec is None:
        return _from_names([*told_things, *told_stuff], told)
    vocabulary = _from_spec(spec)
    if not told:
        return vocabulary
    normal = [normal_name(name) for name in vocabulary.classes]
    unknown = [name for name in told if name not in normal]
    if unknown:
        raise ValueError(
            f"{', '.join(map(repr, unknown))} in things or stuff, but not among the classes of the "
            f"vocabulary {vocabulary.name!r}; add to the classes, or take out"
        )
    kinds = [told.get(n, "thing" if i in vocabulary.things else "stuff") for i, n in enumerate(normal)]
    return replace(vocabulary, things=frozenset(i for i, kind in enumerate(kinds) if kind == "thing"))


def _from_spec(spec: VocabularySpec) -> Vocabulary:
    if isinstance(spec, Vocabulary):
        return spec
    if isinstance(spec, os.PathLike):
        return _from_file(Path(spec))
    if not isinstance(spec, str):
        return _from_names(_names(spec), {})
    text = spec.strip()
    if text in BUILT_IN:
        return built_in(text)
    if "," not in text:
        if text.lower().endswith((".txt", ".json")):
            return _from_file(Path(text))
        close = difflib.get_close_matches(text.lower(), BUILT_IN, n=1, cutoff=0.8)
        if close:
            raise ValueError(
                f"no built-in vocabulary {text!r}; did you mean {close[0]!r}? (For a class of that name, "
                f"write a comma after it: '{text},'.)"
            )
    return _from_names(_names(text), {})


def _from_file(path: Path) -> Vocabulary:
    if not path.is_file():
        raise FileNotFoundError(f"no vocabulary file {path}; expected a .txt or .json file of class names")
    suffix = path.suffix.lower()
    if suffix not in (".txt", ".json"):
        raise ValueError(f"{path}: a vocabulary file must end in .txt or .json")
    try:
        text = path.read_text(encoding="utf-8-sig")
        names, told = _read_json(json.loads(text)) if suffix == ".json" else _read_lines(text)
        return _from_names(names, told, name=path.stem)
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors too
        raise ValueError(f"{path}: {error}") from error
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # reading itself names no file
    except RecursionError as error:
        raise ValueError(f"{path}: the JSON is nested too deeply for a list of names") from error


def _read_lines(text: str) -> tuple[list[str], dict[str, ThingOrStuff]]:
    names: list[str] = []
    told: dict[str, ThingOrStuff] = {}
    section: ThingOrStuff | None = None
    for line in text.splitlines():
        match = re.fullmatch(r"\s*(thing|stuff)s?\s*:(.*)", line, flags=re.IGNORECASE)
        kind = cast("ThingOrStuff", match[1].lower()) if match else section
        name = (match[2] if match else line).strip()
        if name.startswith("#"):
            continue
        if name:
            names.append(name)
            if kind:
                told[normal_name(name)] = kind
        elif match:
            section = kind
    return names, told


def _read_json(data: Any) -> tuple[list[str], dict[str, ThingOrStuff]]:
    rows = data
    if isinstance(data, dict):
        rows = data.get("categories", data.get("classes"))
    if isinstance(rows, list) and all(isinstance(row, str) for row in rows):
        return rows, _kinds_in_json(rows, data) if isinstance(data, dict) else {}
    if isinstance(rows, list) and all(isinstance(row, dict) and "name" in row for row in rows):
        for row in rows:
            _checked_text(row["name"])
        kinds: dict[str, ThingOrStuff] = {
            normal_name(row["name"]): "thing" if row["isthing"] else "stuff"
            for row in rows
            if "isthing" in row
        }
        return [row["name"] for row in rows], kinds
    raise ValueError(
        'expected a list of names, {"classes": [names], "things": [names or categories]} or COCO\'s '
        '{"categories": [{"name": ..., "isthing": ...}]}'
    )


def _kinds_in_json(names: list[str], data: Mapping[str, Any]) -> dict[str, ThingOrStuff]:
    """The kinds that "things" and "stuff" give; of the classes they leave out, where only one is there."""
    told: dict[str, ThingOrStuff] = {}
    if ("things" in data) != ("stuff" in data):
        told = {normal_name(name): "stuff" if "things" in data else "thing" for name in names}
    kinds: tuple[tuple[str, ThingOrStuff], ...] = (("things", "thing"), ("stuff", "stuff"))
    for key, kind in kinds:
        items = data.get(key, ())
        if not isinstance(items, list | tuple):
            raise ValueError(f'"{key}" must be a list of names or categories, got {items!r:.60}')
        for item in items:
            if isinstance(item, int) and not 0 <= item < len(names):
                raise ValueError(f"category {item} is not one of the {len(names)} classes, counted from 0")
            name = normal_name(names[item] if isinstance(item, int) else str(item))
            if name not in map(normal_name, names):
                raise ValueError(f"{item!r} has a kind but is not among the classes")
            told[name] = kind
    return told


def _from_names(names: Sequence[str], told: Mapping[str, ThingOrStuff], name: str = "custom") -> Vocabulary:
    classes = tuple(" ".join(n.split()) for n in names)
    seen: dict[str, str] = {}
    for raw in classes:
        _check_name(raw)
        first = seen.setdefault(normal_name(raw), raw)
        if first is not raw:
            same = f"{raw!r} is there twice" if first == raw else f"{first!r} and {raw!r} are the same class"
            raise ValueError(f"{same}; keep one of them")
    usual = _usual_things(classes)
    things = frozenset(
        i
        for i, raw in enumerate(classes)
        if told.get(normal_name(raw), "thing" if i in usual else "stuff") == "thing"
    )
    return Vocabulary(classes=classes, things=things, name=name)


def _checked_text(name: object) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a class name is a text, got {type(name).__name__}: {name!r}")
    return name


def _check_name(name: str) -> None:
    if not normal_name(name):
        raise ValueError(f"class name {name!r} is empty; take it out, with its comma or line")
    if not name.replace("\t", " ").isprintable():
        raise ValueError(f"class name {name!r} holds control characters; write it in letters")
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"class name {name[:40]!r}... has {len(name)} characters, over the limit of {LONGEST_NAME}; use "
            "a few words, and referring segmentation for sentences"
        )
    if normal_name(name) == "background":
        raise ValueError("'background' is the model's own no-object class; take it out of the vocabulary")


def _names(text: str | Iterable[str]) -> list[str]:
    """The names in a text with commas between them; one comma may end it."""
    if isinstance(text, bytes) or not isinstance(text, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(
            f"expected class names: a text with commas between them, or a sequence of texts; got {text!r}"
        )
    if not isinstance(text, str):
        return [_checked_text(name) for name in text]
    parts = [part.strip() for part in text.split(",")]
    return parts if parts[-1] else parts[:-1]


def _usual_things(classes: Sequence[str]) -> frozenset[int]:
    kinds = _usual_kinds()
    return frozenset(i for i, name in enumerate(classes) if kinds.get(normal_name(name), "thing") == "thing")


@functools.cache
def _usual_kinds() -> dict[str, ThingOrStuff]:
    """The kind of every class in the built-in lists that tell kinds; the first list that has it decides."""
    kinds: dict[str, ThingOrStuff] = {}
    for key in BUILT_IN.values():
        entry = _lists()[key]
        for i, name in enumerate(entry["classes"] if "things" in entry else ()):
            kinds.setdefault(normal_name(name), "thing" if i in entry["things"] else "stuff")
    return kinds


@functools.cache
def _lists() -> dict[str, dict[str, Any]]:
    return json.loads(_asset("vocabularies.json"))


@functools.cache
def _templates() -> tuple[str, ...]:
    return tuple(json.loads(_asset("prompt_templates.json")))


def _asset(name: str) -> str:
    return resources.files("xdecoder").joinpath("assets", name).read_text(encoding="utf-8")
