"""`xdecoder`: the commands joined."""

from __future__ import annotations

from typing import Annotated

import typer

from xdecoder.cli.commands import (
    answer,
    datasets,
    demo,
    edit,
    evaluate,
    inference,
    info,
    picturebook,
    score,
    search,
    train,
    weights,
)
from xdecoder.cli.options import expand_options

app = typer.Typer(
    name="xdecoder",
    help="One model for segmentation with words, referring, captions, answers and retrieval.",
    epilog="xdecoder segment photo.jpg --vocabulary 'dog, cat, grass'\n\n"
    "xdecoder refer photo.jpg 'the left dog'\n\n"
    "xdecoder caption photos/ --json\n\n"
    "xdecoder answer photo.jpg 'how many dogs are there?'\n\n"
    "Exit codes: 0 done, 1 some images failed, 2 usage or bad input, 130 interrupted.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
inference.add_commands(app)
app.command(epilog=answer.EPILOG)(expand_options(answer.answer))
app.command(epilog=edit.EPILOG)(expand_options(edit.edit))
app.command(epilog=search.INDEX_EPILOG)(expand_options(search.index))
app.command(epilog=search.SEARCH_EPILOG)(search.search)
app.add_typer(weights.app, name="weights")
app.add_typer(datasets.app, name="datasets")
app.add_typer(picturebook.app, name="picturebook")
app.command(
    epilog="xdecoder demo\n\nxdecoder demo photos/ --phrase 'the left dog' --weights xdecoder_focalt_last"
)(demo.demo)
app.command(epilog="xdecoder train list\n\nxdecoder train picturebook --out runs/picturebook")(train.train)
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(epilog=score.EPILOG)(score.score)
app.command("info", epilog="xdecoder info --json")(info.info)


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
