"""A function as a command: its records of options become options, its errors a line and an exit code."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from xdecoder.cli.console import report_errors

_C = TypeVar("_C", bound=Callable[..., int | None])

Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        envvar="XDECODER_DEBUG",
        help="Show where an error comes from.",
        rich_help_panel="Output",
    ),
]

Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        help="Show results and errors alone: no warnings, notices or bars.",
        rich_help_panel="Output",
    ),
]


def add_command(
    app: typer.Typer, *, name: str | None = None, epilog: str | None = None
) -> Callable[[_C], _C]:
    """Make a function a command of an application.

    Each of its parameters that is a record (a dataclass) of options becomes these options. Its errors become
    a line, see `report_errors`, with their traceback where `--debug` asks for it; a function that wants to
    know takes `debug` itself. `--quiet` leaves out all but results and errors. What it returns is the exit
    code, None being 0.

    Args:
        app: typer's application, which the command is added to.
        name: what is typed; by default the function's name.
        epilog: examples, a blank line between two of them.

    Returns:
        What takes the function, and returns it as it was.
    """

    def add(command: _C) -> _C:
        app.command(name, epilog=epilog)(_expand_options(command))
        return command

    return add


def _expand_options(command: Callable[..., int | None]) -> Callable[..., None]:
    """A command as typer sees it."""
    hints = get_type_hints(command, include_extras=True)
    records: dict[str, Any] = {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name not in records:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))
            continue
        own = get_type_hints(records[parameter.name], include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=own[field.name]
            )
            for field in dataclasses.fields(records[parameter.name])
        ]
    takes_debug = "debug" in hints
    if not takes_debug:
        parameters.append(
            inspect.Parameter("debug", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Debug)
        )

    parameters.append(
        inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
    )

    def call(**options: Any) -> None:
        with report_errors(debug=options["debug"], quiet=options.pop("quiet")):
            groups = {
                name: record(**{field.name: options.pop(field.name) for field in dataclasses.fields(record)})
                for name, record in records.items()
            }
            if not takes_debug:
                del options["debug"]
            if code := command(**options, **groups):
                raise typer.Exit(code)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
    return call
