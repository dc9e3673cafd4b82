"""`xdecoder`: the commands joined."""

from __future__ import annotations

from typing import Annotated

import typer

from xdecoder.cli.command import add_command
from xdecoder.cli.commands import (
    answer,
    caption,
    convert,
    datasets,
    demo,
    edit,
    embed,
    evaluate,
    export,
    index,
    info,
    label,
    picturebook,
    refer,
    reproduce,
    score,
    search,
    segment,
    serve,
    train,
    weights,
)

app = typer.Typer(
    name="xdecoder",
    help="One model for segmentation with words, referring, captions, answers and retrieval.",
    epilog="xdecoder segment photo.jpg --vocabulary 'dog, cat, grass'\n\n"
    "xdecoder refer photo.jpg 'the left dog'\n\n"
    "xdecoder caption photos/ --json\n\n"
    "xdecoder answer photo.jpg 'how many dogs are there?'\n\n"
    "Exit codes: 0 done, 1 failed, wholly or for some images, 2 usage or bad input, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
add_command(app, epilog=segment.EPILOG)(segment.segment)
add_command(app, epilog=refer.EPILOG)(refer.refer)
add_command(app, epilog=caption.EPILOG)(caption.caption)
add_command(app, epilog=answer.EPILOG)(answer.answer)
add_command(app, epilog=edit.EPILOG)(edit.edit)
add_command(app, epilog=convert.EPILOG)(convert.convert)
add_command(app, epilog=embed.EPILOG)(embed.embed)
add_command(app, epilog=label.EPILOG)(label.label)
add_command(app, epilog=index.EPILOG)(index.index)
add_command(app, epilog=search.EPILOG)(search.search)
add_command(app, epilog=serve.EPILOG)(serve.serve)
add_command(app, epilog=demo.EPILOG)(demo.demo)
add_command(app, epilog=train.EPILOG)(train.train)
add_command(app, epilog=reproduce.EPILOG)(reproduce.reproduce)
add_command(app, epilog=export.EPILOG)(export.export)
add_command(app, epilog=evaluate.EPILOG)(evaluate.evaluate)
add_command(app, epilog=score.EPILOG)(score.score)
app.add_typer(weights.app, name="weights")
app.add_typer(datasets.app, name="datasets")
app.add_typer(picturebook.app, name="picturebook")
add_command(app, epilog=info.EPILOG)(info.info)


def _version(wanted: bool) -> bool:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"xdecoder {version('xdecoder')}")
        raise typer.Exit
    return wanted


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """One model for segmentation with words, referring, captions, answers and retrieval."""
