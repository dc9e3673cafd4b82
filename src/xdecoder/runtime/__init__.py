"""Exported models, run by ONNX Runtime without PyTorch.

>>> import xdecoder.runtime
>>> model = xdecoder.runtime.load("picturebook-onnx")
>>> model.segment("scene.png", ["cat", "grass"]).save("result.png")
"""

from typing import TYPE_CHECKING

from xdecoder.lazy import lazy_names

if TYPE_CHECKING:
    from xdecoder.runtime.loading import load
    from xdecoder.runtime.model import EncodedImage, ExportedModel, ImageEmbeddings

__all__ = ["EncodedImage", "ExportedModel", "ImageEmbeddings", "load"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EncodedImage": "model",
        "ExportedModel": "model",
        "ImageEmbeddings": "model",
        "load": "loading",
    },
)
