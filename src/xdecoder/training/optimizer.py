"""AdamW with a learning rate per part, schedules by step, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from xdecoder.bounds import require, require_at_least, require_positive


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


def undecayed(model: nn.Module) -> set[str]:
    """Names of the parameters that weight decay leaves alone: norms, biases, embeddings and scalars."""
    names: set[str] = set()
    for prefix, module in model.named_modules():
        is_norm = "norm" in type(module).__name__.lower()
        for name, parameter in module.named_parameters(recurse=False):
            if is_norm or isinstance(module, nn.Embedding) or parameter.ndim < 2 or "embedding" in name:
                names.add(f"{prefix}.{name}" if prefix else name)
    return names


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, a group for each pair of learning rate and weight decay."""
    spared = undecayed(model)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            key = (config.factor(name), 0.0 if name in spared else config.weight_decay)
            groups.setdefault(key, []).append(parameter)
    optimizer = torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.lr * factor,
                "peak": config.lr * factor,
                "weight_decay": decay,
            }
            for (factor, decay), parameters in groups.items()
        ],
        betas=config.betas,
        fused=True,
    )
    # All moments exist from the start, so that every checkpoint holds the same tensors.
    for parameters in groups.values():
        for parameter in parameters:
            optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
    return optimizer


def set_lr(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's learning rate to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor


class EMA:
    """An exponential moving average of a model's parameters and buffers.

    Buffers are averaged too: a batch norm's statistics belong to the weights they were measured with.

    Args:
        model: what is averaged; its current values are the start.
        decay: share kept of the old average at every step. Early on it is smaller, so that the start is
            forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in named_tensors(model)}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the model's values after `step` (counted from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in named_tensors(model):
            average = self.tensors[name]
            if average.is_floating_point():
                average.lerp_(tensor, 1 - decay)
            else:
                average.copy_(tensor)


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers, by the names that they have in the unwrapped model."""
    for name, parameter in model.named_parameters():
        yield plain_name(name), parameter.detach()
    for name, buffer in model.named_buffers():
        yield plain_name(name), buffer


def plain_name(name: str) -> str:
    """A parameter's name without what DistributedDataParallel and torch.compile put before it."""
    return name.replace("_orig_mod.", "").removeprefix("module.")
