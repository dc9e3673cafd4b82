"""Texts to token features and embeddings by the text graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from xdecoder.runtime.graphs import Array, Graphs
from xdecoder.tokenizer import Tokenizer

_ROWS = 128  # of a batch, at the most


def normalize(x: Float32[np.ndarray, "*batch P"]) -> Float32[np.ndarray, "*batch P"]:
    """Divide by the norm plus 1e-7, as `xdecoder.model.normalize`."""
    return x / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-7)


class Texts:
    """The text encoder of an exported model.

    Args:
        graphs: the text graph among them.
        tokenizer: the one that the model was trained with.
    """

    def __init__(self, graphs: Graphs, tokenizer: Tokenizer) -> None:
        self._graphs = graphs
        self.tokenizer = tokenizer
        self._names: dict[tuple[str, ...], Array] = {}

    def know(self, prompts: Sequence[tuple[str, ...]], embeddings: Float32[np.ndarray, "K P"]) -> None:
        """Take the embeddings of classes that were embedded before."""
        self._names |= dict(zip(prompts, embeddings, strict=True))

    def embed(self, texts: Sequence[str]) -> Float32[np.ndarray, "N P"]:
        """Text embeddings of unit length, in batches of about equal length."""
        encoded = [self.tokenizer.encode(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        rows: dict[int, Array] = {}
        for start in range(0, len(order), _ROWS):
            batch = order[start : start + _ROWS]
            [embeddings] = self._graphs.run(
                "text", {"ids": self._ids([encoded[i] for i in batch])}, ["embeddings"]
            )
            rows |= dict(zip(batch, embeddings, strict=True))
        return normalize(np.stack([rows[i] for i in range(len(texts))]))

    def embed_names(self, prompts: Sequence[tuple[str, ...]]) -> Float32[np.ndarray, "K P"]:
        """Each class by the mean of its prompts' embeddings, normalized; kept, so that a name costs once.

        Args:
            prompts: for each class its texts.
        """
        new = [texts for texts in dict.fromkeys(prompts) if texts not in self._names]
        if new:
            rows = self.embed([text for texts in new for text in texts])
            ends = np.cumsum([len(texts) for texts in new])
            for texts, of_class in zip(new, np.split(rows, ends[:-1]), strict=True):
                mean = of_class.mean(0)
                self._names[texts] = mean / np.linalg.norm(mean)
        return np.stack([self._names[texts] for texts in prompts])

    def encode_phrases(self, phrases: Sequence[str]) -> tuple[Array, Array, Array]:
        """Token features of phrases, (N, L, P), which of them are no padding, (N, L), and embeddings."""
        encoded = [self.tokenizer.encode(phrase) for phrase in phrases]
        ids = self._ids(encoded)
        tokens, embeddings = self._graphs.run("text", {"ids": ids}, ["tokens", "embeddings"])
        lengths = np.array([len(row) for row in encoded])
        return tokens, np.arange(ids.shape[1]) < lengths[:, None], normalize(embeddings)

    def _ids(self, encoded: Sequence[Sequence[int]]) -> Array:
        length = max(len(row) for row in encoded)
        end = self.tokenizer.end_id
        return np.array([[*row, *[end] * (length - len(row))] for row in encoded], np.int64)
