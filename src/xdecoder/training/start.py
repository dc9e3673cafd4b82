"""The one way to start from a model: its folder, its name, or the folder of a run that exported it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.jobs.files import name_file
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.training.run_folder import CHECKPOINTS, MODEL
from xdecoder.weights.folder import WEIGHTS, holds_model, load_answer_head, load_model
from xdecoder.weights.sources import resolve_model

_QUERIES: Final = ("decoder.query_features", "decoder.query_positions")
_DISTANCE: Final = 0.3
"""Of a new query from the one that it is a copy of, in standard deviations of the table."""


def find_start(start: Path) -> Path:
    """The model folder that a start means.

    Raises:
        FileNotFoundError: there is no such model, or the run has exported none yet.
    """
    if not (start / CHECKPOINTS).is_dir():
        return resolve_model(start)
    if not holds_model(start / MODEL):
        raise FileNotFoundError(f"{start} is a run that has exported no model yet: let it go on to its end")
    return start / MODEL


def start_digest(start: Path) -> str:
    """What tells a start's weights from others: the SHA-256 of their file.

    Raises:
        FileNotFoundError: there is no such model.
    """
    path = find_start(start) / WEIGHTS
    with name_file(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start_from(
    folder: Path, model: XDecoder, answer_head: AnswerHead | None = None, *, renewed: Sequence[str] = ()
) -> None:
    """Put a model folder's weights into a model, and into its classifier where both have the same answers.

    A model with more object queries than the folder's begins with copies of those, a little apart.

    Args:
        folder: of the model that is started from.
        model: takes its weights.
        answer_head: likewise.
        renewed: prefixes of the names of parameters that the model keeps: parts of other sizes.

    Raises:
        ValueError: the folder's model is of other sizes.
    """
    start, _ = load_model(folder)
    state = start.float().state_dict()
    for name in _QUERIES:
        state[name] = add_queries(state[name], model.config.decoder.queries)
    kept = {name: t for name, t in model.state_dict().items() if name.startswith(tuple(renewed))}
    others = {name: t for name, t in state.items() if not name.startswith(tuple(renewed))}
    given, own = ({n: tuple(t.shape) for n, t in s.items()} for s in (others | kept, model.state_dict()))
    for name in sorted(given.keys() | own.keys()):
        if given.get(name) != own.get(name):
            raise ValueError(
                f"{folder} is of other sizes than the recipe: its {name} is {given.get(name, 'not there')}, "
                f"the recipe's {own.get(name, 'not there')}; leave out the settings of sizes, or start anew"
            )
    model.load_state_dict(others | kept, assign=True)
    head = load_answer_head(folder)
    if head is not None and answer_head is not None and head.answers == answer_head.answers:
        answer_head.load_state_dict(head.float().state_dict())


def add_queries(table: Float[Tensor, "Q D"], queries: int) -> Float[Tensor, "Q2 D"]:
    """A table of latent queries grown to more: copies of the object queries in turn, each moved at random.

    The global query stays the last. Copies that were alike would learn alike.

    Args:
        table: of a trained model.
        queries: rows of the new table; where these are no more than before, the table stays.
    """
    objects, more = table[:-1], queries - len(table)
    if more <= 0:
        return table
    copies = objects[torch.arange(more) % len(objects)]
    moved = copies + _DISTANCE * objects.std() * torch.randn_like(copies)
    return torch.cat((objects, moved, table[-1:]))
