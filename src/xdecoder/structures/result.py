"""What the segmentation results have in common: saving, loading, drawing, exporting, printing."""

from __future__ import annotations

import base64
import importlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from xdecoder.drawing.regions import Region, draw_regions
from xdecoder.images import MAX_PIXELS, ImageSource, read_image
from xdecoder.jobs.files import read_file, write_whole
from xdecoder.structures.masks import box_to_xywh, encode_rle, mask_box
from xdecoder.structures.png import png_bytes
from xdecoder.vocabularies import clean_name

CategoryIds = Mapping[int, int] | Sequence[int]
"""The ids that a data set gives to the categories of the vocabulary."""

_R = TypeVar("_R", bound="SegmentationResult")
_ROWS = 40
_SHOWN_SIDE = 1024  # pixels of a picture in a notebook
_COLUMNS = ("label", "category", "score", "area", "share", "left", "top", "right", "bottom")


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SegmentationResult(ABC):
    """A picture divided into named regions.

    Attributes:
        image: the picture, RGB. None after loading without it: `draw` then paints on gray.
    """

    kind: ClassVar[str]
    image: UInt8[np.ndarray, "H W 3"] | None

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""

    @abstractmethod
    def regions(self) -> Iterator[Region]:
        """The regions one by one, as `draw`, `to_supervision` and printing take them."""

    @abstractmethod
    def contents(self) -> dict[str, Any]:
        """What `to_dict` says beside the kind and the size."""

    def to_dict(self) -> dict[str, Any]:
        """Everything but the picture, ready for JSON: masks as run-length codes, boxes as COCO's `bbox`."""
        height, width = self.size
        return {"kind": self.kind, "height": height, "width": width, **self.contents()}

    @classmethod
    @abstractmethod
    def from_dict(cls, data: Mapping[str, Any], *, image: ImageSource | None = None) -> SegmentationResult:
        """The inverse of `to_dict`; the picture is given anew, or left out.

        Raises:
            ValueError: the data are of another kind of result, incomplete or malformed, or the image is of
                another size.
        """

    def draw(self, *, opacity: float = 0.45, labels: bool = True) -> Image.Image:
        """The picture with its regions painted over it, see `xdecoder.drawing.regions.draw_regions`.

        Args:
            opacity: of the paint, 0 (outlines only) to 1.
            labels: write each region's name and score.
        """
        height, width = self.size
        canvas = np.full((height, width, 3), 128, np.uint8) if self.image is None else self.image
        regions = (region if labels else replace(region, text="") for region in self.regions())
        return draw_regions(canvas, regions, opacity=opacity)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the drawn picture (.png) or the data (.json) to a file, whole or not at all.

        Raises:
            ValueError: the path ends in neither.
            FileNotFoundError: its folder does not exist.
        """
        path = Path(path)
        if path.suffix.lower() == ".png":
            write_whole(path, png_bytes(self.draw()))
        elif path.suffix.lower() == ".json":
            write_whole(path, json.dumps(self.to_dict()).encode())
        else:
            raise ValueError(f"{path}: expected a name ending in .png (drawn picture) or .json (data)")

    @classmethod
    def load(cls: type[_R], path: str | os.PathLike[str], *, image: ImageSource | None = None) -> _R:
        """A result saved as .json.

        Args:
            path: a file that `save` wrote.
            image: the picture it belongs to, to draw on.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no saved result of this kind, or the image is of another size.
        """
        text = read_file(Path(path))
        try:
            return cast("_R", cls.from_dict(json.loads(text), image=image))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}: a malformed {cls.kind} result ({error!r}); save it again") from error

    def to_supervision(self) -> Any:
        """The regions as `supervision.Detections`: masks, boxes, scores, categories, `class_name`.

        Regions without a score (of semantic segmentation) have 1.

        Raises:
            ImportError: the package supervision is not installed.
        """
        supervision = _optional("supervision", extra="supervision")
        regions = list(self.regions())
        masks = [region.mask for region in regions]
        return supervision.Detections(
            xyxy=np.array([mask_box(mask) for mask in masks], np.float32).reshape(-1, 4),
            mask=np.stack(masks) if masks else np.zeros((0, *self.size), np.bool_),
            confidence=np.array([1 if r.score is None else r.score for r in regions], np.float32),
            class_id=np.array([region.category for region in regions], np.int64),
            data={"class_name": np.array([region.label for region in regions], np.str_)},
        )

    def to_pandas(self) -> Any:
        """The regions as a `pandas.DataFrame`, a row each: what they are, and where, in pixels.

        The columns are `label`, `category`, `score` (NaN where it has none), `area`, `share` (of the
        picture), and the box's `left`, `top`, `right` and `bottom`.

        Raises:
            ImportError: the package pandas is not installed.
        """
        pandas = _optional("pandas", extra="notebook")
        height, width = self.size
        rows: list[dict[str, Any]] = []
        for region in self.regions():
            area = int(np.count_nonzero(region.mask))
            row = {
                "label": region.label,
                "category": region.category,
                "score": np.nan if region.score is None else region.score,
                "area": area,
                "share": area / (height * width),
            }
            box = zip(("left", "top", "right", "bottom"), mask_box(region.mask), strict=True)
            rows.append({**row, **{side: int(place) for side, place in box}})
        return pandas.DataFrame(rows, columns=list(_COLUMNS))

    def plot(self, ax: Any = None, *, opacity: float = 0.45, labels: bool = True) -> Any:
        """The drawn picture in a `matplotlib` figure.

        Args:
            ax: the axes to draw in; by default those of a new figure.
            opacity: as for `draw`.
            labels: as for `draw`.

        Returns:
            The axes.

        Raises:
            ImportError: the package matplotlib is not installed.
        """
        if ax is None:
            _, ax = _optional("matplotlib.pyplot", extra="notebook").subplots()
        ax.imshow(self.draw(opacity=opacity, labels=labels))
        ax.set_axis_off()
        return ax

    def __repr__(self) -> str:
        height, width = self.size
        count = sum(1 for _ in self.regions())
        return f"<{type(self).__name__} of {width} x {height} pixels: {count} regions>"

    def __str__(self) -> str:
        rows = self._summary()
        wide = max((len(label) for label, _, _ in rows), default=0)
        lines = [
            f"  {label:<{wide}}  {score:>4}  {share:>5} %".rstrip() for label, score, share in rows[:_ROWS]
        ]
        if len(rows) > _ROWS:
            lines.append(f"  ... and {len(rows) - _ROWS} more")
        return "\n".join([repr(self)[1:-1], *lines])

    def _repr_html_(self) -> str:
        """What notebooks show: the drawn picture, and a table of the regions."""
        drawn = self.draw()
        drawn.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
        picture = base64.b64encode(png_bytes(drawn)).decode("ascii")
        rows = self._summary()
        cells = [
            f"<tr><td>{escape(label)}</td><td>{score}</td><td>{share} %</td></tr>"
            for label, score, share in rows[:_ROWS]
        ]
        if len(rows) > _ROWS:
            cells.append(f"<tr><td>... and {len(rows) - _ROWS} more</td><td></td><td></td></tr>")
        alt = escape(repr(self)[1:-1])
        return (
            f'<img alt="{alt}" src="data:image/png;base64,{picture}">'
            f"<table><thead><tr><th>label</th><th>score</th><th>area</th></tr></thead>"
            f"<tbody>{''.join(cells)}</tbody></table>"
        )

    def _summary(self) -> list[tuple[str, str, str]]:
        """The name, the score and the percentage of the picture of each region, in words."""
        height, width = self.size
        return [
            (
                clean_name(region.label),
                "" if region.score is None else f"{region.score:.2f}",
                f"{100 * np.count_nonzero(region.mask) / (height * width):.1f}",
            )
            for region in self.regions()
        ]


def _optional(package: str, *, extra: str) -> Any:
    """A package that only this needs.

    Raises:
        ImportError: saying how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise ImportError(f'{name} is not installed; pip install "xdecoder[{extra}]"') from error


def region_to_dict(region: Region) -> dict[str, Any]:
    """A region ready for JSON, in COCO's words; without a score where it has none."""
    return {
        "label": region.label,
        "category_id": region.category,
        **({} if region.score is None else {"score": region.score}),
        "area": int(np.count_nonzero(region.mask)),
        "bbox": box_to_xywh(mask_box(region.mask)),
        "segmentation": encode_rle(region.mask),
    }


def dataset_id(category: int, category_ids: CategoryIds | None, label: str) -> int:
    """The id that a data set gives to a category; the category itself where None.

    Raises:
        ValueError: the data set has no id for it.
    """
    if category_ids is None:
        return category
    try:
        return int(category_ids[category])
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"category_ids has no id for category {category} ({label!r}); give one for every class "
            "of the vocabulary"
        ) from error


def check_kind(data: Mapping[str, Any], kind: str, fields: Sequence[str]) -> None:
    """Refuse what is no saved result of this kind, or lacks a field.

    Raises:
        ValueError: saying which.
    """
    found = data.get("kind") if isinstance(data, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if found != kind:
        raise ValueError(f"expected a saved result of kind {kind!r}, got {found!r}")
    missing = [field for field in fields if field not in data]
    if missing:
        raise ValueError(f"the saved result lacks {', '.join(missing)}; save it again")


def read_size(data: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a saved result, before anything of that size is made.

    Raises:
        ValueError: they are no whole numbers of pixels, or more than any image that is read has.
    """
    height, width = data["height"], data["width"]
    if not all(type(side) is int and side > 0 for side in (height, width)):
        raise ValueError(
            f"height and width must be whole numbers of at least 1, got {height!r} and {width!r}"
        )
    if height * width > MAX_PIXELS:
        raise ValueError(f"a result of {width} x {height} pixels is over the limit of {MAX_PIXELS:,}")
    return height, width


def read_matching(image: ImageSource | None, size: tuple[int, int]) -> UInt8[np.ndarray, "H W 3"] | None:
    """The picture of a saved result of this height and width, if it is given.

    Raises:
        ValueError: it is of another size.
    """
    if image is None:
        return None
    pixels = read_image(image)
    if pixels.shape[:2] != size:
        raise ValueError(
            f"the image is {pixels.shape[1]} x {pixels.shape[0]} pixels, the result {size[1]} x {size[0]}; "
            "give the image that the result belongs to"
        )
    return pixels
