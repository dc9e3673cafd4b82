"""The devices of this computer."""

from __future__ import annotations

import torch


def find_device(device: torch.device | str | None) -> torch.device:
    """A device of this computer; where None, a GPU if there is one.

    Raises:
        ValueError: there is no such device here.
    """
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    here = ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]
    if device is None:
        return torch.device("cuda" if gpus else "cpu")
    if str(device) not in here and not (str(device) == "cuda" and gpus):
        raise ValueError(f"no device {str(device)!r}; this computer has {', '.join(here)}")
    return torch.device(device)
