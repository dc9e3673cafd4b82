"""What settings and options may be: one that cannot work is refused when it is given."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any


def require(condition: bool, message: str) -> None:
    """Refuse what does not fulfil a condition.

    Raises:
        ValueError: with the message.
    """
    if not condition:
        raise ValueError(message)


def require_positive(config: object, *names: str) -> None:
    """Refuse a field, or an item of one that is a tuple, that is not above 0.

    Raises:
        ValueError: which field, and what it is.
    """
    for name in names:
        value = getattr(config, name)
        values: tuple[int, ...] = value if isinstance(value, tuple) else (value,)
        require(
            all(v > 0 for v in values),
            f"{type(config).__name__}.{name} must be positive, got {value}",
        )


def require_at_least(least: float, config: object, *names: str) -> None:
    """Refuse a field below `least`.

    Raises:
        ValueError: which field, and what it is.
    """
    for name in names:
        value = getattr(config, name)
        require(value >= least, f"{type(config).__name__}.{name} must be at least {least}, got {value}")


def require_at_most(most: float, config: object, *names: str) -> None:
    """Refuse a field, or an item of one that is a tuple, above `most`, or one that is no number (NaN).

    Raises:
        ValueError: which field, and what it is.
    """
    for name in names:
        value = getattr(config, name)
        values: tuple[float, ...] = value if isinstance(value, tuple) else (value,)
        require(
            all(v <= most for v in values),
            f"{type(config).__name__}.{name} must be at most {most:g}, got {value}",
        )


def require_shares(config: object, *names: str) -> None:
    """Refuse a field outside 0 to 1.

    Raises:
        ValueError: which field, and what it is.
    """
    for name in names:
        value = getattr(config, name)
        require(0 <= value <= 1, f"{type(config).__name__}.{name} must lie in [0, 1], got {value}")


def check_share(name: str, value: object) -> None:
    """Refuse an option that is not a number from 0 to 1.

    Raises:
        ValueError: which option, and what it is.
    """
    number: Any = value if not isinstance(value, bool) and isinstance(value, Real) else -1
    is_share = bool(0 <= number <= 1)  # NaN is none
    require(is_share, f"{name} must be a number from 0 to 1, got {value!r}")


def check_whole_number(name: str, value: object, *, least: int = 1, most: int | None = None) -> None:
    """Refuse an option that is not a whole number from `least` to `most`.

    Raises:
        ValueError: which option, and what it is.
    """
    whole = int(value) if not isinstance(value, bool) and isinstance(value, Integral) else None
    fits = whole is not None and least <= whole and (most is None or whole <= most)
    ends = f"of at least {least}" if most is None else f"from {least} to {most}"
    require(fits, f"{name} must be a whole number {ends}, got {value!r}")
