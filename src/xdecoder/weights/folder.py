"""Model folders: `config.json`, `model.safetensors` and `tokenizer.json`, which together are a model.

A model that answers questions has `answering.json` and `answering.safetensors` besides. Nothing is guessed:
keys or shapes that differ are an error.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.jobs.files import draft_folder, remove_drafts
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.tokenizer import Tokenizer
from xdecoder.weights import hub
from xdecoder.weights.shapes import check_shapes, shapes_of

CONFIG, WEIGHTS, TOKENIZER = hub.FOLDER_FILES
ANSWERS, ANSWER_WEIGHTS = hub.ANSWER_FILES
FORMAT_VERSION = 1


# --- load -------------------------------------------------------------------------------------------------


def load_model(
    folder: str | Path, *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> tuple[XDecoder, Tokenizer]:
    """The model of a folder, in evaluation mode, and its tokenizer.

    Args:
        folder: as `xdecoder.weights.sources.resolve_model` gives it.
        device: where the parameters go.
        dtype: of the parameters; by default as stored.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or does not fit the others.
    """
    folder = Path(folder)
    config, tokenizer = read_config(folder), read_tokenizer(folder)
    state = _read_weights(folder / WEIGHTS, device)
    model = build_model(config)
    check_shapes(shapes_of(model.state_dict()), shapes_of(state), where=folder / WEIGHTS)
    if dtype is not None:
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval(), tokenizer


def load_answer_head(folder: str | Path, *, device: torch.device | str = "cpu") -> AnswerHead | None:
    """The classifier of answers in a model folder, in evaluation mode; None where it has none.

    Args:
        folder: as `xdecoder.weights.sources.resolve_model` gives it.
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
    check_shapes(shapes_of(head.state_dict()), shapes_of(state), where=path)
    head.load_state_dict(state, strict=True, assign=True)
    return head.eval()


def build_model(config: ModelConfig) -> XDecoder:
    """The model on the meta device: structure and shapes, no numbers."""
    with torch.device("meta"):
        return XDecoder(config)


def build_answer_head(folder: str | Path) -> AnswerHead | None:
    """As `build_model`, of a model folder's classifier of answers; None where it has none.

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
    check_tokenizer(tokenizer, text.vocabulary_size, path)
    return tokenizer


def check_tokenizer(tokenizer: Tokenizer, rows: int, where: object) -> None:
    """Refuse a tokenizer whose tokens are not the rows of a model's token table.

    Raises:
        ValueError: their numbers differ.
    """
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


def save_model(
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
    save_state(Path(folder), model.config, model.state_dict(), tokenizer, answer_head)


def save_state(
    folder: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    answer_head: AnswerHead | None = None,
) -> None:
    """As `save_model`, of a state dict on any device."""
    check_tokenizer(tokenizer, config.text.vocabulary_size, "the tokenizer")
    description = json.dumps({"format_version": FORMAT_VERSION, **config.to_dict()}, indent=2) + "\n"
    writers: dict[str, Callable[[Path], object]] = {
        **({} if answer_head is None else _answer_writers(answer_head)),
        WEIGHTS: lambda path: _write_tensors(state, path),
        TOKENIZER: lambda path: path.write_bytes(tokenizer.to_bytes()),
        CONFIG: lambda path: path.write_bytes(description.encode()),
    }
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_drafts(folder)
        with draft_folder(folder) as draft:
            for name, write in writers.items():
                write(draft / name)
                with (draft / name).open("rb+") as file:
                    os.fsync(file.fileno())
            for name in writers:
                # safetensors makes files that nobody else may read; give them the mode of any other file
                shutil.copymode(draft / CONFIG, draft / name)
                (draft / name).replace(folder / name)
        for name in hub.ANSWER_FILES:
            if name not in writers:  # another model's
                (folder / name).unlink(missing_ok=True)
    except (OSError, safetensors.SafetensorError) as error:
        raise OSError(
            f"cannot write the model to {folder}: {error}. Files that were there before are unchanged"
        ) from error
    finally:
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
