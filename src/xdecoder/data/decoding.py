"""Files to arrays: images, label maps, and panoptic maps in COCO's, Cityscapes' and BDD100K's encodings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Int16, Int64, UInt8
from numpy.typing import NDArray

from xdecoder.data.records import VOID, PanopticMap, SegmentInfo, StoredImage, StoredLabels, StoredPanoptic
from xdecoder.images import ImageHeader, read_header, read_ids, read_image, read_stored
from xdecoder.jobs.files import read_file


def read_json(path: Path) -> Any:
    """A JSON file's content.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON.
        OSError: it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such annotation file; `xdecoder datasets check` prints the layout"
        )
    try:
        return json.loads(read_file(path))
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: not UTF-8 (byte {error.start}), perhaps Latin-1 or another of Windows' encodings; save "
            "it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({error}); write or download the file again") from error


@final
@dataclass(frozen=True, kw_only=True)
class FileImage(StoredImage):
    """An image file."""

    path: str

    @property
    def name(self) -> str:
        """The path."""
        return self.path

    def encoded(self) -> bytes:
        """The file's bytes."""
        return read_file(Path(self.path))

    def header(self) -> ImageHeader:
        """Its size, of which the file's first bytes tell."""
        return read_header(self.path)

    def load(self, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """Decode to `[H, W, 3]` RGB, as the predictor reads it."""
        return read_image(self.path, size=size)


@final
@dataclass(frozen=True, kw_only=True)
class ImageBytes(StoredImage):
    """The bytes of an image file, taken from a tar shard or a table."""

    label: str
    data: bytes

    @property
    def name(self) -> str:
        """Where the bytes came from."""
        return self.label

    def encoded(self) -> bytes:
        """The bytes."""
        return self.data

    def load(self, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """Decode to `[H, W, 3]` RGB, as the predictor reads it."""
        return read_image(self.data, size=size, name=self.label)


@final
@dataclass(frozen=True, kw_only=True)
class LabelCoding:
    """How a label file writes categories.

    Attributes:
        classes: K, the number of categories.
        first: the stored value of category 0; category k is stored as first + k.
        stored: instead of `first`, the stored value of each category.
        void: stored values that mean "no label".
        others_void: treat every other value as void too, instead of refusing it (Cityscapes' 34 label ids).
    """

    classes: int
    first: int = 0
    stored: tuple[int, ...] | None = None
    void: tuple[int, ...] = (255,)
    others_void: bool = False

    def decode(self, stored: NDArray[Any], name: str) -> Int16[np.ndarray, "H W"]:
        """Stored values `[H, W]` to category indexes.

        Raises:
            ValueError: the file has several channels, or values that are no category.
        """
        if stored.ndim != 2:
            raise ValueError(
                f"{name}: a label map has one channel, this has shape {stored.shape}; `xdecoder datasets "
                "convert` makes class numbers of colors"
            )
        found, inverse = np.unique(stored, return_inverse=True)
        values = self.stored or range(self.first, self.first + self.classes)
        index_of = {value: i for i, value in enumerate(values)} | dict.fromkeys(self.void, VOID)
        unknown = [int(v) for v in found if int(v) not in index_of]
        if unknown and not self.others_void:
            raise ValueError(
                f"{name}: unknown category value(s) {unknown[:8]}; expected {values[0]} to {values[-1]} for "
                f"{self.classes} categories and {list(self.void)} for void; check which label set this is"
            )
        table = np.array([index_of.get(int(v), VOID) for v in found], dtype=np.int16)
        return table[inverse].reshape(stored.shape)


@final
@dataclass(frozen=True, kw_only=True)
class LabelFile(StoredLabels):
    """A PNG or TIFF with a category per pixel."""

    path: str
    coding: LabelCoding

    def load(self) -> Int16[np.ndarray, "H W"]:
        """Decode to `[H, W]` category indexes."""
        return self.coding.decode(read_stored(self.path), self.path)


@final
@dataclass(frozen=True, kw_only=True)
class CocoPanoptic(StoredPanoptic):
    """COCO's panoptic PNG: id = R + 256 G + 65536 B. `unlabeled` ids are read as void."""

    path: str
    segments: tuple[SegmentInfo, ...]
    unlabeled: tuple[int, ...] = ()

    def load(self) -> PanopticMap:
        """Decode ids and segments, with areas counted afresh."""
        ids = read_ids(self.path)
        if self.unlabeled:
            ids[np.isin(ids, self.unlabeled)] = 0
        found, counts = np.unique(ids, return_counts=True)
        area_of = {int(i): int(n) for i, n in zip(found, counts, strict=True) if i != 0}
        stray = sorted(set(area_of) - {s.id for s in self.segments})
        if stray:
            raise ValueError(
                f"{self.path}: segment id(s) {stray[:8]} are in the PNG but not in the annotation file; "
                "PNGs and JSON come from different releases"
            )
        kept = tuple(_with_area(s, area_of[s.id]) for s in self.segments if s.id in area_of)
        covered = tuple(s.id for s in self.segments if s.id not in area_of)
        return PanopticMap(ids=ids, segments=kept, covered=covered)


def _with_area(segment: SegmentInfo, area: int) -> SegmentInfo:
    return SegmentInfo(
        id=segment.id, category=segment.category, is_thing=segment.is_thing, crowd=segment.crowd, area=area
    )


def panoptic_from_keys(
    keys: Int64[np.ndarray, "H W"],
    meaning: dict[int, tuple[int, bool, bool]],
) -> PanopticMap:
    """A panoptic map from any per-pixel key.

    Args:
        keys: `[H, W]`; pixels with equal keys form a segment.
        meaning: for each key that is a segment, (category, is a thing, is a crowd); others are void.
    """
    found, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    new_ids: list[int] = []
    segments: list[SegmentInfo] = []
    for key, area in zip(found.tolist(), counts.tolist(), strict=True):
        if key not in meaning:
            new_ids.append(0)
            continue
        category, is_thing, crowd = meaning[key]
        segments.append(
            SegmentInfo(id=len(segments) + 1, category=category, is_thing=is_thing, crowd=crowd, area=area)
        )
        new_ids.append(len(segments))
    ids = np.array(new_ids, dtype=np.int32)[inverse].reshape(keys.shape)
    return PanopticMap(ids=ids, segments=tuple(segments))
