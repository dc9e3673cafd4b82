"""Embeddings of class names, kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.jobs.files import remove_drafts, whole_file
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.model import XDecoder
from xdecoder.tasks.vocabulary import embed_names
from xdecoder.tokenizer import Tokenizer
from xdecoder.weights.digest import digest_text_encoder

_NAMES = 256
"""Names embedded together at the most: what is lost where the program is stopped."""


class NameCache:
    """Embeddings of class names, kept in memory and, where a folder is given, on disk.

    A file holds one name and is named by what decides its content: the text encoder's weights, the tokenizer
    and the name's prompts. Files are written aside and moved into place, so several processes may share the
    folder.

    Args:
        model: its text encoder embeds names that are new.
        tokenizer: the one that the model was trained with.
        folder: where the files lie; None keeps them in memory alone.
    """

    def __init__(self, model: XDecoder, tokenizer: Tokenizer, folder: Path | None) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._folder = folder
        self._memory: dict[tuple[str, ...], Tensor] = {}

    def embed(
        self, prompts: Sequence[tuple[str, ...]], progress: ProgressCallback | None = None
    ) -> Float[Tensor, "K P"]:
        """As `embed_names`, computing only names that are new.

        Args:
            prompts: for each class as many texts as for the others, in the order of the templates.
            progress: called with the texts embedded and the texts to embed, if any are new.
        """
        for texts in prompts:
            if texts not in self._memory and (stored := self._load(texts)) is not None:
                self._memory[texts] = stored
        new = [texts for texts in dict.fromkeys(prompts) if texts not in self._memory]
        total = sum(len(texts) for texts in new)
        if new and self._folder is not None:
            remove_drafts(self._folder / self._encoder)
        earlier = 0  # texts of the groups before

        def add_earlier(done: int, _: int) -> None:
            if progress:
                progress(earlier + done, total)

        for start in range(0, len(new), _NAMES):
            group = new[start : start + _NAMES]
            embeddings = embed_names(self._model, self._tokenizer, group, add_earlier)
            earlier += sum(len(texts) for texts in group)
            for texts, embedding in zip(group, embeddings, strict=True):
                self._memory[texts] = embedding
                self._store(texts, embedding)
        return torch.stack([self._memory[texts] for texts in prompts])

    def _path(self, texts: tuple[str, ...]) -> Path | None:
        if self._folder is None:
            return None
        name = hashlib.blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()
        return self._folder / self._encoder / f"{name}.npy"

    @cached_property
    def _encoder(self) -> str:
        """What names what embeds: the text encoder and the kind of numbers that it computes in."""
        digest = digest_text_encoder(self._model, self._tokenizer)
        return f"{digest}-{str(self._model.logit_scale.dtype).removeprefix('torch.')}"

    def _load(self, texts: tuple[str, ...]) -> Tensor | None:
        path = self._path(texts)
        if path is None or not path.exists():
            return None
        try:
            stored = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # cut short or foreign: computed again
            return None
        if stored.shape != (self._model.config.embed_width,) or stored.dtype != np.float32:
            return None
        return torch.from_numpy(stored).to(self._model.logit_scale.device)

    def _store(self, texts: tuple[str, ...], embedding: Tensor) -> None:
        path = self._path(texts)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                np.save(file, embedding.cpu().numpy())
        except OSError:  # a full or read-only disk costs time, not the result
            return
