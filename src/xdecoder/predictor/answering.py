"""Encoded images and questions to answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.predictor.encoding import EncodedImage, by_batch
from xdecoder.predictor.options import AnswerOptions
from xdecoder.structures import Answer, Candidate
from xdecoder.tasks.answering import answer_logits
from xdecoder.tokenizer import Tokenizer

_TOGETHER = 64  # questions answered in one pass: each has its own copy of its image's keys and values


def answer(
    model: XDecoder,
    head: AnswerHead,
    tokenizer: Tokenizer,
    items: Sequence[EncodedImage],
    questions: list[str],
    options: AnswerOptions,
) -> list[list[Answer]]:
    """The answer to every question about every image.

    Args:
        model: encodes the questions and decodes them over the images.
        head: its classifier of answers.
        tokenizer: the one that the model was trained with.
        items: the images, encoded; results come in their order.
        questions: what is asked of each of them.
        options: how many candidates an answer has.
    """
    ids = torch.tensor(
        tokenizer.encode_batch(questions, head.question_length), device=model.logit_scale.device
    )
    top_k = min(options.top_k, len(head.answers))
    found: dict[int, list[Answer]] = {p: [] for p in range(len(items))}
    for batch, members in by_batch(items):
        rows = [items[p].index for p in members]
        memory, latents = batch.features.memory.images(rows), batch.latents.images(rows)
        pairs = torch.cartesian_prod(torch.arange(len(rows)), torch.arange(len(questions))).to(ids.device)
        for some in pairs.split(_TOGETHER):
            logits = answer_logits(model, head, memory, latents, ids[some[:, 1]], some[:, 0])
            scores, best = logits.float().softmax(-1).topk(top_k)
            for (image, question), ranked in zip(
                some.tolist(), torch.stack((best, scores), dim=-1).tolist(), strict=True
            ):
                candidates = tuple(Candidate(text=head.answers[int(k)], score=score) for k, score in ranked)
                found[members[image]].append(Answer(question=questions[question], candidates=candidates))
    return [found[p] for p in range(len(items))]
