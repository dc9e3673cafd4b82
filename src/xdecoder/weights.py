"""Model folders: `config.json`, `model.safetensors` and `tokenizer.json`, which together are a model.

A model that answers questions has `answering.json` and `answering.safetensors` besides. `load` takes a
folder, the name of a published model or a Hugging Face repository; `save` writes a folder; `convert` makes
one of a published checkpoint. Nothing is guessed: keys or shapes that differ are an error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from xdecoder import hub, published, published_files
from xdecoder.clip_vocabulary import load_clip_tokenizer
from xdecoder.config import PRESETS, ModelConfig
from xdecoder.model import XDecoder
from xdecoder.networks.answering import AnswerHead
from xdecoder.tokenizer import Tokenizer

CONFIG, WEIGHTS, TOKENIZER = hub.FOLDER_FILES
ANSWERS, ANSWER_WEIGHTS = hub.ANSWER_FILES
FORMAT_VERSION = 1
BUNDLED = "picturebook"

_ASSETS = Path(__file__).parent / "assets"
_LISTED = 12


# --- load -------------------------------------------------------------------------------------------------


def load(
    source: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> tuple[XDecoder, Tokenizer]:
    """A model, in evaluation mode, and its tokenizer.

    Args:
        source: a model folder; "picturebook", the small model that comes with the package; the name of a
            published model (`xdecoder weights list`), downloaded and converted at its first use; or a
            Hugging Face repository that holds a model folder ("owner/name").
        device: where the parameters go.
        dtype: of the parameters; by default as stored.

    Raises:
        FileNotFoundError: there is no such folder or model, or it could not be downloaded.
        ValueError: a file of the folder is damaged or does not fit the others.
    """
    folder = resolve(source)
    config, tokenizer = read_config(folder), read_tokenizer(folder)
    state = _read_weights(folder / WEIGHTS, device)
    model = build(config)
    _check(_shapes(model.state_dict()), _shapes(state), where=folder / WEIGHTS)
    if dtype is not None:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval(), tokenizer


def load_answer_head(folder: str | Path, *, device: torch.device | str = "cpu") -> AnswerHead | None:
    """The classifier of answers in a model folder, in evaluation mode; None where it has none.

    Args:
        folder: as `resolve` gives it.
        device: where the parameters go.

    Raises:
        FileNotFoundError: it has answers, but no weights for them.
        ValueError: a file is damaged or does not fit the others.
    """
    head = build_answer_head(folder)
    if head is None:
        return None
    path = Path(folder) / ANSWER_WEIGHTS
    state = _read_weights(path, device)
    _check(_shapes(head.state_dict()), _shapes(state), where=path)
    head.load_state_dict(state, strict=True, assign=True)
    return head.eval()


def build(config: ModelConfig) -> XDecoder:
    """The model on the meta device: structure and shapes, no numbers."""
    with torch.device("meta"):
        return XDecoder(config)


def build_answer_head(folder: str | Path) -> AnswerHead | None:
    """As `build`, of a model folder's classifier of answers; None where it has none.

    Raises:
        ValueError: its description is damaged.
    """
    path, width = Path(folder) / ANSWERS, read_config(folder).decoder.width
    if not path.is_file():
        return None
    try:
        data = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        with torch.device("meta"):
            return AnswerHead(width, data["answers"], question_length=data["question_length"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r}): expected an object with answers and question_length"
        ) from error


def resolve(source: str | Path) -> Path:
    """The folder that `load` reads for a source, downloaded if need be."""
    path, name = Path(source).expanduser(), str(source)
    if path.is_dir():
        return path
    if path.is_file():
        raise ValueError(
            f"{path} is a file, a model is a folder: turn a published checkpoint into one with "
            f"`xdecoder weights convert {path} FOLDER`"
        )
    if name == BUNDLED:
        folder = _ASSETS / BUNDLED
        if not folder.is_dir():
            raise FileNotFoundError(
                f"this installation does not contain the model {BUNDLED} (expected at {folder}): "
                "reinstall the package, or name another model"
            )
        return folder
    if name in hub.PUBLISHED:
        return pull(name)
    if isinstance(source, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith("."):
        return hub.download_folder(name)
    raise FileNotFoundError(
        f"no model {name!r}: expected a folder, a Hugging Face repository (owner/name), or one of "
        f"{', '.join([BUNDLED, *hub.PUBLISHED])}"
    )


def read_config(folder: str | Path) -> ModelConfig:
    """The configuration of a model folder.

    Raises:
        FileNotFoundError: the folder has no `config.json`.
        ValueError: it is damaged, or written by a newer version.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a model folder: it has no {CONFIG}. A model folder holds "
            f"{', '.join(hub.FOLDER_FILES)}, as `model.save` and `xdecoder weights convert` write them"
        )
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    version = cast("dict[str, Any]", data).pop("format_version", None) if isinstance(data, dict) else None
    if not isinstance(version, int) or version < 1:
        raise ValueError(f"{path} is not the configuration of an X-Decoder model: it has no format_version")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{path} has format {version}, this version of xdecoder reads up to {FORMAT_VERSION}: "
            "upgrade with `pip install -U xdecoder`"
        )
    try:
        return ModelConfig.from_dict(cast("dict[str, Any]", data))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a model folder, checked against its configuration.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is damaged, or not this model's.
    """
    text = read_config(folder).text
    path = Path(folder) / TOKENIZER
    tokenizer = Tokenizer.from_file(path, context_length=text.context_length)
    _check_tokenizer(tokenizer, text.vocabulary_size, path)
    return tokenizer


def _check_tokenizer(tokenizer: Tokenizer, rows: int, where: object) -> None:
    if tokenizer.vocabulary_size != rows:
        raise ValueError(
            f"{where} is another model's tokenizer: it has {tokenizer.vocabulary_size} tokens, "
            f"the model {rows}"
        )


def _read_weights(path: Path, device: torch.device | str) -> dict[str, Tensor]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is not a complete model folder: it has no {path.name}")
    try:
        return safetensors.torch.load_file(path, device=str(device))
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut off ({error}): copy or download it again") from error


# --- save -------------------------------------------------------------------------------------------------


def save(
    folder: str | Path, model: XDecoder, tokenizer: Tokenizer, *, answer_head: AnswerHead | None = None
) -> None:
    """Write a model folder.

    The files are complete or absent: all are written beside their places and then renamed. Where that fails
    (a full disk), files that were there before are unchanged.

    Args:
        folder: made if need be; the files of a model that it has are replaced.
        model: its sizes and parameters are written.
        tokenizer: the model's tokenizer.
        answer_head: its classifier of answers, if it has one.

    Raises:
        ValueError: the tokenizer is not this model's.
        OSError: the folder cannot be written.
    """
    _save(Path(folder), model.config, model.state_dict(), tokenizer, answer_head)


def _save(
    folder: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    answer_head: AnswerHead | None = None,
) -> None:
    _check_tokenizer(tokenizer, config.text.vocabulary_size, "the tokenizer")
    description = json.dumps({"format_version": FORMAT_VERSION, **config.to_dict()}, indent=2) + "\n"
    writers: dict[str, Callable[[Path], object]] = {
        **({} if answer_head is None else _answer_writers(answer_head)),
        WEIGHTS: lambda path: _write_tensors(state, path),
        TOKENIZER: lambda path: path.write_bytes(tokenizer.to_bytes()),
        CONFIG: lambda path: path.write_bytes(description.encode()),
    }
    existed = folder.exists()
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
        for name, write in writers.items():
            write(temporary / name)
            with (temporary / name).open("rb+") as file:
                os.fsync(file.fileno())
        for name in writers:
            # safetensors makes files that nobody else may read; give them the mode of any other file
            shutil.copymode(temporary / CONFIG, temporary / name)
            (temporary / name).replace(folder / name)
        for name in hub.ANSWER_FILES:
            if name not in writers:  # another model's
                (folder / name).unlink(missing_ok=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise OSError(
            f"cannot write the model to {folder}: {error}. Files that were there before are unchanged"
        ) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if not existed and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _answer_writers(head: AnswerHead) -> dict[str, Callable[[Path], object]]:
    description = json.dumps({"answers": head.answers, "question_length": head.question_length}, indent=1)
    return {
        ANSWER_WEIGHTS: lambda path: _write_tensors(head.state_dict(), path),
        ANSWERS: lambda path: path.write_bytes(description.encode()),
    }


def _write_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    tensors = {key: tensor.detach().contiguous().cpu() for key, tensor in state.items()}
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})


# --- convert ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` did.

    Attributes:
        folder: the model folder.
        config: the model's sizes and settings.
        tensors: tensors converted.
        parameters: numbers in them.
        dropped: keys of the checkpoint that are no parameters.
        preset: the preset with the same sizes, if there is one.
        settings_known: heads and thresholds are the YAML's, or the preset's; otherwise they were assumed.
    """

    folder: Path
    config: ModelConfig
    tensors: int
    parameters: int
    dropped: tuple[str, ...]
    preset: str | None
    settings_known: bool


def convert(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    yaml: str | Path | None = None,
    clip_vocabulary: str | Path | None = None,
) -> Conversion:
    """Turn a published checkpoint into a model folder.

    Args:
        checkpoint: `.pt` or `.safetensors`, bare or a trainer's resume file.
        folder: where to write.
        yaml: the official configuration, for heads and thresholds. Without it: those of the published models.
        clip_vocabulary: see `load_clip_tokenizer`.

    Raises:
        FileNotFoundError: a file is missing, or CLIP's vocabulary was not found.
        ValueError: keys are missing or left over, shapes differ, or the YAML is another model's.
    """
    settings = published_files.read_yaml(yaml) if yaml is not None else None
    state = published_files.read_checkpoint(checkpoint)
    shapes = _shapes(state)
    config = published.config_from_checkpoint(shapes, settings)
    renamed = published.rename(state)
    _check(
        {
            published.to_published(key) or key: shape
            for key, shape in _shapes(build(config).state_dict()).items()
        },
        {key: shape for key, shape in shapes.items() if key not in renamed.dropped},
        where=checkpoint,
    )
    tokenizer = load_clip_tokenizer(clip_vocabulary, context_length=config.text.context_length)
    _save(Path(folder), config, renamed.state, tokenizer)
    preset = next((name for name, known in PRESETS.items() if _sizes(known) == _sizes(config)), None)
    return Conversion(
        folder=Path(folder),
        config=config,
        tensors=len(renamed.state),
        parameters=sum(tensor.numel() for tensor in renamed.state.values()),
        dropped=renamed.dropped,
        preset=preset,
        settings_known=settings is not None or preset is not None,
    )


def pull(name: str, *, clip_vocabulary: str | Path | None = None) -> Path:
    """The model folder of a published model, downloaded and converted if it is not in the cache.

    Raises:
        FileNotFoundError: it could not be downloaded; the message says how to do it by hand.
        ValueError: there is no such model, or the file is damaged.
    """
    model = hub.find(name)
    folder = hub.cache_folder() / name
    if not (folder / CONFIG).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=folder.parent) as temporary:
            made = Path(temporary) / name
            convert(hub.download(model), made, clip_vocabulary=clip_vocabulary)
            if not (folder / CONFIG).is_file():  # another process may have been faster
                shutil.rmtree(folder, ignore_errors=True)
                made.replace(folder)
    return folder


def _sizes(config: ModelConfig) -> dict[str, Any]:
    return {key: value for key, value in config.to_dict().items() if key != "inference"}


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _check(
    expected: Mapping[str, Sequence[int]], actual: Mapping[str, Sequence[int]], *, where: object
) -> None:
    """Compare names and shapes.

    Raises:
        ValueError: they differ; lists missing, unexpected and differently shaped tensors.
    """
    groups = {
        "missing": [key for key in expected if key not in actual],
        "unexpected": [key for key in actual if key not in expected],
        "of another shape": [
            f"{key}: expected {list(expected[key])}, got {list(actual[key])}"
            for key in expected
            if key in actual and tuple(expected[key]) != tuple(actual[key])
        ],
    }
    if not any(groups.values()):
        return
    lines = [f"the tensors of {where} are not those of the configured model:"]
    for title, entries in groups.items():
        if entries:
            lines.append(f"{len(entries)} {title}:")
            lines += [f"  {entry}" for entry in entries[:_LISTED]]
            lines += [f"  and {len(entries) - _LISTED} more"] if len(entries) > _LISTED else []
    lines.append(
        "Nothing was loaded. Check that the file is a whole X-Decoder model, and that its configuration is "
        "the one it was trained with"
    )
    raise ValueError("\n".join(lines))
