"""A model as the options name it."""

from __future__ import annotations

import torch

import xdecoder
from xdecoder.cli.console import console
from xdecoder.cli.progress import Progress
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary


def load_predictor(
    source: str, *, device: str | None, dtype: str | None, batch_size: int | None
) -> Predictor:
    """The model that the options name.

    Raises:
        ValueError: there is no such device, or the model is damaged.
        FileNotFoundError: there is no such model.
    """
    place = find_device(device)
    size = batch_size or (1 if place.type == "cpu" else 8)
    kind = None if dtype is None else getattr(torch, dtype)
    with console().status(f"loading {source}"):
        return xdecoder.load(source, device=place, dtype=kind, batch_size=size)


def find_device(name: str | None) -> torch.device:
    """The device of a name; where None, a GPU if there is one.

    Raises:
        ValueError: there is no such device here.
    """
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    here = ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
    if name is None:
        return torch.device("cuda" if gpus else "cpu")
    if name not in here and not (name == "cuda" and gpus):
        raise ValueError(f"no device {name!r}; this computer has {', '.join(here)}")
    return torch.device(name)


def embed_vocabulary(predictor: Predictor, vocabulary: Vocabulary) -> None:
    """Embed the classes ahead of the images, telling how far it is; the predictor keeps them."""
    with Progress("reading the vocabulary") as progress:
        predictor.embed_vocabulary(vocabulary, progress)
