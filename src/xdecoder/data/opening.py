"""`open_dataset`: any data set of the table, by name."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from xdecoder.data.catalog import DATASETS
from xdecoder.data.dataset import Dataset, Missing
from xdecoder.data.info import DatasetInfo
from xdecoder.data.records import ImageId, Task
from xdecoder.data.selection import Selection

_SAME = {"valid": "val", "validation": "val", "training": "train"}
"""Other names of splits."""


def dataset_info(name: str) -> DatasetInfo:
    """A row of the table.

    Raises:
        ValueError: there is no data set of that name.
    """
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "`xdecoder datasets list` names them all"
        raise ValueError(f"no data set {name!r}; {hint}")
    return DATASETS[name]


def select(
    name: str,
    root: Path | str,
    *,
    task: Task | None = None,
    split: str | None = None,
    missing: Missing = "error",
    only: frozenset[ImageId] | None = None,
) -> Selection:
    """What `open_dataset` gives a loader; task and split default to the row's first.

    Raises:
        ValueError: there is no such data set, task or split.
    """
    info = dataset_info(name)
    chosen_task, chosen_split = task or info.tasks[0], split or next(iter(info.splits))
    chosen_split = chosen_split if chosen_split in info.splits else _SAME.get(chosen_split, chosen_split)
    if chosen_task not in info.tasks:
        raise ValueError(f"{name} has no task {chosen_task!r}; it has {', '.join(info.tasks)}")
    if chosen_split not in info.splits:
        raise ValueError(f"{name} has no split {chosen_split!r}; it has {', '.join(info.splits)}")
    return Selection(
        root=Path(root),
        name=name,
        task=chosen_task,
        split=chosen_split,
        word=info.splits[chosen_split].word,
        missing=missing,
        only=only,
    )


def open_dataset(
    name: str,
    root: Path | str,
    *,
    task: Task | None = None,
    split: str | None = None,
    missing: Missing = "error",
    only: frozenset[ImageId] | None = None,
) -> Dataset[Any]:
    """Open a data set of the table.

    Args:
        name: a row of `DATASETS`.
        root: the folder that holds the data set's folders ("coco/", "cityscapes/", ...).
        task: what the samples shall carry; the row's first unless told.
        split: the row's first unless told.
        missing: "error" refuses absent files; "skip" leaves their samples out and lists them in `skipped`.
        only: keep these images alone, e.g. `read_image_list(...)`.

    Returns:
        A sequence of `PanopticSample`, `SemanticSample`, `InstanceSample`, `ReferringSample`, `CaptionSample`
        or `QuestionSample`.

    Raises:
        FileNotFoundError: files are missing.
        ValueError: no such data set, task or split; malformed annotations; no samples.
    """
    asked = select(name, root, task=task, split=split, missing=missing, only=only)
    if not asked.root.is_dir():
        raise FileNotFoundError(f"{asked.root}: no such folder; the root holds the data sets' folders")
    return dataset_info(name).loader(asked)
