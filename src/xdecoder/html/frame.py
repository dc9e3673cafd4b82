"""The frame of every page: head, style, navigation, footer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template


def frame(
    *, title: str, main: str, footer: str, sections: Sequence[str] = (), style: str = "", script: str = ""
) -> str:
    """A page, as the text of an HTML file.

    Args:
        title: in plain text.
        main: HTML between the head of the page and its foot.
        footer: HTML.
        sections: names of the sections in `main` that the navigation leads to, each at its `anchor`.
        style: CSS beside what all pages share.
        script: JavaScript, run as a module when the page is read.
    """
    links = "".join(f'<a href="#{anchor(name)}">{name}</a>' for name in sections)
    return Template(asset("page.html")).substitute(
        title=escape(title),
        style=asset("page.css") + style,
        navigation=f'<nav aria-label="Sections">{links}</nav>' if links else "",
        main=main,
        footer=footer,
        script=f'<script type="module">\n{script}</script>' if script else "",
    )


def anchor(name: str) -> str:
    """The id of a section by its name."""
    return name.lower().replace(" ", "-")


def asset(name: str, *, package: str = "xdecoder.html") -> str:
    """The text of a file that lies in a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
