"""Reads the files that published checkpoints come as, running no code of theirs."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import safetensors
import safetensors.torch
import torch
import yaml
from torch import Tensor


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
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a Git LFS pointer, not the checkpoint: run `git lfs pull`")
    if path.suffix == ".safetensors":
        return unwrap(_read_safetensors(path))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            data = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "Unsupported operand" in str(error):
            raise ValueError(
                f"{path} is no checkpoint of PyTorch, or is damaged: download it again"
            ) from error
        raise ValueError(
            f"{path} holds more than tensors, and reading the rest could run code of whoever made it, so it "
            f"was refused ({_refusal(error)}). Ask for a file with the state dict alone. If you trust this "
            "one, write that file yourself:\n"
            f'  python -c "import torch; d = torch.load({str(path)!r}, weights_only=False); '
            "torch.save(d.get('model', d), 'weights.pt')\""
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        raise ValueError(
            f"{path} is no checkpoint of PyTorch, or is damaged or cut off: download it again ({error})"
        ) from error
    return unwrap(data)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut off: download it again ({error})") from error


def _refusal(error: pickle.UnpicklingError) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"it names {found.group(1)}" if found else "not readable with weights_only"


def unwrap(data: object) -> dict[str, Tensor]:
    """The state dict inside a trainer's resume file: below `model`, `module` or `state_dict`, prefixes off.

    Raises:
        ValueError: there is none.
    """
    while isinstance(data, Mapping):
        content = cast("Mapping[str, Any]", data)
        inner = next(
            (content[k] for k in ("model", "module", "state_dict") if isinstance(content.get(k), Mapping)),
            None,
        )
        if inner is None:
            break
        data = inner
    if not isinstance(data, Mapping) or not data:
        raise ValueError(f"expected a state dict (names and tensors), got {type(data).__name__}")
    content = cast("Mapping[str, Any]", data)
    others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise ValueError(
            f"expected a state dict (names and tensors), but {len(others)} of {len(content)} entries are "
            f"something else ({', '.join(others[:4])}). It is looked for at the top and under model, module "
            "and state_dict"
        )
    state = cast("dict[str, Tensor]", dict(content))
    for prefix in ("module.", "model.", "module."):
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


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
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not readable as YAML: {error}") from error
    if not isinstance(data, dict) or not isinstance(cast("dict[str, Any]", data).get("MODEL"), dict):
        raise ValueError(f"{path} is not an official X-Decoder configuration: it has no section MODEL")
    return cast("dict[str, Any]", data)
