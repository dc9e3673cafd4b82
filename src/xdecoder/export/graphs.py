"""The parts of a model as functions from tensors to tensors, which is what a graph is.

Shapes as in `networks/decoder.py`, of one image: Q latent queries, N cells of a level, D width, P joint
embedding width, M mask width; R rows of texts that are read along with it, L tokens of each, T of those read
before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.attention import KeyValueCache
from xdecoder.networks.decoder_states import LEVELS, Memory, TextContext
from xdecoder.networks.linear import linear
from xdecoder.networks.queries import QueryKind
from xdecoder.runtime.manifest import Part


class Graph(nn.Module, ABC):
    """A part of a model whose inputs and outputs have names.

    Args:
        model: in evaluation mode.
    """

    name: ClassVar[Part]

    def __init__(self, model: XDecoder) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs by their names."""


class ImageGraph(Graph):
    """Pixels to what the decoder reads of an image."""

    name = "image"

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features = self.model.encode_images(inputs["pixels"])
        outputs = {"mask_features": features.mask_features}
        if features.backbone_embeddings is not None:
            outputs["backbone_embeddings"] = features.backbone_embeddings
        return outputs | _memory_tensors(features.memory)


def pad_explicitly(model: XDecoder) -> None:
    """Have strided convolutions pad only what they read of maps whose sides are multiples of the stride.

    They give the same, and the lengths of their results are fractions of the input's, not rounded ones, which
    the exporter works on for minutes where the input's are free.

    Args:
        model: changed in place.
    """
    for module in model.backbone.modules():
        if type(module) is nn.Conv2d and module.stride[0] > 1:  # others pad in a way of their own
            kernel, stride = module.kernel_size[0], module.stride[0]
            before = int(module.padding[0])
            after = before - (2 * before - kernel) % stride  # below 0: cut off
            module.padding = (0, 0)
            module.register_forward_pre_hook(_padding(before, after))


def _padding(before: int, after: int) -> Callable[[nn.Module, tuple[Tensor, ...]], Tensor]:
    return lambda _, inputs: F.pad(inputs[0], (before, after, before, after))


class TextGraph(Graph):
    """Token ids to token features and text embeddings."""

    name = "text"

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        features = self.model.text_encoder(inputs["ids"])
        return {"tokens": features.tokens, "embeddings": features.embeddings}


class LatentsGraph(Graph):
    """The latent queries' outputs, and what texts read of them and of the image."""

    name = "latents"

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        decoder, memory = self.model.decoder, _memory(inputs)
        latents = decoder.decode_latents(memory, keep=True)
        heads = decoder.query_outputs(latents.states[-1])
        outputs = {
            "embeddings": heads.embeddings,
            "mask_embeddings": heads.masks,
            "keys": torch.stack(latents.keys),
            "values": torch.stack(latents.values),
        }
        context = decoder.open_context(memory, latents, capacity=0)
        for i, (keys, values) in enumerate(zip(context.cross_keys, context.cross_values, strict=True)):
            outputs |= {f"cross_keys_{i}": keys, f"cross_values_{i}": values}
        return outputs


class PhrasesGraph(Graph):
    """Phrases' token features to the copied queries that answer them."""

    name = "phrases"

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        decoder = self.model.decoder
        states = decoder.decode_phrases(_memory(inputs), inputs["tokens"], inputs["valid"])
        heads = decoder.query_outputs(states[-1])
        return {"embeddings": heads.embeddings, "mask_embeddings": heads.masks}


class CaptionGraph(Graph):
    """A caption's last token to the log-probabilities of the one after it."""

    name = "caption"

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        model = self.model
        texts = _GrownCache(inputs["token_keys"], inputs["token_values"])
        tokens = model.text_encoder.continue_texts(inputs["ids"], texts)
        queries = _GrownCache(inputs["keys"], inputs["values"])
        context = _context(model, inputs, queries)
        states = model.decoder.decode_tokens(context, tokens, kind=QueryKind.CAPTION)[-1]
        logits = linear(
            model.decoder.project_captions(states[:, 0]), model.text_encoder.token_embedding.weight
        )
        token_keys, token_values = texts.grown()
        keys, values = queries.grown()
        return {
            "log_probabilities": F.log_softmax(logits.float(), dim=-1),
            "token_keys_grown": token_keys,
            "token_values_grown": token_values,
            "keys_grown": keys,
            "values_grown": values,
        }


class AnswerGraph(Graph):
    """Questions' token ids to the logits of the answers."""

    name = "answer"

    def __init__(self, model: XDecoder, head: AnswerHead) -> None:
        super().__init__(model)
        self.head = head

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        tokens = self.model.text_encoder(inputs["ids"]).tokens
        context = _context(self.model, inputs, _GrownCache(inputs["keys"], inputs["values"]))
        states = self.model.decoder.decode_tokens(context, tokens, kind=QueryKind.QUESTION)
        return {"logits": self.head(states[-1])}


class _GrownCache(KeyValueCache):
    """Keys and values that come into a graph as tensors, and leave it longer."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__(len(keys), 0)
        self.all_keys = list(keys.unbind(0))
        self.all_values = list(values.unbind(0))
        self.length = keys.shape[3]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.all_keys[layer] = torch.cat((self.all_keys[layer], keys), dim=2)
        self.all_values[layer] = torch.cat((self.all_values[layer], values), dim=2)
        return self.all_keys[layer], self.all_values[layer]

    def grown(self) -> tuple[Tensor, Tensor]:
        """The keys and the values of all layers."""
        return torch.stack(self.all_keys), torch.stack(self.all_values)


def _memory_tensors(memory: Memory) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for i in range(LEVELS):
        named[f"source_{i}"] = memory.sources[i]
        named[f"placed_{i}"] = memory.placed[i]
        named[f"level_masks_{i}"] = memory.mask_features[i]
    return named


def _memory(inputs: Mapping[str, Tensor]) -> Memory:
    return Memory(
        sources=tuple(inputs[f"source_{i}"] for i in range(LEVELS)),
        placed=tuple(inputs[f"placed_{i}"] for i in range(LEVELS)),
        mask_features=tuple(inputs[f"level_masks_{i}"] for i in range(LEVELS)),
        sizes=(),
    )


def _context(model: XDecoder, inputs: Mapping[str, Tensor], cache: KeyValueCache) -> TextContext:
    layers = range(model.config.decoder.layers)
    return TextContext(
        cross_keys=tuple(inputs[f"cross_keys_{i}"] for i in layers),
        cross_values=tuple(inputs[f"cross_values_{i}"] for i in layers),
        visible=tuple(inputs[f"visible_{i % LEVELS}"][:, None, None] for i in layers),
        cache=cache,
    )
