"""Results of `segment` and `refer` as the commands leave them: a folder, a JSON file, or lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast, final

from xdecoder.jobs.files import flat_name, name_file, read_file
from xdecoder.labeling.picture import LabeledPicture
from xdecoder.labeling.text import writable
from xdecoder.structures import (
    Grounding,
    InstanceSegmentation,
    PanopticSegmentation,
    SegmentationResult,
    SemanticSegmentation,
)

_KINDS: Final[Mapping[str, type[SegmentationResult]]] = {
    kind.kind: kind for kind in (PanopticSegmentation, InstanceSegmentation, SemanticSegmentation, Grounding)
}


@final
@dataclass(frozen=True, kw_only=True)
class SavedResult:
    """A result as it was written.

    Attributes:
        name: of the image, without suffix, with "/" between folders.
        where: it stands, for messages.
        data: its content.
    """

    name: str
    where: str
    data: Mapping[str, Any]

    @property
    def image(self) -> Path | None:
        """The image file, as it was named to the command that made the result; a video's frame has none."""
        file = None if "frame" in self.data else self.data.get("file")
        return Path(file) if isinstance(file, str) and file and "\0" not in file else None

    @property
    def classes(self) -> list[str]:
        """The classes or phrases that were asked for, in their order."""
        words = self.data.get("vocabulary")
        if not isinstance(words, list):
            rows = self.data.get("groundings")
            listed = cast("list[Any]", rows) if isinstance(rows, list) else []
            words = [row.get("phrase") for row in listed if isinstance(row, dict)]
        return [writable(word) for word in cast("list[Any]", words) if isinstance(word, str)]

    def picture(self, name: str) -> LabeledPicture:
        """The result's regions and size.

        Args:
            name: of the image file.

        Raises:
            ValueError: the result is malformed.
        """
        try:
            result = _KINDS[self.data["kind"]].from_dict(self.data)
            regions = tuple(result.regions())
        except ValueError as error:
            raise ValueError(f"{self.where}: {error}") from error
        except (KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
            raise ValueError(f"{self.where}: a malformed result ({error!r}); make it again") from error
        if any(type(region.label) is not str for region in regions):
            raise ValueError(f"{self.where}: a malformed result: a label is no text; make it again")
        named = tuple(replace(region, label=writable(region.label)) for region in regions)
        return LabeledPicture(name=name, size=result.size, regions=named)


@final
@dataclass(frozen=True, kw_only=True)
class SavedResults:
    """Where results lie.

    Attributes:
        source: a folder, searched with its subfolders, a `.json` or a `.jsonl` file.
        files: JSON files, or the one file of lines.
    """

    source: Path
    files: tuple[Path, ...]

    @classmethod
    def find(cls, source: Path) -> SavedResults:
        """The files that may hold results; hidden ones are passed over.

        Raises:
            FileNotFoundError: there is no such folder or file.
            ValueError: it is a file of another kind.
        """
        if source.is_dir():
            found = [
                path
                for path in source.rglob("*.json")
                if not any(part.startswith(".") for part in path.relative_to(source).parts)
            ]
            return cls(source=source, files=tuple(sorted(found)))
        if not source.is_file():
            raise FileNotFoundError(f"{source}: no such folder or file of results")
        if source.suffix.lower() not in (".json", ".jsonl"):
            raise ValueError(
                f"{source}: expected a folder of results, a NAME.json of it, or lines of `--json` in a "
                "file that ends in .jsonl"
            )
        return cls(source=source, files=(source,))

    def read(self) -> Iterator[SavedResult | None]:
        """What each file, or line, holds; None for one that holds no result of `segment` or `refer`.

        Raises:
            ValueError: a line is no JSON.
        """
        if self.source.suffix.lower() == ".jsonl" and self.source.is_file():
            yield from self._read_lines()
            return
        for path in self.files:
            name = path.relative_to(self.source).with_suffix("") if self.source.is_dir() else Path(path.stem)
            try:
                data = json.loads(read_file(path))
            except (ValueError, RecursionError):
                data = None
            yield _saved(data, name.as_posix(), str(path))

    def _read_lines(self) -> Iterator[SavedResult | None]:
        taken: set[str] = set()
        with name_file(self.source), self.source.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                where = f"{self.source}, line {number}"
                try:
                    data = json.loads(line) if line.strip() else None
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"{where}: not JSON ({error})") from error
                saved = _saved(data, "", where)
                if saved is not None:
                    name = flat_name(saved.image or Path(f"{self.source.stem}-{number:06d}"), taken)
                    saved = SavedResult(name=name, where=where, data=saved.data)
                yield saved


def _saved(data: object, name: str, where: str) -> SavedResult | None:
    """The result, where it is one: our labeling tools' files and captions have no such kind."""
    if not isinstance(data, dict):
        return None
    found = cast("dict[str, Any]", data)
    kind = found.get("kind")
    return (
        SavedResult(name=name, where=where, data=found) if isinstance(kind, str) and kind in _KINDS else None
    )
