"""A tiny model and pictures for the server's tests."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import xdecoder
from builders import draw_picture, save_tiny_model
from xdecoder.predictor.predictor import Predictor

WORDS = ["car", "tree", "grass"]


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def plain_png(height: int, width: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def served_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"), answers=("yes", "no", "red"))


@pytest.fixture(scope="session")
def served_predictor(served_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        loaded = xdecoder.load(served_folder)
        settings = replace(loaded.config.inference, prompt_ensemble=False)  # one text a name, not 81
        loaded.model.config = replace(loaded.config, inference=settings)
        yield loaded


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes of 96 x 80 pixels."""
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(4):
        draw_picture(folder / f"{seed}.png", seed)
    return folder


@pytest.fixture(scope="session")
def picture(pictures: Path) -> bytes:
    return (pictures / "0.png").read_bytes()
