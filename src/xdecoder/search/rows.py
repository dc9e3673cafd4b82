"""The columns of an index, and images with their segments as rows of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from xdecoder.search.config import IndexConfig
from xdecoder.search.folder import Fingerprint
from xdecoder.search.found import FoundRegion, Hit
from xdecoder.structures import Rle, Segment

CONFIG = b"xdecoder"
"""Where a table's schema keeps what the index was made with."""

VECTOR = "vector"

# LanceDB refuses a commit that adds a key which another writer has added meanwhile
_KEY = {b"lance-schema:unenforced-primary-key": b"true"}


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexedRegion:
    """What the index keeps of a segment.

    Attributes:
        segment: its label, score and box.
        mask: where it is, at the image's size.
        vector: its embedding, of unit length.
    """

    segment: Segment
    mask: Rle
    vector: Float32[np.ndarray, " P"]


@dataclass(frozen=True, kw_only=True, eq=False)
class IndexedImage:
    """What the index keeps of an image.

    Attributes:
        path: its file, absolute.
        fingerprint: of the file as it was indexed, by which a changed one is known.
        size: height and width.
        vector: `ImageEmbeddings.joint`.
        regions: its panoptic segments.
    """

    path: str
    fingerprint: Fingerprint
    size: tuple[int, int]
    vector: Float32[np.ndarray, " joint"]
    regions: tuple[IndexedRegion, ...]


def image_schema(config: IndexConfig) -> pa.Schema:
    """One row an image; `vector` is `ImageEmbeddings.joint`."""
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False, metadata=_KEY),
            pa.field("file_size", pa.int64(), nullable=False),
            pa.field("file_time", pa.int64(), nullable=False),
            pa.field("digest", pa.string(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("labels", pa.list_(pa.string()), nullable=False),
            pa.field(VECTOR, pa.list_(pa.float32(), 2 * config.width), nullable=False),
        ],
        metadata={CONFIG: config.to_json().encode()},
    )


def region_schema(config: IndexConfig) -> pa.Schema:
    """One row a segment; `mask` is the text of its run-length code, whose size is (height, width)."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=_KEY),
            pa.field("path", pa.string(), nullable=False),
            pa.field("height", pa.int32(), nullable=False),
            pa.field("width", pa.int32(), nullable=False),
            pa.field("label", pa.string(), nullable=False),
            pa.field("is_thing", pa.bool_(), nullable=False),
            pa.field("score", pa.float32(), nullable=False),
            pa.field("area", pa.int64(), nullable=False),
            pa.field("left", pa.float32(), nullable=False),
            pa.field("top", pa.float32(), nullable=False),
            pa.field("right", pa.float32(), nullable=False),
            pa.field("bottom", pa.float32(), nullable=False),
            pa.field("mask", pa.string(), nullable=False),
            pa.field(VECTOR, pa.list_(pa.float32(), config.width), nullable=False),
        ],
        metadata={CONFIG: config.to_json().encode()},
    )


def image_rows(images: Sequence[IndexedImage], schema: pa.Schema) -> pa.Table:
    """The images, a row each."""
    return pa.Table.from_pylist([_image_row(image) for image in images], schema)


def region_rows(images: Sequence[IndexedImage], schema: pa.Schema) -> pa.Table:
    """Their segments, a row each."""
    return pa.Table.from_pylist([_region_row(i, region) for i in images for region in i.regions], schema)


def fingerprint_rows(files: Mapping[str, Fingerprint], schema: pa.Schema) -> pa.Table:
    """The columns of images that say which content of a file was indexed."""
    names = ("path", "file_size", "file_time", "digest")
    rows = [{"path": path, **_fingerprint_columns(fingerprint)} for path, fingerprint in files.items()]
    return pa.Table.from_pylist(rows, pa.schema([schema.field(name) for name in names]))


def read_fingerprints(table: pa.Table) -> dict[str, Fingerprint]:
    """The inverse of `fingerprint_rows`."""
    columns = (table[name].to_pylist() for name in ("path", "file_size", "file_time", "digest"))
    return {p: Fingerprint(size=s, time=t, digest=d) for p, s, t, d in zip(*columns, strict=True)}


def read_hit(row: Mapping[str, Any], kind: str) -> Hit:
    """A row of a search's answer, of "images" or of "regions", as a hit."""
    region = None
    if kind == "regions":
        region = FoundRegion(
            label=row["label"],
            score=row["score"],
            area=row["area"],
            box=(row["left"], row["top"], row["right"], row["bottom"]),
            mask={"size": [row["height"], row["width"]], "counts": row["mask"]},
        )
    return Hit(
        path=row["path"],
        similarity=1 - row["_distance"],
        size=(row["height"], row["width"]),
        region=region,
    )


def _image_row(image: IndexedImage) -> dict[str, Any]:
    height, width = image.size
    return {
        "path": image.path,
        **_fingerprint_columns(image.fingerprint),
        "height": height,
        "width": width,
        "labels": sorted({region.segment.label for region in image.regions}),
        VECTOR: image.vector,
    }


def _fingerprint_columns(fingerprint: Fingerprint) -> dict[str, Any]:
    return {"file_size": fingerprint.size, "file_time": fingerprint.time, "digest": fingerprint.digest}


def _region_row(image: IndexedImage, region: IndexedRegion) -> dict[str, Any]:
    height, width = image.size
    return {
        "id": f"{image.path}#{region.segment.id}",
        "path": image.path,
        "height": height,
        "width": width,
        **region.segment.columns(region.mask),
        VECTOR: region.vector,
    }
