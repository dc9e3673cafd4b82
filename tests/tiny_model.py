"""A tiny model of the drawn world with random weights, for tests of what is built on models."""

from collections.abc import Sequence
from pathlib import Path

import torch

from xdecoder.config import (
    DecoderConfig,
    HybridConfig,
    InferenceConfig,
    ModelConfig,
    PixelDecoderConfig,
    TextConfig,
)
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.training.picturebook.batches import build_tokenizer
from xdecoder.weights.folder import save_model


def save_tiny_model(folder: Path, *, answers: Sequence[str] = (), question_length: int = 20) -> Path:
    """Write the model to a folder; with answers, it answers each question in its own way."""
    torch.manual_seed(3)
    tokenizer = build_tokenizer(24)
    config = ModelConfig(
        backbone=HybridConfig(widths=(8, 16, 16, 32), depths=(1, 1, 1, 1)),
        pixel_decoder=PixelDecoderConfig(width=32, mask_width=32, layers=1, heads=2, feedforward=32),
        text=TextConfig(
            width=32, layers=1, heads=2, context_length=24, vocabulary_size=tokenizer.vocabulary_size
        ),
        decoder=DecoderConfig(width=32, queries=7, layers=2, heads=2, feedforward=32),
        embed_width=32,
        inference=InferenceConfig(
            short_side=64,
            long_side=128,
            vocabulary="picturebook",
            object_threshold=0.05,
            overlap_threshold=0.1,
            caption_steps=6,
        ),
    )
    model = XDecoder(config)
    head: AnswerHead | None = None
    if answers:
        head = AnswerHead(config.decoder.width, answers, question_length=question_length)
        torch.nn.init.normal_(head.linear2.weight)
    save_model(folder, model, tokenizer, answer_head=head)
    return folder
