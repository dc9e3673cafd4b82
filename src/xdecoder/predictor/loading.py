"""A model by its name or folder, ready to be asked."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import torch

from xdecoder.jobs.devices import find_device
from xdecoder.networks.narrow import WeightKind
from xdecoder.predictor.predictor import Predictor
from xdecoder.weights.default import BUNDLED_IS_FOR_DRAWN_SCENES, default_weights
from xdecoder.weights.folder import load_answer_head, load_model
from xdecoder.weights.hub import cache_folder
from xdecoder.weights.sources import resolve_model

_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int8)


def load(
    source: str | os.PathLike[str] | None = None,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | str | None = None,
    batch_size: int = 8,
    progress: bool = False,
    keep_transforms: bool = True,
) -> Predictor:
    """Load a model.

    Args:
        source: "picturebook" or "picturebook-lite" (the small models that come with the package), the name
            of a published model (`xdecoder weights list`), a model folder, or a Hugging Face repository that
            holds one. By default the user's own (`xdecoder weights default`, `$XDECODER_WEIGHTS`), or
            picturebook, with a warning that it knows drawn scenes only.
        device: where it runs.
        dtype: kind of numbers, torch's or its name: float32, bfloat16, float16, int8 or float64; by default
            as stored, but float32 for what is stored in float16 on a CPU. In int8, and on a CPU in float16,
            the weights of linear layers are kept in it, and all is computed in float32.
        batch_size: images encoded together at the most.
        progress: show a bar on stderr while several images are worked through.
        keep_transforms: on a CPU, keep the transformed kernels of the pixel decoder's convolutions once they
            are needed, at most 189 MB in a published model. Otherwise they are made for each batch of images,
            which takes a quarter more time for an image of 224 pixels and next to none for a large one.

    Raises:
        FileNotFoundError: there is no such model.
        ValueError: a file of the model folder is damaged or does not fit the others; there is no such device
            here, or no such dtype.
    """
    place, kind = find_device(device), _find_dtype(dtype)
    if source is None:
        default = default_weights()
        source = default.name
        if default.chosen_in is None:
            warnings.warn(BUNDLED_IS_FOR_DRAWN_SCENES, stacklevel=2)
    name = source if isinstance(source, str) else Path(source)
    folder = resolve_model(name)
    narrowed = kind == torch.int8 or (kind == torch.float16 and place.type == "cpu")
    weights = WeightKind(str(kind).removeprefix("torch.")) if narrowed else None
    model, tokenizer = load_model(
        folder, device=place, dtype=kind, weights=weights, memory_format=torch.channels_last
    )
    answer_head = load_answer_head(folder, device=place)
    if kind is None and place.type == "cpu" and model.logit_scale.dtype == torch.float16:
        model = model.float()
    return Predictor(
        model,
        tokenizer,
        answer_head=answer_head,
        cache=cache_folder() / "names",
        batch_size=batch_size,
        progress=progress,
        keep_transforms=keep_transforms,
    )


def _find_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    named = next((kind for kind in _DTYPES if dtype in (kind, str(kind).removeprefix("torch."))), None)
    if dtype is not None and named is None:
        raise ValueError(f"dtype must be float32, bfloat16, float16, int8 or float64, got {dtype!r}")
    return named
