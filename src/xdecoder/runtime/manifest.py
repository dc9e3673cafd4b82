"""What an exported model is: the folder's `export.json`, read and written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from xdecoder.config import ModelConfig
from xdecoder.vocabularies import clean_name, model_vocabulary, prompts

MANIFEST = "export.json"
TOKENIZER = "tokenizer.json"
VOCABULARY = "vocabulary.npy"
"""Text embeddings of the classes that the model divides images into by itself, the background last."""

FORMAT_VERSION = 1

Part = Literal["image", "text", "latents", "phrases", "caption", "answer"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The graphs that a model is exported as, each a file of that name."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """An exported model's description.

    Attributes:
        config: of the model.
        parts: the graphs that there are.
        size: height and width of the images that the graphs take, padded; None for any multiples of 32.
        dtype: the numbers that the weights are stored in.
        logit_scale: what cosines are multiplied with before the softmax over classes.
        answers: what can be answered; place k of the answer graph's logits is `answers[k]`.
        question_length: token ids that a question is padded to; 0 where there are no answers.
    """

    config: ModelConfig
    parts: tuple[Part, ...]
    size: tuple[int, int] | None
    dtype: str
    logit_scale: float
    answers: tuple[str, ...] = ()
    question_length: int = 0

    def prompts_of(self, name: str) -> tuple[str, ...]:
        """The texts whose mean embedding stands for a class."""
        return prompts(name) if self.config.inference.prompt_ensemble else (clean_name(name),)

    def to_json(self) -> str:
        """The text of `export.json`.

        Besides what `read` takes, it says what programs in other languages need: the classes of
        `vocabulary.npy`, and the prompts of a class, "{}" standing for its name.
        """
        words = model_vocabulary(self.config.inference.vocabulary)
        return json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "parts": self.parts,
                "size": self.size,
                "dtype": self.dtype,
                "logit_scale": self.logit_scale,
                "answers": self.answers,
                "question_length": self.question_length,
                "vocabulary": {"classes": words.classes, "things": sorted(words.things)},
                "prompts": self.prompts_of("{}"),
                "config": self.config.to_dict(),
            },
            indent=1,
        )

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The description of an exported model.

        Raises:
            FileNotFoundError: the folder holds none.
            ValueError: it is damaged, or written by a newer version.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} is no exported model: it has no {MANIFEST}. "
                f"`xdecoder export MODEL {folder} --to onnx` writes one"
            )
        try:
            data: Any = json.loads(path.read_text(encoding="utf-8"))
            version = data["format_version"]
            if version > FORMAT_VERSION:
                raise ValueError(
                    f"it has format {version}, this version of xdecoder reads up to {FORMAT_VERSION}: "
                    "upgrade with `pip install -U xdecoder`"
                )
            size = data["size"]
            return cls(
                config=ModelConfig.from_dict(data["config"]),
                parts=tuple(part for part in PARTS if part in data["parts"]),
                size=None if size is None else (int(size[0]), int(size[1])),
                dtype=str(data["dtype"]),
                logit_scale=float(data["logit_scale"]),
                answers=tuple(cast("list[str]", data["answers"])),
                question_length=int(data["question_length"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is damaged, or no description of an exported model: {error}") from error
