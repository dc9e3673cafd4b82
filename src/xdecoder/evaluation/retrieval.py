"""Image-text retrieval: embeddings of images and captions, scored by recall both ways.

The score of an image and a caption is the mean of two cosines: with the decoder's and the backbone's
embedding of the image (the published ensemble).
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Float

from xdecoder.data.records import CaptionSample, ImageId
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import ID, Entry, by_id, read_lines, write_lines
from xdecoder.metrics.retrieval import Retrieval


@final
class RetrievalProtocol(BenchmarkProtocol[CaptionSample]):
    """Retrieval benchmarks. The result file has a line of JSON for each image, with its embeddings."""

    file: ClassVar[str] = "embeddings.jsonl"

    def read(self, sample: CaptionSample) -> Picture:
        return Picture(pixels=sample.image())

    def predict(self, predictor: Predictor, sample: CaptionSample, picture: Picture) -> Entry:
        images = predictor.embed_images(self.encode(predictor, picture.pixels))
        texts = predictor.embed_texts(sample.captions)
        both = np.stack([images.decoder[0].float().cpu().numpy(), images.backbone[0].float().cpu().numpy()])
        return {
            "image_id": sample.image_id,
            "image": _encode(both),
            "captions": _encode(texts.float().cpu().numpy()),
        }

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        write_lines(entries, path)

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        known = frozenset(s.image_id for s in self.dataset if s.image_id not in left_out)
        return score_embeddings(path, known)


def score_embeddings(path: Path, known: Collection[ImageId] | None = None) -> Scores:
    """Score a file of embeddings.

    Args:
        path: lines of JSON with `image_id`, `image` and `captions`, each [shape, base64 of little-endian
            float32]: the embeddings of an image, and those of its captions.
        known: the images that belong to the benchmark. Images without embeddings cannot be found and are
            listed; they are left out.

    Raises:
        ValueError: the file is malformed or empty, or names an image twice or an unknown one.
        FileNotFoundError: there is no such file.
    """
    rows = by_id(read_lines(path, {"image_id": ID, "image": list, "captions": list}), path, known)
    gathered = Retrieval()
    for image_id, row in rows.items():
        try:
            gathered.update(image_id, _decode(row["image"]), _decode(row["captions"]))
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: image {image_id}: its embeddings cannot be read ({error}); expected [shape, base64 "
                "of little-endian float32] as `xdecoder evaluate` writes them"
            ) from error
    result = gathered.result()
    return Scores(
        figures={
            **{f"IR@{k}": 100 * share for k, share in result.image_retrieval.items()},
            **{f"TR@{k}": 100 * share for k, share in result.text_retrieval.items()},
        },
        images=result.images,
        missing=tuple(i for i in known or () if i not in rows),
    )


def _encode(embeddings: Float[np.ndarray, "N C"]) -> list[Any]:
    """Shape, and base64 of little-endian float32."""
    return [list(embeddings.shape), base64.b64encode(embeddings.astype("<f4").tobytes()).decode("ascii")]


def _decode(encoded: Sequence[Any]) -> Float[np.ndarray, "N C"]:
    shape, text = encoded
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float32).reshape(shape)
