"""Exported models, run by ONNX Runtime without PyTorch.

>>> import xdecoder.runtime
>>> model = xdecoder.runtime.load("picturebook-onnx")
>>> model.segment("scene.png", ["cat", "grass"]).save("result.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xdecoder.runtime.loading import load
    from xdecoder.runtime.model import EncodedImage, ExportedModel, ImageEmbeddings

__all__ = ["EncodedImage", "ExportedModel", "ImageEmbeddings", "load"]

_HOMES = {
    "EncodedImage": "model",
    "ExportedModel": "model",
    "ImageEmbeddings": "model",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: importing the package costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
