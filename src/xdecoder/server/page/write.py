"""The page on which a person asks: one file, that fetches nothing but this server's answers."""

from __future__ import annotations

from dataclasses import fields
from string import Template
from typing import Any, cast

from xdecoder.editing import Blur, EditOptions
from xdecoder.html.frame import asset, frame
from xdecoder.predictor.options import (
    AnswerOptions,
    CaptionOptions,
    ReferOptions,
    SearchOptions,
    SegmentOptions,
)
from xdecoder.server.page.fields import option_fields

_SCRIPTS = (
    "elements.js",  # finds and makes parts of the page
    "masks.js",  # run lengths and outlines
    "server.js",  # asks the server
    "state.js",  # the picture, its masks, the region; undo
    "status.js",  # busy, trouble, a word in passing
    "view.js",  # draws the picture and its masks
    "region.js",  # the pointer, boxes and lassos
    "legend.js",  # the list of masks
    "picture.js",  # pictures come in
    "ask.js",  # segment, find, describe, compare, answer, change
    "search.js",  # the index
    "download.js",  # results go out
    "main.js",  # all of it begins
)
_PACKAGE = "xdecoder.server.page"


def write_page() -> str:
    """The page, as the text of an HTML file; it is the same for every model."""
    options: dict[str, tuple[str, tuple[str, ...]]] = {
        "segment": ("segment", _names(SegmentOptions)),
        "refer": ("refer", _names(ReferOptions)),
        "caption": ("caption", _names(CaptionOptions)),
        "answer": ("answer", _names(AnswerOptions)),
        "search": ("search", _names(SearchOptions)),
        "blur": ("edit", _names(Blur)),
        "edit": ("edit", _names(EditOptions)),
    }
    shown = {f"{form}_options": option_fields(verb, names) for form, (verb, names) in options.items()}
    return frame(
        title="X-Decoder",
        main=Template(asset("page.html", package=_PACKAGE)).substitute(shown),
        footer=(
            "<p>The picture, and all that is asked of it, stays between this page and its server. "
            'Programs ask the same: <a href="/docs">the API</a>.</p>'
        ),
        style=asset("page.css", package=_PACKAGE),
        script="".join(asset(name, package=_PACKAGE) for name in _SCRIPTS),
    )


def _names(record: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(cast("Any", record)))
