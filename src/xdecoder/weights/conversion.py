"""Published checkpoints turned into model folders."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xdecoder.config import PRESETS, ModelConfig
from xdecoder.jobs.files import draft_folder, remove_drafts
from xdecoder.weights import checkpoint_files, hub, published
from xdecoder.weights.clip_merges import load_clip_tokenizer
from xdecoder.weights.families import XDECODER, family_of
from xdecoder.weights.folder import build_model, holds_model, save_state
from xdecoder.weights.published_config import config_from_checkpoint
from xdecoder.weights.published_models import PublishedModel, find_published
from xdecoder.weights.tensors import check_numbers, check_shapes, shapes_of

_MILLIONS_APART = 0.5  # published counts are rounded


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """What `convert` did.

    Attributes:
        folder: that the model was written to.
        config: the model's sizes and settings.
        tensors: how many were converted.
        parameters: numbers in them.
        dropped: keys of the checkpoint that are no parameters.
        preset: the preset with the same sizes, if there is one.
        settings_assumed: attention heads and thresholds were assumed, as neither a YAML nor the sizes of a
            preset tell them.
    """

    folder: Path
    config: ModelConfig
    tensors: int
    parameters: int
    dropped: tuple[str, ...]
    preset: str | None
    settings_assumed: bool


def convert(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    yaml: str | Path | None = None,
    clip_vocabulary: str | Path | None = None,
) -> Conversion:
    """Turn a published checkpoint into a model folder.

    Warns where heads and thresholds had to be assumed, because neither a YAML nor known sizes tell them.

    Args:
        checkpoint: `.pt` or `.safetensors`, bare or a trainer's resume file.
        folder: where to write.
        yaml: the official configuration, for heads and thresholds. Without it: those of the published models.
        clip_vocabulary: see `load_clip_tokenizer`.

    Raises:
        FileNotFoundError: a file is missing, or CLIP's vocabulary was not found.
        ValueError: keys are missing or left over, shapes differ, or the YAML is another model's.
    """
    settings = checkpoint_files.read_yaml(yaml) if yaml is not None else None
    state = checkpoint_files.read_checkpoint(checkpoint)
    shapes = shapes_of(state)
    family = family_of(shapes)
    if family not in (XDECODER, None):
        raise ValueError(
            f"{checkpoint} is a checkpoint of {family}, not of X-Decoder: its network is another one, and "
            "only X-Decoder's can be converted (`xdecoder weights list` names the published ones)"
        )
    try:
        config = config_from_checkpoint(shapes, settings)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    renamed = published.rename(state)
    expected = {
        published.to_published(key) or key: tensor for key, tensor in build_model(config).state_dict().items()
    }
    parameters = {key: tensor for key, tensor in state.items() if key not in renamed.dropped}
    check_shapes(shapes_of(expected), shapes_of(parameters), where=checkpoint)
    check_numbers(parameters, expected, where=checkpoint)
    tokenizer = load_clip_tokenizer(clip_vocabulary, context_length=config.text.context_length)
    save_state(Path(folder), config, renamed.state, tokenizer)
    preset = next((name for name, known in PRESETS.items() if _sizes(known) == _sizes(config)), None)
    assumed = settings is None and preset is None
    if assumed:
        warnings.warn(
            "attention heads and thresholds do not show in tensors, and these sizes are none of the "
            "published ones: 8 heads and the published thresholds were assumed. Give the official YAML "
            "(--config) where that is wrong",
            stacklevel=2,
        )
    return Conversion(
        folder=Path(folder),
        config=config,
        tensors=len(renamed.state),
        parameters=sum(tensor.numel() for tensor in renamed.state.values()),
        dropped=renamed.dropped,
        preset=preset,
        settings_assumed=assumed,
    )


def pull(name: str, *, clip_vocabulary: str | Path | None = None) -> Path:
    """The model folder of a published model, downloaded and converted if it is not in the cache.

    Another process that does the same is waited for.

    Raises:
        FileNotFoundError: it could not be downloaded; the message says how to do it by hand.
        ValueError: there is no such model, or the file is damaged.
    """
    from filelock import FileLock

    model = find_published(name)
    folder, downloads = hub.cache_folder() / name, hub.downloads_folder()
    if holds_model(folder):
        return folder
    downloads.mkdir(parents=True, exist_ok=True)
    with FileLock(downloads / f".{name}.lock"):
        if holds_model(folder):  # another process was faster
            return folder
        remove_drafts(folder.parent)
        with draft_folder(folder.parent) as temporary:
            made, checkpoint = temporary / name, hub.download_published(model)
            _check_published(model, convert(checkpoint, made, clip_vocabulary=clip_vocabulary), checkpoint)
            shutil.rmtree(folder, ignore_errors=True)
            made.replace(folder)
        if checkpoint.parent == downloads:
            checkpoint.unlink(missing_ok=True)
    return folder


def _check_published(model: PublishedModel, done: Conversion, checkpoint: Path) -> None:
    """Refuse a file that came under a published name and is another model."""
    millions = done.parameters / 1e6
    if done.preset in model.presets and abs(millions - model.parameters) < _MILLIONS_APART:
        return
    if checkpoint.parent == hub.downloads_folder():
        checkpoint.unlink(missing_ok=True)
    raise ValueError(
        f"{checkpoint.name} came as {model.name} and is another model: it has the sizes of "
        f"{done.preset or 'no published model'} and {millions:.1f} million parameters, expected "
        f"{' or '.join(model.presets)} and {model.parameters:.1f} million. It was not taken"
    )


def _sizes(config: ModelConfig) -> dict[str, Any]:
    return {key: value for key, value in config.to_dict().items() if key != "inference"}
