"""From a recipe's name and settings to a run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from xdecoder.training.config import RunConfig
from xdecoder.training.recipes import find_recipe
from xdecoder.training.settings import override

_OPTIONS: Final = {"start": "--from", "data": "--data", "task": "--task"}


def written(name: str, given: Mapping[str, object], settings: Sequence[str]) -> str:
    """A training's command line as it can be typed again.

    Args:
        name: a row of `RECIPES`.
        given: option -> value; None for one that was not given.
        settings: "name=value".
    """
    options = [(_OPTIONS[key], str(value)) for key, value in given.items() if value is not None]
    options += [("--set", setting) for setting in settings]
    return shlex.join(["xdecoder", "train", name, *(word for pair in options for word in pair)])


def run_recipe(
    name: str,
    *,
    out: Path,
    start: Path | None = None,
    data: Path | None = None,
    task: str | None = None,
    settings: Sequence[str] = (),
    dry_run: bool = False,
    device: str | None = None,
) -> None:
    """Train with a recipe, in every process that torchrun started.

    Args:
        name: a row of `RECIPES`.
        out: the run's folder. A run that is found there goes on.
        start: what to start from, see `xdecoder.training.start`.
        data: the folder that holds the data.
        task: what to learn from it, for recipes that leave it open.
        settings: "name=value"; `run.` before the name changes how the run goes.
        dry_run: print sizes and estimates, and stop.
        device: "cpu" or "cuda"; by default CUDA where there is one.

    Raises:
        ValueError: there is no such recipe or setting, or another run is going on in the folder.
        FileNotFoundError: there is nothing to start from, or to learn from.
        ModuleNotFoundError: a package that training needs is not installed.
    """
    own = [setting for setting in settings if not setting.startswith("run.")]
    of_run = [setting.removeprefix("run.") for setting in settings if setting.startswith("run.")]
    given = {"start": start, "data": data, "task": task}
    recipe = find_recipe(name).begin({key: value for key, value in given.items() if value is not None})
    # Settings that cannot work are refused here, before torch is imported and the data is looked at.
    recipe = override(recipe, own)
    override(RunConfig(folder=out), of_run)
    try:
        from xdecoder.jobs.distributed import find_world, join_world, leave_world
        from xdecoder.training.estimate import estimate
        from xdecoder.training.loop import train
        from xdecoder.training.run_folder import begun_accumulate

        curriculum = override(recipe.adapted(), own).open()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error.name} is not installed: pip install 'xdecoder[train]'", name=error.name
        ) from error
    defaults = dict(curriculum.run_defaults())
    begun = begun_accumulate(out)
    if begun is not None:  # memory that is free now does not change a run that goes on
        defaults["accumulate"] = begun
    elif defaults.get("accumulate", 1) > 1:
        cuts = defaults["accumulate"]
        print(f"to fit the memory, each step goes in {cuts} cuts (run.accumulate)", flush=True)
    run = override(RunConfig(folder=out, **defaults), of_run)
    if dry_run:
        world = find_world(device)
        for line in estimate(curriculum, world) if world.is_first else ():
            print(line, flush=True)
        return
    world = join_world(device)
    try:
        train(curriculum, run, world, name=name)
        if world.is_first:
            curriculum.describe(out, written(name, given, settings))
    finally:
        leave_world()
