"""A model as the options name it."""

from __future__ import annotations

import xdecoder
from xdecoder.cli.console import console
from xdecoder.cli.progress import ProgressBar
from xdecoder.jobs.devices import find_device
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import Vocabulary


def load_predictor(
    source: str | None, *, device: str | None, dtype: str | None, batch_size: int | None
) -> Predictor:
    """The model that the options name, or the default.

    Raises:
        ValueError: there is no such device, or the model is damaged.
        FileNotFoundError: there is no such model.
    """
    place = find_device(device)
    size = batch_size or (1 if place.type == "cpu" else 8)
    with console().status(f"loading {source or 'the model'}"):
        return xdecoder.load(source, device=place, dtype=dtype, batch_size=size)


def embed_vocabulary(predictor: Predictor, vocabulary: Vocabulary) -> None:
    """Embed the classes ahead of the images, telling how far it is; the predictor keeps them."""
    with ProgressBar("reading the vocabulary") as progress:
        predictor.embed_vocabulary(vocabulary, progress)
