"""Image-text retrieval: embeddings of images and captions, scored by recall both ways.

The score of an image and a caption is the mean of two cosines: with the decoder's and the backbone's
embedding of the image (the published ensemble).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from xdecoder.data.records import CaptionSample, ImageId
from xdecoder.evaluation.protocol import Entry, Picture, Protocol, Scores, by_id
from xdecoder.jobs.files import whole_file
from xdecoder.metrics.retrieval import Retrieval
from xdecoder.predictor.predictor import Predictor


@final
class ImageTextRetrieval(Protocol[CaptionSample]):
    """Retrieval benchmarks. The result file has a line of JSON for each image, with its embeddings."""

    file: ClassVar[str] = "embeddings.jsonl"

    def read(self, sample: CaptionSample) -> Picture:
        return Picture(pixels=sample.image())

    def predict(self, predictor: Predictor, sample: CaptionSample, picture: Picture) -> Entry:
        images = predictor.embed_images(self.encode(predictor, picture.pixels))
        texts = predictor.embed_texts(sample.captions)
        gathered = Retrieval()
        both = np.stack([images.decoder[0].float().cpu().numpy(), images.backbone[0].float().cpu().numpy()])
        gathered.update(sample.image_id, both, texts.float().cpu().numpy())
        ((_, image, captions),) = gathered.state()["rows"]
        return {"image_id": sample.image_id, "image": image, "captions": captions}

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        with whole_file(path) as file:
            for entry in entries:
                file.write(json.dumps(entry).encode() + b"\n")

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
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of embeddings")
    with path.open(encoding="utf-8") as file:
        try:
            lines = [json.loads(line) for line in file if line.strip()]
            rows = by_id(lines, path, known)
            gathered = Retrieval.from_state(
                {"rows": [[i, row["image"], row["captions"]] for i, row in rows.items()]}
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: a line without {error}; expected image_id, image and captions on each"
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
