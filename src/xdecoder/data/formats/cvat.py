"""CVAT for images: XML files with polygons, ellipses and masks, one for each task or job."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from xdecoder.data.dataset import Skip
from xdecoder.data.formats.labeled import (
    BOX,
    ImageFinder,
    LabeledFolder,
    LabeledImage,
    ObjectReader,
    classes_of,
    ellipse,
    files_in,
    labeled_size,
    split_of,
)
from xdecoder.jobs.files import name_file, read_file
from xdecoder.labeling.cvat import decode_runs
from xdecoder.structures.masks import Rle, encode_rle


def detect(folder: Path) -> str | None:
    """The XML file that is there, in words."""
    found = [path for path in files_in(folder, (".xml",)) if _is_cvat(path)]
    return f"{found[0].name} with CVAT's annotations" if found else None


def _is_cvat(path: Path) -> bool:
    with name_file(path), path.open("rb") as file:
        head = file.read(4096)
    return b"<annotations" in head


def parse_xml(path: Path) -> ElementTree.Element:
    """An XML file's root.

    Raises:
        ValueError: it is no XML, or declares entities, which can be made to fill the memory.
    """
    content = read_file(path)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError(f"{path}: it declares a document type, which no labeling tool writes; take it out")
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"{path}: not valid XML ({error}); export it again") from error


def read(folder: Path) -> LabeledFolder:
    """Read polygons, ellipses and masks; shapes of one label and group are one object.

    The classes are the labels of the tasks that may have masks, in their order, whether or not they occur.

    Raises:
        ValueError: a file is no XML.
    """
    finder = ImageFinder(folder)
    images: list[LabeledImage] = []
    skipped: list[Skip] = []
    declared: list[str] = []
    for path in files_in(folder, (".xml",)):
        if not _is_cvat(path):
            continue
        root = parse_xml(path)
        declared += _declared(root)
        if tracks := root.findall("track"):
            reason = (
                f"{path}: {len(tracks)} track(s) of a video; export the task as 'CVAT for images 1.1', which "
                "has the shapes of each frame"
            )
            skipped.append(Skip(item=str(path), reason=reason))
        for element in root.iter("image"):
            name = element.get("name") or ""
            where = f"{path}, image {name[:80]!r}"
            try:
                image = finder.find(name, path)
                size = labeled_size(image, _size(element))
            except ValueError as error:
                skipped.append(Skip(item=where, reason=str(error)))
                continue
            reader = ObjectReader(where=where, skipped=skipped)
            _read_shapes(element, size, reader)
            subset = Path(element.get("subset") or "", "x")
            images.append(reader.image(image, split_of(image, folder) or split_of(subset, Path()), size))
    return LabeledFolder(
        kind="instances", classes=classes_of(images, declared), images=tuple(images), skipped=tuple(skipped)
    )


def _declared(root: ElementTree.Element) -> list[str]:
    """The labels of a task, job or project that may have masks; those of a skeleton's points are left out."""
    found: list[str] = []
    for label in root.iterfind("./meta/*/labels/label"):
        name, kind = (label.findtext(tag, "").strip() for tag in ("name", "type"))
        if name and kind in ("", "any", "polygon", "mask", "ellipse") and label.find("parent") is None:
            found.append(name)
    return found


def _size(element: ElementTree.Element) -> tuple[int, int] | None:
    height, width = element.get("height", ""), element.get("width", "")
    known = height.isdecimal() and width.isdecimal() and len(height + width) < 20
    return (int(height), int(width)) if known and int(height) and int(width) else None


def _read_shapes(image: ElementTree.Element, size: tuple[int, int], reader: ObjectReader) -> None:
    groups: dict[tuple[str, ...], tuple[str, list[list[float]]]] = {}
    for place, shape in enumerate(image):
        what, label = f"{shape.tag} {place}", shape.get("label") or ""
        try:
            if shape.tag == "polygon":
                points = [float(v) for v in shape.get("points", "").replace(";", ",").split(",")]
                group = shape.get("group_id") or "0"
                key = (label, group) if group != "0" else (label, "0", what)
                groups.setdefault(key, (what, []))[1].append(points)
            elif shape.tag == "mask":
                reader.add(label, _mask(shape, size), what)
            elif shape.tag == "ellipse":
                x, y, across, down = (float(shape.get(k, "")) for k in ("cx", "cy", "rx", "ry"))
                turn = float(shape.get("rotation", 0))
                reader.add(label, [ellipse((x, y), (across, down), turn)], what)
            elif shape.tag == "box":
                reader.leave_out(what, BOX)
            elif shape.tag != "tag":
                reader.leave_out(what, f"{shape.tag[:20]}: such a shape gives no mask")
        except (ValueError, OverflowError) as error:
            reader.leave_out(what, str(error))
    for (label, *_), (what, rings) in groups.items():
        reader.add(label, rings, what)


def _mask(shape: ElementTree.Element, size: tuple[int, int]) -> Rle:
    """Run lengths, row by row, of a rectangle of the image."""
    left, top, width, height = (int(float(shape.get(k, ""))) for k in ("left", "top", "width", "height"))
    runs = [int(v) for v in shape.get("rle", "").split(",")]
    return encode_rle(decode_runs(runs, (left, top, width, height), size))
