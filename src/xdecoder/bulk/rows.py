"""The columns of labels, and images with their labels as rows of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from jaxtyping import Float16

from xdecoder.bulk.config import LabelingConfig
from xdecoder.bulk.sources import SourceImage
from xdecoder.structures import Caption, PanopticSegmentation, encode_rle

CONFIG: Final = b"xdecoder"
"""Where a table's schema keeps what its rows were made with."""

_SEGMENT: Final = pa.struct(
    [
        pa.field("label", pa.string()),
        pa.field("category", pa.int32()),
        pa.field("is_thing", pa.bool_()),
        pa.field("score", pa.float32()),
        pa.field("area", pa.int64()),
        pa.field("left", pa.float32()),
        pa.field("top", pa.float32()),
        pa.field("right", pa.float32()),
        pa.field("bottom", pa.float32()),
        pa.field("mask", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageLabels:
    """What the model says of an image; what was not asked is None.

    Attributes:
        size: its height and width.
        segments: its panoptic segments.
        caption: a sentence about it.
        decoder: its embedding from the decoder.
        backbone: its embedding from the backbone.
    """

    size: tuple[int, int]
    segments: PanopticSegmentation | None
    caption: Caption | None
    decoder: Float16[np.ndarray, " P"] | None
    backbone: Float16[np.ndarray, " P"] | None


def schema_of(config: LabelingConfig) -> pa.Schema:
    """One row an image: which it is, what it was labeled with, its labels or why it has none.

    `key` tells file, content, model and options apart. A segment's `mask` is the text of COCO's run-length
    code, whose size is the row's (height, width); its box is `left`, `top`, `right`, `bottom` in pixels. The
    embeddings are of unit length.
    """
    labels: list[pa.Field] = []
    if "segment" in config.verbs:
        labels.append(pa.field("segments", pa.list_(_SEGMENT)))
    if "caption" in config.verbs:
        labels += [pa.field("caption", pa.string()), pa.field("caption_score", pa.float32())]
    if "embed" in config.verbs:
        labels += [pa.field(name, pa.list_(pa.float16(), config.width)) for name in ("decoder", "backbone")]
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("path", pa.string(), nullable=False),
            pa.field("file_size", pa.int64(), nullable=False),
            pa.field("file_version", pa.string(), nullable=False),
            pa.field("model", pa.string(), nullable=False),
            pa.field("options", pa.string(), nullable=False),
            pa.field("height", pa.int32()),
            pa.field("width", pa.int32()),
            *labels,
            pa.field("error", pa.string()),
        ],
        metadata={CONFIG: config.to_json().encode()},
    )


def key_of(image: SourceImage, config: LabelingConfig) -> str:
    """What tells an image's labels from all others: 32 hexadecimal digits."""
    facts = [shown_path(image), image.size, image.version, config.model, config.options]
    return hashlib.blake2b(json.dumps(facts).encode(), digest_size=16).hexdigest()


def shown_path(image: SourceImage) -> str:
    """An image's path as text; bytes of it that are not UTF-8 are escaped."""
    return _escaped(image.path)


def row_of(image: SourceImage, labels: ImageLabels | Exception, config: LabelingConfig) -> dict[str, Any]:
    """An image's row."""
    row: dict[str, Any] = {
        "key": key_of(image, config),
        "path": shown_path(image),
        "file_size": image.size,
        "file_version": image.version,
        "model": config.model,
        "options": config.options,
    }
    if isinstance(labels, Exception):
        return {**row, "error": _escaped(" ".join(str(labels).split())) or type(labels).__name__}
    row["height"], row["width"] = labels.size
    if labels.segments is not None:
        found = labels.segments
        row["segments"] = [s.columns(encode_rle(found.mask(s))) for s in found.segments]
    if labels.caption is not None:
        row["caption"], row["caption_score"] = labels.caption.text, labels.caption.score
    return {**row, "decoder": labels.decoder, "backbone": labels.backbone}


def table_of(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    return pa.Table.from_pylist(list(rows), schema)


def _escaped(text: str) -> str:
    """Text that a table can hold."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
