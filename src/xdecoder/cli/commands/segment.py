"""`xdecoder segment`: images divided into the classes of any vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

import typer

from xdecoder.cli.command import Debug
from xdecoder.cli.labeling import FormatOptions
from xdecoder.cli.options import Images, ModelOptions, PictureOutput, VideoOptions
from xdecoder.predictor.options import SegmentationTask

if TYPE_CHECKING:
    from xdecoder.cli.over_images import ImageTask, Pixels, Results
    from xdecoder.predictor.predictor import Segmentation
    from xdecoder.vocabularies import Vocabulary

EPILOG = (
    "xdecoder segment photo.jpg\n\n"
    "xdecoder segment photos/ --vocabulary 'dog, cat, grass' --stuff grass --out results\n\n"
    "xdecoder segment photos/ --vocabulary 'dog, cat' --out results --format yolo\n\n"
    "xdecoder segment video.mp4 --vocabulary 'car, road' --every 5 --out results\n\n"
    "xdecoder segment 'photos/**/*.jpg' --task instance --score-threshold 0.5 --json"
)


@dataclass(frozen=True, kw_only=True)
class Classes:
    """The classes to look for."""

    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes: coco, ade20k, cityscapes, ..., names with commas ('dog, grass'), or a .txt or "
            ".json file. By default those of --things and --stuff, or the model's own.",
            show_default=False,
        ),
    ] = None
    things: Annotated[
        str | None, typer.Option(help="Classes that are countable things, with commas.", show_default=False)
    ] = None
    stuff: Annotated[
        str | None, typer.Option(help="Classes that are stuff, such as sky.", show_default=False)
    ] = None

    def parse(self) -> Vocabulary | None:
        """The classes; None where none are given.

        Raises:
            ValueError: they are malformed.
            FileNotFoundError: there is no such file.
        """
        from xdecoder.vocabularies import parse_vocabulary

        if self == Classes():
            return None
        return parse_vocabulary(self.vocabulary, things=self.things, stuff=self.stuff)


@dataclass(frozen=True, kw_only=True)
class SegmentationOptions:
    """What to make of the classes."""

    task: Annotated[
        SegmentationTask,
        typer.Option(help="panoptic: every pixel once; instance: things alone; semantic: a class a pixel."),
    ] = "panoptic"
    object_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="panoptic: class probability over which a segment counts.", show_default=False
        ),
    ] = None
    overlap_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="panoptic: share of its mask that a segment must keep.", show_default=False
        ),
    ] = None
    score_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="instance: leave out scores below; by default none.", show_default=False
        ),
    ] = None

    def check(self) -> None:
        """Refuse what does not fit the task, before a model is loaded; errors as `SegmentOptions`."""
        from xdecoder.predictor.options import SegmentOptions

        SegmentOptions(
            task=self.task,
            object_threshold=self.object_threshold,
            overlap_threshold=self.overlap_threshold,
            score_threshold=self.score_threshold,
        )


def segment(
    images: Images,
    *,
    classes: Classes,
    segmentation: SegmentationOptions,
    output: PictureOutput,
    export: FormatOptions,
    video: VideoOptions,
    model: ModelOptions,
    debug: Debug = False,
) -> int:
    """Divide images into the classes of any vocabulary.

    Videos, and camera:0, are worked on frame by frame: a drawn NAME.mp4 and a NAME.jsonl.
    """
    given = classes.parse()
    segmentation.check()
    export.check(output.folder)

    from xdecoder.cli.over_images import ImageTask
    from xdecoder.cli.over_video import run_over_sources

    def prepare(results: Results) -> ImageTask[Segmentation]:
        from xdecoder.cli.loading import embed_vocabulary

        predictor = model.load()
        vocabulary = given or predictor.default_vocabulary
        embed_vocabulary(predictor, vocabulary)

        def compute(images: list[Pixels]) -> list[Segmentation]:
            segmentations = predictor.segment(
                predictor.encode(images, short_side=model.short_side),
                vocabulary,
                task=segmentation.task,
                object_threshold=segmentation.object_threshold,
                overlap_threshold=segmentation.overlap_threshold,
                score_threshold=segmentation.score_threshold,
            )
            return cast("list[Segmentation]", segmentations)

        return ImageTask(compute=compute, batch_size=predictor.batch_size, finish=results.write_picture)

    return run_over_sources(images, output, prepare, export=export, video=video, debug=debug)
