"""Names from results as XML can hold them."""

from __future__ import annotations

import re
from typing import Final

_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable_xml(text: str) -> str:
    """The text with what XML 1.0 has no character for replaced."""
    return _NO_XML.sub("\ufffd", text)
