"""What settings may be: a run that cannot go is refused before it begins."""

from __future__ import annotations


def require_at_least(least: float, record: object, *names: str) -> None:
    """Refuse a record of settings with a field below `least`.

    Raises:
        ValueError: which field, and what it is.
    """
    for name in names:
        _require(getattr(record, name) >= least, record, name, f"at least {least}")


def require_shares(record: object, *names: str) -> None:
    """Refuse a record of settings with a field outside 0 to 1.

    Raises:
        ValueError: which field, and what it is.
    """
    for name in names:
        _require(0 <= getattr(record, name) <= 1, record, name, "between 0 and 1")


def _require(good: bool, record: object, name: str, wanted: str) -> None:
    if not good:
        raise ValueError(f"{type(record).__name__}.{name} must be {wanted}, got {getattr(record, name)}")
