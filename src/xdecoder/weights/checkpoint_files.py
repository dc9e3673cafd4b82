"""Reads the files that published checkpoints come as, running no code of theirs."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from torch import Tensor

from xdecoder.jobs.printable import printable
from xdecoder.weights.documents import one_line, read_bytes, refuse_pointer, shown
from xdecoder.weights.tensors import LONGEST_NAME, read_safetensors

WRAPPERS = ("model", "module", "state_dict", "model_state_dict", "params", "ema")
"""Where trainers put the state dict; the first that is there is taken, so averaged weights last."""

_MOST_YAML = 1_000_000


class _PlainLoader(yaml.SafeLoader):
    """YAML of plain values: no tag runs code, no merge key makes copies of copies."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.YAMLError("it has a merge key (<<), which no official configuration has")
        super().flatten_mapping(node)


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The state dict of a published checkpoint, on the CPU, in published names.

    Args:
        path: a `.pt`/`.pth` file (read without running any code in it) or a `.safetensors` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, wants to run code, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}" + (" (a folder)" if path.is_dir() else ""))
    data = read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    try:
        return unwrap(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _read_pickle(path: Path) -> object:
    refuse_pointer(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old protocols and old kinds of storage
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        if named is None:
            raise ValueError(
                f"{path} is no checkpoint of PyTorch, or is damaged: download it again ({one_line(error)})"
            ) from error
        raise ValueError(
            f"{path} holds more than tensors, and reading the rest could run code of whoever made it, so it "
            f"was refused (it names {named[1]}). Ask for a file with the state dict alone. If you trust this "
            "one, write that file yourself:\n"
            f'  python -c "import torch; d = torch.load({str(path)!r}, weights_only=False); '
            "torch.save(d.get('model', d), 'weights.pt')\""
        ) from error
    except Exception as error:  # torch raises whatever a damaged pickle makes its reader do
        raise ValueError(
            f"{path} is no checkpoint of PyTorch, or is damaged or cut off: download it again "
            f"({one_line(error)})"
        ) from error


def unwrap(data: object) -> dict[str, Tensor]:
    """The state dict inside a trainer's resume file, at the top or under one of `WRAPPERS`, prefixes off.

    Raises:
        ValueError: there is none, or what is there is no state dict of tensors that the file holds in full.
    """
    seen: set[int] = set()
    while isinstance(data, Mapping):
        if id(data) in seen:
            raise ValueError("the file contains itself: no state dict can be found in it")
        seen.add(id(data))
        content = cast("Mapping[object, object]", data)
        inner = next((content[k] for k in WRAPPERS if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            break
        data = inner
    if not isinstance(data, Mapping) or not data:
        raise ValueError(f"expected a state dict (names and tensors), got {type(data).__name__}")
    content = cast("Mapping[object, object]", data)
    others = [
        printable(key, most=LONGEST_NAME) if isinstance(key, str) else shown(key)
        for key, value in content.items()
        if not (isinstance(key, str) and isinstance(value, Tensor))
    ]
    if others:
        raise ValueError(
            f"expected a state dict (names and tensors), but {len(others)} of {len(content)} entries are "
            f"something else ({', '.join(others[:4])}). It is looked for at the top and under "
            f"{', '.join(WRAPPERS)}"
        )
    state = cast("dict[str, Tensor]", dict(content))
    for key, tensor in state.items():
        _check_dense(key, tensor)
    return _without_prefixes(state)


def _check_dense(key: str, tensor: Tensor) -> None:
    """Refuse a tensor that is more than the numbers that the file holds: copied, it could fill the memory."""
    dense = tensor.layout is torch.strided and not tensor.is_quantized and not tensor.is_meta
    if not dense or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        name = printable(key, most=LONGEST_NAME)
        raise ValueError(
            f"{name} is no plain tensor (sparse, quantized, or of more numbers than the file holds)"
        )


def _without_prefixes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as the model has them, without what trainers and `torch.compile` put before them."""
    plain = {key.replace("_orig_mod.", ""): tensor for key, tensor in state.items()}
    while prefix := next((p for p in ("module.", "model.") if all(k.startswith(p) for k in plain)), ""):
        plain = {key.removeprefix(prefix): tensor for key, tensor in plain.items()}
    if len(plain) < len(state):
        raise ValueError("some tensors have the same name once _orig_mod. is taken off")
    return plain


def read_yaml(path: str | Path) -> dict[str, Any]:
    """An official YAML configuration.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not YAML, or not an X-Decoder configuration.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no configuration at {path}")
    try:
        data = yaml.load(read_bytes(path, most=_MOST_YAML), _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        raise ValueError(f"{path} is not readable as YAML: {one_line(error)}") from error
    if not isinstance(data, dict) or not isinstance(cast("dict[str, Any]", data).get("MODEL"), dict):
        raise ValueError(f"{path} is not an official X-Decoder configuration: it has no section MODEL")
    return cast("dict[str, Any]", data)
