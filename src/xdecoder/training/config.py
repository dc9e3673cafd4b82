"""How a run goes, whatever it trains: its optimizer, the schedule of the learning rate, its checkpoints."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from xdecoder.bounds import require, require_at_least, require_at_most, require_positive

_MOST_WORKERS: Final = 1024

ModelPart = Literal["backbone", "pixel_decoder", "text_encoder", "decoder"]
"""The parts of `xdecoder.model.XDecoder` that can be frozen."""


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """A linear warm-up, then half a cosine down to a share of the peak.

    Attributes:
        warmup: steps of the warm-up.
        floor: the last step's share of the peak.
    """

    warmup: int = 0
    floor: float = 0.0

    def factor(self, step: int, steps: int) -> float:
        """The learning rate's factor at `step` of `steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, steps - self.warmup)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


@dataclass(frozen=True, kw_only=True)
class MultiStep:
    """A linear warm-up, then a constant rate that drops at milestones (the published schedule).

    Attributes:
        milestones: shares of the run at which the rate drops.
        gamma: the factor of every drop.
        warmup: steps of the warm-up.
    """

    milestones: tuple[float, ...] = (8 / 9, 26 / 27)
    gamma: float = 0.1
    warmup: int = 10

    def factor(self, step: int, steps: int) -> float:
        """The learning rate's factor at `step` of `steps`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        return self.gamma ** sum(step >= share * steps for share in self.milestones)


Schedule = Cosine | MultiStep


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How parameters move.

    Attributes:
        lr: learning rate at the schedule's peak.
        lr_factors: (part of a parameter's name, factor of its learning rate); the first that fits decides.
            As published by default: the published names hold "backbone" or "lang_encoder".
        betas: AdamW's decay of the two moments.
        weight_decay: for every parameter but norms, biases and embeddings.
        max_grad_norm: the longest gradient, over all parameters.
        ema_decay: decay of the moving average of the weights; 0 keeps none.
    """

    lr: float = 1e-4
    lr_factors: tuple[tuple[str, float], ...] = (
        ("backbone", 0.1),
        ("text_encoder.", 0.1),
        ("logit_scale", 0.1),
    )
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05
    max_grad_norm: float = 5.0
    ema_decay: float = 0.0

    def __post_init__(self) -> None:
        require_positive(self, "lr", "max_grad_norm")
        require_at_least(0, self, "weight_decay")
        require(
            0 <= self.ema_decay < 1, f"OptimizerConfig.ema_decay must lie in [0, 1), got {self.ema_decay}"
        )

    def factor(self, name: str) -> float:
        """The factor of a parameter's learning rate."""
        return next((factor for part, factor in self.lr_factors if part in name), 1.0)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a run goes, whatever it trains.

    Attributes:
        folder: where checkpoints, numbers and samples go.
        seed: of everything random.
        workers: processes a process makes its batches in; 0 makes them in line, while the step waits.
        log_every: steps between two lines of numbers.
        save_every: steps between two checkpoints.
        keep: checkpoints kept.
        validate_every: steps between two validations; 0 for none but the last.
        patience: validations in a row without a better headline score after which a run ends; 0 for none.
        max_unreadable: samples that cannot be read and are gone past; one more ends the run.
        accumulate: batches that a process's share of a step is cut into, one after the other, to save memory.
            Contrastive losses then see the negatives of one cut alone.
        sharded: share gradients and the optimizer's state out among the processes (FSDP2) instead of keeping
            them in each (DDP).
        activation_checkpointing: keep no activations inside the encoders' and the decoder's blocks, but
            compute them again on the way back: a third more arithmetic for a fraction of the memory.
        compile: let `torch.compile` build the encoders, which takes minutes at the start.
        bfloat16: compute in bfloat16 where autocast thinks it safe.
        tensorboard: write TensorBoard's files too.
    """

    folder: Path
    seed: int = 0
    workers: int = 1
    log_every: int = 20
    save_every: int = 200
    keep: int = 2
    validate_every: int = 500
    patience: int = 0
    max_unreadable: int = 100
    accumulate: int = 1
    sharded: bool = False
    activation_checkpointing: bool = False
    compile: bool = False
    bfloat16: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require_at_least(0, self, "seed", "workers", "validate_every", "patience", "max_unreadable")
        require_at_most(_MOST_WORKERS, self, "workers")
        require_at_least(1, self, "log_every", "save_every", "keep", "accumulate")
