"""`xdecoder serve`: the model over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xdecoder.cli.options import ModelChoice

if TYPE_CHECKING:
    from xdecoder.server.settings import ServerSettings

EPILOG = (
    "xdecoder serve\n\n"
    "xdecoder serve --index photos.index --port 8080\n\n"
    "xdecoder serve --host 0.0.0.0 --token-file token.txt"
)
_WHO = "Who may ask"
_LOAD = "Load"
_LABELS = "Label Studio"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the server listens, and who may ask."""

    host: Annotated[
        str, typer.Option(help="Address to bind to; by default this machine alone.", rich_help_panel=_WHO)
    ] = "127.0.0.1"
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to bind to; 0 for any.", rich_help_panel=_WHO)
    ] = 8000
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the token that clients must show. Needed where others reach the server.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_WHO,
        ),
    ] = None
    open_to_all: Annotated[
        bool,
        typer.Option(
            "--open-to-all",
            help="Let everybody who reaches the server in, without a token.",
            rich_help_panel=_WHO,
        ),
    ] = False


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much the server takes on."""

    batch: Annotated[
        int, typer.Option(min=1, help="Like requests answered together at the most.", rich_help_panel=_LOAD)
    ] = 8
    wait_ms: Annotated[
        float,
        typer.Option(
            min=0, help="Milliseconds that a request waits for others like it.", rich_help_panel=_LOAD
        ),
    ] = 5
    queue: Annotated[
        int,
        typer.Option(
            min=1, help="Requests admitted at once; others are told to try again.", rich_help_panel=_LOAD
        ),
    ] = 64
    max_slowdown: Annotated[
        float,
        typer.Option(
            min=1,
            help="Admit a request only if its expected latency is at most this many times that on an idle "
            "server; others are told to try again later (429). With inf --queue alone decides.",
            rich_help_panel=_LOAD,
        ),
    ] = 3
    max_megapixels: Annotated[
        float, typer.Option(help="The largest image, in millions of pixels.", rich_help_panel=_LOAD)
    ] = 16
    max_megabytes: Annotated[
        float, typer.Option(help="The largest request, in millions of bytes.", rich_help_panel=_LOAD)
    ] = 32
    cache_images: Annotated[
        int, typer.Option(min=1, help="Encoded images kept at the most.", rich_help_panel=_LOAD)
    ] = 64
    cache_megabytes: Annotated[
        float, typer.Option(help="Millions of bytes of them kept at the most.", rich_help_panel=_LOAD)
    ] = 1024


@dataclass(frozen=True, kw_only=True)
class Labeling:
    """The Label Studio whose tasks are labeled."""

    label_studio: Annotated[
        str | None,
        typer.Option(
            help="The Label Studio that tasks' images are fetched from; nothing else is ever fetched.",
            metavar="URL",
            show_default=False,
            rich_help_panel=_LABELS,
        ),
    ] = None
    label_studio_token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the access token of a user of it.",
            metavar="FILE",
            show_default=False,
            rich_help_panel=_LABELS,
        ),
    ] = None


def serve(
    index: Annotated[
        str | None,
        typer.Option(
            help="The collection that is searched, as `xdecoder index` makes it.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    *,
    access: Access,
    load: Load,
    labeling: Labeling,
    model: ModelChoice,
) -> None:
    """Serve the model over HTTP, until Ctrl-C.

    The API is described at /docs; docs/serving.md shows how to ask.
    """
    settings = _settings(access, load, labeling)
    try:
        from xdecoder.server.app import create_app
        from xdecoder.server.run import run
    except ImportError as error:
        raise ImportError(f"serving needs more packages ({error}): pip install 'xdecoder[serve]'") from error

    predictor = model.load(batch_size=settings.batch)
    opened = None
    if index is not None:
        from xdecoder.search import Index

        opened = Index.open(index, predictor)
    run(create_app(predictor, settings, index=opened, name=Path(model.source).name), settings)


def _settings(access: Access, load: Load, labeling: Labeling) -> ServerSettings:
    from xdecoder.server.settings import ServerSettings, read_token

    own, studio = access.token_file, labeling.label_studio_token_file
    return ServerSettings(
        host=access.host,
        port=access.port,
        token=None if own is None else read_token(own),
        open_to_all=access.open_to_all,
        batch=load.batch,
        wait_ms=load.wait_ms,
        queue=load.queue,
        max_slowdown=load.max_slowdown,
        max_megapixels=load.max_megapixels,
        max_megabytes=load.max_megabytes,
        cache_images=load.cache_images,
        cache_megabytes=load.cache_megabytes,
        label_studio=labeling.label_studio,
        label_studio_token=None if studio is None else read_token(studio),
    )
