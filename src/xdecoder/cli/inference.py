"""`xdecoder segment`, `refer`, `caption` and `embed`: a model over images, from the command line."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from xdecoder.cli.messages import told_errors
from xdecoder.cli.options import (
    BatchSize,
    Debug,
    Device,
    DtypeOption,
    Images,
    Json,
    Out,
    ShortSide,
    SkipExisting,
    Weights,
)

if TYPE_CHECKING:
    from xdecoder.cli.run import Pixels
    from xdecoder.cli.targets import Target
    from xdecoder.predictor import Region, Segmentation
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
    )(segment)
    app.command(
        epilog="xdecoder refer photo.jpg 'the left dog'\n\n"
        "xdecoder refer photos/ 'the left dog' 'a red ball' --one-by-one\n\n"
        "xdecoder refer one.jpg two.jpg -p 'the left dog' -p 'a red ball'"
    )(refer)
    app.command(
        epilog="xdecoder caption photo.jpg\n\n"
        "xdecoder caption photos/ --beams 4 --json\n\n"
        "xdecoder caption photo.jpg --region 'the left dog'\n\n"
        "xdecoder caption photo.jpg --box 10,20,200,180"
    )(caption)
    app.command(
        epilog="xdecoder embed photos/ --text 'a dog on grass' --text 'a red car'\n\n"
        "xdecoder embed photos/ --out photos.safetensors"
    )(embed)


def segment(
    images: Images,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes: coco, ade20k, cityscapes, ..., names with commas ('dog, grass'), or a .txt or "
            ".json file. By default those of --things and --stuff, or coco.",
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
    out: Out = None,
    as_json: Json = False,
    skip_existing: SkipExisting = False,
    weights: Weights = "picturebook",
    device: Device = None,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    short_side: ShortSide = None,
    debug: Debug = False,
) -> None:
    """Divide images into the classes of any vocabulary."""
    with told_errors(debug=debug):
        from xdecoder.cli.run import Output, embed_vocabulary, load_model, run
        from xdecoder.cli.targets import find_targets
        from xdecoder.vocabularies import parse_vocabulary

        spec = "coco" if vocabulary is None and things is None and stuff is None else vocabulary
        words = parse_vocabulary(spec, things=things, stuff=stuff)
        folder = _folder(out, as_json)
        output = Output(folder=folder, as_json=as_json, skip_existing=skip_existing)
        targets = find_targets(images, folder)
        predictor = load_model(weights, device=device, dtype=dtype, batch_size=batch_size)
        embed_vocabulary(predictor, words)

        def work(pictures: list[Pixels]) -> list[Segmentation]:
            results = predictor.segment(
                predictor.encode(pictures, short_side=short_side),
                words,
                task=task.value,
                object_threshold=object_threshold,
                overlap_threshold=overlap_threshold,
                score_threshold=score_threshold,
            )
            return cast("list[Segmentation]", results)

        def finish(target: Target, result: Segmentation) -> None:
            output.write(target, result.to_dict(), result.save)
            if len(targets) == 1 and not as_json:
                typer.echo(str(result))

        code = run(targets, output, batch_size=predictor.batch_size, verb=work, finish=finish, debug=debug)
        raise typer.Exit(code)


def refer(
    image: Annotated[
        str, typer.Argument(help="An image, a folder or a glob.", metavar="IMAGE", show_default=False)
    ],
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
    out: Out = None,
    as_json: Json = False,
    skip_existing: SkipExisting = False,
    weights: Weights = "picturebook",
    device: Device = None,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    short_side: ShortSide = None,
    debug: Debug = False,
) -> None:
    """Find what phrases mean: one mask for each.

    The first argument is an image, a folder or a glob, the others are phrases.
    For several images give the phrases with -p: all arguments are images then.
    """
    with told_errors(debug=debug):
        phrases = phrase or more or []
        sources = [image, *(more or [])] if phrase else [image]
        if not phrases:
            raise ValueError(f"what is to be found? Add a phrase: xdecoder refer {image} 'the left dog'")
        if not phrase and (file := next(filter(_exists, phrases), None)):
            raise ValueError(
                f"{file} is a file, and stands where phrases are; for several images, give the phrases "
                "with -p: xdecoder refer IMAGE IMAGE -p PHRASE"
            )
        if not all(text.strip() for text in phrases):
            raise ValueError("an empty phrase means nothing; leave it out or write some words")

        from xdecoder.cli.run import Output, load_model, run
        from xdecoder.cli.targets import find_targets

        folder = _folder(out, as_json)
        output = Output(folder=folder, as_json=as_json, skip_existing=skip_existing)
        targets = find_targets(sources, folder)
        predictor = load_model(weights, device=device, dtype=dtype, batch_size=batch_size)

        def work(pictures: list[Pixels]) -> list[Grounding]:
            encoded = predictor.encode(pictures, short_side=short_side)
            return predictor.refer(encoded, phrases, together=not one_by_one)

        def finish(target: Target, result: Grounding) -> None:
            output.write(target, result.to_dict(), result.save)
            if len(targets) == 1 and not as_json:
                typer.echo(str(result))

        code = run(targets, output, batch_size=predictor.batch_size, verb=work, finish=finish, debug=debug)
        raise typer.Exit(code)


def caption(
    images: Images,
    region: Annotated[
        str | None,
        typer.Option(help="Describe what this phrase means.", metavar="PHRASE", show_default=False),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            help="Describe this box, in pixels.", metavar="LEFT,TOP,RIGHT,BOTTOM", show_default=False
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            help="Describe where this picture of the image's size is white.",
            metavar="FILE.png",
            show_default=False,
        ),
    ] = None,
    beams: Annotated[
        int, typer.Option(min=1, help="Sentences kept while searching; 1 takes the likeliest next word.")
    ] = 1,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens at the most; by default the model's own.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for a NAME.json for each image; by default none is written.",
            metavar="FOLDER",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None,
    as_json: Json = False,
    skip_existing: SkipExisting = False,
    weights: Weights = "picturebook",
    device: Device = None,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    short_side: ShortSide = None,
    debug: Debug = False,
) -> None:
    """Describe images, or a region of them, in a sentence.

    Prints the sentence; for several images, after the file's name and a tab.
    """
    with told_errors(debug=debug):
        part = _region(region, box, mask)

        from xdecoder.cli.run import Output, load_model, run
        from xdecoder.cli.targets import find_targets

        output = Output(folder=out, as_json=as_json, skip_existing=skip_existing, pictures=False)
        targets = find_targets(images, out)
        predictor = load_model(weights, device=device, dtype=dtype, batch_size=batch_size)

        def work(pictures: list[Pixels]) -> list[Caption]:
            encoded = predictor.encode(pictures, short_side=short_side)
            return predictor.caption(encoded, region=part, beams=beams, steps=steps)

        def finish(target: Target, result: Caption) -> None:
            output.write(target, {"kind": "caption", **result.to_dict()}, None)
            if not as_json:
                typer.echo(result.text if len(targets) == 1 else f"{target.path}\t{result.text}")

        code = run(
            targets,
            output,
            batch_size=predictor.batch_size,
            verb=work,
            finish=finish,
            prints=True,
            debug=debug,
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
    weights: Weights = "picturebook",
    device: Device = None,
    dtype: DtypeOption = None,
    batch_size: BatchSize = None,
    short_side: ShortSide = None,
    debug: Debug = False,
) -> None:
    """Embed images and texts in the space that they share.

    The file holds unit vectors, one row each: of images as "decoder" and
    "backbone" (files in "image_names"), of texts as "texts" ("text_names").
    Given both, it holds the "similarity", which is printed: the mean cosine.
    """
    with told_errors(debug=debug):
        from xdecoder.cli import embedding
        from xdecoder.cli.run import load_model

        file = out if out is not None or as_json else Path("embeddings.npz")
        code = embedding.embed(
            images or [],
            text or [],
            file=file,
            as_json=as_json,
            short_side=short_side,
            model=lambda: load_model(weights, device=device, dtype=dtype, batch_size=batch_size),
            debug=debug,
        )
        raise typer.Exit(code)


def _folder(out: Path | None, as_json: bool) -> Path | None:
    return out if out is not None or as_json else Path("results")


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a path
        return False


def _region(phrase: str | None, box: str | None, mask: Path | None) -> Region | None:
    """The region that one of three options gives.

    Raises:
        ValueError: more than one is given, or it is malformed.
        FileNotFoundError: there is no such mask.
    """
    if sum(option is not None for option in (phrase, box, mask)) > 1:
        raise ValueError("give the region once: --region, --box or --mask")
    if mask is not None:
        from xdecoder.images import read_image

        return read_image(mask).min(axis=2) > 127
    if box is None:
        return phrase
    try:
        left, top, right, bottom = (float(number) for number in box.split(","))
    except ValueError:
        raise ValueError(f"--box takes four numbers, LEFT,TOP,RIGHT,BOTTOM; got {box!r}") from None
    return left, top, right, bottom
