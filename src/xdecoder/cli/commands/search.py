"""`xdecoder index` and `xdecoder search`: images and their regions, found by words or by likeness."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from xdecoder.cli.console import FAILED, console, describe_file, print_error, report_errors
from xdecoder.cli.options import Debug, Device, DtypeOption, JsonFacts, ModelOptions
from xdecoder.cli.prompts import RegionBox, RegionMask, parse_prompt

if TYPE_CHECKING:
    from xdecoder.predictor.prompts import Prompt
    from xdecoder.search import Found, Index, IndexingReport

INDEX_EPILOG = (
    "xdecoder index photos/ --to photos.index\n\n"
    "xdecoder index photos/ --to s3://bucket/photos.index --vocabulary 'car, tree, road'"
)
SEARCH_EPILOG = (
    "xdecoder search photos.index 'a red car beside a tree' --out page.html\n\n"
    "xdecoder search photos.index 'a red car' --regions --where \"label = 'car' AND area > 5000\"\n\n"
    "xdecoder search photos.index 'the car beside the tree' --ground -k 5 --json\n\n"
    "xdecoder search photos.index --image car.jpg --box 10,20,200,180"
)


def index(
    folder: Annotated[
        Path, typer.Argument(help="Images, with those in subfolders.", metavar="FOLDER", show_default=False)
    ],
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Where the index is or will be: a folder, or an address such as s3://bucket/index.",
            metavar="DIR",
            show_default=False,
        ),
    ],
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            "-v",
            help="Classes of the regions, as for segment. By default those that the index has; for a new "
            "one the model's own.",
            show_default=False,
        ),
    ] = None,
    *,
    options: ModelOptions,
) -> None:
    """Index a folder's images and their regions, to be found by `xdecoder search`.

    Run it again after changes: what is unchanged is passed over, what is gone
    is taken out. A run that was killed goes on in the same way, and several may
    work on one index at once.
    """
    with report_errors(debug=options.debug):
        from xdecoder.cli.over_images import embed_vocabulary
        from xdecoder.cli.progress import Progress
        from xdecoder.search import Index
        from xdecoder.search.folder import absolute

        predictor = options.load()
        opened = Index.create(
            to,
            predictor,
            vocabulary=vocabulary,
            short_side=options.short_side,
            weights=str(absolute(options.weights)) if Path(options.weights).is_dir() else options.weights,
        )
        embed_vocabulary(predictor, opened.about.vocabulary)
        start = time.monotonic()
        with Progress("images", speed=True) as progress:
            report = opened.update(folder, progress=progress, debug=options.debug)
        _tell(report, opened, time.monotonic() - start)
        raise typer.Exit(FAILED if report.failures else 0)


def search(
    place: Annotated[
        str, typer.Argument(help="The index: a folder or an address.", metavar="DIR", show_default=False)
    ],
    query: Annotated[
        str | None,
        typer.Argument(help="What to find, in words.", metavar="QUERY", show_default=False),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(
            help="Find what is like this image, or like a region of it, in place of words.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    box: RegionBox = None,
    mask: RegionMask = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Hits at the most.")] = 12,
    regions: Annotated[
        bool,
        typer.Option(
            "--regions", help="Find regions of images, best for a single thing; with --box or --mask always."
        ),
    ] = False,
    ground: Annotated[
        bool, typer.Option("--ground", help="Find images, then what the words mean in each, with its mask.")
    ] = False,
    where: Annotated[
        str | None,
        typer.Option(
            help="A filter in SQL: on images' path, width, height, labels (\"array_has(labels, 'car')\"); on "
            "regions' path, label, is_thing, score, area, left, top, right, bottom (\"label = 'car'\").",
            metavar="SQL",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write a page with the pictures.",
            metavar="FILE.html",
            show_default=False,
            rich_help_panel="Output",
        ),
    ] = None,
    as_json: JsonFacts = False,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            help="The model that made the index; by default under the name it had then.",
            metavar="NAME|FOLDER|HUB_ID",
            show_default=False,
            rich_help_panel="Model",
        ),
    ] = None,
    device: Device = None,
    dtype: DtypeOption = None,
    debug: Debug = False,
) -> None:
    """Find images of an index, or regions in them, by words or by likeness."""
    with report_errors(debug=debug):
        part = parse_prompt(None, box, mask)
        _check(query, image, part, out, regions=regions, ground=ground)

        from xdecoder.cli.over_images import load_predictor, print_json
        from xdecoder.jobs.files import write_whole
        from xdecoder.search import Example, Index, write_page
        from xdecoder.search.tables import Tables

        about = Tables.open(place).about
        predictor = load_predictor(weights or about.weights, device=device, dtype=dtype, batch_size=None)
        opened = Index.open(place, predictor)
        if query is None:
            assert image is not None  # one of the two is given: see `_check`
            name = f"like {image}" if part is None else f"like a region of {image}"
            example = Example(image=image, region=part, name=name)
            find = opened.find_regions if regions or part is not None else opened.find_images
            found = find(example, k=k, where=where)
        elif ground:
            found = opened.ground(query, k=k, where=where)
        else:
            found = (opened.find_regions if regions else opened.find_images)(query, k=k, where=where)
        if out is not None:
            write_whole(out, write_page(found).encode())
        if as_json:
            print_json(found.to_dict())
        else:
            _print_table(found)


def _check(
    query: str | None,
    image: Path | None,
    part: Prompt | None,
    out: Path | None,
    *,
    regions: bool,
    ground: bool,
) -> None:
    """Refuse what does not go together, before a model is loaded.

    Raises:
        ValueError: saying what to do.
    """
    if (query is None) == (image is None):
        raise ValueError("say what to find, once: in words, or with --image FILE")
    if query is not None and not query.strip():
        raise ValueError("an empty query means nothing; write some words")
    if part is not None and image is None:
        raise ValueError("--box and --mask are of an image: add --image FILE")
    if ground and (image is not None or regions):
        raise ValueError("--ground finds images by words and grounds these: leave out --image and --regions")
    if out is not None and out.suffix.lower() != ".html":
        raise ValueError(f"--out {out}: expected a name ending in .html")


def _tell(report: IndexingReport, opened: Index, seconds: float) -> None:
    """What was done, and the images that could not be read."""
    from xdecoder.cli.progress import speed

    speed_of = f" ({speed(report.indexed / seconds)})" if report.indexed > 1 else ""
    images, regions = opened.tables.count("images"), opened.tables.count("regions")
    console().print(
        f"{report.indexed} images indexed in {seconds:.1f} s{speed_of}, {report.unchanged} unchanged, "
        f"{report.removed} removed; {opened.tables.place} holds {images} images and {regions} regions",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    for failure in report.failures:
        print_error(describe_file(failure.path, failure.error))


def _print_table(found: Found) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("cosine", justify="right")
    table.add_column("image", overflow="fold")
    if found.kind != "images":
        table.add_column("region")
        table.add_column("box")
    for rank, hit in enumerate(found.hits, start=1):
        cells = [f"{rank}", f"{hit.similarity:.3f}", escape(hit.path)]
        if hit.region is not None:
            corners = ",".join(f"{side:.0f}" for side in hit.region.box)
            cells += [escape(f"{hit.region.label} {hit.region.score:.2f}"), corners]
        table.add_row(*cells)
    Console().print(table)
    if not found.hits:
        typer.echo("nothing in the index fits the filter")
