"""COCO's formats: panoptic, instances and captions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xdecoder.data.coco_file import (
    AnnotationRow,
    Categories,
    CocoFile,
    ImageRow,
    MatchCategories,
    read_annotation,
    read_coco_file,
)
from xdecoder.data.dataset import Dataset, ExistingFiles, Skip
from xdecoder.data.decoding import CocoPanoptic, FileImage
from xdecoder.data.panoptic_tasks import from_panoptic
from xdecoder.data.problems import MalformedError, has_fields
from xdecoder.data.records import (
    Annotation,
    CaptionSample,
    InstanceSample,
    ListedAnnotations,
    PanopticSample,
    SegmentInfo,
)
from xdecoder.data.selection import Selection

_MOST_SEGMENTS = 256**3  # ids are written as colors


def image_as_listed(image: ImageRow, _map_name: str) -> str:
    """The image's own `file_name`."""
    return image.file_name


def read_panoptic(
    selection: Selection,
    *,
    annotations: Path,
    maps: Path,
    images: Path,
    image_name: Callable[[ImageRow, str], str] = image_as_listed,
    categories: MatchCategories,
) -> Dataset[Any]:
    """COCO's panoptic format: a JSON file beside a folder of PNGs.

    Args:
        selection: what is asked for; its task may be panoptic, semantic or instance.
        annotations: the JSON file.
        maps: the folder of PNGs.
        images: folder that the images' file names are relative to.
        image_name: the image's path in it, from its entry in "images" and the PNG's `file_name`.
        categories: how category ids become indexes.

    Raises:
        FileNotFoundError: the JSON file, or unless they may be skipped, images or PNGs are missing.
        ValueError: the JSON is malformed: duplicate ids, unknown categories, unlisted images; all is told.
    """
    file = read_coco_file(annotations)
    rows = [row for row in file.annotations if _is_panoptic(row, file)]
    match = categories(file, {s["category_id"] for row in rows for s in row.fields["segments_info"]})
    seen: set[Any] = set()
    existing = ExistingFiles(selection.name, selection.missing)
    panoptic: list[PanopticSample] = []
    for row in rows:
        if row.image_id in seen:
            file.problems.add(f"duplicate image id {row.image_id}: two annotations are of it")
        seen.add(row.image_id)
        segments = _segments(row, match, file)
        if not selection.wants(row.image_id):
            continue
        image, map_name = file.images[row.image_id], row.fields["file_name"]
        try:
            path = existing.find(images, image_name(image, map_name))
        except ValueError as error:
            file.problems.add(f"image {row.image_id}: {error}")
            continue
        png = existing.find(maps, map_name)
        if not existing.has(path, png):
            continue
        panoptic.append(
            PanopticSample(
                image_id=row.image_id,
                source=FileImage(path=path),
                size=image.size,
                panoptic_source=CocoPanoptic(
                    path=png,
                    segments=segments,
                    unlabeled=tuple(
                        s["id"] for s in row.fields["segments_info"] if s["category_id"] in match.void
                    ),
                ),
            )
        )
    file.problems.refuse()
    left_out = [
        Skip(item=f"image {i}", reason=f"{file.path}: image {i} has no annotation")
        for i in file.images
        if i not in seen and selection.wants(i)
    ]
    skipped = (*existing.finish(), *left_out)
    return from_panoptic(panoptic, selection, match.vocabulary, skipped, category_ids=match.ids)


def _is_panoptic(row: AnnotationRow, file: CocoFile) -> bool:
    """Whether a row has a PNG and segments with ids; what is missing is noted."""
    where = f"image {row.image_id}"
    if not has_fields(row.fields, {"file_name": str, "segments_info": list}, where, file.problems):
        return False
    good = True
    ids: set[int] = set()
    for place, segment in enumerate(row.fields["segments_info"]):
        called = f"{where}, segments_info[{place}]"
        if not isinstance(segment, dict):
            file.problems.add(f"{called}: expected an object")
            good = False
        elif not has_fields(segment, {"id": int, "category_id": (int, str)}, called, file.problems):
            good = False
        elif not 0 < segment["id"] < _MOST_SEGMENTS:
            file.problems.add(
                f"{called}: segment id {segment['id']}; a PNG holds 1 to {_MOST_SEGMENTS - 1}, and 0 is none"
            )
            good = False
        elif segment["id"] in ids:
            file.problems.add(f"{where}: duplicate segment id {segment['id']}")
            good = False
        else:
            ids.add(segment["id"])
    return good


def _segments(row: AnnotationRow, match: Categories, file: CocoFile) -> tuple[SegmentInfo, ...]:
    segments: list[SegmentInfo] = []
    for segment in row.fields["segments_info"]:
        if segment["category_id"] in match.void:
            continue
        try:
            category = match.index(segment["category_id"], f"image {row.image_id}, segment {segment['id']}")
        except ValueError as error:
            file.problems.add(str(error))
            continue
        segments.append(
            SegmentInfo(
                id=segment["id"],
                category=category,
                is_thing=category in match.vocabulary.things,
                crowd=segment.get("iscrowd") in (1, True),
                area=0,  # counted where the PNG is read
            )
        )
    return tuple(segments)


def read_instances(
    selection: Selection, *, annotations: Path, images: Path, categories: MatchCategories
) -> Dataset[InstanceSample]:
    """COCO's instance format; images without objects are kept, annotations without a mask are skipped.

    Raises:
        FileNotFoundError: the JSON file, or unless they may be skipped, images are missing.
        ValueError: the JSON is malformed (duplicate ids, unknown categories, unlisted images; all is told),
            or no annotation has a mask.
    """
    file = read_coco_file(annotations)
    match = categories(file, {_hashable(row.fields.get("category_id")) for row in file.annotations})
    regions, left_out = _regions(file, match)
    if left_out and not any(regions.values()):
        file.problems.add(
            f"none of {len(left_out)} annotation(s) has a mask that can be read: boxes alone do not make "
            f"segments; the first: {left_out[0].reason}"
        )
        file.problems.refuse()
    if file.problems.found:
        raise MalformedError([*file.problems.found, *(s.reason for s in left_out)])
    existing = ExistingFiles(selection.name, selection.missing)
    samples: list[InstanceSample] = []
    for image in file.images.values():
        path = existing.find(images, image.file_name)
        if selection.wants(image.id) and existing.has(path):
            listed = ListedAnnotations(regions=tuple(regions.get(image.id, ())))
            samples.append(
                InstanceSample(
                    image_id=image.id,
                    source=FileImage(path=path),
                    size=image.size,
                    region_source=listed,
                    absent=_categories_listed(image, "neg_category_ids", match, file),
                    incomplete=_categories_listed(image, "not_exhaustive_category_ids", match, file) or (),
                )
            )
    file.problems.refuse()
    return Dataset(
        samples,
        name=selection.name,
        task="instance",
        split=selection.split,
        vocabulary=match.vocabulary,
        category_ids=match.ids,
        frequencies=_frequencies(file, match),
        skipped=(*existing.finish(), *left_out),
    )


def _categories_listed(
    image: ImageRow, name: str, match: Categories, file: CocoFile
) -> tuple[int, ...] | None:
    """The categories that a field of an image of LVIS lists; None where it has no such field."""
    listed = image.fields.get(name)
    if listed is None:
        return None
    try:
        return tuple(match.index(i, f"image {image.id}, {name!r}") for i in listed)
    except (TypeError, ValueError) as error:
        file.problems.add(str(error))
        return None


def _frequencies(file: CocoFile, match: Categories) -> tuple[str, ...]:
    """How frequent LVIS says that each class is; none for other files."""
    known = {
        match.index_of[row["id"]]: row.get("frequency")
        for row in file.categories
        if row["id"] in match.index_of
    }
    told = [known.get(k) for k in range(len(match.vocabulary))]
    return tuple(str(f) for f in told) if all(f in ("r", "c", "f") for f in told) else ()


def _regions(file: CocoFile, match: Categories) -> tuple[dict[Any, list[Annotation]], list[Skip]]:
    regions: dict[Any, list[Annotation]] = {}
    left_out: list[Skip] = []
    for row in file.annotations:
        called = row.where.removeprefix(f"{file.path}, ")
        try:
            category = match.index(row.fields.get("category_id"), called)
        except ValueError as error:
            file.problems.add(str(error))
            continue
        try:
            region = read_annotation(row.fields, number=row.number, category=category, where=row.where)
        except ValueError as error:
            left_out.append(Skip(item=called, reason=str(error)))
            continue
        regions.setdefault(row.image_id, []).append(region)
    return regions, left_out


def _hashable(value: object) -> object:
    return value if isinstance(value, (int, str)) else None


def read_captions(selection: Selection, *, annotations: Path, images: Path) -> Dataset[CaptionSample]:
    """COCO's caption format; images without a caption are skipped and listed.

    Raises:
        FileNotFoundError: the JSON file, or unless they may be skipped, images are missing.
        ValueError: the JSON is malformed; all is told.
    """
    file = read_coco_file(annotations)
    for row in file.annotations:
        has_fields(row.fields, {"caption": str}, row.where.removeprefix(f"{file.path}, "), file.problems)
    file.problems.refuse()
    of_image = file.of_images()
    existing = ExistingFiles(selection.name, selection.missing)
    left_out: list[Skip] = []
    samples: list[CaptionSample] = []
    for image in file.images.values():
        path = existing.find(images, image.file_name)
        if not selection.wants(image.id) or not existing.has(path):
            continue
        texts = (row.fields["caption"].strip() for row in of_image.get(image.id, ()))
        captions = tuple(text for text in texts if text)
        if not captions:
            reason = f"{file.path}: image {image.id} has no caption"
            left_out.append(Skip(item=f"image {image.id}", reason=reason))
            continue
        samples.append(
            CaptionSample(image_id=image.id, source=FileImage(path=path), size=image.size, captions=captions)
        )
    return Dataset(
        samples,
        name=selection.name,
        task="caption",
        split=selection.split,
        skipped=(*existing.finish(), *left_out),
    )
