"""AdamW with a learning rate per part, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from xdecoder.training.config import OptimizerConfig


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
