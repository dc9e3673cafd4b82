"""Semantic segmentation: a PNG of class indices for each image, scored by mIoU."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from jaxtyping import Integer

from xdecoder.data.dataset import Skip
from xdecoder.data.decoding import LabelCoding
from xdecoder.data.records import VOID, ImageId, SemanticSample
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import ID, Entry, by_id, path_inside, read_list, write_list
from xdecoder.images import read_stored
from xdecoder.jobs.files import safe_name
from xdecoder.metrics.semantic import AbsentRule, MeanIoU
from xdecoder.structures.png import write_png

Labels = Integer[np.ndarray, "H W"]


def void_value(classes: int) -> int:
    """What a PNG holds where there is no class: 255, or 65535 in the 16 bits that many classes take."""
    return 255 if classes <= 255 else 65535


@final
class SemanticProtocol(BenchmarkProtocol[SemanticSample]):
    """Semantic benchmarks."""

    file: ClassVar[str] = "semantic.json"

    def read(self, sample: SemanticSample) -> Picture:
        image, labels = sample.read()
        return self.picture(image, np.unique(labels).tolist())

    def predict(self, predictor: Predictor, sample: SemanticSample, picture: Picture) -> Entry:
        result = predictor.segment(self.encode(predictor, picture.pixels), picture.asked, task="semantic")
        void = void_value(len(self.names.truth))
        category = [self.names.category[i] for i in picture.places]
        table = np.array([void if c is None else c for c in category], np.uint8 if void == 255 else np.uint16)
        name = f"{safe_name(str(sample.image_id))}.png"
        write_png(self.run.folder / "semantic" / name, table[result.categories])
        return {"image_id": sample.image_id, "file_name": name}

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        head = {"classes": list(self.names.truth.classes), "void": void_value(len(self.names.truth))}
        write_list(entries, path, head=head, key="images")

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        kept = {s.image_id: s.labels for s in self.dataset if s.image_id not in left_out}
        rows = by_id(read_list(path, {"image_id": ID, "file_name": str}, key="images"), path, kept)
        coding = _coding(len(self.names.truth))
        folder = path.with_suffix("")

        def read(row: Entry) -> Labels:
            file = str(path_inside(folder, row["file_name"]))
            return coding.decode(read_stored(file), file)

        return score_semantic(
            kept,
            {i: lambda row=row: read(row) for i, row in rows.items()},
            self.names.truth.classes,
            absent=self.run.absent,
        )


def score_semantic(
    truth: Mapping[ImageId, Callable[[], Labels]],
    predictions: Mapping[ImageId, Callable[[], Labels]],
    classes: Sequence[str],
    *,
    absent: AbsentRule = "union",
) -> Scores:
    """Score label maps; images whose truth cannot be read are left out and listed.

    Args:
        truth: image id -> reads its truth, with `VOID` where there is none.
        predictions: image id -> reads its prediction; an image without one counts as missed.
        classes: names, in the order of the label maps' numbers.
        absent: the classes that mIoU is the mean over.

    Raises:
        ValueError: a prediction has other values or another size than the truth.
        FileNotFoundError: a prediction's file does not exist.
    """
    gathered = MeanIoU(len(classes), ignore=VOID, absent=absent)
    skipped: list[Skip] = []
    missing: list[ImageId] = []
    for image_id, load in truth.items():
        try:
            labels = load()
        except (ValueError, FileNotFoundError) as error:
            skipped.append(Skip(item=f"image {image_id}", reason=str(error)))
            continue
        if image_id in predictions:
            gathered.update(image_id, labels, predictions[image_id]())
        else:
            missing.append(image_id)
            gathered.update(image_id, labels, np.full_like(labels, VOID))
    result = gathered.result()
    return Scores(
        figures={
            "mIoU": 100 * result.miou,
            "fwIoU": 100 * result.fwiou,
            "pixel accuracy": 100 * result.pixel_accuracy,
            "mean accuracy": 100 * result.mean_accuracy,
        },
        images=result.images,
        per_class={_own_name(classes, k): 100 * iou for k, iou in enumerate(result.per_class)},
        per_class_metric="IoU",
        skipped=tuple(skipped),
        missing=tuple(missing),
    )


def score_semantic_files(
    predictions: Path, truth: Path, classes: Sequence[str], *, absent: AbsentRule = "union"
) -> Scores:
    """Score a folder of PNGs of class indices against another; files with the same name belong together.

    Raises:
        ValueError: there is no truth; a prediction has no truth; or as `score_semantic`.
        FileNotFoundError: a folder does not exist.
    """
    coding = _coding(len(classes))

    def files(folder: Path) -> dict[ImageId, Callable[[], Labels]]:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder of label maps")
        paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".tif", ".tiff"))
        return {
            str(p.relative_to(folder).with_suffix("")): lambda p=p: coding.decode(read_stored(p), str(p))
            for p in paths
        }

    true, predicted = files(truth), files(predictions)
    if not true:
        raise ValueError(f"{truth}: no label maps (.png, .tif); nothing to score against")
    if strangers := sorted(predicted.keys() - true.keys(), key=str):
        raise ValueError(
            f"{predictions}: {len(strangers)} label map(s) that the truth lacks: {strangers[:5]}; score "
            "results against the split they were made for"
        )
    return score_semantic(true, predicted, classes, absent=absent)


def _coding(classes: int) -> LabelCoding:
    return LabelCoding(classes=classes, void=(void_value(classes),))


def _own_name(classes: Sequence[str], k: int) -> str:
    """A class's name; with its number where others have the name too."""
    return classes[k] if classes.count(classes[k]) == 1 else f"{classes[k]} ({k})"
