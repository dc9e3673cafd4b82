"""What a run's folder says of its run, so that another run never goes on in it by mistake."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

from xdecoder.jobs.files import read_file, write_whole
from xdecoder.training.curriculum import Curriculum
from xdecoder.training.recipe import Recipe

CHECKPOINTS: Final = "checkpoints"
MODEL: Final = "model"
"""The model of the last step."""
BEST_MODEL: Final = "model-best"
"""The model whose headline score was the best."""

_DESCRIPTION: Final = "recipe.json"
_FINISHED: Final = "finished.json"
_SHOWN: Final = 6


def describe(name: str, curriculum: Curriculum[Recipe], run: Mapping[str, object]) -> dict[str, object]:
    """All that decides what a run learns, as plain JSON values.

    Args:
        name: a row of `RECIPES`, or the recipe's class.
        curriculum: what is trained, with its settings.
        run: the settings of how the run goes that change what is learned.
    """
    described = {
        "recipe": name,
        "settings": plain_settings(curriculum.recipe),
        "run": run,
        "made_of": curriculum.fingerprint(),
    }
    return json.loads(json.dumps(described))


def enter(folder: Path, description: Mapping[str, object]) -> bool:
    """Write what a run is into its folder, or compare it with what is there; whether that run is finished.

    One whose model was deleted is not finished: it is made again from the last checkpoint.

    Where the model lies that a run goes on from does not count if its digest is known.

    Raises:
        ValueError: the folder holds another run; what differs is named.
    """
    path = folder / _DESCRIPTION
    if not path.is_file():
        write_whole(path, json.dumps(description, indent=1).encode())
        return False
    there, now = _leaves(_read(path)), _leaves(description)
    moved = {"start"} if now.get("made_of.start") else set[str]()
    names = [name for name in {**there, **now} if there.get(name) != now.get(name) and name not in moved]
    if names:
        differing = [f"{n} {_shown(there, n)} there, {_shown(now, n)} now" for n in names[:_SHOWN]]
        more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        raise ValueError(
            f"{folder} holds a run made otherwise ({'; '.join(differing)}{more}): give another --out; "
            f"--from {folder} starts from its model"
        )
    return (folder / _FINISHED).is_file() and (folder / MODEL).is_dir()


def begun_accumulate(folder: Path) -> int | None:
    """Into how many cuts the steps of the run in a folder go; None where none has begun there.

    Raises:
        ValueError: its description is damaged.
    """
    path = folder / _DESCRIPTION
    found = _leaves(_read(path)).get("run.accumulate") if path.is_file() else None
    return found if isinstance(found, int) else None


def finish(folder: Path, step: int) -> None:
    """Mark a run as finished: its last scores and its model are written."""
    write_whole(folder / _FINISHED, json.dumps({"step": step}).encode())


def _read(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(read_file(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): give another --out, or delete the file") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is no description of a run: give another --out")
    return cast("Mapping[str, object]", found)


def plain_settings(value: Any) -> Any:
    """A record as JSON values; fields that do not count in comparisons are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field for field in dataclasses.fields(value) if field.compare]
        return {
            "kind": type(value).__name__,
            **{field.name: plain_settings(getattr(value, field.name)) for field in fields},
        }
    if isinstance(value, Path):
        return str(value.absolute() if value.exists() else value)
    if isinstance(value, tuple):
        return [plain_settings(item) for item in cast("tuple[Any, ...]", value)]
    return value


def _leaves(value: object, prefix: str = "") -> dict[str, object]:
    """Dotted name -> value, of nested mappings."""
    if not isinstance(value, Mapping):
        return {prefix.removeprefix("settings."): value}
    found: dict[str, object] = {}
    for name, item in cast("Mapping[str, object]", value).items():
        found |= _leaves(item, f"{prefix}.{name}" if prefix else name)
    return found


def _shown(leaves: Mapping[str, object], name: str) -> str:
    return json.dumps(leaves[name]) if name in leaves else "not set"
