"""What a loader opens: one task and one split of a data set under a root folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from xdecoder.data.dataset import Dataset, Missing
from xdecoder.data.records import ImageId, Task
from xdecoder.jobs.files import read_text
from xdecoder.vocabularies import Vocabulary, built_in


@final
@dataclass(frozen=True, kw_only=True)
class Selection:
    """One task and split of a data set.

    Attributes:
        root: the folder that holds the data set's folders.
        name: the data set's name in the catalog.
        task: what the samples shall carry.
        split: the split's name in the catalog.
        word: the split's name on disk ("train2017", "validation").
        missing: "error" to refuse absent files, "skip" to record them.
        only: keep these images alone.
    """

    root: Path
    name: str
    task: Task
    split: str
    word: str
    missing: Missing = "error"
    only: frozenset[ImageId] | None = None

    def path(self, pattern: str) -> Path:
        """A path under the root; `{split}` and `{word}` are filled in, and the first of `a|b` that exists."""
        options = [self.root / option for option in self.options(pattern)]
        return next((p for p in options if p.exists()), options[0])

    def options(self, pattern: str) -> tuple[str, ...]:
        """The paths under the root that a pattern means, the likeliest first.

        One's own validation split may be called "valid" on disk, as Roboflow calls it.
        """
        names = (self.split, "valid", "validation") if self.word == "val" else (self.split,)
        return tuple(
            dict.fromkeys(
                option.format(split=name, word=self.word, name=self.name)
                for name in names
                for option in pattern.split("|")
            )
        )

    def wants(self, image_id: ImageId) -> bool:
        """Whether an image is among those asked for."""
        return self.only is None or image_id in self.only


Loader = Callable[[Selection], Dataset[Any]]


def things_of(vocabulary: Vocabulary) -> Vocabulary:
    """The things alone, in the same order: the vocabulary of an instance data set."""
    kept = sorted(vocabulary.things)
    return replace(
        vocabulary,
        classes=tuple(vocabulary.classes[i] for i in kept),
        things=frozenset(range(len(kept))),
        name=f"{vocabulary.name} things",
    )


def built_in_for(name: str, task: Task) -> Vocabulary:
    """A built-in vocabulary as a task uses it: instances have its things alone."""
    vocabulary = built_in(name)
    return things_of(vocabulary) if task == "instance" else vocabulary


def read_image_list(path: Path) -> frozenset[ImageId]:
    """The image ids of a text file with one id a line; "#" starts a comment.

    Raises:
        FileNotFoundError: there is no such file; `xdecoder datasets prepare leakfree` writes COCO's.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such list of images; `xdecoder datasets prepare leakfree` writes it"
        )
    lines = (line.split("#")[0].strip() for line in read_text(path).splitlines())
    return frozenset(int(line) if line.isdecimal() else line for line in lines if line)
