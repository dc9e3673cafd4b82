"""Names from results as files of text can hold them."""

from __future__ import annotations

import re
from typing import Final

_UNWRITABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def writable(text: str) -> str:
    """The text with control characters, and what neither UTF-8 nor XML can hold, replaced."""
    return _UNWRITABLE.sub("\ufffd", text)
