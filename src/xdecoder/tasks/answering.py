"""Question answering: all tokens of a question see one another and the image; the last one is classified."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.decoder_states import LatentStates, Memory
from xdecoder.networks.queries import QueryKind


def answer_logits(
    model: XDecoder,
    head: AnswerHead,
    memory: Memory,
    latents: LatentStates,
    questions: Int[Tensor, "N L"],
    images: Int[Tensor, " N"],
) -> Float[Tensor, "N A"]:
    """The answers' logits for each question.

    Args:
        model: its text encoder and decoder.
        head: its classifier of answers.
        memory: a batch of images.
        latents: their latent queries, decoded with `keep=True`.
        questions: token ids, padded to the head's `question_length`.
        images: the image that each question is about.
    """
    context = model.decoder.open_context(memory, latents, capacity=questions.shape[1]).pick(images)
    states = model.decoder.decode_tokens(
        context, model.text_encoder(questions).tokens, kind=QueryKind.QUESTION
    )
    return head(states[-1])
