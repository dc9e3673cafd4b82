"""A model by its name or folder, ready to be asked."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from xdecoder.predictor.predictor import Predictor
from xdecoder.weights.folder import load_answer_head, load_model
from xdecoder.weights.hub import cache_folder
from xdecoder.weights.sources import resolve_model


def load(
    source: str | os.PathLike[str] = "picturebook",
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    batch_size: int = 8,
) -> Predictor:
    """Load a model.

    Args:
        source: "picturebook" (the small model that comes with the package), the name of a published model
            (`xdecoder weights list`), a model folder, or a Hugging Face repository that holds one.
        device: where it runs.
        dtype: of the parameters; by default as stored, but float32 for what is stored in float16 on a CPU.
        batch_size: images encoded together at the most.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a file of the model folder is damaged or does not fit the others.
    """
    name = source if isinstance(source, str) else Path(source)
    folder = resolve_model(name)
    model, tokenizer = load_model(folder, device=device, dtype=dtype)
    answer_head = load_answer_head(folder, device=device)
    if dtype is None and torch.device(device).type == "cpu" and model.logit_scale.dtype == torch.float16:
        model = model.float()
    return Predictor(
        model, tokenizer, answer_head=answer_head, cache=cache_folder() / "names", batch_size=batch_size
    )
