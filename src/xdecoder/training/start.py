"""The one way to start from a model: its folder, its name, or the folder of a run that exported it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.training.run_folder import CHECKPOINTS, MODEL
from xdecoder.weights.folder import WEIGHTS, load_answer_head, load_model
from xdecoder.weights.sources import resolve_model


def find_start(start: Path) -> Path:
    """The model folder that a start means.

    Raises:
        FileNotFoundError: there is no such model, or the run has exported none yet.
    """
    if not (start / CHECKPOINTS).is_dir():
        return resolve_model(start)
    if not (start / MODEL).is_dir():
        raise FileNotFoundError(f"{start} is a run that has exported no model yet: let it go on to its end")
    return start / MODEL


def start_digest(start: Path) -> str:
    """What tells a start's weights from others: the SHA-256 of their file.

    Raises:
        FileNotFoundError: there is no such model.
    """
    with (find_start(start) / WEIGHTS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def start_from(folder: Path, model: XDecoder, answer_head: AnswerHead | None = None) -> None:
    """Put a model folder's weights into a model, and into its classifier where both have the same answers.

    Raises:
        ValueError: the folder's model is of other sizes.
    """
    start, _ = load_model(folder)
    try:
        model.load_state_dict(start.float().state_dict(), assign=True)
    except RuntimeError as error:
        raise ValueError(f"{folder} is of other sizes than the recipe: {error}") from error
    head = load_answer_head(folder)
    if head is not None and answer_head is not None and head.answers == answer_head.answers:
        answer_head.load_state_dict(head.float().state_dict())
