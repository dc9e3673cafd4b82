"""Question answering: a classifier over the answers, read off the last question token (section 3.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

WEIGHTS = "answering.safetensors"
DESCRIPTION = "answering.json"


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
        self.linear1 = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(2 * width)
        self.linear2 = nn.Linear(2 * width, len(self.answers))

    def forward(self, states: Float[Tensor, "B L D"]) -> Float[Tensor, "B A"]:
        """Logits of the answers.

        Args:
            states: the decoder's states of the question tokens.
        """
        return self.linear2(F.gelu(self.norm(self.linear1(states[:, -1]))))

    def save(self, folder: Path) -> None:
        """Write the head beside a model, in float16: `answering.json` and `answering.safetensors`."""
        description = {
            "width": self.linear1.in_features,
            "answers": self.answers,
            "question_length": self.question_length,
        }
        tensors = {name: tensor.half().contiguous() for name, tensor in self.state_dict().items()}
        safetensors.torch.save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=1))

    @classmethod
    def load(cls, folder: Path) -> AnswerHead:
        """Read the head that `save` wrote, in float32.

        Raises:
            FileNotFoundError: the folder has none.
        """
        if not (folder / DESCRIPTION).is_file():
            raise FileNotFoundError(f"{folder} has no {DESCRIPTION}: this model was not trained to answer")
        description = json.loads((folder / DESCRIPTION).read_text())
        head = cls(
            description["width"], description["answers"], question_length=description["question_length"]
        )
        state = safetensors.torch.load_file(folder / WEIGHTS)
        head.load_state_dict({name: tensor.float() for name, tensor in state.items()})
        return head.eval()
