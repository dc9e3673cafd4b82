"""The generalized decoder: latent and text queries over one image (sections 3.1 and 3.3 of the paper).

Shapes: B images, Q latent queries of which the last is the global one, N cells of a level, L tokens, D width,
P joint embedding width, M mask width.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from xdecoder.config import DecoderConfig
from xdecoder.networks.attention import Attention, KeyValueCache
from xdecoder.networks.decoder_states import LEVELS, LatentStates, Memory, QueryOutputs, TextContext
from xdecoder.networks.linear import Linear, batched_linear, linear
from xdecoder.networks.positions import sine_positions
from xdecoder.networks.queries import QueryKind, visibility

NO_CAPTIONS = (
    "this model has no captions and no answers: it was trained without captioning, and its checkpoint lacks "
    "the parameters"
)


class ReLUFeedForward(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = Linear(width, hidden)
        self.linear2 = Linear(hidden, width)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        return self.linear2(F.relu(self.linear1(x)))


class DecoderLayer(nn.Module):
    """Cross-attention to the image, self-attention among queries, feed-forward; post-norm."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.cross_attention = Attention(config.width, config.heads)
        self.cross_norm = nn.LayerNorm(config.width)
        self.self_attention = Attention(config.width, config.heads)
        self.self_norm = nn.LayerNorm(config.width)
        self.feedforward = ReLUFeedForward(config.width, config.feedforward)
        self.feedforward_norm = nn.LayerNorm(config.width)

    def cross_attend(
        self, x: Tensor, positions: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None
    ) -> Float[Tensor, "B L D"]:
        """Cross-attention to projected keys and values of images.

        Where there are fewer images than rows of x, several rows in a row share an image: their queries are
        put together, so that its keys need not be copied.
        """
        sharing, length = x.shape[0] // keys.shape[0], x.shape[1]
        if visible is not None and visible.shape[0] == x.shape[0]:
            visible = visible.expand(-1, -1, length, -1).unflatten(0, (-1, sharing)).transpose(1, 2)
            visible = visible.flatten(2, 3)
        x, positions = (t.expand_as(x).unflatten(0, (-1, sharing)).flatten(1, 2) for t in (x, positions))
        attention = self.cross_attention
        x = self.cross_norm(x + attention.attend(attention.queries(x + positions), keys, values, visible))
        return x.unflatten(1, (sharing, length)).flatten(0, 1)

    def self_attend(
        self, x: Tensor, positions: Tensor, keys: Tensor, values: Tensor, visible: Tensor | None
    ) -> Float[Tensor, "B L D"]:
        """Self-attention to projected keys and values, then the feed-forward."""
        attention = self.self_attention
        mixed = attention.attend(attention.queries(x + positions), keys, values, visible)
        x = self.self_norm(x + mixed)
        return self.feedforward_norm(x + self.feedforward(x))


class Decoder(nn.Module):
    """Latent queries, referring queries and texts over an image's memory.

    Args:
        config: sizes.
        feature_width: channels of the pixel decoder's levels.
        mask_width: channels M of the mask features.
        embed_width: width P of the space that images and texts share.
        context_length: longest text in tokens.
    """

    def __init__(
        self,
        config: DecoderConfig,
        *,
        feature_width: int,
        mask_width: int,
        embed_width: int,
        context_length: int,
    ) -> None:
        super().__init__()
        D = config.width
        self.config = config
        self.query_features = nn.Parameter(torch.randn(config.queries, D))
        self.query_positions = nn.Parameter(torch.randn(config.queries, D))
        self.level_embedding = nn.Parameter(torch.randn(LEVELS, D))
        self.input_projections = nn.ModuleList(
            nn.Conv2d(feature_width, D, 1) for _ in range(LEVELS if feature_width != D else 0)
        )
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(D)
        self.class_projection = nn.Parameter(torch.empty(D, embed_width))
        self.mask_mlp = nn.ModuleList(Linear(D, width) for width in (D, D, mask_width))
        self.caption_projection: nn.Parameter | None = None
        self.caption_positions: nn.Parameter | None = None
        nn.init.trunc_normal_(self.class_projection, std=0.02)
        if config.captions:
            self.caption_projection = nn.Parameter(torch.empty(D, embed_width))
            self.caption_positions = nn.Parameter(torch.empty(context_length, D))
            nn.init.trunc_normal_(self.caption_projection, std=0.02)
            nn.init.trunc_normal_(self.caption_positions, std=0.02)

    # The image

    def remember(self, levels: tuple[Tensor, ...], mask_features: tuple[Tensor, ...]) -> Memory:
        """Prepare a batch of images for any number of queries.

        Args:
            levels: the pixel decoder's features at strides 32, 16, 8, (B, C, H, W).
            mask_features: mask features resized to each level, (B, M, H, W).
        """
        sources: list[Tensor] = []
        placed: list[Tensor] = []
        for index, features in enumerate(levels):
            projected = self.input_projections[index](features) if self.input_projections else features
            source = projected.flatten(2).transpose(1, 2) + self.level_embedding[index]
            height, width = features.shape[-2:]
            positions = sine_positions(height, width, source.shape[-1], source.device, source.dtype)
            sources.append(source)
            placed.append(source + positions.flatten(0, 1))
        return Memory(
            sources=tuple(sources),
            placed=tuple(placed),
            mask_features=tuple(m.detach().flatten(2) for m in mask_features),
            sizes=tuple((f.shape[-2], f.shape[-1]) for f in levels),
        )

    # The three streams (see queries.py)

    def decode_latents(self, memory: Memory, *, keep: bool = False) -> LatentStates:
        """Decode the latent queries: object queries and the global one.

        Args:
            memory: the images' features, which queries attend to.
            keep: keep the self-attention keys and values of every layer, for texts to read.
        """
        B, Q = memory.sources[0].shape[0], self.config.queries
        positions = self.query_positions
        x = self.query_features.expand(B, -1, -1)
        kinds = {QueryKind.OBJECT: Q - 1, QueryKind.GLOBAL: 1}
        visible = visibility(kinds, kinds, x.device, self.config.interactions)
        states: list[Tensor] = []
        all_keys: list[Tensor] = []
        all_values: list[Tensor] = []
        for index, layer in enumerate(self._layers()):
            states.append(self._with_global_token(self.norm(x)))
            inside = self._inside(states[-1], memory, index % LEVELS)
            x = layer.cross_attend(
                x, positions, *self._project(layer, memory, index), _open_empty(inside)[:, None]
            )
            keys = layer.self_attention.keys(x + positions)
            values = layer.self_attention.values(x)
            if keep:
                all_keys.append(keys)
                all_values.append(values)
            x = layer.self_attend(x, positions, keys, values, visible)
        states.append(self._with_global_token(self.norm(x)))
        return LatentStates(states=tuple(states), keys=tuple(all_keys), values=tuple(all_values))

    def decode_phrases(
        self, memory: Memory, phrases: Float[Tensor, "B L D"], valid: Bool[Tensor, "B L"]
    ) -> tuple[Float[Tensor, "B Q D"], ...]:
        """Decode copies of the object queries together with the tokens of phrases (referring segmentation).

        Args:
            memory: one image for each row of `phrases`, or one image for all.
            phrases: all phrases' token features, start and end tokens included, one after the other.
            valid: False for padding, which is not seen.

        Returns:
            Normed copies, (B, Q - 1, D), before the first layer and after each one.
        """
        if not self.config.interactions.copies_see_phrases:
            phrases, valid = phrases[:, :0], valid[:, :0]  # nobody sees them
        B, copies = phrases.shape[0], self.config.queries - 1
        query_positions = self.query_positions[:-1]
        positions = torch.cat((query_positions.expand(B, -1, -1), phrases), dim=1)
        x = self.query_features[:-1].expand(B, -1, -1)
        tokens = phrases.detach()  # as published: the text encoder learns through the positions
        seen = torch.cat((valid.new_ones(B, copies), valid), dim=1)[:, None, None]
        states: list[Tensor] = []
        for index, layer in enumerate(self._layers()):
            states.append(self.norm(x))
            inside = self._inside(states[-1], memory, index % LEVELS)
            inside[:, 0] = True  # the published program frees this row where the global query was meant
            keys, values = self._project(layer, memory, index)
            x = layer.cross_attend(x, query_positions, keys, values, _open_empty(inside)[:, None])
            both = torch.cat((x, tokens), dim=1)
            keys = layer.self_attention.keys(both + positions)
            both = layer.self_attend(both, positions, keys, layer.self_attention.values(both), seen)
            x, tokens = both[:, :copies], both[:, copies:]
        states.append(self.norm(x))
        return tuple(states)

    def open_context(
        self,
        memory: Memory,
        latents: LatentStates,
        *,
        capacity: int,
        regions: tuple[Bool[Tensor, "B _ _"], ...] | None = None,
    ) -> TextContext:
        """Prepare to read texts along with images.

        Args:
            memory: the images' features, which queries attend to.
            latents: their latent queries, decoded with `keep=True`.
            capacity: tokens to be read at the most.
            regions: per level, the cells that the texts may look at; all where None.
        """
        if not latents.keys:
            raise ValueError("decode_latents(memory, keep=True) first: texts read the latent queries' keys")
        projected = [self._project(layer, memory, i) for i, layer in enumerate(self._layers())]
        cache = KeyValueCache(self.config.layers, self.config.queries + capacity)
        for index, (keys, values) in enumerate(zip(latents.keys, latents.values, strict=True)):
            cache.append(index, keys, values)
        cache.advance(self.config.queries)
        context = TextContext(
            cross_keys=tuple(keys.contiguous() for keys, _ in projected),
            cross_values=tuple(values.contiguous() for _, values in projected),
            visible=(None,) * self.config.layers,
            cache=cache,
        )
        return context if regions is None else context.restrict(regions)

    def decode_tokens(
        self, context: TextContext, tokens: Float[Tensor, "B L D"], *, kind: QueryKind
    ) -> tuple[Float[Tensor, "B L D"], ...]:
        """Read the next tokens of texts along with images.

        Args:
            context: from `open_context`; it takes the tokens in.
            tokens: the text encoder's token features.
            kind: captions (each token sees earlier ones) or questions (all given at once).

        Returns:
            Normed states of these tokens, (B, L, D), after each layer.

        Raises:
            ValueError: the model reads no texts along with images (`DecoderConfig.captions`).
        """
        if self.caption_positions is None:
            raise ValueError(NO_CAPTIONS)
        cache, L = context.cache, tokens.shape[1]
        earlier = cache.length - self.config.queries
        positions = tokens + self.caption_positions[earlier : earlier + L]
        columns = {QueryKind.OBJECT: self.config.queries - 1, QueryKind.GLOBAL: 1, kind: earlier + L}
        visible = visibility({kind: L}, columns, tokens.device, self.config.interactions)
        x = tokens.detach()  # as published: the text encoder learns through the positions
        states: list[Tensor] = []
        for index, layer in enumerate(self._layers()):
            keys, values = context.cross_keys[index], context.cross_values[index]
            x = layer.cross_attend(x, positions, keys, values, context.visible[index])
            keys, values = cache.append(
                index, layer.self_attention.keys(x + positions), layer.self_attention.values(x)
            )
            x = layer.self_attend(x, positions, keys, values, visible)
            states.append(self.norm(x))
        cache.advance(L)
        return tuple(states)

    # The heads

    def query_outputs(self, states: Float[Tensor, "*batch Q D"]) -> QueryOutputs:
        """Semantic and mask embeddings of normed queries."""
        return QueryOutputs(
            embeddings=linear(states, self.class_projection.T), masks=self._mask_embeddings(states)
        )

    def project_captions(self, states: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch P"]:
        """Caption tokens' states in the space of the token table.

        Raises:
            ValueError: the model writes no captions (`DecoderConfig.captions`).
        """
        if self.caption_projection is None:
            raise ValueError(NO_CAPTIONS)
        return linear(states, self.caption_projection.T)

    def _layers(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))

    def _project(self, layer: DecoderLayer, memory: Memory, index: int) -> tuple[Tensor, Tensor]:
        level = index % LEVELS
        attention = layer.cross_attention
        return attention.keys(memory.placed[level]), attention.values(memory.sources[level])

    def _mask_embeddings(self, states: Tensor) -> Float[Tensor, "*batch Q M"]:
        first, second, last = self.mask_mlp
        return last(F.relu(second(F.relu(first(states)))))

    def _inside(self, states: Tensor, memory: Memory, level: int) -> Bool[Tensor, "B Q N"]:
        """The cells of a level that each query's own mask covers (features, not masks, were resized)."""
        with torch.no_grad():
            features = memory.mask_features[level].transpose(1, 2)
            return batched_linear(self._mask_embeddings(states), features) >= 0

    def _with_global_token(self, states: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q D"]:
        """Replace the last row: the object queries averaged by their cosine to the global query."""
        objects, whole = states[:, :-1], states[:, -1:]
        cosine = _normalize(whole) @ _normalize(objects).transpose(1, 2)
        return torch.cat((objects, cosine.softmax(-1) @ objects), dim=1)


def _normalize(x: Tensor) -> Tensor:
    return x / (x.norm(dim=-1, keepdim=True) + 1e-7)


def _open_empty(visible: Bool[Tensor, "B Q N"]) -> Bool[Tensor, "B Q N"]:
    """A row that sees nothing sees everything."""
    return visible | ~visible.any(-1, keepdim=True)
