"""Embeddings of class names, kept."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
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

_MOST_BYTES = 64 << 20


class NameCache:
    """Embeddings of class names, kept in memory and, where a folder is given, on disk.

    A file holds one name and is named by what decides its content: the text encoder's weights, the tokenizer
    and the name's prompts. Files are written aside and moved into place, so several processes may share the
    folder. Memory is bounded: the names that were asked for least recently go first.

    Args:
        model: its text encoder embeds names that are new.
        tokenizer: the one that the model was trained with.
        folder: where the files lie; None keeps them in memory alone.
        most_bytes: of the embeddings kept in memory, at the most.
    """

    def __init__(
        self, model: XDecoder, tokenizer: Tokenizer, folder: Path | None, *, most_bytes: int = _MOST_BYTES
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._folder = folder
        self._most_bytes = most_bytes
        self._bytes = 0
        self._memory: OrderedDict[str, Tensor] = OrderedDict()

    def embed(
        self, prompts: Sequence[tuple[str, ...]], progress: ProgressCallback | None = None
    ) -> Float[Tensor, "K P"]:
        """As `embed_names`, computing only names that are new.

        Args:
            prompts: for each class as many texts as for the others, in the order of the templates.
            progress: called with the texts embedded and the texts to embed, if any are new.
        """
        keys = [_key(texts) for texts in prompts]
        found = {key: known for key in dict.fromkeys(keys) if (known := self._recall(key)) is not None}
        new = [
            (key, texts) for key, texts in dict(zip(keys, prompts, strict=True)).items() if key not in found
        ]
        total = sum(len(texts) for _, texts in new)
        if new and self._folder is not None:
            remove_drafts(self._folder / self._encoder)
        earlier = 0  # texts of the groups before

        def add_earlier(done: int, _: int) -> None:
            if progress:
                progress(earlier + done, total)

        for start in range(0, len(new), _NAMES):
            group = new[start : start + _NAMES]
            embeddings = embed_names(self._model, self._tokenizer, [texts for _, texts in group], add_earlier)
            earlier += sum(len(texts) for _, texts in group)
            for (key, _), embedding in zip(group, embeddings, strict=True):
                found[key] = embedding.clone()  # a row would hold its whole group in memory
                self._keep(key, found[key])
                self._store(key, embedding)
        return torch.stack([found[key] for key in keys])

    def _recall(self, key: str) -> Tensor | None:
        """The embedding of a name from memory or from its file; None where it is new."""
        known = self._memory.get(key)
        if known is not None:
            self._memory.move_to_end(key)
        elif (known := self._load(key)) is not None:
            self._keep(key, known)
        return known

    def _keep(self, key: str, embedding: Tensor) -> None:
        """Keep an embedding in memory, and let go what is then too much."""
        replaced = self._memory.pop(key, None)
        self._memory[key] = embedding
        self._bytes += embedding.nbytes - (0 if replaced is None else replaced.nbytes)
        while self._bytes > self._most_bytes:
            _, freed = self._memory.popitem(last=False)
            self._bytes -= freed.nbytes

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / self._encoder / f"{key}.npy"

    @cached_property
    def _encoder(self) -> str:
        """What names what embeds: the text encoder and the kind of numbers that it computes in."""
        digest = digest_text_encoder(self._model, self._tokenizer)
        return f"{digest}-{self._model.dtype}"

    def _load(self, key: str) -> Tensor | None:
        path = self._path(key)
        if path is None or not path.exists():
            return None
        try:
            stored = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # cut short or foreign: computed again
            return None
        if stored.shape != (self._model.config.embed_width,) or stored.dtype != np.float32:
            return None
        return torch.from_numpy(stored).to(self._model.logit_scale.device)

    def _store(self, key: str, embedding: Tensor) -> None:
        path = self._path(key)
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                np.save(file, embedding.cpu().numpy())
        except OSError:  # a full or read-only disk costs time, not the result
            return


def _key(texts: tuple[str, ...]) -> str:
    """What names a class: its prompts."""
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()
