"""`METRICS`: what every cell is scored by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from xdecoder.training.ablations import PretrainingTask


@final
@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score from 0 to 100 (CIDEr times 100: it may be more).

    Attributes:
        name: in a table's head.
        meaning: in words.
        task: the pretraining task whose output it scores; segmentation's unless told.
        smallest_effect: points below which a difference counts as none.
    """

    name: str
    meaning: str
    task: PretrainingTask = "segmentation"
    smallest_effect: float = 0.5


METRICS: Final[Mapping[str, Metric]] = {
    "val/pq": Metric(
        name="PQ",
        meaning="panoptic quality of categories on scenes of the held-out split, where one thing in twelve "
        "has a color that no training shows it in",
    ),
    "val/miou": Metric(name="mIoU", meaning="mean IoU of categories, by semantic segmentation, on these"),
    "val/referring_ciou": Metric(
        name="cIoU", meaning="cumulative IoU of referring expressions", task="referring"
    ),
    "val/cider": Metric(
        name="CIDEr",
        meaning="CIDEr-D of captions against five of each scene's own, times 100",
        task="captioning",
        smallest_effect=2.0,
    ),
    "val/captions": Metric(
        name="captions true", meaning="captions of which every statement is true", task="captioning"
    ),
    "val/retrieval": Metric(
        name="R@1",
        meaning="descriptions that find their scene first, and scenes their description",
        task="retrieval",
    ),
    "val/region_captions": Metric(
        name="region captions",
        meaning="captions of one thing, by its mask, that are true of it; no cell is trained on such "
        "captions",
        task="captioning",
    ),
    "val/referring_captions": Metric(
        name="referring captions",
        meaning="captions of what a referring expression means that are true of it",
        task="captioning",
    ),
    "val/region_named": Metric(
        name="region named",
        meaning="captions of one thing, by its mask, in which the word of its category stands",
        task="captioning",
    ),
    "val/referring_named": Metric(
        name="referring named",
        meaning="captions of what a referring expression means in which the word of its category stands",
        task="captioning",
    ),
    "val/region_retrieval": Metric(
        name="region retrieval",
        meaning='a colored thing that one scene alone shows, asked for as "a COLOR CATEGORY": its scene '
        "found first, and its mask with an IoU of one half or more",
        task="retrieval",
    ),
    "pairs/pq": Metric(
        name="PQ unseen pairs",
        meaning='PQ of classes "COLOR CATEGORY" that no training shows, among every thing in every color, on '
        "scenes with such things",
    ),
    "pairs/miou": Metric(name="mIoU unseen pairs", meaning="mIoU of these classes"),
    "unseen/pq": Metric(
        name="PQ unseen colors",
        meaning="PQ of categories on the same scenes, where a third of the segments are things in a "
        "color that no training shows them in",
    ),
    "unseen/miou": Metric(name="mIoU unseen colors", meaning="mIoU of categories on these scenes"),
    "flat/pq": Metric(
        name="PQ flat", meaning="PQ of categories on scenes in flat colors, without light, shade or texture"
    ),
    "flat/miou": Metric(name="mIoU flat", meaning="mIoU of categories on these scenes"),
    "ink/pq": Metric(name="PQ ink", meaning="PQ of categories on scenes drawn in ink"),
    "ink/miou": Metric(name="mIoU ink", meaning="mIoU of categories on these scenes"),
    "synonyms/pq": Metric(
        name="PQ synonyms",
        meaning="PQ of the classes that have a synonym, all named by it; segments never come with one, "
        "captions and phrases do, and so do the nouns of `segmentation_and_nouns`",
    ),
    "synonyms/miou": Metric(name="mIoU synonyms", meaning="mIoU of these classes, so named"),
}
"""Every score by its name: the kind of scenes, and what is measured on them."""
