"""What the pages need to be a site: links into the source become links into the API reference."""

import re
from typing import Any

_LINK = re.compile(r"\[([^\]\n]+)\]\(((?:\.\./)+)([^)\s#]+)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links to modules into references to their entries, and other links out of docs into text."""
    return _LINK.sub(_reference, markdown)


def _reference(link: re.Match[str]) -> str:
    text, _, path, _ = link.groups()
    if not path.startswith("src/xdecoder"):
        return text
    module = path.removeprefix("src/").removesuffix("/").removesuffix(".py").replace("/", ".")
    return f"[{text}][{module}]"
