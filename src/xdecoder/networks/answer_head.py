"""Question answering: the answers' classifier on the last question token (section 3.2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from xdecoder.networks.linear import Linear


class AnswerHead(nn.Module):
    """Two linear layers from a question's last state to the answers' logits.

    Args:
        width: channels D of the decoder's states.
        answers: what can be answered; row k of the logits is `answers[k]`.
        question_length: tokens a question is padded to, with the end token: question tokens see one another,
            so padding is part of what the head was trained on.
    """

    def __init__(self, width: int, answers: Sequence[str], *, question_length: int) -> None:
        super().__init__()
        self.answers = tuple(answers)
        self.question_length = question_length
        self.linear1 = Linear(width, 2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.linear2 = Linear(2 * width, len(self.answers))

    def forward(self, states: Float[Tensor, "B L D"]) -> Float[Tensor, "B A"]:
        """Logits of the answers.

        Args:
            states: the decoder's states of the question tokens.
        """
        return self.linear2(F.gelu(self.norm(self.linear1(states[:, -1]))))
