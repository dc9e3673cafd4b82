"""One panoptic annotation, three tasks: its label map and its things are data sets of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from xdecoder.data.dataset import Dataset, Skip
from xdecoder.data.records import (
    ImageId,
    ImageSource,
    InstanceSample,
    PanopticLabels,
    PanopticSample,
    PanopticSource,
    PanopticThings,
    Sample,
    SemanticSample,
)
from xdecoder.data.request import Request, things_of
from xdecoder.vocabularies import Vocabulary


@final
@dataclass(frozen=True, kw_only=True)
class PanopticEntry:
    """An image and its panoptic map, before it is known which task they serve."""

    image_id: ImageId
    source: ImageSource
    panoptic: PanopticSource
    size: tuple[int, int] | None = None


def from_panoptic(
    entries: Sequence[PanopticEntry],
    request: Request,
    vocabulary: Vocabulary,
    skipped: Sequence[Skip],
    *,
    category_ids: Sequence[int] = (),
) -> Dataset[Any]:
    """The data set that `request.task` asks for: panoptic, semantic or instance.

    Instance categories index the vocabulary's things, in order.

    Raises:
        ValueError: there are no entries, or the task is another.
    """
    samples: list[Sample]
    if request.task == "panoptic":
        samples = [
            PanopticSample(image_id=e.image_id, source=e.source, size=e.size, panoptic_source=e.panoptic)
            for e in entries
        ]
    elif request.task == "semantic":
        samples = [
            SemanticSample(
                image_id=e.image_id,
                source=e.source,
                size=e.size,
                label_source=PanopticLabels(panoptic=e.panoptic),
            )
            for e in entries
        ]
    elif request.task == "instance":
        categories = tuple(sorted(vocabulary.things))
        category_ids = tuple(category_ids[i] for i in categories) if category_ids else ()
        vocabulary = things_of(vocabulary)
        samples = [
            InstanceSample(
                image_id=e.image_id,
                source=e.source,
                size=e.size,
                region_source=PanopticThings(panoptic=e.panoptic, categories=categories),
            )
            for e in entries
        ]
    else:
        raise ValueError(f"{request.name}: a panoptic map gives no {request.task} samples")
    return Dataset(
        samples,
        name=request.name,
        task=request.task,
        split=request.split,
        vocabulary=vocabulary,
        category_ids=category_ids,
        skipped=skipped,
    )
