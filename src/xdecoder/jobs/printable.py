"""Text from outside (names of files, classes and tensors, messages) as a line or a terminal can show it."""

from __future__ import annotations


def printable(text: str, *, most: int | None = None) -> str:
    """Text in one line.

    What moves the cursor, colors the terminal, ends the line or is no Unicode is escaped as in Python's
    strings.

    Args:
        text: from outside.
        most: characters shown, the rest standing as dots; None for all.
    """
    shown = "".join(c if c.isprintable() else _escape(c) for c in text)
    return shown if most is None or len(shown) <= most else f"{shown[:most]}..."


def printable_lines(text: str) -> str:
    """Text of several lines: as `printable`, but ends of lines and tabs stay."""
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file's name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
