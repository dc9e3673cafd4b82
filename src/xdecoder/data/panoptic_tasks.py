"""One panoptic annotation, three tasks: its label map and its things are data sets of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xdecoder.data.dataset import Dataset, Skip
from xdecoder.data.records import (
    InstanceSample,
    PanopticLabels,
    PanopticSample,
    PanopticThings,
    Sample,
    SemanticSample,
)
from xdecoder.data.selection import Selection, things_of
from xdecoder.vocabularies import Vocabulary


def from_panoptic(
    panoptic: Sequence[PanopticSample],
    selection: Selection,
    vocabulary: Vocabulary,
    skipped: Sequence[Skip],
    *,
    category_ids: Sequence[int] = (),
) -> Dataset[Any]:
    """The data set that `selection.task` asks for: panoptic, semantic or instance.

    Instance categories index the vocabulary's things, in order.

    Raises:
        ValueError: there are no samples, or no things for instances, or the task is another.
    """
    samples: list[Sample]
    if selection.task == "panoptic":
        samples = list(panoptic)
    elif selection.task == "semantic":
        samples = [
            SemanticSample(
                image_id=s.image_id,
                source=s.source,
                size=s.size,
                label_source=PanopticLabels(panoptic=s.panoptic_source),
            )
            for s in panoptic
        ]
    elif selection.task == "instance":
        if not vocabulary.things:
            raise ValueError(
                f"{selection.root}: {selection.name} has no instances: none of its classes is a thing "
                '("isthing": 1)'
            )
        categories = tuple(sorted(vocabulary.things))
        category_ids = tuple(category_ids[i] for i in categories) if category_ids else ()
        vocabulary = things_of(vocabulary)
        samples = [
            InstanceSample(
                image_id=s.image_id,
                source=s.source,
                size=s.size,
                region_source=PanopticThings(panoptic=s.panoptic_source, categories=categories),
            )
            for s in panoptic
        ]
    else:
        raise ValueError(f"{selection.name}: a panoptic map gives no {selection.task} samples")
    return Dataset(
        samples,
        name=selection.name,
        task=selection.task,
        split=selection.split,
        vocabulary=vocabulary,
        category_ids=category_ids,
        skipped=skipped,
    )
