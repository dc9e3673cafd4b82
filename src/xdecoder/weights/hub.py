"""The published files, `PUBLISHED`, and their download from the Hugging Face hub into a cache.

Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from xdecoder.jobs.files import safe_name, write_whole
from xdecoder.weights.download import endpoint, find_file, receive

REPOSITORY = "xdecoder/X-Decoder"
REPOSITORY_NAME = r"\w[\w.-]*/[\w.-]+"
"""What a repository on the hub may be called: owner/name."""

FOLDER_FILES = ("config.json", "model.safetensors", "tokenizer.json")
ANSWER_FILES = ("answering.json", "answering.safetensors")
"""What the folder of a model that answers questions has besides."""

_LATEST = "latest"  # the file that names the folder of a repository's last download


@dataclass(frozen=True, kw_only=True)
class Score:
    """A published score, in percent (CIDEr: times 100).

    Attributes:
        data: data set.
        metric: as the paper names it.
        value: the score.
    """

    data: str
    metric: str
    value: float


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One published checkpoint.

    Attributes:
        name: file name on the hub without `.pt`.
        backbone: image encoder.
        queries: latent queries; None where no publication says (conversion reads it from the file).
        good_for: what to choose it for.
        parameters: millions of parameters.
        presets: presets (`xdecoder.config.PRESETS`) of which it has the sizes of one.
        sha256: of the file, where somebody who has it said so.
        scores: published scores.
    """

    name: str
    backbone: Literal["Focal-T", "Focal-L"]
    queries: int | None
    good_for: str
    parameters: float
    presets: tuple[str, ...]
    sha256: str | None = None
    scores: tuple[Score, ...] = field(default=())

    @property
    def file(self) -> str:
        """File name on the hub."""
        return f"{self.name}.pt"

    @property
    def megabytes(self) -> float:
        """Size of the float32 parameters; the file differs by little."""
        return 4 * self.parameters

    @property
    def url(self) -> str:
        """Where a browser finds the file."""
        return f"https://huggingface.co/{REPOSITORY}/resolve/main/{self.file}"


def _scores(**scores: tuple[float | None, ...]) -> tuple[Score, ...]:
    """Scores by column group of the published tables; None where the table has no entry."""
    return tuple(
        Score(data=data, metric=metric, value=value)
        for group, values in scores.items()
        for (data, metric), value in zip(_COLUMNS[group], values, strict=True)
        if value is not None
    )


_COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "coco": (("COCO", "PQ"), ("COCO", "AP"), ("COCO", "mIoU")),
    "ade": (("ADE20K-150", "PQ"), ("ADE20K-150", "AP"), ("ADE20K-150", "mIoU")),
    "ade_full": (("ADE20K-847", "mIoU"),),
    "sun": (("SUN RGB-D 37", "mIoU"),),
    "scannet": (("ScanNet-20", "PQ"), ("ScanNet-20", "mIoU"), ("ScanNet-40", "mIoU")),
    "cityscapes": (("Cityscapes", "PQ"), ("Cityscapes", "AP"), ("Cityscapes", "mIoU")),
    "bdd": (("BDD100K", "PQ"), ("BDD100K", "mIoU")),
    "refcocog": (("RefCOCOg", "mIoU"), ("RefCOCOg", "cIoU")),
    "retrieval": (("COCO-Karpathy", "IR@1"), ("COCO-Karpathy", "TR@1")),
    "caption": (("COCO-Karpathy", "CIDEr"),),
}

PUBLISHED: dict[str, PublishedModel] = {
    model.name: model
    for model in (
        PublishedModel(
            name="xdecoder_focalt_last",
            backbone="Focal-T",
            queries=101,
            good_for="all tasks, COCO's classes first: referring, captions, retrieval",
            parameters=164.5,
            presets=("focal-t",),
            scores=_scores(
                coco=(50.8, 39.5, 62.4),
                ade=(None, 9.6, 23.9),
                refcocog=(63.2, 57.6),
                retrieval=(30.0, 48.3),
                caption=(83.3,),
            ),
        ),
        PublishedModel(
            name="xdecoder_focalt_best_openseg",
            backbone="Focal-T",
            queries=101,
            good_for="open-vocabulary segmentation: classes beyond COCO's",
            parameters=164.5,
            presets=("focal-t",),
            scores=_scores(
                coco=(48.8, 37.0, 60.2),
                ade=(19.1, 10.1, 25.1),
                ade_full=(6.2,),
                sun=(35.7,),
                scannet=(30.3, 38.4, 22.4),
                cityscapes=(37.7, 18.5, 50.2),
                bdd=(16.9, 47.6),
            ),
        ),
        PublishedModel(
            name="xdecoder_focalt_last_novg",
            backbone="Focal-T",
            queries=101,
            good_for="captions and retrieval; by its name, trained without Visual Genome",
            parameters=164.5,
            presets=("focal-t",),
        ),
        PublishedModel(
            name="xdecoder_focall_last",
            backbone="Focal-L",
            queries=201,
            good_for="all tasks, the most accurate on COCO; 201 queries",
            parameters=341.6,
            presets=("focal-l",),
            scores=_scores(coco=(56.5, 46.7, 67.2)),
        ),
        PublishedModel(
            name="xdecoder_focall_bestseg",
            backbone="Focal-L",
            queries=None,
            good_for="open-vocabulary segmentation with the large backbone",
            parameters=341.5,
            presets=("focal-l", "focal-l-oq101"),
            scores=_scores(coco=(51.5, 41.3, 64.1), ade=(None, 11.7, 29.4), retrieval=(30.7, 50.1)),
        ),
        PublishedModel(
            name="xdecoder_focall_last_oq101",
            backbone="Focal-L",
            queries=101,
            good_for="all tasks, the earlier large release; 101 queries",
            parameters=341.5,
            presets=("focal-l-oq101",),
            scores=_scores(
                coco=(56.2, 46.4, 65.5),
                ade=(None, 11.5, 23.6),
                refcocog=(67.7, None),
                retrieval=(34.9, 54.4),
            ),
        ),
    )
}


def find(name: str) -> PublishedModel:
    """A row of `PUBLISHED`.

    Raises:
        ValueError: there is no such model.
    """
    if name not in PUBLISHED:
        raise ValueError(f"no published model {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def cache_folder() -> Path:
    """Where converted models are kept: `$XDECODER_CACHE`, or `xdecoder` in the user's cache folder."""
    told = os.environ.get("XDECODER_CACHE")
    if told:
        return Path(told).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "xdecoder"


def download(model: PublishedModel) -> Path:
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
        name: of the file.
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


def download_folder(repository: str) -> Path:
    """A model folder of a Hugging Face repository, as it is on the hub now; offline, as it was last.

    Raises:
        FileNotFoundError: it could not be downloaded, or is no model folder.
        ValueError: what arrived is damaged.
        OSError: the disk has no room.
    """
    from huggingface_hub.errors import EntryNotFoundError

    place = _repository_folder(repository)
    try:
        files = [find_file(repository, name) for name in FOLDER_FILES]
        for name in ANSWER_FILES:
            with contextlib.suppress(EntryNotFoundError):  # a model that answers no questions
                files.append(find_file(repository, name))
        folder = place / safe_name(files[0].commit)
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
    folder = place / safe_name((place / _LATEST).read_text())
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
