"""`CLAIMS`: what the paper's tables are said to show, each as a difference between two cells here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, final

Direction = Literal["lower", "higher"]


@final
@dataclass(frozen=True, kw_only=True)
class Claim:
    """A finding, and the difference that shows it.

    Attributes:
        text: the finding, in words.
        table: where its cells are, a name in `cells.TABLES`.
        cell: the cell that is to differ.
        against: the cell that it is compared with, seed by seed.
        figure: what is to differ, a name in `scoring.FIGURES`.
        direction: which way the cell is to differ.
        why_not: why a small drawn world may show otherwise.
    """

    text: str
    table: str
    cell: str
    figure: str
    against: str = "base"
    direction: Direction = "lower"
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
        figure="unseen/pq",
        why_not=_RECOGNITION,
    ),
    Claim(
        text="Image-text retrieval helps open-vocabulary segmentation: another style.",
        table="tasks",
        cell="without_retrieval",
        figure="ink/pq",
        why_not=_PAIRS,
    ),
    Claim(
        text="Captioning helps referring segmentation.",
        table="tasks",
        cell="without_captioning",
        figure="val/referring_ciou",
        why_not=_PHRASES,
    ),
    Claim(
        text="Referring segmentation helps captioning.",
        table="tasks",
        cell="without_referring",
        figure="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Captioning helps retrieval.",
        table="tasks",
        cell="without_captioning",
        figure="val/retrieval",
        why_not="Descriptions here list every thing, which retrieval learns from directly.",
    ),
    Claim(
        text="Retrieval helps captioning.",
        table="tasks",
        cell="without_retrieval",
        figure="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Segmentation alone is worse at open-vocabulary segmentation than all tasks together.",
        table="tasks",
        cell="segmentation_only",
        figure="unseen/pq",
        why_not="A small model's tasks also compete for its few weights and steps.",
    ),
    Claim(
        text="Captions need to see the object queries.",
        table="interactions",
        cell="texts_without_objects",
        figure="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Captions need to see the global query.",
        table="interactions",
        cell="texts_without_global",
        figure="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Captions need to see the latent queries.",
        table="interactions",
        cell="texts_without_latents",
        figure="val/cider",
        why_not=_CAPTIONS,
    ),
    Claim(
        text="Referring needs queries that see the phrases.",
        table="interactions",
        cell="copies_without_phrases",
        figure="val/referring_ciou",
        why_not=_PHRASES,
    ),
    Claim(
        text="Text teaches names that no segment comes with: synonyms.",
        table="zero-shot",
        cell="segmentation_only",
        figure="synonyms/pq",
        why_not="A dozen classes have a synonym, which captions and phrases say now and then.",
    ),
    Claim(
        text="All tasks together carry over to another style better than segmentation alone.",
        table="zero-shot",
        cell="segmentation_only",
        figure="ink/pq",
        why_not=_PAIRS,
    ),
    Claim(
        text="Fewer pairs a step cost retrieval.",
        table="pairs",
        cell="an_eighth_of_the_pairs",
        figure="val/retrieval",
        why_not="Sixteen pairs a step are few negatives even where all are kept.",
    ),
    Claim(
        text="Fewer pairs a step cost open-vocabulary segmentation.",
        table="pairs",
        cell="an_eighth_of_the_pairs",
        figure="unseen/pq",
        why_not=_RECOGNITION,
    ),
    *(
        Claim(
            text=f"Pretrained on all tasks, then finetuned, a model is better at {task} than one trained "
            "on that alone.",
            table="transfer",
            cell=f"single_{task}",
            against=f"finetuned_{task}",
            figure=figure,
            why_not="Drawn scenes never run out, so that a single task has as much data as all together.",
        )
        for task, figure in (
            ("segmentation", "val/pq"),
            ("referring", "val/referring_ciou"),
            ("captioning", "val/cider"),
            ("retrieval", "val/retrieval"),
        )
    ),
    Claim(
        text="A narrower decoder is worse.",
        table="scale",
        cell="narrow",
        figure="val/pq",
        why_not="Runs this short may not fill even the smaller model.",
    ),
    Claim(
        text="A smaller backbone is worse.",
        table="scale",
        cell="small_backbone",
        figure="val/pq",
        why_not="Runs this short may not fill even the smaller model.",
    ),
)
"""Findings that a small world can test. Those of sources of pairs and of compositions are figures alone."""
