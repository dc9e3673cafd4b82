"""Model folders: `config.json`, `model.safetensors` and `tokenizer.json`, which together are a model.

A model that answers questions has `answering.json` and `answering.safetensors` besides. Nothing is guessed:
keys or shapes that differ are an error.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from xdecoder.config import ModelConfig
from xdecoder.jobs.files import draft_folder, remove_drafts
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.narrow import WeightKind, narrow, narrow_names
from xdecoder.tokenizer import Tokenizer
from xdecoder.weights import hub
from xdecoder.weights.documents import read_bytes, read_json, shown
from xdecoder.weights.tensors import (
    check_numbers,
    check_shapes,
    one_dtype,
    read_safetensors,
    shapes_of,
    stored_shapes,
    tensors_in_parts,
)

CONFIG, WEIGHTS, TOKENIZER = hub.FOLDER_FILES
ANSWERS, ANSWER_WEIGHTS = hub.ANSWER_FILES
FORMAT_VERSION = 1

_TOKEN_TABLE = "text_encoder.token_embedding.weight"
_FILLERS = frozenset(
    {"constant_", "fill_", "zero_", "normal_", "uniform_", "kaiming_uniform_", "xavier_uniform_"}
)

# CLIP's tokenizer.json has 4 MB, a configuration 2 KB.
_MOST_CONFIG = 1_000_000
_MOST_TOKENIZER = 64_000_000


# --- load -------------------------------------------------------------------------------------------------


def load_model(
    folder: str | Path,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    weights: WeightKind | None = None,
    memory_format: torch.memory_format = torch.preserve_format,
) -> tuple[XDecoder, Tokenizer]:
    """The model of a folder, in evaluation mode, and its tokenizer.

    Args:
        folder: as `xdecoder.weights.sources.resolve_model` gives it.
        device: where the parameters go.
        dtype: of the parameters; by default as stored.
        weights: what those of linear layers are kept in, for inference alone. The table of tokens is in
            float16 then, and every other parameter in float32, whatever `dtype` says.
        memory_format: of the weights of convolutions; by default as stored.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or does not fit the others.
    """
    folder = Path(folder)
    config, tokenizer = read_config(folder), read_tokenizer(folder)
    path = folder / WEIGHTS
    _check_there(path)
    model = build_model(config)
    check_shapes(shapes_of(model.state_dict()), stored_shapes(path), where=path)
    state = _read_state(path, model, device=device, dtype=dtype, weights=weights, memory_format=memory_format)
    model.load_state_dict(state, strict=True, assign=True)
    model.weight_kind = weights
    return model.eval(), tokenizer


def _read_state(
    path: Path,
    model: XDecoder,
    *,
    device: torch.device | str,
    dtype: torch.dtype | None,
    weights: WeightKind | None,
    memory_format: torch.memory_format,
) -> dict[str, Tensor]:
    """The tensors of a model without numbers; weights to be narrowed go to their places in it at once."""
    expected = model.state_dict()
    narrowed = set[str]() if weights is None else narrow_names(model)
    kinds = {} if weights is None else {_TOKEN_TABLE: torch.float16}
    dtype = dtype if weights is None else torch.float32
    state: dict[str, Tensor] = {}
    rows: dict[str, int] = {}  # of tensors that come some rows at a time: those that have come
    for part in tensors_in_parts(path, whole=narrowed):
        check_numbers(part, expected, where=path)
        for name, tensor in part.items():
            if weights is not None and name in narrowed:
                narrow(model, name, tensor.to(device), weights)
                continue
            wanted = kinds.get(name, dtype) if tensor.is_floating_point() else None
            cast = _lay_out(tensor.to(device, wanted), memory_format)
            if cast is tensor:
                continue
            check_numbers({name: cast}, expected, where=f"{path} in {cast.dtype}")
            if cast.shape == expected[name].shape:
                state[name] = cast
                continue
            if name not in state:
                state[name] = _lay_out(cast.new_empty(expected[name].shape), memory_format)
            start = rows.get(name, 0)
            rows[name] = start + len(cast)
            state[name][start : rows[name]] = cast
    # Mapped once more: what was looked through is let go of, and read when it is needed.
    as_stored = [name for name in expected if name not in state and name not in narrowed]
    state |= read_safetensors(path, device=device, names=as_stored)
    if dtype is None:
        one_dtype(state, where=path)
    return state


def _lay_out(tensor: Tensor, memory_format: torch.memory_format) -> Tensor:
    """A tensor, or a convolution's weight in this format."""
    if tensor.dim() != 4 or tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor
    return tensor.to(memory_format=memory_format)


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
    _check_there(path)
    state = read_safetensors(path, device=device)
    check_shapes(shapes_of(head.state_dict()), shapes_of(state), where=path)
    check_numbers(state, head.state_dict(), where=path)
    head.load_state_dict(state, strict=True, assign=True)
    return head.eval()


def build_model(config: ModelConfig) -> XDecoder:
    """The model on the meta device: structure and shapes, no numbers."""
    with torch.device("meta"), _WithoutNumbers():
        return XDecoder(config)


class _WithoutNumbers(TorchFunctionMode):
    """Leaves out what draws or fills in numbers, of which the meta device has none.

    Drawing there would import torch's symbolic algebra, which takes longer than loading a small model.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        if func.__name__ == "randn":
            return torch.empty(*args, **options)
        if func.__name__ in _FILLERS:
            return args[0] if args else options["tensor"]
        return func(*args, **options)


def build_answer_head(folder: str | Path) -> AnswerHead | None:
    """As `build_model`, of a model folder's classifier of answers; None where it has none.

    Raises:
        ValueError: its description is damaged.
    """
    config, path = read_config(folder), Path(folder) / ANSWERS
    if not path.is_file():
        return None
    data = read_json(path, most=_MOST_TOKENIZER)
    fields = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    answers, length = fields.get("answers"), fields.get("question_length")
    if not are_answers(answers):
        raise ValueError(f"{path} is damaged: expected a list of different texts under answers")
    most = config.text.context_length
    if type(length) is not int or not 3 <= length <= most:
        raise ValueError(
            f"{path} is damaged: expected a whole number from 3 to {most}, the model's context, under "
            f"question_length, got {shown(length)}"
        )
    with torch.device("meta"), _WithoutNumbers():
        return AnswerHead(config.decoder.width, cast("list[str]", answers), question_length=length)


def are_answers(answers: object) -> bool:
    """Whether something is what a classifier of answers can choose from: a list of different texts."""
    if not isinstance(answers, list) or not answers:
        return False
    texts = cast("list[object]", answers)
    return all(isinstance(text, str) and text for text in texts) and len(set(texts)) == len(texts)


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
    data = read_json(path, most=_MOST_CONFIG)
    version = cast("dict[str, Any]", data).pop("format_version", None) if isinstance(data, dict) else None
    if type(version) is not int or version < 1:
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
    tokenizer = read_tokenizer_file(path, context_length=text.context_length)
    check_tokenizer(tokenizer, text.vocabulary_size, path)
    return tokenizer


def read_tokenizer_file(path: Path, *, context_length: int) -> Tokenizer:
    """A `tokenizer.json`, of any model.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, too large, or another kind of tokenizer.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no tokenizer at {path}")
    data = read_bytes(path, most=_MOST_TOKENIZER)
    try:
        return Tokenizer.from_bytes(data, context_length=context_length)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def check_tokenizer(tokenizer: Tokenizer, rows: int, where: object) -> None:
    """Refuse a tokenizer whose tokens are not the rows of a model's token table.

    Raises:
        ValueError: their numbers differ, or the start and end tokens are not the last two.
    """
    if tokenizer.vocabulary_size != rows:
        raise ValueError(
            f"{where} is another model's tokenizer: it has {tokenizer.vocabulary_size} tokens, "
            f"the model {rows}"
        )
    if (tokenizer.start_id, tokenizer.end_id) != (rows - 2, rows - 1):
        raise ValueError(
            f"{where} is another model's tokenizer: its start and end tokens are {tokenizer.start_id} and "
            f"{tokenizer.end_id}, the model's are the last two of {rows}"
        )


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is not a complete model folder: it has no {path.name}")


# --- save -------------------------------------------------------------------------------------------------


def save_model(
    folder: str | Path, model: XDecoder, tokenizer: Tokenizer, *, answer_head: AnswerHead | None = None
) -> None:
    """Write a model folder.

    The files are complete or absent: all are written beside their places and then renamed. Where that fails
    (a full disk), files that were there before are unchanged.

    Args:
        folder: made if need be; the files of a model that it has are replaced.
        model: its sizes and parameters are written, as rounded where weights are kept in fewer bits.
        tokenizer: the model's tokenizer.
        answer_head: its classifier of answers, if it has one.

    Raises:
        ValueError: the tokenizer is not this model's.
        OSError: the folder cannot be written.
    """
    state: dict[str, Tensor] = model.state_dict()
    if model.weight_kind is not None:  # what is kept in fewer bits is of two kinds: a file has one
        state = {name: x.float() if x.is_floating_point() else x for name, x in state.items()}
    save_state(Path(folder), model.config, state, tokenizer, answer_head)


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a whole model: `save_state` puts the description there last."""
    return (folder / CONFIG).is_file()


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
    tensors: dict[str, Tensor] = {}
    written: set[int] = set()
    for key, tensor in state.items():
        whole = tensor.detach().contiguous().cpu()
        storage = whole.untyped_storage()
        if storage.data_ptr() in written:  # a file holds no tensor twice, as tied ones would be
            whole = whole.clone()
        written.add(storage.data_ptr())
        tensors[key] = whole
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
