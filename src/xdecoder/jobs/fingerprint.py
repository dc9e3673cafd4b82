"""What results were made with, and in what two makings of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Fingerprint = Mapping[str, Any]
"""What a result depends on: the weights' digest, the task and its settings; plain JSON values."""


def differences(stored: Fingerprint, now: Fingerprint) -> str:
    """In what two fingerprints differ, in words; empty where they do not.

    Args:
        stored: of results that are there.
        now: of those that are to join them.
    """
    return "; ".join(
        f"{name} {stored.get(name)!r} there, {now.get(name)!r} now"
        for name in {**stored, **now}
        if stored.get(name) != now.get(name)
    )
