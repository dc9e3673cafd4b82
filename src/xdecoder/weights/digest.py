"""One digest of a model: by it an index, a journal and stored embeddings know what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import torch
from torch import Tensor

from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.tokenizer import Tokenizer


def digest_model(model: XDecoder, tokenizer: Tokenizer, answer_head: AnswerHead | None = None) -> str:
    """What tells a model from others, whatever folder it lies in: 32 hexadecimal digits.

    Sizes and settings, tokenizer, parameters and answers enter. Parameters enter as float32, so that a model
    stored in float16 is the same one in float32; those of a model cast to fewer digits are others.
    """
    state = model.state_dict()
    facts: list[object] = [model.config.to_dict()]
    if answer_head is not None:
        state |= answer_head.state_dict(prefix="answer_head.")
        facts += [answer_head.answers, answer_head.question_length]
    return _digest(state, tokenizer, json.dumps(facts, sort_keys=True))


def digest_text_encoder(model: XDecoder, tokenizer: Tokenizer) -> str:
    """As `digest_model`, of what text embeddings depend on alone: models may share a text encoder."""
    return _digest(model.text_encoder.state_dict(), tokenizer, json.dumps(model.config.to_dict()["text"]))


def _digest(state: Mapping[str, Tensor], tokenizer: Tokenizer, facts: str) -> str:
    digest = hashlib.blake2b(facts.encode(), digest_size=16)
    digest.update(tokenizer.to_bytes())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        values = tensor.detach().float() if tensor.is_floating_point() else tensor
        digest.update(values.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
