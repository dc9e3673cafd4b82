"""What the decoder attends to, what its queries hold, and what it predicts.

Shapes as in `decoder.py`: B images, Q latent queries of which the last is the global one, N cells of a level,
D width, P joint embedding width, M mask width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdecoder.networks.attention import KeyValueCache

LEVELS = 3
"""Of the memory: strides 32, 16 and 8, which the layers take in turn."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the queries attend to in a batch of images.

    Attributes:
        sources: per level, strides 32, 16, 8: features + level embedding, (B, N, D): attention's values.
        placed: per level: sources + sine positions: attention's keys.
        mask_features: per level: mask features at the level's own resolution, (B, M, N), without gradient.
        sizes: per level: height and width; height · width = N.
    """

    sources: tuple[Float[Tensor, "B _ D"], ...]
    placed: tuple[Float[Tensor, "B _ D"], ...]
    mask_features: tuple[Float[Tensor, "B M _"], ...]
    sizes: tuple[tuple[int, int], ...]

    def images(self, indices: Sequence[int]) -> Memory:
        """Some images of the batch."""
        return Memory(
            sources=_pick(self.sources, indices),
            placed=_pick(self.placed, indices),
            mask_features=_pick(self.mask_features, indices),
            sizes=self.sizes,
        )


@dataclass(frozen=True, kw_only=True)
class QueryOutputs:
    """One set of predictions.

    Attributes:
        embeddings: semantic embedding of each query, (..., Q, P).
        masks: mask embedding of each query, (..., Q, M); mask logits are its products with the mask features.
    """

    embeddings: Float[Tensor, "*batch Q P"]
    masks: Float[Tensor, "*batch Q M"]


@dataclass(frozen=True, kw_only=True)
class LatentStates:
    """What the latent queries hold.

    Attributes:
        states: normed queries before the first layer and after each one, (B, Q, D), the last row being the
            recomputed global token.
        keys: per layer, the self-attention keys of the latent queries, which texts read; empty if not kept.
        values: likewise.
    """

    states: tuple[Float[Tensor, "B Q D"], ...]
    keys: tuple[Float[Tensor, "B heads Q head"], ...] = ()
    values: tuple[Float[Tensor, "B heads Q head"], ...] = ()

    def images(self, indices: Sequence[int]) -> LatentStates:
        """Those of some images of the batch."""
        return LatentStates(
            states=_pick(self.states, indices),
            keys=_pick(self.keys, indices),
            values=_pick(self.values, indices),
        )


@dataclass(frozen=True, kw_only=True)
class TextContext:
    """What a text needs of an image to be read along with it, computed once for all its tokens.

    Attributes:
        cross_keys: per layer, keys of the image, (B, heads, N, head); several texts in a row may share them.
        cross_values: per layer, values of the image.
        visible: per layer, the cells that the text may look at, (B, 1, 1, N); None for all.
        cache: self-attention keys and values: the latent queries' first, then the tokens' so far, one row
            for each text.
    """

    cross_keys: tuple[Tensor, ...]
    cross_values: tuple[Tensor, ...]
    visible: tuple[Bool[Tensor, "B 1 1 _"] | None, ...]
    cache: KeyValueCache

    def pick(self, rows: Int[Tensor, " B2"]) -> TextContext:
        """A context whose row b goes on from this one's row `rows[b]`; this one is used up."""
        self.cache.reorder(rows)
        return TextContext(
            cross_keys=tuple(keys[rows] for keys in self.cross_keys),
            cross_values=tuple(values[rows] for values in self.cross_values),
            visible=tuple(None if v is None else v[rows] for v in self.visible),
            cache=self.cache,
        )

    def fork(self, times: int) -> TextContext:
        """A context of `times` texts of each image, which share its keys; once, and this one is used up."""
        images = torch.arange(self.cross_keys[0].shape[0], device=self.cross_keys[0].device)
        self.cache.reorder(images.repeat_interleave(times))
        return self

    def restrict(self, regions: tuple[Bool[Tensor, "B _ _"], ...]) -> TextContext:
        """The same context, of texts that may look at some cells of each level only."""
        visible = [region.flatten(1)[:, None, None] for region in regions]
        return dataclasses.replace(
            self, visible=tuple(visible[i % LEVELS] for i in range(len(self.cross_keys)))
        )


def _pick(tensors: tuple[Tensor, ...], indices: Sequence[int]) -> tuple[Tensor, ...]:
    """Some rows of each tensor; without a copy where they are all rows, or one."""
    rows = list(indices)
    if tensors and rows == list(range(tensors[0].shape[0])):
        return tensors
    if len(rows) == 1:
        return tuple(x[rows[0] : rows[0] + 1] for x in tensors)
    return tuple(x[rows] for x in tensors)
