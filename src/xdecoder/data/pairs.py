"""Image-text pairs: streamed tar shards (WebDataset), a folder with a JSON-lines file."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

from xdecoder.data.dataset import Dataset, ExistingFiles, Missing, Skip
from xdecoder.data.decoding import FileImage, ImageBytes
from xdecoder.data.problems import refuse_duplicates
from xdecoder.data.records import CaptionSample
from xdecoder.jobs.files import name_file

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")
_FETCHED = ("file", "http", "https", "ftp", "ftps")
INSTALL = 'install it with: pip install "xdecoder[data]"'


@final
class PairShards:
    """Pairs streamed from WebDataset tar shards.

    A sample is an image (`key.jpg`, `.png` or `.webp`) with `key.txt` (one caption) or `key.json` ("caption"
    or "captions"). Shards are split between processes and between worker processes. Samples without an
    image or a caption are passed over; `skipped` lists those of the last pass in this process.

    Args:
        urls: files or addresses, with brace ranges: "shards/{000000..000099}.tar", "https://.../{0..9}.tar",
            or a list of them. Addresses are fetched with curl.
        run_commands: also take what runs a program: "pipe:COMMAND", which runs a shell, and the addresses
            that other programs fetch ("gs://", "hf://", ...). Lists of shards from elsewhere are not to be
            trusted with it.

    Raises:
        ValueError: there are no shards, or one would run a program.
    """

    def __init__(self, urls: str | Sequence[str], *, run_commands: bool = False) -> None:
        self.urls = (urls,) if isinstance(urls, str) else tuple(urls)
        if not self.urls:
            raise ValueError('no shards; expected addresses such as "shards/{000000..000099}.tar"')
        self.run_commands = run_commands
        self._check(self.urls)
        self.skipped: list[Skip] = []

    def __iter__(self) -> Iterator[CaptionSample]:
        """Stream the samples.

        Raises:
            ImportError: webdataset is not installed.
            ValueError: a shard cannot be read.
        """
        try:
            import webdataset
        except ImportError as error:
            raise ImportError(f"tar shards need webdataset; {INSTALL}") from error
        wds: Any = webdataset
        self.skipped = []
        addresses = [url for pattern in self.urls for url in wds.shardlists.expand_urls(pattern)]
        self._check(addresses)  # a pattern may expand to anything
        stream: Any = wds.WebDataset(
            addresses, shardshuffle=False, nodesplitter=wds.split_by_node, empty_check=False
        )
        try:
            for row in stream:
                sample = self._sample(row)
                if sample is not None:
                    yield sample
        except (OSError, EOFError, ValueError, tarfile.TarError) as error:
            where = self.urls[0] if len(self.urls) == 1 else f"{self.urls[0]} and so on"
            raise ValueError(f"a shard of {where} cannot be read: {error}; fetch it again") from error

    def _check(self, urls: Sequence[str]) -> None:
        for url in urls:
            scheme = url.split(":", 1)[0].lower() if ":" in url else ""
            if not self.run_commands and (url == "-" or (len(scheme) > 1 and scheme not in _FETCHED)):
                raise ValueError(
                    f"{url[:80]!r} would run a program or read its output; pass run_commands=True if you "
                    "trust where it comes from"
                )

    def _sample(self, row: dict[str, Any]) -> CaptionSample | None:
        key = f"{row['__url__']}#{row['__key__']}"
        image = next((row[s] for s in IMAGE_SUFFIXES if s in row), None)
        captions: tuple[str, ...] = ()
        try:
            if "json" in row:
                captions = captions_of(json.loads(row["json"]))
            elif "txt" in row:
                captions = captions_of({"caption": row["txt"].decode()})
        except ValueError as error:
            self.skipped.append(Skip(item=key, reason=f"unreadable caption: {error}"))
            return None
        if image is None or not captions:
            self.skipped.append(Skip(item=key, reason="no image" if image is None else "no caption"))
            return None
        return CaptionSample(
            image_id=str(row["__key__"]), source=ImageBytes(label=key, data=image), captions=captions
        )


def open_pair_folder(folder: Path, *, missing: Missing = "error") -> Dataset[CaptionSample]:
    """A folder with `pairs.jsonl`: `{"image": "a/b.jpg", "caption": "..."}` a line, or `"captions": [...]`.

    Raises:
        FileNotFoundError: `pairs.jsonl`, or unless they may be skipped, images are missing.
        ValueError: a line is malformed, or an image is listed twice.
    """
    path = folder / "pairs.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: no such file; expected lines as {{"image": "a.jpg", "caption": "..."}}'
        )
    existing = ExistingFiles(folder.name, missing)
    left_out: list[Skip] = []
    samples: list[CaptionSample] = []
    names: list[str] = []
    with name_file(path), path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
                name, captions = str(row["image"]), captions_of(row)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f'{path}, line {number}: expected {{"image": ..., "caption": ...}}, '
                    f"got {line.strip()[:80]!r}"
                ) from error
            names.append(name)
            if not captions:
                left_out.append(Skip(item=name, reason="no caption"))
            elif existing.has(path_found := existing.find(folder, name)):
                samples.append(
                    CaptionSample(image_id=name, source=FileImage(path=path_found), captions=captions)
                )
    refuse_duplicates(names, what="image", where=path)
    return Dataset(samples, name=folder.name, task="caption", skipped=(*existing.finish(), *left_out))


def captions_of(row: dict[str, Any]) -> tuple[str, ...]:
    """The captions of a row or a JSON text: "caption" or "captions", a text or a list of texts."""
    found: Any = row.get("captions", row.get("caption"))
    texts = [found] if isinstance(found, str) else list(found or ())
    return tuple(str(text).strip() for text in texts if text and str(text).strip())
