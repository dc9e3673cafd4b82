"""What each verb can be told, checked: one record a verb, for Python, the command line and servers.

A field that is None stands for the model's own setting (`InferenceConfig`), which the records' methods give.
Nothing heavy is imported here, so that options are refused before a model is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from xdecoder.bounds import check_share, check_whole_number, require
from xdecoder.config import InferenceConfig, ModelConfig

SegmentationTask = Literal["panoptic", "instance", "semantic"]
HitKind = Literal["images", "regions", "grounded"]

MOST_PIXELS = 1 << 15
"""Of a side that an image is brought to; no model and no memory is made for more."""

_TASK_OF = {
    "object_threshold": "panoptic",
    "overlap_threshold": "panoptic",
    "score_threshold": "instance",
    "detections": "instance",
}


@dataclass(frozen=True, kw_only=True)
class EncodeOptions:
    """The size that images are brought to.

    Attributes:
        short_side: pixels that the shorter side is resized to.
        long_side: pixels that the longer side has at the most; where None, the model's own limit, grown with
            a larger short side.
    """

    short_side: int | None = None
    long_side: int | None = None

    def __post_init__(self) -> None:
        for name in ("short_side", "long_side"):
            if getattr(self, name) is not None:
                check_whole_number(name, getattr(self, name), most=MOST_PIXELS)

    def resolve(self, settings: InferenceConfig) -> tuple[int, int]:
        """The short and the long side, in pixels.

        Raises:
            ValueError: the long side is less than the short one.
        """
        short = self.short_side or settings.short_side
        grown = max(settings.long_side, round(settings.long_side / settings.short_side * short))
        long = self.long_side or grown
        require(long >= short, f"long_side {long} must not be less than short_side {short}")
        return short, long


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """How images are divided into classes.

    Attributes:
        task: "panoptic" (every pixel once; things apart, stuff merged), "instance" (things alone, with
            scores, may overlap) or "semantic" (a class for every pixel).
        object_threshold: panoptic: class probability over which a query counts.
        overlap_threshold: panoptic: share of its own mask that a segment must have won.
        score_threshold: instance: scores below are left out; by default none is.
        detections: instance: the best (query, class) pairs that are kept, before those of stuff are dropped.
    """

    task: SegmentationTask = "panoptic"
    object_threshold: float | None = None
    overlap_threshold: float | None = None
    score_threshold: float | None = None
    detections: int | None = None

    def __post_init__(self) -> None:
        tasks = get_args(SegmentationTask)
        require(self.task in tasks, f"task must be one of {', '.join(tasks)}; got {self.task!r}")
        for name, task in _TASK_OF.items():
            value = getattr(self, name)
            if value is None:
                continue
            if name == "detections":
                check_whole_number(name, value)
            else:
                check_share(name, value)
            require(
                task == self.task,
                f"{name} says nothing to the task {self.task}: it is for {task}; leave it out",
            )

    def thresholds(self, settings: InferenceConfig) -> tuple[float, float]:
        """Panoptic segmentation's object and overlap threshold."""
        chosen, overlap = self.object_threshold, self.overlap_threshold
        return (
            settings.object_threshold if chosen is None else chosen,
            settings.overlap_threshold if overlap is None else overlap,
        )


@dataclass(frozen=True, kw_only=True)
class ReferOptions:
    """How phrases are grounded.

    Attributes:
        together: phrases share one pass and see one another, as the published numbers were made; False
            grounds each by itself, so that its mask does not depend on the others.
    """

    together: bool = True

    def __post_init__(self) -> None:
        require(
            self.together is True or self.together is False,
            f"together must be True or False, got {self.together!r}",
        )


@dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """How sentences are searched.

    Attributes:
        beams: sentences kept while searching; 1 takes the likeliest word at each step, as published.
        steps: tokens at the most.
    """

    beams: int | None = None
    steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("beams", "steps"):
            if getattr(self, name) is not None:
                check_whole_number(name, getattr(self, name))

    def resolve(self, config: ModelConfig) -> tuple[int, int]:
        """Beams and steps.

        Raises:
            ValueError: there are more steps than the model has places for, or more beams than words.
        """
        settings, most = config.inference, config.text.context_length - 1
        steps = min(settings.caption_steps, most) if self.steps is None else self.steps
        check_whole_number("steps", steps, most=most)
        beams = self.beams or settings.caption_beams
        check_whole_number("beams", beams, most=config.text.vocabulary_size)
        return beams, steps


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """How answers are told.

    Attributes:
        top_k: candidates an answer has at the most.
    """

    top_k: int = 5

    def __post_init__(self) -> None:
        check_whole_number("top_k", self.top_k)


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """What an index is searched for.

    Attributes:
        kind: "images", "regions" of images, or "grounded": images, and in each what the words mean.
        k: hits at the most.
        where: a filter in SQL; see `xdecoder.search.Index`.
    """

    kind: HitKind = "images"
    k: int = 12
    where: str | None = None

    def __post_init__(self) -> None:
        kinds = get_args(HitKind)
        require(self.kind in kinds, f"kind must be one of {', '.join(kinds)}; got {self.kind!r}")
        check_whole_number("k", self.k)

    def check(self, query: str | None, *, by_image: bool, by_region: bool) -> None:
        """Refuse what cannot be found.

        Args:
            query: the words; None where an image is given.
            by_image: an image is given.
            by_region: a region of it is meant.

        Raises:
            ValueError: there are no words and no image, or both; the kind does not fit them.
        """
        require((query is None) == by_image, "say what to find, once: in words, or by an image")
        require(query is None or bool(query.strip()), "an empty query means nothing; write some words")
        require(by_image or not by_region, "a region is of an image: give the image too")
        require(self.kind != "grounded" or not by_image, "grounded hits are found by a query in words")
        require(not by_region or self.kind == "regions", "a region is like other regions: search these")
