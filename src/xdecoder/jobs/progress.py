"""How long work says how far it is."""

from __future__ import annotations

from collections.abc import Callable

ProgressCallback = Callable[[int, int], None]
"""Called with how much is done and how much there is to do, counted in what the work is made of."""
