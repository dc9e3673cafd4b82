"""Finds CLIP's byte-pair merges, which the published checkpoints need and do not carry.

They come from a file that the user names, from an installed package that holds them (read as data, never
imported) or from the Hugging Face hub. All copies are the same 48,894 merges, which is checked.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from xdecoder.jobs.files import name_file, read_file
from xdecoder.tokenizer import CONTEXT_LENGTH, Tokenizer, build_clip_tokenizer
from xdecoder.weights import hub
from xdecoder.weights.documents import one_line, read_bytes
from xdecoder.weights.folder import read_tokenizer_file

HUB_REPOSITORY = "openai/clip-vit-base-patch32"
HUB_FILE = "merges.txt"
MERGE_COUNT = 49152 - 256 - 2
MERGES_SHA256 = "f61f2adf497e6f5357c347aeb4646fabe82f341e946de5bdec5d2858e41bef4a"

_HEADER = b"#version: 0.2"
_MOST = 64_000_000  # bytes; the largest file that carries the merges has 5 MB
_FILE = "bpe_simple_vocab_16e6.txt"
# Distributions that carry the merges, best first, and the endings of the files to look at.
_PACKAGES = (
    ("open-clip-torch", (f"{_FILE}.gz", _FILE)),
    ("openai-clip", (f"{_FILE}.gz", _FILE)),
    ("instant-clip-tokenizer", (".so", ".pyd")),
)


def load_clip_tokenizer(path: str | Path | None = None, *, context_length: int = CONTEXT_LENGTH) -> Tokenizer:
    """CLIP's tokenizer, from the first source that has it.

    Args:
        path: bpe_simple_vocab_16e6.txt or merges.txt, plain or .gz; a wheel of open-clip-torch or
            instant-clip-tokenizer; or a tokenizer.json. By default an installed package, then the hub.
        context_length: longest text in tokens.

    Raises:
        FileNotFoundError: there is no such file, or no source has the vocabulary.
        ValueError: the file is not CLIP's vocabulary.
    """
    if path is not None:
        return _from_file(Path(path), context_length)
    file = next(installed_files(), None) or _download()
    return build_clip_tokenizer(read_merges(read_file(file), file), context_length=context_length)


def installed_files() -> Iterator[Path]:
    """Files of installed packages that carry the merges."""
    for package, endings in _PACKAGES:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            path = Path(str(file.locate()))
            if path.name.endswith(endings) and path.is_file():
                yield path


def read_merges(data: bytes, source: object) -> list[tuple[str, str]]:
    """The merges within a text file, plain or gzip, or a compiled module that embeds it.

    Args:
        data: the file's contents.
        source: its name, for errors.

    Raises:
        ValueError: the data does not hold CLIP's merges.
    """
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.open(io.BytesIO(data)) as file:
                data = file.read(
                    _MOST
                )  # one that unpacks to more is none, and may be made to fill the memory
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{source}: damaged gzip file ({error})") from error
    _, header, body = data.partition(_HEADER)
    lines = body.split(b"\n", MERGE_COUNT + 1)[1 : MERGE_COUNT + 1]
    lines = [line.rstrip(b"\r") for line in lines]
    if not header or hashlib.sha256(b"\n".join(lines)).hexdigest() != MERGES_SHA256:
        raise ValueError(
            f"{source} does not hold CLIP's vocabulary: expected {_FILE} (plain or .gz), "
            f"{HUB_FILE} of {HUB_REPOSITORY}, a wheel of open-clip-torch or instant-clip-tokenizer, "
            "or a tokenizer.json"
        )
    pairs = (line.decode().split(" ") for line in lines)
    return [(first, second) for first, second in pairs]


def _from_file(path: Path, context_length: int) -> Tokenizer:
    if not path.is_file():
        raise FileNotFoundError(f"no CLIP vocabulary at {path}")
    if path.suffix == ".json":
        return read_tokenizer_file(path, context_length=context_length)
    data = _wheel_member(path) if zipfile.is_zipfile(path) else read_bytes(path, most=_MOST)
    return build_clip_tokenizer(read_merges(data, path), context_length=context_length)


def _wheel_member(path: Path) -> bytes:
    try:
        with name_file(path), zipfile.ZipFile(path) as wheel:
            for endings in (endings for _, endings in _PACKAGES):
                for name in wheel.namelist():
                    if name.endswith(endings):
                        with wheel.open(name) as file:
                            return file.read(_MOST)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged or locked wheel ({one_line(error)})") from error
    raise ValueError(f"{path}: no file of this wheel holds CLIP's vocabulary ({_FILE})")


def _download() -> Path:
    try:
        return hub.download_file(HUB_REPOSITORY, HUB_FILE)
    except Exception as error:  # offline, blocked, full disk: the ways out are the same
        raise FileNotFoundError(
            "CLIP's vocabulary is needed once, to convert a published checkpoint, and was not found. "
            "Any one of these brings it:\n"
            "  pip install --no-deps open-clip-torch   (1.5 MB; it is read, never imported)\n"
            f"  --clip-vocabulary FILE                  ({_FILE}[.gz], {HUB_FILE}, tokenizer.json, or a "
            "wheel of open-clip-torch or instant-clip-tokenizer)\n"
            f"  a connection to huggingface.co          ({HUB_REPOSITORY}/{HUB_FILE}; failed with "
            f"{type(error).__name__}: {one_line(error)})"
        ) from error
