"""`xdecoder search`: images and their regions, found by words or by likeness."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from xdecoder.cli.options import Device, DtypeOption, ImagePrompt, JsonFacts, check_file
from xdecoder.jobs.printable import printable

if TYPE_CHECKING:
    from xdecoder.predictor.options import SearchOptions
    from xdecoder.predictor.prompts import Prompt
    from xdecoder.search import Example, Found

EPILOG = (
    "xdecoder search photos.index 'a red car beside a tree' --out page.html\n\n"
    "xdecoder search photos.index 'a red car' --regions --where \"label = 'car' AND area > 5000\"\n\n"
    "xdecoder search photos.index 'the car beside the tree' --ground -k 5 --json\n\n"
    "xdecoder search photos.index --image car.jpg --box 10,20,200,180"
)


@dataclass(frozen=True, kw_only=True)
class QueryOptions:
    """What is looked for, beside the words."""

    image: Annotated[
        Path | None,
        typer.Option(
            help="Find what is like this image, or like a region of it, in place of words.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None
    k: Annotated[int, typer.Option("-k", min=1, help="Hits at the most.")] = 12
    regions: Annotated[
        bool,
        typer.Option(
            "--regions", help="Find regions of images, best for a single thing; with --box or --mask always."
        ),
    ] = False
    ground: Annotated[
        bool, typer.Option("--ground", help="Find images, then what the words mean in each, with its mask.")
    ] = False
    where: Annotated[
        str | None,
        typer.Option(
            help="A filter in SQL: on images' path, width, height, labels (\"array_has(labels, 'car')\"); on "
            "regions' path, label, is_thing, score, area, left, top, right, bottom (\"label = 'car'\").",
            metavar="SQL",
            show_default=False,
        ),
    ] = None

    def options(self, query: str | None, region: Prompt | None) -> SearchOptions:
        """The kind of hits, their number and the filter, checked before a model is loaded.

        Args:
            query: the words to find; None where an image is given.
            region: of the image; regions are like it, not images.

        Raises:
            ValueError: they do not go together.
        """
        from xdecoder.predictor.options import SearchOptions

        if region is not None and self.image is None:
            raise ValueError("--box and --mask are of an image: add --image FILE")
        if self.ground and (self.image is not None or self.regions):
            raise ValueError(
                "--ground finds images by words and grounds these: leave out --image and --regions"
            )
        kind = "grounded" if self.ground else "regions" if self.regions or region is not None else "images"
        options = SearchOptions(kind=kind, k=self.k, where=self.where)
        options.check(query, by_image=self.image is not None, by_region=region is not None)
        return options

    def example(self, region: Prompt | None) -> Example | None:
        """The image, or the region of it, to search with; None for words."""
        from xdecoder.search import Example

        if self.image is None:
            return None
        name = f"like {self.image}" if region is None else f"like a region of {self.image}"
        return Example(image=self.image, region=region, name=name)


@dataclass(frozen=True, kw_only=True)
class PageOutput:
    """Where hits go."""

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
    ] = None
    as_json: JsonFacts = False


def search(
    place: Annotated[
        str, typer.Argument(help="The index: a folder or an address.", metavar="DIR", show_default=False)
    ],
    query: Annotated[
        str | None,
        typer.Argument(help="What to find, in words.", metavar="QUERY", show_default=False),
    ] = None,
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
    *,
    wanted: QueryOptions,
    prompt: ImagePrompt,
    output: PageOutput,
) -> None:
    """Find images of an index, or regions in them, by words or by likeness."""
    region = prompt.parse()
    options = wanted.options(query, region)
    if output.out is not None:
        check_file("--out", output.out, (".html",))

    from xdecoder.cli.loading import load_predictor
    from xdecoder.cli.over_images import print_json
    from xdecoder.jobs.files import remove_drafts, write_whole
    from xdecoder.search import Index, write_page
    from xdecoder.search.tables import Tables

    config = Tables.open(place).config
    predictor = load_predictor(weights or config.weights, device=device, dtype=dtype, batch_size=None)
    found = Index.open(place, predictor).find(wanted.example(region) or query or "", options)
    if output.out is not None:
        output.out.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(output.out.parent)
        write_whole(output.out, write_page(found).encode())
    if output.as_json:
        print_json(found.to_dict())
    else:
        _print_table(found)


def _print_table(found: Found) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("cosine", justify="right")
    table.add_column("image", overflow="fold")
    if found.kind != "images":
        table.add_column("region")
        table.add_column("box")
    for rank, hit in enumerate(found.hits, start=1):
        cells = [f"{rank}", f"{hit.similarity:.3f}", escape(printable(hit.path))]
        if hit.region is not None:
            corners = ",".join(f"{side:.0f}" for side in hit.region.box)
            cells += [escape(printable(f"{hit.region.label} {hit.region.score:.2f}")), corners]
        table.add_row(*cells)
    Console().print(table)
    if not found.hits:
        typer.echo("nothing in the index fits the filter")
