"""The Hugging Face hub and the cache: what is downloaded, where it lies, what is said where it fails.

Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path

from xdecoder.jobs.files import read_text, safe_name, write_whole
from xdecoder.weights.download import endpoint, find_file, receive
from xdecoder.weights.published_models import REPOSITORY, PublishedModel

REPOSITORY_NAME = r"\w[\w.-]*/[\w.-]+"
"""What a repository on the hub may be called: owner/name."""

FOLDER_FILES = ("config.json", "model.safetensors", "tokenizer.json")
ANSWER_FILES = ("answering.json", "answering.safetensors")
"""What the folder of a model that answers questions has besides."""

_LATEST = "latest"  # the file that names the folder of a repository's last download


def cache_folder() -> Path:
    """Where converted models are kept: `$XDECODER_CACHE`, or `xdecoder` in the user's cache folder."""
    told = os.environ.get("XDECODER_CACHE")
    if told:
        return Path(told).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "xdecoder"


def download_published(model: PublishedModel) -> Path:
    """The published file, from the Hugging Face cache, or from the hub into ours; a killed download goes on.

    Raises:
        FileNotFoundError: it could not be downloaded; the message says how to do it by hand.
        ValueError: what arrived is damaged, or another file.
    """
    try:
        return download_file(REPOSITORY, model.file, sha256=model.sha256)
    except ValueError:
        raise
    except Exception as error:  # offline, blocked, gone, full disk: the way out is the same
        raise FileNotFoundError(_by_hand(model, error)) from error


def download_file(repository: str, name: str, *, sha256: str | None = None) -> Path:
    """A file of a repository, from the Hugging Face cache, or from the hub into `downloads_folder`.

    Args:
        repository: "owner/name".
        name: of the file within the repository.
        sha256: what its content has to have, where that is known.

    Raises:
        ValueError: it has other content, or arrived damaged.
        ConnectionError: the transfer ended too early; what came is kept.
        Exception: of huggingface_hub: offline, no such repository or file, ...
    """
    import huggingface_hub

    known = huggingface_hub.try_to_load_from_cache(repository, name)
    if isinstance(known, str):
        return Path(known)
    file = find_file(repository, name)
    if sha256 is not None and file.etag != sha256:
        raise ValueError(
            f"{endpoint()}/{repository} has another {name} than the published one: its sha256 is "
            f"{file.etag[:16]}..., expected {sha256[:16]}..."
        )
    path = Path(name)
    place = downloads_folder() / f"{safe_name(path.stem)}-{safe_name(file.etag)[:16]}{path.suffix}"
    receive(file, place)
    return place


def downloads_folder() -> Path:
    """Where downloads lie until they are converted."""
    return cache_folder() / "downloads"


def download_repository(repository: str) -> Path:
    """A model folder of a Hugging Face repository, as it is on the hub now; offline, as it was last.

    Raises:
        FileNotFoundError: it could not be downloaded, or is no model folder.
        ValueError: what arrived is damaged.
        OSError: the disk has no room.
    """
    from huggingface_hub.errors import EntryNotFoundError

    place = _repository_folder(repository)
    try:
        files = [find_file(repository, FOLDER_FILES[0])]
        commit = files[0].commit  # the others are of the same, whatever is pushed meanwhile
        files += [find_file(repository, name, commit) for name in FOLDER_FILES[1:]]
        for name in ANSWER_FILES:
            with contextlib.suppress(EntryNotFoundError):  # a model that answers no questions
                files.append(find_file(repository, name, commit))
        folder = place / safe_name(commit)
        for file in files:
            receive(file, folder / file.name)
    except (ValueError, FileExistsError):
        raise
    except Exception as error:  # offline, blocked, gone, cut off
        if (folder := cached_repository(repository)) is not None:
            warnings.warn(
                f"{endpoint()} does not answer ({_first_line(error)}): {repository} is taken as it was last",
                stacklevel=2,
            )
            return folder
        raise FileNotFoundError(
            f"there is no folder {repository}, and no model could be downloaded from "
            f"{endpoint()}/{repository} ({_first_line(error)}). It needs {', '.join(FOLDER_FILES)}"
        ) from error
    write_whole(place / _LATEST, folder.name.encode())
    return folder


def cached_repository(repository: str) -> Path | None:
    """A repository's model folder as it was downloaded last; None if it never was."""
    place = _repository_folder(repository)
    if not (place / _LATEST).is_file():
        return None
    folder = place / safe_name(read_text(place / _LATEST))
    return folder if folder.is_dir() else None


def _repository_folder(repository: str) -> Path:
    return cache_folder() / "repositories" / repository.replace("/", "--")


def _by_hand(model: PublishedModel, error: Exception) -> str:
    return (
        f"{model.name} could not be downloaded ({_first_line(error)}). It needs {model.file} "
        f"(about {model.megabytes:.0f} MB) of {REPOSITORY} on huggingface.co. By hand: fetch\n"
        f"  {model.url}\n"
        "on any machine, copy it here and run\n"
        f"  xdecoder weights convert {model.file} {cache_folder() / model.name}"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
