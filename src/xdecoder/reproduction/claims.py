"""`CLAIMS`: what the paper's tables are said to show, each as a difference between two cells here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(frozen=True, kw_only=True)
class Claim:
    """A finding, and the difference that shows it.

    Attributes:
        text: the finding, in words.
        table: where its cells are, a name in `cells.TABLES`.
        cell: the cell that is to score lower.
        against: the cell that it is compared with, seed by seed.
        metric: in which the cell is to score lower, a name in `METRICS`.
        why_not: why a small drawn world may show otherwise.
    """

    text: str
    table: str
    cell: str
    metric: str
    against: str = "base"
    why_not: str


_RECOGNITION: Final = (
    "Here the auxiliary loss of the maps and vocabularies of color and category teach recognition already, "
    "and the texts have a few hundred words."
)
_PAIRS: Final = "Here the pairs show the same pictures as the segments, not other ones from the web."
_CAPTIONS: Final = (
    "Captions of a drawn scene are made of its things and colors, which cross-attention to the picture shows."
)
_PHRASES: Final = (
    "Phrases here mostly name a color and a category, which comparing query and phrase may settle alone."
)

CLAIMS: Final[tuple[Claim, ...]] = (
    Claim(
        text="Image-text retrieval helps open-vocabulary segmentation: unseen pairs.",
        table="tasks",
        cell="without_retrieval",
        metric="unseen/pq",
        why_not=_RECOGNITION,
    ),
    Claim(
        text="Image-text retrieval helps open-vocabulary segmentation: another style.",
        table="tasks",
        cell="without_retrieval",
        metric="ink/pq",
        why_not=_PAIRS,
    ),
    Claim(
        text="Captioning helps referring segmentation.",
        table="tasks",
        cell="without_captioning",
        metric="val/referring_ciou",
        why_not=_PHRASES,
    ),
    Claim(
        text="Referring segmentation helps captioning.",
        table="tasks",
        cell="without_referring",
        metric="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Captioning helps retrieval.",
        table="tasks",
        cell="without_captioning",
        metric="val/retrieval",
        why_not="Descriptions here list every thing, which retrieval learns from directly.",
    ),
    Claim(
        text="Retrieval helps captioning.",
        table="tasks",
        cell="without_retrieval",
        metric="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Segmentation alone is worse at open-vocabulary segmentation than all tasks together.",
        table="tasks",
        cell="segmentation_only",
        metric="unseen/pq",
        why_not="A small model's tasks also compete for its few weights and steps.",
    ),
    Claim(
        text="Captions are better where they see the object queries.",
        table="interactions",
        cell="texts_without_objects",
        metric="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Captions are better where they see the global query.",
        table="interactions",
        cell="texts_without_global",
        metric="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Captions are better where they see the latent queries.",
        table="interactions",
        cell="texts_without_latents",
        metric="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Referring is better with queries that see the phrases.",
        table="interactions",
        cell="copies_without_phrases",
        metric="val/referring_ciou",
        why_not=_PHRASES,
    ),
    Claim(
        text="Text teaches names that no segment comes with: synonyms.",
        table="zero-shot",
        cell="segmentation_only",
        metric="synonyms/pq",
        why_not="Segmentation alone is never shown these words, so that its score is 0 by construction: the "
        "claim asks whether text teaches them at all.",
    ),
    Claim(
        text="All tasks together carry over to another style better than segmentation alone.",
        table="zero-shot",
        cell="segmentation_only",
        metric="ink/pq",
        why_not=_PAIRS,
    ),
    Claim(
        text="Fewer pairs a step cost retrieval.",
        table="pairs",
        cell="an_eighth_of_the_pairs",
        metric="val/retrieval",
        why_not="Sixteen pairs a step are few negatives even where all are kept.",
    ),
    Claim(
        text="Fewer pairs a step cost open-vocabulary segmentation.",
        table="pairs",
        cell="an_eighth_of_the_pairs",
        metric="unseen/pq",
        why_not=_RECOGNITION,
    ),
    *(
        Claim(
            text=f"Pretrained on all tasks, then finetuned, a model is better at {task} than one trained "
            "on that alone.",
            table="transfer",
            cell=f"single_{task}",
            against=f"finetuned_{task}",
            metric=metric,
            why_not="Drawn scenes never run out, so that a single task has as much data as all together.",
        )
        for task, metric in (
            ("segmentation", "val/pq"),
            ("referring", "val/referring_ciou"),
            ("captioning", "val/cider"),
            ("retrieval", "val/retrieval"),
        )
    ),
    Claim(
        text="Narrower texts and decoder are worse.",
        table="scale",
        cell="narrow",
        metric="val/pq",
        why_not="Runs this short may not fill even the smaller model.",
    ),
    Claim(
        text="A smaller backbone is worse.",
        table="scale",
        cell="small_backbone",
        metric="val/pq",
        why_not="Runs this short may not fill even the smaller model.",
    ),
)
"""Findings that a small world can test. Those of sources of pairs and of compositions are scores alone."""
