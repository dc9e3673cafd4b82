"""Captions: COCO's result list, scored by CIDEr-D, BLEU and ROUGE-L; by METEOR and SPICE where they run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, final

from xdecoder.data.records import CaptionSample, ImageId
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import ID, Entry, Fields, by_id, read_list, write_list
from xdecoder.metrics.captions import CaptionScores
from xdecoder.metrics.reference_captions import reference_scores

_FIELDS: Fields = {"image_id": ID, "caption": str}


@final
class CaptioningProtocol(BenchmarkProtocol[CaptionSample]):
    """Caption benchmarks."""

    file: ClassVar[str] = "captions.json"

    def read(self, sample: CaptionSample) -> Picture:
        return Picture(pixels=sample.image())

    def predict(self, predictor: Predictor, sample: CaptionSample, picture: Picture) -> Entry:
        caption = predictor.caption(self.encode(predictor, picture.pixels))
        return {"image_id": sample.image_id, "caption": caption.text}

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        write_list(entries, path)

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        return score_captions(
            path, {s.image_id: s.captions for s in self.dataset if s.image_id not in left_out}
        )


def score_captions(predictions: Path, references: Mapping[ImageId, Sequence[str]]) -> Scores:
    """Score a COCO caption result file.

    Args:
        predictions: a JSON file in COCO's caption format.
        references: image id -> the true captions. An image without a prediction has the empty caption.

    Raises:
        ValueError: the file is malformed, names an image twice or an unknown one.
        FileNotFoundError: there is no such file.
    """
    rows = by_id(read_list(predictions, _FIELDS), predictions, references)
    gathered = CaptionScores()
    for image_id, captions in references.items():
        gathered.update(image_id, rows[image_id]["caption"] if image_id in rows else "", captions)
    result = gathered.result()
    bleu = {f"BLEU-{n}": 100 * score for n, score in enumerate(result.bleu, 1)}
    return Scores(
        figures={"CIDEr": 100 * result.cider_d, "BLEU-4": bleu.pop("BLEU-4"), "ROUGE-L": 100 * result.rouge_l}
        | bleu
        | {name: 100 * score for name, score in reference_scores(gathered.tokenized()).items()},
        images=result.images,
        missing=tuple(image_id for image_id in references if image_id not in rows),
    )


def score_caption_files(predictions: Path, truth: Path) -> Scores:
    """Score a caption result file against a COCO caption annotation file; as `score_captions`."""
    rows = read_list(truth, _FIELDS, key="annotations")
    if not rows:
        raise ValueError(f"{truth}: a truth without annotations; nothing to score against")
    references: dict[ImageId, list[str]] = {}
    for row in rows:
        references.setdefault(row["image_id"], []).append(row["caption"])
    return score_captions(predictions, references)
