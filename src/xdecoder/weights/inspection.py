"""What a model folder holds, read without loading its tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import safetensors

from xdecoder.config import ModelConfig
from xdecoder.jobs.files import name_file
from xdecoder.weights.documents import one_line, refuse_pointer
from xdecoder.weights.folder import WEIGHTS, build_answer_head, read_config, read_tokenizer

_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "U8": "uint8",
    "BOOL": "bool",
}


@dataclass(frozen=True, kw_only=True)
class FolderInfo:
    """What a model folder holds, read without loading its tensors.

    Attributes:
        folder: where it lies.
        config: sizes and settings.
        parameters: numbers in each part (`backbone`, `decoder`, ...).
        dtypes: kinds of numbers stored.
        bytes: size of the weights file.
        vocabulary_size: tokens of the tokenizer.
        answers: what questions can be answered with; none for a model that was not trained to answer.
    """

    folder: Path
    config: ModelConfig
    parameters: dict[str, int]
    dtypes: tuple[str, ...]
    bytes: int
    vocabulary_size: int
    answers: tuple[str, ...]


def inspect(folder: str | Path) -> FolderInfo:
    """Describe a model folder.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged.
    """
    folder = Path(folder)
    config, tokenizer, head = read_config(folder), read_tokenizer(folder), build_answer_head(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise FileNotFoundError(f"{folder} is not a complete model folder: it has no {WEIGHTS}")
    parameters: dict[str, int] = {}
    dtypes: set[str] = set()
    refuse_pointer(path)
    try:
        with name_file(path), safetensors.safe_open(path, framework="pt") as file:
            for key in cast("list[str]", file.keys()):
                tensor = file.get_slice(key)
                part, kind = key.split(".")[0], str(tensor.get_dtype())
                parameters[part] = parameters.get(part, 0) + math.prod(tensor.get_shape())
                dtypes.add(_DTYPES.get(kind, kind))
    except (safetensors.SafetensorError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or cut off ({one_line(error)}): copy or download it again"
        ) from error
    return FolderInfo(
        folder=folder,
        config=config,
        parameters=parameters,
        dtypes=tuple(sorted(dtypes)),
        bytes=path.stat().st_size,
        vocabulary_size=tokenizer.vocabulary_size,
        answers=() if head is None else head.answers,
    )
