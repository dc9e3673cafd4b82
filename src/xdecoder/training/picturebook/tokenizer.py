"""The words that the bundled model reads: the drawn world's, and those of the prompts."""

from __future__ import annotations

from xdecoder.picturebook import WORDS
from xdecoder.tokenizer import Tokenizer, build_word_tokenizer
from xdecoder.vocabularies import prompts

BACKGROUND = "background"
TEMPLATES = prompts("thing")


def build_tokenizer(context_length: int) -> Tokenizer:
    """The small vocabulary: the world's words and those of the prompt templates; all else is spelled."""
    return build_word_tokenizer((*WORDS, BACKGROUND, *TEMPLATES), context_length=context_length)
