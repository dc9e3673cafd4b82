"""A COCO file's rows, checked: images, annotations that name them, and categories."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from xdecoder.data.decoding import read_json
from xdecoder.data.problems import (
    MalformedError,
    Problems,
    has_fields,
    is_number,
    refuse_duplicates,
    rows_of,
)
from xdecoder.data.records import Annotation, ImageId
from xdecoder.structures.masks import Box, box_from_xywh, read_segmentation
from xdecoder.vocabularies import Vocabulary


@final
@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """An entry of "images".

    Attributes:
        id: the image's number or name, which annotations refer to it by.
        file_name: where it lies; of LVIS, its URL.
        size: (height, width), None where the file does not say it.
        fields: all that the entry has.
    """

    id: ImageId
    file_name: str
    size: tuple[int, int] | None
    fields: Mapping[str, Any]


@final
@dataclass(frozen=True, kw_only=True)
class AnnotationRow:
    """An entry of "annotations", the image that it belongs to, and what to call it in messages."""

    image_id: ImageId
    fields: Mapping[str, Any]
    number: int
    where: str


@final
@dataclass(frozen=True, kw_only=True)
class CocoFile:
    """The checked rows of a COCO file.

    Attributes:
        path: the file.
        images: by id, in the file's order.
        annotations: those whose image is listed, in the file's order.
        categories: rows of "categories", as in the file.
        problems: what is wrong so far; `problems.refuse()` ends with it.
    """

    path: Path
    images: Mapping[ImageId, ImageRow]
    annotations: tuple[AnnotationRow, ...]
    categories: tuple[Mapping[str, Any], ...]
    problems: Problems

    def of_refs(self, refs: Sequence[Mapping[str, Any]], path: Path) -> list[Ref]:
        """Refs with the annotations that they mean; what is unknown is noted.

        Args:
            refs: checked rows with `ref_id`, `ann_id` and `sentences`.
            path: their file.
        """
        annotations = {row.number: row for row in self.annotations}
        unknown = [row["ann_id"] for row in refs if row["ann_id"] not in annotations]
        if unknown:
            self.problems.add(
                f"lacks annotation(s) {unknown[:5]} that {path.name} names; both files must come from "
                "the same download"
            )
        return [
            (row["ref_id"], row["sentences"], annotations[row["ann_id"]])
            for row in refs
            if row["ann_id"] in annotations
        ]

    def of_images(self) -> dict[ImageId, list[AnnotationRow]]:
        """The annotations of each image that has any."""
        groups: dict[ImageId, list[AnnotationRow]] = {}
        for row in self.annotations:
            groups.setdefault(row.image_id, []).append(row)
        return groups


Ref = tuple[int, list[dict[str, Any]], AnnotationRow]
"""Phrases that mean an object: the ref's id, its sentences and the object's row."""


def read_coco_file(path: Path) -> CocoFile:
    """Read a COCO file: panoptic, instances or captions.

    Images, annotations and categories that are no objects are refused here; what is wrong with single ones is
    gathered in `problems`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or no COCO file.
    """
    data = read_json(path)
    what = 'a COCO file with "images" and "annotations"'
    problems = Problems(path)
    images: dict[ImageId, ImageRow] = {}
    rows = rows_of(data, "images", path, what)
    for place, row in enumerate(rows):
        name = "coco_url" if "file_name" not in row and "coco_url" in row else "file_name"  # LVIS has the URL
        if has_fields(row, {"id": (int, str), name: str}, f"images[{place}]", problems):
            images[row["id"]] = ImageRow(id=row["id"], file_name=row[name], size=_size(row), fields=row)
    annotations: list[AnnotationRow] = []
    stray: list[object] = []
    for place, row in enumerate(rows_of(data, "annotations", path, what)):
        number = row["id"] if type(row.get("id")) is int else -1 - place
        called = f"annotation {number}" if number == row.get("id") else f"annotations[{place}]"
        if not has_fields(row, {"image_id": (int, str)}, called, problems):
            continue
        if row["image_id"] not in images:
            stray.append(row["image_id"])
            continue
        annotations.append(
            AnnotationRow(image_id=row["image_id"], fields=row, number=number, where=f"{path}, {called}")
        )
    if not rows:
        problems.add('"images" is empty')
    if stray:
        named = list(dict.fromkeys(stray))
        problems.add(f'annotations name {len(named)} image(s) that "images" lacks: {named[:5]}')
    _gather_duplicates(problems, [row.get("id") for row in rows], "image")
    _gather_duplicates(problems, [row.fields.get("id") for row in annotations], "annotation")
    return CocoFile(
        path=path,
        images=images,
        annotations=tuple(annotations),
        categories=tuple(rows_of(data, "categories", path, what)) if "categories" in data else (),
        problems=problems,
    )


def _gather_duplicates(problems: Problems, ids: list[object], what: str) -> None:
    try:
        refuse_duplicates((i for i in ids if isinstance(i, (int, str))), what=what, where=problems.path)
    except MalformedError as error:
        problems.found += error.problems


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width; anything but two whole positive numbers counts as unknown."""
    height: Any = row.get("height")
    width: Any = row.get("width")
    known = type(height) is int and type(width) is int and height > 0 and width > 0
    return (height, width) if known else None


def read_annotation(row: Mapping[str, Any], *, number: int, category: int, where: str) -> Annotation:
    """A region from a COCO annotation: the one way from a file to a mask.

    The mask says all that is needed: boxes and areas that are missing, null or impossible are left open.

    Args:
        row: an entry of "annotations", as JSON gave it.
        number: its id, or what stands for it.
        category: what `Annotation.category` shall be.
        where: file and annotation, for messages.

    Raises:
        ValueError: it has no mask that can be read.
    """
    crowd = row.get("iscrowd")
    if crowd not in (None, 0, 1):
        raise ValueError(f'{where}: "iscrowd" is {str(crowd)[:40]!r}, expected 0 or 1')
    try:
        segmentation = read_segmentation(row.get("segmentation"))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    area: Any = row.get("area")
    return Annotation(
        id=number,
        category=category,
        crowd=bool(crowd),
        box=_box(row.get("bbox")),
        area=float(area) if is_number(area) and area > 0 else None,
        segmentation=segmentation,
    )


def _box(value: Any) -> Box | None:
    if not isinstance(value, list) or len(value) != 4 or not all(is_number(v) for v in value):
        return None
    return box_from_xywh(value) if value[2] > 0 and value[3] > 0 else None


@final
@dataclass(frozen=True, kw_only=True)
class Categories:
    """How a file's category ids become vocabulary indexes; ids in `void` are read as unlabeled."""

    vocabulary: Vocabulary
    index_of: Mapping[int, int]
    void: frozenset[int] = frozenset()

    @property
    def ids(self) -> tuple[int, ...]:
        """The id of each class of the vocabulary; none where the file leaves out some."""
        id_of = {index: category_id for category_id, index in self.index_of.items()}
        whole = len(id_of) == len(self.vocabulary)
        return tuple(id_of[i] for i in range(len(id_of))) if whole else ()

    def index(self, category_id: object, where: str) -> int:
        """The vocabulary index of a category id.

        Raises:
            ValueError: the id is not in the file's category list.
        """
        if type(category_id) is int and category_id in self.index_of:
            return self.index_of[category_id]
        if isinstance(category_id, str):
            raise ValueError(f"{where}: {_id_is_text(category_id)}")
        raise ValueError(
            f"{where}: unknown category id {str(category_id)[:40]}; the category list has "
            f"{len(self.index_of)} ids from {min(self.index_of)} to {max(self.index_of)}"
        )


MatchCategories = Callable[[CocoFile, Collection[object]], Categories]
"""How a file's categories become a vocabulary, given the file and the category ids that it uses."""


def categories_of_file(file: CocoFile, used: Collection[object]) -> Categories:
    """The vocabulary that the file lists, in the order of its ids; without "isthing" all are things.

    Of the categories that nothing uses, two kinds are no classes and are passed over: one called
    "background", since the model has its own, and one that is a group's name alone (`_is_group`).
    """
    listed = _listed(file)
    ordered = [
        row
        for row in listed
        if row["id"] in used
        or not (row["name"].strip(" _").casefold() == "background" or _is_group(row, listed))
    ]
    if not ordered:
        raise ValueError(f'{file.path}: no categories but an unused "background" or group; list the classes')
    try:
        vocabulary = Vocabulary(
            classes=tuple(row["name"].strip() for row in ordered),
            things=frozenset(i for i, row in enumerate(ordered) if row.get("isthing", 1)),
            name=file.path.stem,
        )
    except ValueError as error:
        raise ValueError(f"{file.path}: {error}") from error
    return Categories(vocabulary=vocabulary, index_of={row["id"]: i for i, row in enumerate(ordered)})


def _is_group(row: Mapping[str, Any], listed: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a category only names the group that others are of, as the first one in Roboflow's exports.

    It is itself of no group, so that a class which merely never occurs stays one.
    """
    own = row.get("supercategory")
    return (own is None or own in ("", "none")) and any(
        other.get("supercategory") == row["name"] for other in listed if other is not row
    )


def categories_by_name(vocabulary: Vocabulary) -> MatchCategories:
    """Match a file's categories to a vocabulary by their names."""

    def match(file: CocoFile, _used: Collection[object]) -> Categories:
        places = {name: i for i, name in enumerate(vocabulary.classes)}
        rows = _listed(file)
        unknown = [row["name"] for row in rows if row["name"].strip() not in places]
        if unknown:
            raise ValueError(
                f"{file.path}: categories {unknown[:5]} are not in the vocabulary {vocabulary.name!r}; "
                "read the file as custom data instead"
            )
        return Categories(
            vocabulary=vocabulary, index_of={row["id"]: places[row["name"].strip()] for row in rows}
        )

    return match


def categories_by_id(
    vocabulary: Vocabulary, ids: tuple[int, ...], void: frozenset[int] = frozenset()
) -> MatchCategories:
    """Match by fixed ids: `ids[k]` is category k."""
    index_of = {category_id: i for i, category_id in enumerate(ids)}
    return lambda _file, _used: Categories(vocabulary=vocabulary, index_of=index_of, void=void)


def _id_is_text(category_id: str) -> str:
    return f"the category id is the text {category_id[:40]!r}; COCO's are numbers, write it without quotes"


def _listed(file: CocoFile) -> list[Mapping[str, Any]]:
    if not file.categories:
        raise ValueError(f'{file.path}: no "categories"; a COCO file lists them with "id" and "name"')
    problems = Problems(file.path)
    for place, row in enumerate(file.categories):
        where = f"categories[{place}]"
        if isinstance(row.get("id"), str):
            problems.add(f"{where}: {_id_is_text(row['id'])}")
        elif has_fields(row, {"id": int, "name": str}, where, problems) and not row["name"].strip():
            problems.add(f"{where}: the name is empty")
        elif isinstance(row.get("name"), str) and any("\ud800" <= c <= "\udfff" for c in row["name"]):
            problems.add(f"{where}: the name {row['name']!r} holds half a character; save the file as UTF-8")
    _gather_duplicates(problems, [row.get("id") for row in file.categories], "category")
    problems.refuse()
    return sorted(file.categories, key=lambda row: row["id"])
