"""What the fields of a configuration may be: one that cannot work is refused when it is made."""

from __future__ import annotations


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
