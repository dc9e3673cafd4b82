"""The three streams of the decoder against one sequence of all queries, whatever sees whatever."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from builders import tiny_config
from xdecoder.config import (
    HybridConfig,
    InteractionConfig,
    ModelConfig,
)
from xdecoder.model import XDecoder
from xdecoder.networks.decoder import Decoder
from xdecoder.networks.decoder_states import Memory
from xdecoder.networks.queries import VISIBILITY, QueryKind, Sight, visibility

CONFIG = tiny_config(
    context_length=9,
    queries=6,
    layers=4,
    backbone=HybridConfig(widths=(8, 8, 12, 16), depths=(1, 1, 1, 1)),
)
COUNTS = {
    QueryKind.OBJECT: 5,
    QueryKind.GLOBAL: 1,
    QueryKind.CAPTION: 4,
    QueryKind.QUESTION: 3,
    QueryKind.COPY: 5,
    QueryKind.PHRASE: 7,
}
SWITCHES = {
    "published": InteractionConfig(),
    "texts_see_objects": InteractionConfig(texts_see_objects=False),
    "texts_see_global": InteractionConfig(texts_see_global=False),
    "copies_see_phrases": InteractionConfig(copies_see_phrases=False),
    "none": InteractionConfig(texts_see_objects=False, texts_see_global=False, copies_see_phrases=False),
}


def decoder_with(interactions: InteractionConfig) -> XDecoder:
    torch.manual_seed(2)
    sizes = dataclasses.replace(CONFIG.decoder, interactions=interactions)
    return XDecoder(dataclasses.replace(CONFIG, decoder=sizes)).eval()


def texts() -> dict[QueryKind, Tensor]:
    torch.manual_seed(3)
    return {
        kind: torch.randn(2, COUNTS[kind], 16)
        for kind in (QueryKind.CAPTION, QueryKind.QUESTION, QueryKind.PHRASE)
    }


def written_out(hidden: set[tuple[QueryKind, QueryKind]]) -> Tensor:
    """The whole table cell by cell, without what is hidden."""
    kinds = [(kind, place) for kind, count in COUNTS.items() for place in range(count)]
    return torch.tensor(
        [
            [
                (row, column) not in hidden
                and (
                    VISIBILITY[row][column] is Sight.ALL
                    or (VISIBILITY[row][column] is Sight.EARLIER and seen <= place)
                )
                for column, seen in kinds
            ]
            for row, place in kinds
        ]
    )


def in_one_sequence(
    decoder: Decoder, memory: Memory, said: dict[QueryKind, Tensor], mask: Tensor
) -> list[Tensor]:
    """All kinds of queries in one sequence under one large mask; its normed states after each layer.

    Phrases take no part in the cross-attention.
    """
    attention = F.scaled_dot_product_attention
    objects, objects_at = decoder.query_features.expand(2, -1, -1), decoder.query_positions.expand(2, -1, -1)
    read = [
        (said[k], said[k] + decoder.caption_positions[: COUNTS[k]])
        for k in (QueryKind.CAPTION, QueryKind.QUESTION)
    ]
    parts = [(objects, objects_at), *read, (objects[:, :5], objects_at[:, :5]), (said[QueryKind.PHRASE],) * 2]
    x, positions = (torch.cat([part[i] for part in parts], dim=1) for i in range(2))
    copies = slice(13, 18)
    states: list[Tensor] = []
    for index, layer in enumerate(decoder.layers):
        level = index % 3
        normed = decoder.norm(x)
        cosine = F.cosine_similarity(normed[:, 5:6], normed[:, :5], dim=-1)[:, None]
        normed = torch.cat((normed[:, :5], cosine.softmax(-1) @ normed[:, :5], normed[:, 6:]), dim=1)
        inside = decoder.query_outputs(normed).masks @ memory.mask_features[level] >= 0
        inside[:, 6:13] = True
        inside[:, copies.start] = True
        inside |= ~inside.any(-1, keepdim=True)
        cross, mix = layer.cross_attention, layer.self_attention
        keys, values = cross.keys(memory.placed[level]), cross.values(memory.sources[level])
        seen = attention(cross.queries(x + positions), keys, values, attn_mask=inside[:, None])
        looked = layer.cross_norm(x + cross.out_proj(seen.transpose(1, 2).flatten(2)))
        x = torch.cat((looked[:, :18], x[:, 18:]), dim=1)
        mixed = attention(mix.queries(x + positions), mix.keys(x + positions), mix.values(x), attn_mask=mask)
        x = layer.self_norm(x + mix.out_proj(mixed.transpose(1, 2).flatten(2)))
        x = layer.feedforward_norm(x + layer.feedforward(x))
        states.append(decoder.norm(x))
    return states


def in_streams(decoder: Decoder, memory: Memory, said: dict[QueryKind, Tensor]) -> dict[QueryKind, Tensor]:
    """The last states of each kind, stream by stream; captions token by token."""
    latents = decoder.decode_latents(memory, keep=True)
    found = {QueryKind.OBJECT: latents.states[-1][:, :5]}
    found[QueryKind.QUESTION] = decoder.decode_tokens(
        decoder.open_context(memory, latents, capacity=3), said[QueryKind.QUESTION], kind=QueryKind.QUESTION
    )[-1]
    context = decoder.open_context(memory, latents, capacity=4)
    tokens = [
        decoder.decode_tokens(context, t, kind=QueryKind.CAPTION)[-1]
        for t in said[QueryKind.CAPTION].split(1, dim=1)
    ]
    found[QueryKind.CAPTION] = torch.cat(tokens, dim=1)
    valid = torch.ones(2, COUNTS[QueryKind.PHRASE], dtype=torch.bool)
    found[QueryKind.COPY] = decoder.decode_phrases(memory, said[QueryKind.PHRASE], valid)[-1]
    return found


@pytest.mark.parametrize("name", SWITCHES)
@torch.no_grad()
def test_streams_equal_one_sequence_under_the_table(name: str) -> None:
    interactions = SWITCHES[name]
    hidden = {
        (row, column)
        for see, rows, column in (
            (interactions.texts_see_objects, (QueryKind.CAPTION, QueryKind.QUESTION), QueryKind.OBJECT),
            (interactions.texts_see_global, (QueryKind.CAPTION, QueryKind.QUESTION), QueryKind.GLOBAL),
            (interactions.copies_see_phrases, (QueryKind.COPY,), QueryKind.PHRASE),
        )
        for row in rows
        if not see
    }
    mask = written_out(hidden)
    assert torch.equal(visibility(COUNTS, COUNTS, "cpu", interactions), mask)
    model = decoder_with(interactions)
    memory = model.encode_images(torch.randn(2, 3, 64, 96)).memory
    expected = in_one_sequence(model.decoder, memory, texts(), mask)[-1]
    streams = in_streams(model.decoder, memory, texts())
    start = 0
    for kind, count in COUNTS.items():
        if kind in streams:
            torch.testing.assert_close(streams[kind], expected[:, start : start + count], rtol=0, atol=2e-5)
        start += count


@torch.no_grad()
def test_what_is_turned_off_changes_what_looked_there_and_nothing_else() -> None:
    memory = decoder_with(SWITCHES["published"]).encode_images(torch.randn(2, 3, 64, 96)).memory
    published = in_streams(decoder_with(SWITCHES["published"]).decoder, memory, texts())
    for name, changed in {
        "texts_see_objects": {QueryKind.CAPTION, QueryKind.QUESTION},
        "texts_see_global": {QueryKind.CAPTION, QueryKind.QUESTION},
        "copies_see_phrases": {QueryKind.COPY},
    }.items():
        found = in_streams(decoder_with(SWITCHES[name]).decoder, memory, texts())
        assert {kind for kind in found if not torch.equal(found[kind], published[kind])} == changed, name


def test_a_model_folder_keeps_who_sees_whom() -> None:
    config = decoder_with(SWITCHES["texts_see_global"]).config
    assert ModelConfig.from_dict(config.to_dict()) == config
    older = config.to_dict()
    del older["decoder"]["interactions"]
    assert ModelConfig.from_dict(older).decoder.interactions == InteractionConfig()
