"""Captioning: one token at a time, keys and values kept, so that every step costs one token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdecoder.model import XDecoder
from xdecoder.networks.attention import KeyValueCache
from xdecoder.networks.decoder_states import LatentStates, Memory, TextContext
from xdecoder.networks.queries import QueryKind
from xdecoder.tasks.caption_output import CaptionOutput
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.token_search import TokenSearch, token_logits

_ASK_EVERY = 8


class CaptionDecoder:
    """Generates texts along with images, one token at a time.

    Args:
        model: its text encoder and decoder write the captions.
        memory: the images' features that the text tokens attend to.
        latents: their latent queries, decoded with `keep=True`.
        steps: tokens at the most.
        regions: per level, the cells that may be looked at.
    """

    def __init__(
        self,
        model: XDecoder,
        memory: Memory,
        latents: LatentStates,
        *,
        steps: int,
        regions: tuple[Tensor, ...] | None,
    ) -> None:
        self._model = model
        self._context: TextContext = model.decoder.open_context(
            memory, latents, capacity=steps, regions=regions
        )
        self._texts = KeyValueCache(model.config.text.layers, steps)

    def advance(self, ids: Tensor) -> Float[Tensor, "B P"]:
        """The state that the token after `ids` (B,), the last one of each text, is read from."""
        model = self._model
        tokens = model.text_encoder.continue_texts(ids[:, None], self._texts)
        states = model.decoder.decode_tokens(self._context, tokens, kind=QueryKind.CAPTION)[-1]
        return model.decoder.project_captions(states[:, 0])

    def step(self, ids: Tensor) -> Float[Tensor, "B V"]:
        """Log-probabilities of the token that follows `ids` (B,), the last one of each text."""
        return log_probabilities(self._model, self.advance(ids))

    def fork(self, times: int) -> None:
        """Every text `times` times over."""
        images = self._context.cross_keys[0].shape[0]
        rows = torch.arange(images, device=self._context.cross_keys[0].device).repeat_interleave(times)
        self._context.fork(times)
        self._texts.reorder(rows)

    def reorder(self, rows: Tensor) -> None:
        """Text b goes on from the former text `rows[b]` of the same image."""
        self._context.cache.reorder(rows)
        self._texts.reorder(rows)


def log_probabilities(model: XDecoder, states: Float[Tensor, "N P"]) -> Float[Tensor, "N V"]:
    """Of every next token, from what `CaptionDecoder.advance` gives."""
    return F.log_softmax(token_logits(states, model.text_encoder.token_embedding.weight).float(), dim=-1)


def caption_greedily(
    model: XDecoder,
    memory: Memory,
    latents: LatentStates,
    *,
    steps: int,
    regions: tuple[Bool[Tensor, "B _ _"], ...] | None = None,
    search: TokenSearch | None = None,
) -> list[CaptionOutput]:
    """The most likely token at each step, as published, until every text has ended.

    Args:
        model: its text encoder and decoder write the captions.
        memory: the images.
        latents: their latent queries, decoded with `keep=True`.
        steps: tokens at the most.
        regions: per level, the cells that may be looked at.
        search: of the model's token table, which finds tokens faster than the table itself.
    """
    decoder = CaptionDecoder(model, memory, latents, steps=steps, regions=regions)
    table = model.text_encoder.token_embedding.weight
    end = model.config.text.end_id
    B = latents.states[0].shape[0]
    ids = torch.full((B,), model.config.text.start_id, device=latents.states[0].device)
    finished = torch.zeros(B, dtype=torch.bool, device=ids.device)
    generated: list[Tensor] = []
    states: list[Tensor] = []
    going: list[Tensor] = []
    for step in range(steps):
        states.append(decoder.advance(ids))
        ids = search.likeliest(states[-1]) if search else token_logits(states[-1], table).argmax(-1)
        generated.append(ids)
        going.append(~finished)
        finished = finished | (ids == end)
        if _asks(step, ids.device) and finished.all():
            break
    tokens, counts = torch.stack(generated, dim=1), torch.stack(going, dim=1)
    of_all = torch.stack(
        [
            log_probabilities(model, own).gather(1, chosen[:, None])[:, 0]
            for own, chosen in zip(torch.stack(states, dim=1), tokens, strict=True)
        ]
    )
    total: list[float] = of_all.masked_fill(~counts, 0).sum(1).tolist()
    texts: list[list[int]] = tokens.tolist()
    return [
        CaptionOutput(ids=tuple(text[: text.index(end)] if end in text else text), log_probability=score)
        for text, score in zip(texts, total, strict=True)
    ]


def caption_by_beam(
    model: XDecoder,
    memory: Memory,
    latents: LatentStates,
    *,
    steps: int,
    beams: int,
    regions: tuple[Bool[Tensor, "B _ _"], ...] | None = None,
) -> list[CaptionOutput]:
    """The text with the highest mean log-probability a token that a beam search finds.

    Args:
        model: its text encoder and decoder write the captions.
        memory: the images' features that the text tokens attend to.
        latents: their latent queries, decoded with `keep=True`.
        steps: tokens at the most.
        beams: texts kept at each step for each image.
        regions: per level, the cells that may be looked at.
    """
    decoder = CaptionDecoder(model, memory, latents, steps=steps, regions=regions)
    end = model.config.text.end_id
    B = latents.states[0].shape[0]
    device = latents.states[0].device
    scores, first = decoder.step(torch.full((B,), model.config.text.start_id, device=device)).topk(beams)
    V = model.config.text.vocabulary_size
    offsets = torch.arange(B, device=device)[:, None] * beams
    decoder.fork(beams)
    texts = first.flatten()[:, None]
    length = torch.ones(B, beams, device=device)
    finished = first == end
    for step in range(steps - 1):
        if _asks(step, device) and finished.all():
            break
        following = decoder.step(texts[:, -1]).unflatten(0, (B, beams))
        # a finished text goes on in one way only, with the end token at no cost
        following = following.masked_fill(finished[..., None], -torch.inf)
        following[..., end] = torch.where(finished, 0.0, following[..., end])
        grown = length + (~finished).float()
        candidates = (scores[..., None] + following) / grown[..., None]
        _, flat = candidates.flatten(1).topk(beams)
        rows = (offsets + flat // V).flatten()
        scores = (scores[..., None] + following).flatten(1).gather(1, flat)
        length = grown.flatten()[rows].unflatten(0, (B, beams))
        finished = finished.flatten()[rows].unflatten(0, (B, beams)) | (flat % V == end)
        decoder.reorder(rows)
        texts = torch.cat((texts[rows], (flat % V).flatten()[:, None]), dim=1)
    best = (scores / length).argmax(-1)
    chosen = texts.unflatten(0, (B, beams))[torch.arange(B, device=device), best].tolist()
    total = scores.gather(1, best[:, None])[:, 0].tolist()
    return [
        CaptionOutput(ids=tuple(t[: t.index(end)] if end in t else t), log_probability=s)
        for t, s in zip(chosen, total, strict=True)
    ]


@torch.no_grad()
def sample_captions(
    model: XDecoder,
    memory: Memory,
    latents: LatentStates,
    *,
    steps: int,
    samples: int,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "M L"], Bool[Tensor, "M L"]]:
    """Texts drawn token by token from the model's own distribution, `samples` of each image in a row.

    Args:
        model: its text encoder and decoder write the captions.
        memory: the images' features that the text tokens attend to.
        latents: their latent queries, decoded with `keep=True`.
        steps: tokens at the most, the start token aside.
        samples: texts of each image.
        generator: where the choices come from.

    Returns:
        Token ids from the start token on, and which of them were drawn before or with the end token.
    """
    decoder = CaptionDecoder(model, memory, latents, steps=steps, regions=None)
    decoder.fork(samples)
    device = latents.states[0].device
    M, end = latents.states[0].shape[0] * samples, model.config.text.end_id
    columns = [torch.full((M,), model.config.text.start_id, device=device)]
    going = [torch.ones(M, dtype=torch.bool, device=device)]
    for step in range(steps):
        drawn = torch.multinomial(decoder.step(columns[-1]).exp(), 1, generator=generator)[:, 0]
        columns.append(drawn)
        going.append(going[-1] & (columns[-2] != end))
        if _asks(step, device) and not (going[-1] & (drawn != end)).any():
            break
    return torch.stack(columns, dim=1), torch.stack(going, dim=1)


def _asks(step: int, device: torch.device) -> bool:
    """Whether to ask at this step if all texts have ended: elsewhere than on a CPU the answer is waited for.

    Steps after the end change no text: an ended one goes on at no cost, and is cut at its end.
    """
    return device.type == "cpu" or step % _ASK_EVERY == _ASK_EVERY - 1


def region_at_levels(
    region: Bool[Tensor, "H W"], geometry: Geometry, sizes: Sequence[tuple[int, int]]
) -> tuple[Bool[Tensor, "1 _ _"], ...]:
    """The cells of each level that a region of the image covers (nearest), for captions of that region.

    A region too small for a level keeps the one cell that it covers most.

    Args:
        region: a mask of the output's size that marks something.
        geometry: the image's sizes.
        sizes: height and width of each level.
    """
    (height, width), (padded_height, padded_width) = geometry.resized, geometry.padded
    whole = F.interpolate(region[None, None].float(), size=geometry.resized, mode="nearest")
    if not whole.any():  # thinner than a pixel of the input
        whole = F.adaptive_max_pool2d(region[None, None].float(), geometry.resized)
    whole = F.pad(whole, (0, padded_width - width, 0, padded_height - height))
    levels: list[Tensor] = []
    for size in sizes:
        cells = F.interpolate(whole, size=size, mode="nearest")[0] > 0
        if not cells.any():
            covered = F.adaptive_avg_pool2d(whole, size)[0]
            cells = covered == covered.max()
            only = torch.zeros_like(cells).flatten()
            only[cells.flatten().int().argmax()] = True
            cells = only.view_as(cells)
        levels.append(cells)
    return tuple(levels)
