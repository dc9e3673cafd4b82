"""A region painted anew by words, with any inpainting pipeline of diffusers."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, final

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from xdecoder.editing.change import Change
from xdecoder.structures.masks import mask_box

if TYPE_CHECKING:
    import torch

_MARGIN = 0.5
_MULTIPLE = 16
"""Sides that every pipeline takes: latents are 8 times smaller, and some pipelines join them two by two."""

Pipeline = Callable[..., Any]
"""What diffusers calls an inpainting pipeline: prompt, image and mask in, `.images` out."""


@final
@dataclass(frozen=True, kw_only=True)
class Paint(Change):
    """Paint what a prompt says into the region.

    The pipeline is shown the region with half its size around it, scaled to `side`, and what it paints is
    scaled back.

    Attributes:
        prompt: what to paint.
        pipeline: an inpainting pipeline of diffusers; see `load_pipeline`.
        seed: of the noise that it starts from.
        strength: how far it may depart from what is there, 0 to 1; by default the pipeline's own.
        steps: of its denoising; by default the pipeline's own.
        side: the longer side that it paints at, in pixels; sides are rounded to multiples of 16.
    """

    reach: ClassVar[float] = 1 / 60
    prompt: str
    pipeline: Pipeline
    seed: int = 0
    strength: float | None = None
    steps: int | None = None
    side: int = 512

    def __post_init__(self) -> None:
        if not self.prompt.strip():
            raise ValueError("an empty prompt means nothing: write what to paint")
        if self.strength is not None and not 0 < self.strength <= 1:
            raise ValueError(f"strength must be over 0 and at most 1, got {self.strength}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.side < _MULTIPLE:
            raise ValueError(f"side must be at least {_MULTIPLE} pixels, got {self.side}")

    def apply(
        self, image: UInt8[np.ndarray, "H W 3"], area: Bool[np.ndarray, "H W"]
    ) -> UInt8[np.ndarray, "H W 3"]:
        rows, columns = _window(area)
        height, width = rows.stop - rows.start, columns.stop - columns.start
        painted = self._run(Image.fromarray(image[rows, columns]), Image.fromarray(area[rows, columns]))
        result = image.copy()
        result[rows, columns] = np.asarray(painted.resize((width, height), Image.Resampling.LANCZOS))
        return result

    def _run(self, picture: Image.Image, mask: Image.Image) -> Image.Image:
        import torch

        scale = self.side / max(picture.size)
        width, height = (max(1, round(n * scale / _MULTIPLE)) * _MULTIPLE for n in picture.size)
        options: dict[str, Any] = {
            "prompt": self.prompt,
            "image": picture.resize((width, height), Image.Resampling.LANCZOS),
            "mask_image": mask.convert("L").resize((width, height), Image.Resampling.BILINEAR),
            "height": height,
            "width": width,
            "generator": torch.Generator().manual_seed(self.seed),
        }
        if self.strength is not None:
            options["strength"] = self.strength
        if self.steps is not None:
            options["num_inference_steps"] = self.steps
        if unknown := options.keys() - inspect.signature(self.pipeline).parameters.keys():
            raise ValueError(
                f"the pipeline {type(self.pipeline).__name__} does not take {', '.join(sorted(unknown))}; "
                "leave the option out, or choose an inpainting pipeline that does"
            )
        return self.pipeline(**options).images[0].convert("RGB")


def load_pipeline(
    source: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> Pipeline:
    """An inpainting pipeline of diffusers.

    Args:
        source: a folder that diffusers wrote, or a Hugging Face repository (owner/name).
        device: where it runs.
        dtype: of its parameters; by default float16 on a GPU, else float32.

    Raises:
        FileNotFoundError: there is no such folder, or it holds no pipeline, or none could be downloaded.
        ImportError: diffusers is not installed.
    """
    folder, name = Path(source).expanduser(), str(source)
    if folder.is_dir():
        name = str(folder)
        if not (folder / "model_index.json").is_file():
            raise FileNotFoundError(f"{folder} holds no pipeline of diffusers: it has no model_index.json")
    elif not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise FileNotFoundError(
            f"no pipeline {name!r}: expected a folder that diffusers wrote, or a Hugging Face repository "
            "(owner/name)"
        )
    try:
        diffusers = importlib.import_module("diffusers")
    except ImportError as error:
        raise ImportError("painting by words needs diffusers: pip install 'xdecoder[diffusion]'") from error
    import torch

    kind = dtype or (torch.float16 if torch.device(device).type == "cuda" else torch.float32)
    try:
        pipeline = diffusers.AutoPipelineForInpainting.from_pretrained(name, dtype=kind)
    except Exception as error:  # missing, damaged, offline, of another task: diffusers has an error for each
        reason = str(error).strip().split("\n")[0]
        raise FileNotFoundError(f"no inpainting pipeline could be loaded from {name} ({reason})") from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def _window(area: Bool[np.ndarray, "H W"]) -> tuple[slice, slice]:
    """Rows and columns of the area's box and half its size around it."""
    left, top, right, bottom = (round(side) for side in mask_box(area))
    margin = round(_MARGIN * max(right - left, bottom - top))
    return (
        slice(max(0, top - margin), min(area.shape[0], bottom + margin)),
        slice(max(0, left - margin), min(area.shape[1], right + margin)),
    )
