"""`CELLS` and `TABLES`: every training that is compared with another, and what is compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, final

from xdecoder.config import HybridConfig
from xdecoder.picturebook import SETTINGS, STYLES, Setting, Style
from xdecoder.reproduction.protocol import Sizes
from xdecoder.training.ablations import ABLATIONS, Ablation, PretrainingTask
from xdecoder.training.picturebook.recipe import SceneMixture

Stage = Literal["warm start", "pretraining", "finetuning", "single task"]
"""What a run is: its steps are the protocol's of that stage; a single task has those of both others."""

MIXTURE: Final = SceneMixture(
    synonym_share=0.0, phrases=4, captions=1, region_captions=0, questions=1, description_share=0.5
)
"""One caption and one text to be found by for each scene, as pairs have; segments never by a synonym."""


@final
@dataclass(frozen=True, kw_only=True)
class Cell:
    """A training with its settings.

    Attributes:
        summary: what it is, in a line.
        stage: how long it is.
        start: the cell whose model it goes on from; empty for none.
        ablation: what it goes without.
        mixture: what its batches are made of.
        nouns: weight of the alignment of queries with the nouns of captions.
        sizes: of its model; None for the protocol's.
    """

    summary: str
    stage: Stage = "pretraining"
    start: str = "warm"
    ablation: Ablation = field(default_factory=Ablation)
    mixture: SceneMixture = MIXTURE
    nouns: float = 0.0
    sizes: Sizes | None = None


def _ablated(name: str, summary: str) -> Cell:
    return Cell(summary=summary, ablation=ABLATIONS[name])


def _alone(task: PretrainingTask) -> Ablation:
    tasks: tuple[PretrainingTask, ...] = ("segmentation", "referring", "captioning", "retrieval")
    return Ablation(left_out=tuple(t for t in tasks if t != task))


def _finetuned(task: PretrainingTask) -> Cell:
    return Cell(
        summary=f"all tasks, then {task} alone", stage="finetuning", start="base", ablation=_alone(task)
    )


def _single(task: PretrainingTask) -> Cell:
    return Cell(summary=f"{task} alone from the start", stage="single task", ablation=_alone(task))


def _styles(*without: Style) -> SceneMixture:
    return replace(MIXTURE, styles=tuple(style for style in STYLES if style not in without))


def _settings(*without: Setting) -> SceneMixture:
    return replace(MIXTURE, pair_settings=tuple(s for s in SETTINGS if s not in without))


_NARROW: Final = Sizes(width=64)
_SMALL: Final = Sizes(backbone=HybridConfig(widths=(16, 32, 64, 128), depths=(1, 1, 2, 2), place_channels=32))

CELLS: Final[Mapping[str, Cell]] = {
    "warm": Cell(
        summary="texts alone, and pictures of single things with their names", stage="warm start", start=""
    ),
    "base": Cell(summary="all tasks"),
    # Pretraining tasks
    "without_retrieval": _ablated("without_retrieval", "all tasks but retrieval"),
    "without_captioning": _ablated("without_captioning", "all tasks but captioning"),
    "without_referring": _ablated("without_referring", "all tasks but referring"),
    "segmentation_only": _ablated("segmentation_only", "segmentation alone"),
    "segmentation_and_nouns": Cell(
        summary="segmentation, and the nouns of captions aligned with queries",
        ablation=ABLATIONS["segmentation_only"],
        nouns=1.0,
    ),
    # Query interactions
    "texts_without_objects": _ablated("texts_without_objects", "captions do not see the object queries"),
    "texts_without_global": _ablated("texts_without_global", "captions do not see the global query"),
    "texts_without_latents": _ablated("texts_without_latents", "captions see no latent queries"),
    "copies_without_phrases": _ablated(
        "copies_without_phrases", "in referring, queries do not see the phrases"
    ),
    # Image-text pairs of a step
    "half_the_pairs": _ablated("half_the_pairs", "half of the pairs a step"),
    "a_quarter_of_the_pairs": _ablated("a_quarter_of_the_pairs", "a quarter of the pairs a step"),
    "an_eighth_of_the_pairs": _ablated("an_eighth_of_the_pairs", "an eighth of the pairs a step"),
    # Sources of pairs
    "without_lists": Cell(summary="no captions that list or count things", mixture=_styles("list", "count")),
    "without_places": Cell(summary="no captions that say where things are", mixture=_styles("places")),
    "without_relations": Cell(summary="no captions of relations", mixture=_styles("relation")),
    "without_settings": Cell(summary="no captions of the setting", mixture=_styles("setting")),
    "without_descriptions": Cell(
        summary="retrieval learns from captions alone", mixture=replace(MIXTURE, description_share=0.0)
    ),
    "without_indoor_pairs": Cell(summary="no text of scenes in a room", mixture=_settings("room")),
    # Scale
    "warm_narrow": Cell(
        summary="the warm start of a narrow decoder", stage="warm start", start="", sizes=_NARROW
    ),
    "narrow": Cell(summary="texts and decoder half as wide", start="warm_narrow", sizes=_NARROW),
    "warm_small": Cell(
        summary="the warm start of a small backbone", stage="warm start", start="", sizes=_SMALL
    ),
    "small_backbone": Cell(summary="a backbone half as wide", start="warm_small", sizes=_SMALL),
    # Transfer to one task
    "finetuned_segmentation": _finetuned("segmentation"),
    "finetuned_referring": _finetuned("referring"),
    "finetuned_captioning": _finetuned("captioning"),
    "finetuned_retrieval": _finetuned("retrieval"),
    "single_segmentation": _single("segmentation"),
    "single_referring": _single("referring"),
    "single_captioning": _single("captioning"),
    "single_retrieval": _single("retrieval"),
}
"""Every training, by name."""


def is_trained(cell: str, task: PretrainingTask) -> bool:
    """Whether a cell has learned a task; a score of another one says nothing of the cell."""
    return CELLS[cell].stage == "finetuning" or task not in CELLS[cell].ablation.left_out


@final
@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells that are looked at side by side.

    Attributes:
        title: with the paper's own number.
        cells: names in `CELLS`.
        metrics: columns, names in `METRICS`.
        against: cell -> the cell that it is compared with, where that is not the table's first.
    """

    title: str
    cells: tuple[str, ...]
    metrics: tuple[str, ...]
    against: Mapping[str, str] = field(default_factory=dict[str, str])

    def compared_with(self, cell: str) -> str | None:
        """The cell that another's scores are compared with; None for the table's first."""
        return None if cell == self.cells[0] else self.against.get(cell, self.cells[0])


TABLES: Final[Mapping[str, Table]] = {
    "tasks": Table(
        title="Pretraining tasks (Table 3)",
        cells=(
            "base",
            "without_retrieval",
            "without_captioning",
            "without_referring",
            "segmentation_only",
        ),
        metrics=(
            "val/pq",
            "val/miou",
            "pairs/pq",
            "synonyms/pq",
            "flat/pq",
            "ink/pq",
            "val/referring_ciou",
            "val/cider",
            "val/retrieval",
        ),
    ),
    "interactions": Table(
        title="Query interactions (Table 4)",
        cells=(
            "base",
            "texts_without_objects",
            "texts_without_global",
            "texts_without_latents",
            "copies_without_phrases",
        ),
        metrics=(
            "val/pq",
            "val/miou",
            "val/referring_ciou",
            "val/cider",
            "val/captions",
            "val/retrieval",
        ),
    ),
    "zero-shot": Table(
        title="Zero-shot transfer (Table 2)",
        cells=("base", "segmentation_only", "segmentation_and_nouns"),
        metrics=(
            *("pairs/pq", "pairs/miou", "unseen/pq", "unseen/miou", "synonyms/pq", "synonyms/miou"),
            *("flat/pq", "flat/miou", "ink/pq", "ink/miou"),
        ),
    ),
    "pairs": Table(
        title="Image-text pairs of a step (Table 5)",
        cells=("base", "half_the_pairs", "a_quarter_of_the_pairs", "an_eighth_of_the_pairs"),
        metrics=("val/pq", "pairs/pq", "val/referring_ciou", "val/cider", "val/retrieval"),
    ),
    "transfer": Table(
        title="Task-specific transfer (Table 1)",
        cells=(
            "base",
            "finetuned_segmentation",
            "single_segmentation",
            "finetuned_referring",
            "single_referring",
            "finetuned_captioning",
            "single_captioning",
            "finetuned_retrieval",
            "single_retrieval",
        ),
        metrics=("val/pq", "val/miou", "val/referring_ciou", "val/cider", "val/retrieval"),
        against={
            f"single_{task}": f"finetuned_{task}"
            for task in ("segmentation", "referring", "captioning", "retrieval")
        },
    ),
    "sources": Table(
        title="Sources of image-text pairs",
        cells=(
            "base",
            "without_lists",
            "without_places",
            "without_relations",
            "without_settings",
            "without_descriptions",
            "without_indoor_pairs",
        ),
        metrics=("val/pq", "pairs/pq", "val/referring_ciou", "val/cider", "val/retrieval"),
    ),
    "scale": Table(
        title="Scale",
        cells=("base", "narrow", "small_backbone"),
        metrics=("val/pq", "val/miou", "val/referring_ciou", "val/cider", "val/retrieval"),
    ),
    "compositions": Table(
        title="Compositions (Figure 6)",
        cells=("base", "without_referring", "without_retrieval", "without_captioning"),
        metrics=(
            "val/region_retrieval",
            "val/region_named",
            "val/referring_named",
            "val/region_captions",
            "val/referring_captions",
        ),
    ),
}
"""What `xdecoder reproduce` knows, by the name that is typed, in the order in which it is run."""


def find_tables(names: Sequence[str]) -> dict[str, Table]:
    """The tables of some names, all of them for none.

    Raises:
        ValueError: there is no such table.
    """
    unknown = [name for name in names if name not in TABLES]
    if unknown:
        raise ValueError(f"no table {', '.join(unknown)}; there are {', '.join(TABLES)}")
    return {name: table for name, table in TABLES.items() if not names or name in names}


def needed_cells(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """The cells of some tables and what they go on from, each after its start and otherwise in order."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if CELLS[name].start:
            add(CELLS[name].start)
        found[name] = None

    for table in tables.values():
        for name in table.cells:
            add(name)
    return tuple(found)
