"""Image-text pairs in any order: tar shards read by place, beside tables and folders with a JSON-lines file.

`PairShards` streams shards, from addresses too. Training wants any sample at any time, so that a run goes on
exactly after a kill; here each shard's table of contents is read once, and a sample is two reads at known
places.
"""

from __future__ import annotations

import json
import re
import tarfile
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final, overload

import numpy as np
from numpy.typing import NDArray

from xdecoder.data.decoding import EncodedImage
from xdecoder.data.pairs import IMAGE_SUFFIXES, PairTable, captions_of, find_tables, open_pair_folder
from xdecoder.data.records import CaptionSample

_TEXT_SUFFIXES: Final = ("json", "txt")
_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_LAYOUTS: Final = (
    "a folder with pairs.jsonl, a folder or pattern (*, {000000..000099}) of .tar shards, or of .arrow or "
    ".parquet tables"
)


@final
class PairArchives(Sequence[CaptionSample]):
    """Pairs in WebDataset tar shards on disk, one after the other.

    A sample is an image (`key.jpg`, `.png` or `.webp`) and `key.json` ("caption" or "captions") or `key.txt`.

    Args:
        paths: the shards.

    Attributes:
        starts: the number of each shard's first sample, and of all samples.
        incomplete: keys without an image or a caption, which are passed over.

    Raises:
        ValueError: a shard is damaged, or there is no pair in any.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = tuple(paths)
        self.incomplete = 0
        places: list[NDArray[np.int64]] = []
        self.starts = [0]
        for path in self.paths:
            found = self._contents(path)
            places.append(found)
            self.starts.append(self.starts[-1] + len(found))
        if not self.starts[-1]:
            raise ValueError(f"{self.paths[0]}: no pairs; a pair is key.jpg and key.txt or key.json")
        self._places = np.concatenate(places)

    def __len__(self) -> int:
        return self.starts[-1]

    @overload
    def __getitem__(self, index: int) -> CaptionSample: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[CaptionSample]: ...
    def __getitem__(self, index: int | slice) -> CaptionSample | Sequence[CaptionSample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        path = self.paths[bisect_right(self.starts, position) - 1]
        image_at, image_size, text_at, text_size, is_json = self._places[position].tolist()
        label = f"{path}, byte {image_at}"
        with path.open("rb") as file:
            file.seek(image_at)
            image = file.read(image_size)
            file.seek(text_at)
            text = file.read(text_size)
        try:
            captions = captions_of(json.loads(text) if is_json else {"caption": text.decode()})
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{label}: its caption cannot be read: {error}") from error
        if not captions:
            raise ValueError(f"{label}: no caption")
        return CaptionSample(
            image_id=f"{path.name}#{image_at}",
            source=EncodedImage(label=label, data=image),
            captions=captions,
        )

    def _contents(self, path: Path) -> NDArray[np.int64]:
        """Of each pair: place and length of the image and of the text, and whether that is JSON."""
        members: dict[str, dict[str, tarfile.TarInfo]] = {}
        try:
            with tarfile.open(path, "r:") as archive:
                for member in archive:
                    key, _, suffix = member.name.rpartition(".")
                    if member.isreg():
                        members.setdefault(key, {})[suffix.lower()] = member
        except (OSError, tarfile.TarError, EOFError) as error:
            raise ValueError(
                f"{path}: not an uncompressed tar, or cut short ({error}); fetch it again"
            ) from error
        rows: list[tuple[int, int, int, int, bool]] = []
        for files in members.values():
            image = next((files[s] for s in IMAGE_SUFFIXES if s in files), None)
            suffix = next((s for s in _TEXT_SUFFIXES if s in files), None)
            if image is None or suffix is None:
                self.incomplete += 1
                continue
            text = files[suffix]
            rows.append((image.offset_data, image.size, text.offset_data, text.size, suffix == "json"))
        return np.array(rows, np.int64).reshape(-1, 5)


def open_pairs(source: str) -> Sequence[CaptionSample]:
    """Pairs on disk, by where they lie.

    Args:
        source: a folder with `pairs.jsonl`; a folder or pattern of `.tar` shards, or of `.arrow` or
            `.parquet` tables. Patterns are as a shell's, with brace ranges: "shards/{000000..000099}.tar".

    Raises:
        FileNotFoundError: nothing is there.
        ImportError: pyarrow is not installed.
        ValueError: a file is damaged, or is none of these.
    """
    path = Path(source).expanduser()
    if path.name == "pairs.jsonl":
        path = path.parent
    if path.is_dir():
        if (path / "pairs.jsonl").is_file():
            return open_pair_folder(path)
        shards = sorted(path.glob("*.tar"))
        return PairArchives(shards) if shards else find_tables(path)
    found = [file for pattern in _expand(str(path)) for file in _matching(Path(pattern))]
    if not found:
        raise FileNotFoundError(f"{source}: nothing is there; expected {_LAYOUTS}")
    kinds = {file.suffix for file in found}
    if kinds == {".tar"}:
        return PairArchives(found)
    if kinds <= {".arrow", ".parquet"}:
        return PairTable(found)
    raise ValueError(f"{source}: expected {_LAYOUTS}, found files that end in {', '.join(sorted(kinds))}")


def _expand(pattern: str) -> list[str]:
    """A pattern for each number of its first brace range, and so on."""
    found = _RANGE.search(pattern)
    if not found:
        return [pattern]
    first, last = found[1], found[2]
    return [
        one
        for number in range(int(first), int(last) + 1)
        for one in _expand(f"{pattern[: found.start()]}{number:0{len(first)}d}{pattern[found.end() :]}")
    ]


def _matching(pattern: Path) -> list[Path]:
    """The files that a pattern names, in the order of their names; itself where it is no pattern."""
    if not any(c in pattern.name for c in "*?["):
        if not pattern.is_file():
            raise FileNotFoundError(f"{pattern}: no such file")
        return [pattern]
    return sorted(p for p in pattern.parent.glob(pattern.name) if p.is_file())
