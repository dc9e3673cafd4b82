"""Names and shapes of tensors, compared: nothing is guessed, what differs is an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

_LISTED = 12


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, by name."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def check_shapes(
    expected: Mapping[str, Sequence[int]], actual: Mapping[str, Sequence[int]], *, where: object
) -> None:
    """Compare names and shapes.

    Raises:
        ValueError: they differ; lists missing, unexpected and differently shaped tensors.
    """
    groups = {
        "missing": [key for key in expected if key not in actual],
        "unexpected": [key for key in actual if key not in expected],
        "of another shape": [
            f"{key}: expected {list(expected[key])}, got {list(actual[key])}"
            for key in expected
            if key in actual and tuple(expected[key]) != tuple(actual[key])
        ],
    }
    if not any(groups.values()):
        return
    lines = [f"the tensors of {where} are not those of the configured model:"]
    for title, entries in groups.items():
        if entries:
            lines.append(f"{len(entries)} {title}:")
            lines += [f"  {entry}" for entry in entries[:_LISTED]]
            lines += [f"  and {len(entries) - _LISTED} more"] if len(entries) > _LISTED else []
    lines.append(
        "Nothing was loaded. Check that the file is a whole X-Decoder model, and that its configuration is "
        "the one it was trained with"
    )
    raise ValueError("\n".join(lines))
