"""A model's graphs with inputs that fit one another: to trace them with, and to compare them at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xdecoder.export.graphs import (
    AnswerGraph,
    CaptionGraph,
    Graph,
    ImageGraph,
    LatentsGraph,
    PhrasesGraph,
    TextGraph,
)
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.decoder_states import LEVELS
from xdecoder.runtime.manifest import Part


@dataclass(frozen=True, kw_only=True)
class ExampleSizes:
    """How large inputs are.

    Attributes:
        image: height and width.
        rows: texts.
        length: tokens of a text.
        earlier: tokens of a caption that were read before.
    """

    image: tuple[int, int]
    rows: int
    length: int
    earlier: int


@torch.no_grad()
def examples(
    model: XDecoder, head: AnswerHead | None, parts: Sequence[Part], sizes: ExampleSizes
) -> Iterator[tuple[Graph, dict[str, Tensor]]]:
    """Graphs, each with its inputs: of an image of noise and texts of any tokens.

    Args:
        model: in evaluation mode, on a CPU.
        head: its classifier of answers; needed for the part "answer" alone.
        parts: the graphs that are wanted.
        sizes: of the inputs.
    """
    generator = torch.Generator().manual_seed(0)
    text, rows = model.config.text, sizes.rows

    def draw_ids(length: int) -> Tensor:
        return torch.randint(text.vocabulary_size, (rows, length), generator=generator)

    pixels = {"pixels": torch.randn(1, 3, *sizes.image, generator=generator)}
    ids = {"ids": draw_ids(sizes.length)}
    image, texts, latents = (kind(model).eval() for kind in (ImageGraph, TextGraph, LatentsGraph))
    memory = image(pixels)
    if "image" in parts:
        yield image, pixels
    if "text" in parts:
        yield texts, ids
    memory = {name: memory[name] for name in memory if name[-1].isdigit()}
    if "latents" in parts:
        yield latents, memory
    if "phrases" in parts:
        valid = torch.ones(rows, sizes.length, dtype=torch.bool)
        yield PhrasesGraph(model).eval(), {**memory, "tokens": texts(ids)["tokens"], "valid": valid}
    found = latents(memory)
    context = {name: found[name] for name in found if name.startswith("cross_")}
    for i in range(min(LEVELS, model.config.decoder.layers)):
        context[f"visible_{i}"] = torch.ones(1, memory[f"source_{i}"].shape[1], dtype=torch.bool)
    keys, values = (found[name].repeat(1, rows, 1, 1, 1) for name in ("keys", "values"))
    if "caption" in parts:
        shape = (text.layers, rows, text.heads, sizes.earlier, text.width // text.heads)
        grown = (*keys.shape[:3], sizes.earlier, keys.shape[4])
        yield (
            CaptionGraph(model).eval(),
            {
                "ids": ids["ids"][:, :1],
                "token_keys": torch.randn(shape, generator=generator),
                "token_values": torch.randn(shape, generator=generator),
                "keys": torch.cat((keys, torch.randn(grown, generator=generator)), dim=3),
                "values": torch.cat((values, torch.randn(grown, generator=generator)), dim=3),
                **context,
            },
        )
    if "answer" in parts and head is not None:
        asked = {"ids": draw_ids(head.question_length), "keys": keys, "values": values}
        yield AnswerGraph(model, head).eval(), {**asked, **context}
