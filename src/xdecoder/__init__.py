"""X-Decoder: segmentation with words, referring, captioning, retrieval and answers from one model.

>>> import xdecoder
>>> model = xdecoder.load("picturebook")
>>> model.segment("photo.jpg", ["dog", "grass"]).save("result.png")
"""

from typing import TYPE_CHECKING

from xdecoder.lazy import lazy_names

if TYPE_CHECKING:
    from xdecoder.config import ModelConfig
    from xdecoder.model import XDecoder
    from xdecoder.predictor.encoding import EncodedImage
    from xdecoder.predictor.loading import load
    from xdecoder.predictor.predictor import Predictor
    from xdecoder.structures import (
        Answer,
        Caption,
        Grounding,
        InstanceSegmentation,
        PanopticSegmentation,
        SemanticSegmentation,
    )
    from xdecoder.tasks.retrieval import ImageEmbeddings
    from xdecoder.vocabularies import Vocabulary, parse_vocabulary

__all__ = [
    "Answer",
    "Caption",
    "EncodedImage",
    "Grounding",
    "ImageEmbeddings",
    "InstanceSegmentation",
    "ModelConfig",
    "PanopticSegmentation",
    "Predictor",
    "SemanticSegmentation",
    "Vocabulary",
    "XDecoder",
    "load",
    "parse_vocabulary",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Answer": "structures",
        "Caption": "structures",
        "EncodedImage": "predictor.encoding",
        "Grounding": "structures",
        "ImageEmbeddings": "tasks.retrieval",
        "InstanceSegmentation": "structures",
        "ModelConfig": "config",
        "PanopticSegmentation": "structures",
        "Predictor": "predictor.predictor",
        "SemanticSegmentation": "structures",
        "Vocabulary": "vocabularies",
        "XDecoder": "model",
        "load": "predictor.loading",
        "parse_vocabulary": "vocabularies",
    },
)
