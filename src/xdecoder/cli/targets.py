"""Which images a run works on, and what its results are called."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xdecoder.images import find_images


@dataclass(frozen=True, kw_only=True)
class Target:
    """An image to work on.

    Attributes:
        path: the file, as the user named it.
        name: what its results are called, without suffix: its path below the folder of all images.
    """

    path: Path
    name: Path

    def output(self, folder: Path, suffix: str) -> Path:
        """The file of a result."""
        return folder / self.name.parent / f"{self.name.name}{suffix}"


def find_targets(inputs: Sequence[str], out: Path | None) -> list[Target]:
    """The images that files, folders and globs name, each once, with a name of its own.

    Names are paths below the folder that holds all inputs, so that no two results share one. The suffix is
    taken off, but where two images of a folder differ in nothing else.

    Args:
        inputs: files, folders and globs.
        out: where results go; what an earlier run wrote there is passed over.

    Raises:
        FileNotFoundError: an input does not exist or has no images.
        ValueError: results would be written among the images, or over one of them.
    """
    folder = None if out is None else _normal(out)
    found: dict[Path, Path] = {}
    roots: list[Path] = []
    for item in inputs:
        root = _normal(_root(Path(item)))
        if root == folder and not Path(item).is_file():
            raise ValueError(f"--out {out} is the folder of the images; choose another for the results")
        roots.append(root)
        for path in find_images(item):
            own = _normal(path)
            earlier = folder is not None and own.is_relative_to(folder) and not root.is_relative_to(folder)
            if not earlier:
                found.setdefault(own, path)
    if not found:
        raise FileNotFoundError(f"no images in {', '.join(inputs)} but the results in {out}")
    relative = _below_common_folder(list(found), roots)
    shared = Counter(path.with_suffix("") for path in relative.values())
    twins = {stem.parent for stem, count in shared.items() if count > 1}
    targets = [
        Target(path=path, name=name if (name := relative[own]).parent in twins else name.with_suffix(""))
        for own, path in found.items()
    ]
    if folder is not None:
        for target in targets:
            if (written := target.output(folder, ".png")) in found:
                raise ValueError(
                    f"the result of {target.path} would overwrite {written}; choose another --out"
                )
    return targets


def _below_common_folder(paths: Sequence[Path], roots: Sequence[Path]) -> dict[Path, Path]:
    try:
        base = Path(os.path.commonpath(roots))
    except ValueError:  # several drives of Windows: the drive's letter is a folder
        return {path: Path(path.drive.strip(":\\/"), *path.parts[1:]) for path in paths}
    return {path: path.relative_to(base) for path in paths}


def _root(item: Path) -> Path:
    """The folder that an input names, or that the files it names lie below."""
    if item.is_file():
        return item.parent
    if item.is_dir():
        return item
    wild = next((i for i, part in enumerate(item.parts) if any(c in part for c in "*?[")), len(item.parts))
    return Path(*item.parts[:wild])


def _normal(path: Path) -> Path:
    """Absolute and without "..", but through links as they are."""
    return Path(os.path.normpath(path.absolute()))
