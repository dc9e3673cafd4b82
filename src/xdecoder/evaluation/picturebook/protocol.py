"""The drawn world as a benchmark: a line of JSON for each scene, scored against the scene drawn anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from xdecoder.data.records import ImageId
from xdecoder.evaluation.picturebook.answers import SceneAnswers, ask_scenes
from xdecoder.evaluation.picturebook.scenes import SceneSample
from xdecoder.evaluation.picturebook.scores import score_scenes
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Scores
from xdecoder.evaluation.result_files import ID, Entry, Fields, by_id, read_lines, write_lines
from xdecoder.metrics.panoptic_quality import CategoryCounts
from xdecoder.picturebook import VOCABULARY
from xdecoder.predictor.predictor import Predictor

FIGURES: dict[str, str] = {
    "pq": "PQ",
    "pq_things": "PQ_th",
    "pq_stuff": "PQ_st",
    "segmentation_quality": "SQ",
    "recognition_quality": "RQ",
    "miou": "mIoU",
    "referring": "referring",
    "referring_cumulative": "referring cIoU",
    "referring_half": "referring@0.5",
    "captions": "captions",
    "cider": "CIDEr",
    "caption_detail": "things named",
    "region_captions": "region captions",
    "retrieval": "retrieval",
    "answers": "answers",
}
"""The figures of the report, by the fields of `PictureBookScores`."""

_FIELDS: Fields = {
    "image_id": ID,
    "panoptic": list,
    "confusion": list,
    "referred": list,
    "caption": str,
    "region": int,
    "region_caption": str,
    "answers": list,
    "image": list,
    "text": list,
}


@final
class PictureBook(BenchmarkProtocol[SceneSample]):
    """Benchmarks of drawn scenes."""

    file: ClassVar[str] = "scenes.jsonl"

    def read(self, sample: SceneSample) -> Picture:
        return Picture(pixels=sample.image())

    def predict(self, predictor: Predictor, sample: SceneSample, picture: Picture) -> Entry:
        (answers,) = ask_scenes(predictor, [sample.source.scene], [self.encode(predictor, picture.pixels)])
        return {"image_id": sample.image_id, **_to_json(answers)}

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        write_lines(entries, path)

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        kept = {s.image_id: s.source.scene for s in self.dataset if s.image_id not in left_out}
        rows = by_id(read_lines(path, _FIELDS), path, kept)
        scores = score_scenes([kept[i] for i in rows], [_from_json(row, path) for row in rows.values()])
        return Scores(
            figures={
                name: 100 * value for field, value in scores.to_dict().items() for name in [FIGURES[field]]
            },
            images=len(rows),
            missing=tuple(i for i in kept if i not in rows),
        )


def _to_json(answers: SceneAnswers) -> dict[str, Any]:
    rows, columns = np.nonzero(answers.confusion)
    return {
        "panoptic": [[k, *dataclasses.astuple(counts)] for k, counts in sorted(answers.panoptic.items())],
        "confusion": [
            rows.tolist(),
            columns.tolist(),
            answers.confusion[rows, columns].tolist(),
        ],
        "referred": [list(pixels) for pixels in answers.referred],
        "caption": answers.caption,
        "region": answers.region,
        "region_caption": answers.region_caption,
        "answers": list(answers.answers),
        "image": answers.image.astype(float).round(7).tolist(),
        "text": answers.text.astype(float).round(7).tolist(),
    }


def _from_json(row: Entry, path: Path) -> SceneAnswers:
    classes = len(VOCABULARY)
    confusion = np.zeros((classes, classes + 1), np.int64)
    try:
        true, predicted, pixels = row["confusion"]
        confusion[true, predicted] = pixels
        return SceneAnswers(
            panoptic={
                int(k): CategoryCounts(
                    iou_units=iou, true_positives=tp, false_positives=fp, false_negatives=fn
                )
                for k, iou, tp, fp, fn in row["panoptic"]
            },
            confusion=confusion,
            referred=tuple((int(shared), int(joined)) for shared, joined in row["referred"]),
            caption=row["caption"],
            region=row["region"],
            region_caption=row["region_caption"],
            answers=tuple(str(answer) for answer in row["answers"]),
            image=np.asarray(row["image"], np.float32),
            text=np.asarray(row["text"], np.float32),
        )
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"{path}: scene {row['image_id']} cannot be read ({error}); expected a line as "
            "`xdecoder evaluate` writes it"
        ) from error
