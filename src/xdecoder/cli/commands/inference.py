"""`xdecoder segment`, `refer`, `caption` and `embed`: a model over images, from the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from xdecoder.cli.console import report_errors
from xdecoder.cli.options import DataOutput, Images, Json, ModelOptions, PictureOutput, expand_options
from xdecoder.cli.prompts import RegionBox, RegionMask, RegionPhrase, parse_prompt
from xdecoder.cli.texts import FirstImage, images_and_texts

if TYPE_CHECKING:
    from xdecoder.cli.over_images import Pixels
    from xdecoder.cli.targets import Target
    from xdecoder.predictor.predictor import Segmentation
    from xdecoder.structures import Caption, Grounding


class SegmentationTask(StrEnum):
    """What `segment` makes."""

    panoptic = "panoptic"
    instance = "instance"
    semantic = "semantic"


def add_commands(app: typer.Typer) -> None:
    """Give the application the commands of this file."""
    app.command(
        epilog="xdecoder segment photo.jpg\n\n"
        "xdecoder segment photos/ --vocabulary 'dog, cat, grass' --stuff grass --out results\n\n"
        "xdecoder segment 'photos/**/*.jpg' --task instance --score-threshold 0.5 --json"
    )(expand_options(segment))
    app.command(
        epilog="xdecoder refer photo.jpg 'the left dog'\n\n"
        "xdecoder refer photos/ 'the left dog' 'a red ball' --one-by-one\n\n"
        "xdecoder refer one.jpg two.jpg -p 'the left dog' -p 'a red ball'"
    )(expand_options(refer))
    app.command(
        epilog="xdecoder caption photo.jpg\n\n"
        "xdecoder caption photos/ --beams 4 --json\n\n"
        "xdecoder caption photo.jpg --region 'the left dog'\n\n"
        "xdecoder caption photo.jpg --box 10,20,200,180"
    )(expand_options(caption))
    app.command(
        epilog="xdecoder embed photos/ --text 'a dog on grass' --text 'a red car'\n\n"
        "xdecoder embed photos/ --out photos.safetensors"
    )(expand_options(embed))


def segment(
    images: Images,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes: coco, ade20k, cityscapes, ..., names with commas ('dog, grass'), or a .txt or "
            ".json file. By default those of --things and --stuff, or the model's own.",
            show_default=False,
        ),
    ] = None,
    things: Annotated[
        str | None, typer.Option(help="Classes that are countable things, with commas.", show_default=False)
    ] = None,
    stuff: Annotated[
        str | None, typer.Option(help="Classes that are stuff, such as sky.", show_default=False)
    ] = None,
    task: Annotated[
        SegmentationTask,
        typer.Option(help="panoptic: every pixel once; instance: things alone; semantic: a class a pixel."),
    ] = SegmentationTask.panoptic,
    object_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="panoptic: class probability over which a segment counts.", show_default=False
        ),
    ] = None,
    overlap_threshold: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="panoptic: share of its mask that a segment must keep.", show_default=False
        ),
    ] = None,
    score_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="instance: leave out scores below.")
    ] = 0.0,
    *,
    pictures: PictureOutput,
    options: ModelOptions,
) -> None:
    """Divide images into the classes of any vocabulary."""
    with report_errors(debug=options.debug):
        from xdecoder.cli.over_images import Output, embed_vocabulary, run
        from xdecoder.cli.targets import find_targets
        from xdecoder.vocabularies import parse_vocabulary

        given = vocabulary is not None or things is not None or stuff is not None
        words = parse_vocabulary(vocabulary, things=things, stuff=stuff) if given else None
        output = Output(
            folder=pictures.folder, as_json=pictures.as_json, skip_existing=pictures.skip_existing
        )
        targets = find_targets(images, pictures.folder)
        predictor = options.load()
        classes = words or predictor.default_vocabulary
        embed_vocabulary(predictor, classes)

        def work(pictures: list[Pixels]) -> list[Segmentation]:
            results = predictor.segment(
                predictor.encode(pictures, short_side=options.short_side),
                classes,
                task=task.value,
                object_threshold=object_threshold,
                overlap_threshold=overlap_threshold,
                score_threshold=score_threshold,
            )
            return cast("list[Segmentation]", results)

        def finish(target: Target, result: Segmentation) -> None:
            output.write(target, result.to_dict(), result.save)
            if len(targets) == 1 and not pictures.as_json:
                typer.echo(str(result))

        code = run(
            targets, output, batch_size=predictor.batch_size, verb=work, finish=finish, debug=options.debug
        )
        raise typer.Exit(code)


def refer(
    image: FirstImage,
    more: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to find, a phrase each; with --phrase, further images.",
            metavar="PHRASE",
            show_default=False,
        ),
    ] = None,
    phrase: Annotated[
        list[str] | None,
        typer.Option(
            "--phrase",
            "-p",
            help="What to find; may be given several times. All arguments are then images.",
            show_default=False,
        ),
    ] = None,
    one_by_one: Annotated[
        bool,
        typer.Option(
            "--one-by-one",
            help="Find each phrase by itself, so that its mask does not depend on the others; else they see "
            "one another, as the published numbers were made.",
        ),
    ] = False,
    *,
    pictures: PictureOutput,
    options: ModelOptions,
) -> None:
    """Find what phrases mean: one mask for each.

    The first argument is an image, a folder or a glob, the others are phrases.
    For several images give the phrases with -p: all arguments are images then.
    """
    with report_errors(debug=options.debug):
        sources, phrases = images_and_texts(
            "refer", image, more, phrase, what="phrase", example="the left dog"
        )

        from xdecoder.cli.over_images import Output, run
        from xdecoder.cli.targets import find_targets

        output = Output(
            folder=pictures.folder, as_json=pictures.as_json, skip_existing=pictures.skip_existing
        )
        targets = find_targets(sources, pictures.folder)
        predictor = options.load()

        def work(pictures: list[Pixels]) -> list[Grounding]:
            encoded = predictor.encode(pictures, short_side=options.short_side)
            return predictor.refer(encoded, phrases, together=not one_by_one)

        def finish(target: Target, result: Grounding) -> None:
            output.write(target, result.to_dict(), result.save)
            if len(targets) == 1 and not pictures.as_json:
                typer.echo(str(result))

        code = run(
            targets, output, batch_size=predictor.batch_size, verb=work, finish=finish, debug=options.debug
        )
        raise typer.Exit(code)


def caption(
    images: Images,
    region: RegionPhrase = None,
    box: RegionBox = None,
    mask: RegionMask = None,
    beams: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Sentences kept while searching; 1 takes the likeliest word; by default the model's own.",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens at the most; by default the model's own.", show_default=False),
    ] = None,
    *,
    data_output: DataOutput,
    options: ModelOptions,
) -> None:
    """Describe images, or a region of them, in a sentence.

    Prints the sentence; for several images, after the file's name and a tab.
    """
    with report_errors(debug=options.debug):
        part = parse_prompt(region, box, mask)

        from xdecoder.cli.over_images import Output, run
        from xdecoder.cli.targets import find_targets

        output = Output(
            folder=data_output.out,
            as_json=data_output.as_json,
            skip_existing=data_output.skip_existing,
            pictures=False,
        )
        targets = find_targets(images, data_output.out)
        predictor = options.load()

        def work(pictures: list[Pixels]) -> list[Caption]:
            encoded = predictor.encode(pictures, short_side=options.short_side)
            return predictor.caption(encoded, region=part, beams=beams, steps=steps)

        def finish(target: Target, result: Caption) -> None:
            output.write(target, {"kind": "caption", **result.to_dict()}, None)
            if not data_output.as_json:
                typer.echo(result.text if len(targets) == 1 else f"{target.path}\t{result.text}")

        code = run(
            targets,
            output,
            batch_size=predictor.batch_size,
            verb=work,
            finish=finish,
            prints=True,
            debug=options.debug,
        )
        raise typer.Exit(code)


def embed(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            help="Images, folders (with their subfolders) and globs.",
            metavar="IMAGE",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option("--text", "-t", help="A text; may be given several times.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The file to write, .npz or .safetensors. By default embeddings.npz; with --json none.",
            metavar="FILE",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None,
    as_json: Json = False,
    *,
    options: ModelOptions,
) -> None:
    """Embed images and texts in the space that they share.

    The file holds unit vectors, one row each: of images as "decoder" and
    "backbone" (files in "image_names"), of texts as "texts" ("text_names").
    Given both, it holds the "similarity", which is printed: the mean cosine.
    """
    with report_errors(debug=options.debug):
        from xdecoder.cli.commands import embedding

        file = out if out is not None or as_json else Path("embeddings.npz")
        code = embedding.embed(
            images or [],
            text or [],
            file=file,
            as_json=as_json,
            short_side=options.short_side,
            model=options.load,
            debug=options.debug,
        )
        raise typer.Exit(code)
