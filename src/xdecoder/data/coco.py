"""COCO's formats: panoptic, instances and captions, of COCO itself or of anybody's own folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from pycocotools import mask as coco_mask

from xdecoder.data.dataset import Dataset, ExistingFiles, Skip, group_by, refuse_duplicates
from xdecoder.data.decoding import CocoPanoptic, FileImage, read_json
from xdecoder.data.panoptic_tasks import PanopticSample, from_panoptic
from xdecoder.data.records import (
    Annotation,
    CaptionSample,
    InstanceSample,
    ListedAnnotations,
    Polygons,
    RunLengths,
    SegmentInfo,
)
from xdecoder.data.selection import Selection, built_in_for, read_image_list
from xdecoder.vocabularies import Vocabulary

MatchCategories = Callable[[Path, list[dict[str, Any]]], "Categories"]


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

    def index(self, category_id: int, where: str) -> int:
        """The vocabulary index of a category id.

        Raises:
            ValueError: the id is not in the file's category list.
        """
        if category_id not in self.index_of:
            raise ValueError(
                f"{where}: unknown category id {category_id}; the category list has "
                f"{len(self.index_of)} ids from {min(self.index_of)} to {max(self.index_of)}"
            )
        return self.index_of[category_id]


def categories_of_file(path: Path, rows: list[dict[str, Any]]) -> Categories:
    """The vocabulary that the file lists, in the order of its ids; without "isthing" all are things."""
    ordered = _listed(path, rows)
    vocabulary = Vocabulary(
        classes=tuple(str(row["name"]).strip() for row in ordered),
        things=frozenset(i for i, row in enumerate(ordered) if row.get("isthing", 1)),
        name=path.stem,
    )
    return Categories(vocabulary=vocabulary, index_of={int(row["id"]): i for i, row in enumerate(ordered)})


def categories_by_name(vocabulary: Vocabulary) -> MatchCategories:
    """Match a file's categories to a vocabulary by their names."""

    def match(path: Path, rows: list[dict[str, Any]]) -> Categories:
        places = {name: i for i, name in enumerate(vocabulary.classes)}
        unknown = [row["name"] for row in _listed(path, rows) if str(row["name"]).strip() not in places]
        if unknown:
            raise ValueError(
                f"{path}: categories {unknown[:5]} are not in the vocabulary {vocabulary.name!r}; "
                "read the file as custom data instead"
            )
        return Categories(
            vocabulary=vocabulary,
            index_of={int(row["id"]): places[str(row["name"]).strip()] for row in rows},
        )

    return match


def categories_by_id(
    vocabulary: Vocabulary, ids: tuple[int, ...], void: frozenset[int] = frozenset()
) -> MatchCategories:
    """Match by fixed ids: `ids[k]` is category k."""
    index_of = {category_id: i for i, category_id in enumerate(ids)}
    return lambda _path, _rows: Categories(vocabulary=vocabulary, index_of=index_of, void=void)


def _listed(path: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not rows:
        raise ValueError(f'{path}: no "categories"; a COCO file lists them with "id" and "name"')
    refuse_duplicates((row["id"] for row in rows), what="category", where=path)
    return sorted(rows, key=lambda row: int(row["id"]))


def read_panoptic(
    selection: Selection,
    *,
    annotations: Path,
    maps: Path,
    image_path: Callable[[dict[str, Any], dict[str, Any]], Path],
    categories: MatchCategories,
) -> Dataset[Any]:
    """COCO's panoptic format: a JSON file beside a folder of PNGs.

    Args:
        selection: what is asked for; its task may be panoptic, semantic or instance.
        annotations: the JSON file.
        maps: the folder of PNGs.
        image_path: the image's path, from its entry in "images" and its entry in "annotations".
        categories: how category ids become indexes.

    Raises:
        FileNotFoundError: the JSON file, or unless they may be skipped, images or PNGs are missing.
        ValueError: the JSON is malformed: duplicate ids, unknown categories, unlisted images.
    """
    data = _read_coco(annotations)
    match = categories(annotations, data.get("categories", []))
    images = {row["id"]: row for row in data["images"]}
    refuse_duplicates((row["image_id"] for row in data["annotations"]), what="image", where=annotations)
    existing = ExistingFiles(selection.name, selection.missing)
    panoptic: list[PanopticSample] = []
    for row in data["annotations"]:
        image_id = row["image_id"]
        if image_id not in images:
            raise ValueError(f'{annotations}: an annotation names image {image_id}, which "images" lacks')
        if not selection.wants(image_id):
            continue
        path, png = str(image_path(images[image_id], row)), str(maps / row["file_name"])
        if not existing.has(path, png):
            continue
        where = f"{annotations}, image {image_id}"
        refuse_duplicates((s["id"] for s in row["segments_info"]), what="segment", where=Path(where))
        labeled = [s for s in row["segments_info"] if s["category_id"] not in match.void]
        panoptic.append(
            PanopticSample(
                image_id=image_id,
                source=FileImage(path=path),
                size=_size(images[image_id]),
                panoptic_source=CocoPanoptic(
                    path=png,
                    segments=tuple(_segment(s, match, where) for s in labeled),
                    unlabeled=tuple(s["id"] for s in row["segments_info"] if s["category_id"] in match.void),
                ),
            )
        )
    return from_panoptic(panoptic, selection, match.vocabulary, existing.finish(), category_ids=match.ids)


def _segment(row: dict[str, Any], match: Categories, where: str) -> SegmentInfo:
    category = match.index(row["category_id"], where)
    return SegmentInfo(
        id=row["id"],
        category=category,
        is_thing=category in match.vocabulary.things,
        crowd=bool(row.get("iscrowd", 0)),
        area=int(row.get("area", 0)),
    )


def read_instances(
    selection: Selection,
    *,
    annotations: Path,
    image_path: Callable[[dict[str, Any]], Path],
    categories: MatchCategories,
) -> Dataset[InstanceSample]:
    """COCO's instance format; images without objects are kept.

    Raises:
        FileNotFoundError: the JSON file, or unless they may be skipped, images are missing.
        ValueError: the JSON is malformed: duplicate ids, unknown categories, unlisted images.
    """
    data = _read_coco(annotations)
    match = categories(annotations, data.get("categories", []))
    refuse_duplicates((row["id"] for row in data["annotations"]), what="annotation", where=annotations)
    of_image = _by_image(annotations, data)
    existing = ExistingFiles(selection.name, selection.missing)
    left_out: list[Skip] = []
    samples: list[InstanceSample] = []
    for row in data["images"]:
        if not selection.wants(row["id"]) or not existing.has(str(image_path(row))):
            continue
        regions: list[Annotation] = []
        for item in of_image.get(row["id"], []):
            category = match.index(item["category_id"], f"{annotations}, annotation {item['id']}")
            region = annotation_of(item, category)
            if isinstance(region, Annotation):
                regions.append(region)
            else:
                left_out.append(region)
        samples.append(
            InstanceSample(
                image_id=row["id"],
                source=FileImage(path=str(image_path(row))),
                size=_size(row),
                region_source=ListedAnnotations(regions=tuple(regions)),
            )
        )
    return Dataset(
        samples,
        name=selection.name,
        task="instance",
        split=selection.split,
        vocabulary=match.vocabulary,
        category_ids=match.ids,
        skipped=(*existing.finish(), *left_out),
    )


def annotation_of(row: dict[str, Any], category: int) -> Annotation | Skip:
    """A region from a COCO annotation, or why it has no mask."""
    segmentation = row.get("segmentation")
    mask: Polygons | RunLengths
    if isinstance(segmentation, dict):
        mask = _run_lengths(segmentation)
    else:
        rings = tuple(tuple(float(v) for v in ring) for ring in segmentation or ())
        mask = tuple(ring for ring in rings if len(ring) >= 6 and len(ring) % 2 == 0)
        if not mask:
            return Skip(
                item=f"annotation {row['id']}",
                reason="no mask: an annotation needs a polygon of three points or more, or run lengths",
            )
    x, y, width, height = row.get("bbox", (0, 0, 0, 0))
    return Annotation(
        id=row["id"],
        category=category,
        crowd=bool(row.get("iscrowd", 0)),
        box=(x, y, width, height),
        area=float(row.get("area", 0)),
        segmentation=mask,
    )


def _run_lengths(row: Mapping[str, Any]) -> RunLengths:
    height, width = row["size"]
    counts: Any = row["counts"]
    if isinstance(counts, list):  # the uncompressed form that COCO uses for crowds
        uncompressed: Any = dict(row)
        packed: Any = coco_mask.frPyObjects(uncompressed, height, width)
        counts = packed["counts"]
    return RunLengths(
        height=height, width=width, counts=counts.encode() if isinstance(counts, str) else counts
    )


def read_captions(selection: Selection, *, annotations: Path, images: Path) -> Dataset[CaptionSample]:
    """COCO's caption format; images without a caption are skipped and listed.

    Raises:
        FileNotFoundError: the JSON file, or unless they may be skipped, images are missing.
        ValueError: the JSON is malformed.
    """
    data = _read_coco(annotations)
    refuse_duplicates((row["id"] for row in data["annotations"]), what="annotation", where=annotations)
    of_image = _by_image(annotations, data)
    existing = ExistingFiles(selection.name, selection.missing)
    left_out: list[Skip] = []
    samples: list[CaptionSample] = []
    for row in data["images"]:
        if not selection.wants(row["id"]) or not existing.has(str(images / row["file_name"])):
            continue
        captions = tuple(str(a["caption"]).strip() for a in of_image.get(row["id"], []))
        if not captions:
            left_out.append(Skip(item=f"image {row['id']}", reason="no caption"))
            continue
        samples.append(
            CaptionSample(
                image_id=row["id"],
                source=FileImage(path=str(images / row["file_name"])),
                size=_size(row),
                captions=captions,
            )
        )
    return Dataset(
        samples,
        name=selection.name,
        task="caption",
        split=selection.split,
        skipped=(*existing.finish(), *left_out),
    )


def _read_coco(path: Path) -> dict[str, Any]:
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("images"), list) or "annotations" not in data:
        raise ValueError(f'{path}: not a COCO file; expected an object with "images" and "annotations"')
    refuse_duplicates((row["id"] for row in data["images"]), what="image", where=path)
    return data


def _by_image(path: Path, data: dict[str, Any]) -> Mapping[Any, list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = data["annotations"]
    groups = group_by(rows, lambda row: row["image_id"])
    stray = set(groups) - {row["id"] for row in data["images"]}
    if stray:
        raise ValueError(
            f'{path}: annotations name {len(stray)} image(s) that "images" lacks: {list(stray)[:5]}'
        )
    return groups


def _size(row: Mapping[str, Any]) -> tuple[int, int] | None:
    return (row["height"], row["width"]) if "height" in row and "width" in row else None


# The layouts.


def open_coco(selection: Selection) -> Dataset[Any]:
    """COCO 2017 under `coco/`: panoptic (also as semantic), instances, captions."""
    images = selection.path("coco/{word}")
    if selection.split.endswith("leakfree"):
        listed = read_image_list(selection.path("coco/annotations/{word}_leakfree.txt"))
        kept = listed if selection.only is None else listed & selection.only
        selection = replace(selection, only=kept)
    if selection.task == "caption":
        annotations = selection.path("coco/annotations/captions_{word}.json")
        return read_captions(selection, annotations=annotations, images=images)
    if selection.task == "instance":
        return read_instances(
            selection,
            annotations=selection.path("coco/annotations/instances_{word}.json"),
            image_path=lambda row: images / row["file_name"],
            categories=categories_by_name(built_in_for("coco", "instance")),
        )
    return _open_coco_panoptic(selection, "coco")


def open_coco100(selection: Selection) -> Dataset[Any]:
    """A hundred images of COCO train2017 under `coco100/`, in COCO's layout, panoptic annotation only."""
    return _open_coco_panoptic(selection, "coco100")


def _open_coco_panoptic(selection: Selection, folder: str) -> Dataset[Any]:
    images = selection.path(f"{folder}/{{word}}")
    return read_panoptic(
        selection,
        annotations=selection.path(f"{folder}/annotations/panoptic_{{word}}.json"),
        maps=selection.path(f"{folder}/panoptic_{{word}}|{folder}/annotations/panoptic_{{word}}"),
        image_path=lambda image, _row: images / image["file_name"],
        categories=categories_by_name(built_in_for("coco", "panoptic")),
    )


def open_custom_instances(selection: Selection) -> Dataset[Any]:
    """Anybody's COCO-style instances: `annotations/instances_<split>.json`, or Roboflow's layout."""
    annotations = selection.path("annotations/instances_{split}.json|{split}/_annotations.coco.json")
    images = selection.path("images/{split}|{split}")
    return read_instances(
        selection,
        annotations=annotations,
        image_path=lambda row: images / row["file_name"],
        categories=categories_of_file,
    )


def open_custom_panoptic(selection: Selection) -> Dataset[Any]:
    """Anybody's COCO-style panoptic folder, with its own categories."""
    images = selection.path("images/{split}|{split}")
    return read_panoptic(
        selection,
        annotations=selection.path("annotations/panoptic_{split}.json"),
        maps=selection.path("panoptic_{split}|annotations/panoptic_{split}"),
        image_path=lambda image, _row: images / image["file_name"],
        categories=categories_of_file,
    )


def open_seginw(selection: Selection) -> Dataset[Any]:
    """One of the 25 sets of Segmentation in the Wild, under `seginw/<Name>/`."""
    folder = selection.path(f"seginw/{selection.name.removeprefix('seginw-')}/{{word}}")
    return read_instances(
        selection,
        annotations=folder / "_annotations_min1cat.coco.json",
        image_path=lambda row: folder / row["file_name"],
        categories=categories_of_file,
    )
