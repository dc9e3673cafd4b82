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
    "Here the warm start aligns pictures with names, and an auxiliary loss of the maps and vocabularies of "
    "colored things teach recognition, too; the texts have a few hundred words."
)
_WORDS: Final = (
    "Here captions and phrases hold the same words, and the warm start on texts alone has seen them."
)
_SAME_PICTURES: Final = "Here the pairs show the same pictures as the segments, not other ones from the web."
_COMPETITION: Final = (
    "A small model's tasks compete for its few weights and steps, and gradients are clipped by the norm of "
    "the sum of all losses."
)
_NOUNS: Final = "Here the nouns of captions are exactly the words that are asked for."
_CAPTIONS: Final = (
    "Captions of a drawn scene are made of its things and colors, which cross-attention to the picture shows."
)
_PHRASES: Final = (
    "Phrases here mostly name a color and a category, which comparing query and phrase may settle alone."
)

CLAIMS: Final[tuple[Claim, ...]] = (
    *(
        Claim(
            text=f"Image-text retrieval helps open-vocabulary segmentation: {what}.",
            table="tasks",
            cell="without_retrieval",
            metric=metric,
            why_not=why_not,
        )
        for what, metric, why_not in (
            ("unseen pairs", "pairs/pq", _RECOGNITION),
            ("another vocabulary", "synonyms/pq", _WORDS),
            ("another style", "flat/pq", _SAME_PICTURES),
        )
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
    *(
        Claim(
            text=f"X-Decoder is better than {model} at {what}.",
            table="zero-shot",
            cell=cell,
            metric=metric,
            why_not=why_not,
        )
        for model, cell, cases in (
            (
                "X-Decoder-Seg",
                "segmentation_only",
                (("unseen pairs", "pairs/pq", _COMPETITION), ("another style", "flat/pq", _SAME_PICTURES)),
            ),
            (
                "X-Decoder-Seg+",
                "segmentation_and_nouns",
                (
                    ("unseen pairs", "pairs/pq", _COMPETITION),
                    ("another vocabulary", "synonyms/pq", _NOUNS),
                    ("another style", "flat/pq", _SAME_PICTURES),
                ),
            ),
        )
        for what, metric, why_not in cases
    ),
    *(
        Claim(
            text=f"Fewer pairs a step cost {what}.",
            table="pairs",
            cell="an_eighth_of_the_pairs",
            metric=metric,
            why_not=why_not,
        )
        for what, metric, why_not in (
            ("retrieval", "val/retrieval", "Sixteen pairs a step are few negatives even where all are kept."),
            ("captioning", "val/cider", _CAPTIONS),
            ("open-vocabulary segmentation", "pairs/pq", _RECOGNITION),
        )
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
    *(
        Claim(
            text=f"{source} help {task}.",
            table="sources",
            cell=cell,
            metric=metric,
            why_not="A source is a small part of the texts, and all show the same kind of pictures.",
        )
        for source, cell, task, metric in (
            ("Captions that list and count things", "without_lists", "captioning", "val/cider"),
            ("Captions that say where things are", "without_places", "captioning", "val/cider"),
            ("Captions of relations", "without_relations", "captioning", "val/cider"),
            ("Captions of the setting", "without_settings", "captioning", "val/cider"),
            ("Descriptions of everything", "without_descriptions", "retrieval", "val/retrieval"),
            ("Texts of scenes in a room", "without_indoor_pairs", "retrieval", "val/retrieval"),
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
    Claim(
        text="Referring segmentation helps referring captioning.",
        table="compositions",
        cell="without_referring",
        metric="val/referring_named",
        why_not="A caption of the whole picture names most of its things already.",
    ),
    Claim(
        text="Retrieval helps captions of regions.",
        table="compositions",
        cell="without_retrieval",
        metric="val/region_named",
        why_not="A caption of the whole picture names most of its things already.",
    ),
    Claim(
        text="Captioning helps region retrieval.",
        table="compositions",
        cell="without_captioning",
        metric="val/region_retrieval",
        why_not="Descriptions here list every thing, which retrieval learns from directly.",
    ),
)
"""Findings that a small world can test."""
