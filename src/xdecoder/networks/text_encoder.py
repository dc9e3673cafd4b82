"""The causal text encoder (CLIP's architecture; section 3.3 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from xdecoder.config import TextConfig
from xdecoder.networks.attention import Attention, KeyValueCache
from xdecoder.networks.linear import Linear, linear


@dataclass(frozen=True, kw_only=True)
class TextFeatures:
    """What the text encoder says of a batch of texts.

    Attributes:
        tokens: projected states, (B, L, P), not normalized.
        embeddings: the state at each text's end token, (B, P), not normalized.
    """

    tokens: Float[Tensor, "B L P"]
    embeddings: Float[Tensor, "B P"]


class TextNorm(nn.Module):
    """Layer norm with epsilon 1e-12, statistics in float32 at least."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C"]:
        dtype = torch.promote_types(x.dtype, torch.float32)
        weight, bias = self.weight.to(dtype), self.bias.to(dtype)
        return F.layer_norm(x.to(dtype), x.shape[-1:], weight, bias, eps=1e-12).to(x.dtype)


class QuickGELUFeedForward(nn.Module):
    """Two linear layers with QuickGELU, x · sigmoid(1.702 x), between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc = Linear(width, 4 * width)
        self.c_proj = Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "*batch C"]) -> Float[Tensor, "*batch C"]:
        y = self.c_fc(x)
        return self.c_proj(y * torch.sigmoid(1.702 * y))


class TextBlock(nn.Module):
    """A pre-norm residual block with causal self-attention."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.attn = Attention(config.width, config.heads)
        self.ln_1 = TextNorm(config.width)
        self.mlp = QuickGELUFeedForward(config.width)
        self.ln_2 = TextNorm(config.width)

    def forward(
        self, x: Float[Tensor, "B L C"], layer: int, cache: KeyValueCache | None
    ) -> Float[Tensor, "B L C"]:
        y = self.ln_1(x)
        queries, keys, values = self.attn.queries(y), self.attn.keys(y), self.attn.values(y)
        if cache is None or cache.length == 0:
            if cache is not None:
                cache.append(layer, keys, values)
            mixed = self.attn.attend(queries, keys, values, causal=True)
        else:
            visible = causal_after(cache.length, x.shape[1], x.device)
            keys, values = cache.append(layer, keys, values)
            mixed = self.attn.attend(queries, keys, values, visible=visible)
        x = x + mixed
        return x + self.mlp(self.ln_2(x))


def causal_after(earlier: int, length: int, device: torch.device) -> Tensor | None:
    """Who `length` tokens may see when `earlier` ones came before, True = visible; None where all is visible.

    The mask is (length, earlier + length).
    """
    if length == 1:
        return None
    return torch.ones(length, earlier + length, dtype=torch.bool, device=device).tril(earlier)


class TextEncoder(nn.Module):
    """Token ids to token features and text embeddings.

    Args:
        config: sizes; parameter names are those of the published checkpoints.
        embed_width: width P of the space that images and texts share.
    """

    def __init__(self, config: TextConfig, embed_width: int) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positional_embedding = nn.Parameter(torch.empty(config.context_length, config.width))
        self.resblocks = nn.ModuleList(TextBlock(config) for _ in range(config.layers))
        self.ln_final = TextNorm(config.width)
        self.projection = nn.Parameter(torch.empty(config.width, embed_width))
        nn.init.trunc_normal_(self.token_embedding.weight, std=0.02)
        nn.init.trunc_normal_(self.positional_embedding, std=0.02)
        nn.init.trunc_normal_(self.projection, std=0.02)

    def forward(self, ids: Int[Tensor, "B L"]) -> TextFeatures:
        """Encode whole texts.

        Args:
            ids: start token, text, end token; anything may follow the first end token, it changes nothing
                before it. L is at most the context length.
        """
        tokens = self.continue_texts(ids, None)
        ends = (ids == self.config.end_id).int().argmax(1)
        rows = torch.arange(ids.shape[0], device=ids.device)
        return TextFeatures(tokens=tokens, embeddings=tokens[rows, ends])

    def continue_texts(self, ids: Int[Tensor, "B L"], cache: KeyValueCache | None) -> Float[Tensor, "B L P"]:
        """Projected states of the next tokens, after those that the cache holds; the cache takes them in."""
        first = 0 if cache is None else cache.length
        x = self.token_embedding(ids) + self.positional_embedding[first : first + ids.shape[1]]
        for layer, block in enumerate(self.resblocks):
            x = block(x, layer, cache)
        if cache is not None:
            cache.advance(ids.shape[1])
        return linear(self.ln_final(x), self.projection.T)
