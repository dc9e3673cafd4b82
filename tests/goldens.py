"""Reads the golden files: see `tests/goldens/README.md`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(__file__).parent / "goldens"
TOKEN_TABLE = "sem_seg_head.predictor.lang_encoder.lang_encoder.token_embedding.weight"


@dataclass(frozen=True, kw_only=True)
class Golden:
    """One golden: `weights` in the published format, `io` inputs and outputs, `meta` strings and numbers."""

    name: str
    weights: dict[str, Tensor]
    io: dict[str, Tensor]
    meta: dict[str, Any]
    config_path: Path

    def __getitem__(self, key: str) -> Tensor:
        return self.io[key]


def load_golden(name: str) -> Golden:
    folder = FOLDER / name
    weights = load_file(folder / "weights.safetensors")
    if (folder / "token_table.safetensors").exists():
        table = load_file(folder / "token_table.safetensors")
        ids, rows = table["ids"].long(), table["rows"]
        full = table["rest"].float() if "rest" in table else torch.zeros(49408, rows.shape[1])
        full[ids] = rows
        weights[TOKEN_TABLE] = full
    with np.load(folder / "io.npz", allow_pickle=False) as io:
        tensors = {key: torch.from_numpy(io[key]) for key in io.files}
    return Golden(
        name=name,
        weights=weights,
        io=tensors,
        meta=json.loads((folder / "meta.json").read_text(encoding="utf-8")),
        config_path=folder / "config.yaml",
    )


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Within `tolerance` of the expected tensor's largest value."""
    assert actual.shape == expected.shape, f"shape {tuple(actual.shape)}, expected {tuple(expected.shape)}"
    error = (actual.float() - expected.float()).abs().max().item()
    scale = expected.float().abs().max().item()
    assert error <= tolerance * scale, f"error {error:.3g} is over {tolerance:.1g} of {scale:.3g}"
