"""What the layers of the decoder predict, as far as it is supervised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from xdecoder.losses.config import SupervisedLayers
from xdecoder.model import XDecoder
from xdecoder.networks.decoder_states import QueryOutputs


@dataclass(frozen=True, kw_only=True)
class LayerPredictions:
    """One layer's predictions on a batch of segmentation images; what is None is not supervised.

    Attributes:
        objects: the object queries, without the global one.
        logits: scores over the vocabulary, whose last class is the background. Rows beyond those of
            `objects` (the global query) are to be background.
        copies: the copies that answer phrases.
        aligned: whether the object queries are aligned with the nouns of captions, where there are any.
    """

    objects: QueryOutputs | None = None
    logits: Float[Tensor, "B _ K"] | None = None
    copies: QueryOutputs | None = None
    aligned: bool = True


def chosen(states: Sequence[Tensor], layers: tuple[int, ...] | None) -> list[Tensor]:
    """The states of the supervised layers, first layer first."""
    return [states[index] for index in _indices(len(states), layers)]


def predict_layers(
    model: XDecoder,
    layers: SupervisedLayers,
    *,
    latents: Sequence[Float[Tensor, "B Q D"]] = (),
    texts: Float[Tensor, "K P"] | None = None,
    copies: Sequence[Float[Tensor, "B Q2 D"]] = (),
    global_background: bool = False,
) -> list[LayerPredictions]:
    """The predictions of every layer, first layer first; only what is supervised is computed.

    Args:
        model: its decoder's heads turn states of queries into predictions.
        layers: what is supervised.
        latents: states of the latent queries, the global one last; empty where they are not trained.
        texts: the vocabulary's embeddings, with `latents`.
        copies: states of the copies; empty where they are not trained.
        global_background: whether the global query learns to be background.
    """
    objects = _indices(len(latents), layers.segmentation)
    aligned, referring = _indices(len(latents), layers.nouns), _indices(len(copies), layers.referring)
    found: list[LayerPredictions] = []
    for index in range(max(len(latents), len(copies))):
        outputs, logits = None, None
        if index in objects and texts is not None:
            every = model.decoder.query_outputs(latents[index])
            outputs = QueryOutputs(embeddings=every.embeddings[:, :-1], masks=every.masks[:, :-1])
            logits = model.class_logits(every.embeddings if global_background else outputs.embeddings, texts)
        copied = model.decoder.query_outputs(copies[index]) if index in referring else None
        found.append(
            LayerPredictions(objects=outputs, logits=logits, copies=copied, aligned=index in aligned)
        )
    return found


def _indices(count: int, layers: tuple[int, ...] | None) -> list[int]:
    """Those that there are, counted from the first layer."""
    if layers is None:
        return list(range(count))
    return sorted({index % count for index in layers if -count <= index < count})
