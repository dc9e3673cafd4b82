"""Cityscapes' instances: a text file and PNG masks for each image, scored by Cityscapes' own AP.

`<image>_pred.txt` has a line for each object: the PNG's path, the label id (24 to 33), and the score. The
benchmark's server and its program take the folder as it is.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from jaxtyping import Integer

from xdecoder.data.cityscapes import LABEL_IDS, InstanceIds
from xdecoder.data.dataset import Skip
from xdecoder.data.records import ImageId, InstanceSample, PanopticThings
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import Entry, path_inside, refuse_unknown
from xdecoder.images import read_stored
from xdecoder.jobs.files import read_text, safe_name, write_whole
from xdecoder.metrics.cityscapes_ap import CityscapesAp, CityscapesPrediction
from xdecoder.structures.png import write_png
from xdecoder.vocabularies import built_in

_ENDING = "_pred.txt"


@final
class CityscapesInstanceProtocol(BenchmarkProtocol[InstanceSample]):
    """The benchmark of Cityscapes' instances. Its result is a folder."""

    file: ClassVar[str] = "cityscapes"

    def read(self, sample: InstanceSample) -> Picture:
        image, truth = sample.image(), _instance_ids(sample)
        if image.shape[:2] != truth.shape:
            raise ValueError(f"the image is {image.shape[:2]}, its truth {truth.shape} (height, width)")
        return self.picture(image, (region.category for region in sample.regions()))

    def predict(self, predictor: Predictor, sample: InstanceSample, picture: Picture) -> Entry:
        result = predictor.segment(self.encode(predictor, picture.pixels), picture.asked, task="instance")
        label_of = self._label_ids
        name = safe_name(str(sample.image_id))
        lines: list[str] = []
        for number, found in enumerate(result.instances):
            category = self.names.category[picture.places[found.category]]
            if category is None:
                continue
            png = f"{name}_{number}.png"
            write_png(self.run.folder / self.file / png, found.mask.astype(np.uint8) * 255)
            lines.append(f"{png} {label_of[category]} {found.score!r}\n")
        return {"image_id": sample.image_id, "file_name": f"{name}{_ENDING}", "lines": lines}

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        for entry in entries:
            write_whole(path / entry["file_name"], "".join(entry["lines"]).encode())

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such folder of {_ENDING} files")
        kept = {safe_name(str(s.image_id)): s for s in self.dataset if s.image_id not in left_out}
        found = {file.name.removesuffix(_ENDING): file for file in sorted(path.glob(f"*{_ENDING}"))}
        refuse_unknown(found, path, kept, id_field="image")
        label_of = self._label_ids
        gathered = CityscapesAp(label_of)
        skipped: list[Skip] = []
        for name, sample in kept.items():
            try:
                truth = _instance_ids(sample)
            except (ValueError, FileNotFoundError) as error:
                skipped.append(Skip(item=f"image {sample.image_id}", reason=str(error)))
                continue
            gathered.update(sample.image_id, truth, _read(found[name]) if name in found else [])
        result = gathered.result()
        names = dict(zip(label_of, self.names.truth.classes, strict=True))
        return Scores(
            figures={"AP": 100 * result.ap, "AP50": 100 * result.ap50},
            images=result.images,
            per_class={names[label]: 100 * ap for label, ap in result.per_class.items()},
            per_class_metric="AP",
            skipped=tuple(skipped),
            missing=tuple(s.image_id for name, s in kept.items() if name not in found),
        )

    @property
    def _label_ids(self) -> tuple[int, ...]:
        """Cityscapes' label id of each class of the truth."""
        classes = built_in("cityscapes").classes
        return tuple(LABEL_IDS[classes.index(name)] for name in self.names.truth.classes)


def _instance_ids(sample: InstanceSample) -> Integer[np.ndarray, "H W"]:
    source = sample.region_source
    if not isinstance(source, PanopticThings) or not isinstance(source.panoptic, InstanceIds):
        raise ValueError(f"image {sample.image_id} is none of Cityscapes: it has no *_instanceIds.png")
    return read_stored(source.panoptic.path)


def _read(path: Path) -> list[CityscapesPrediction]:
    """The objects of a text file.

    Raises:
        ValueError: a line is malformed, or a mask has several channels.
        FileNotFoundError: a mask is missing.
    """
    found: list[CityscapesPrediction] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            png, label, score = line.split()
            label_id, confidence = int(float(label)), float(score)
        except (ValueError, OverflowError) as error:
            raise ValueError(
                f"{path}: line {number} is {line[:80]!r}; expected the mask's file, its label id and its "
                "score"
            ) from error
        mask = read_stored(str(path_inside(path.parent, png)))
        if mask.ndim != 2 or not math.isfinite(confidence):
            raise ValueError(
                f"{path}: line {number}: expected a mask of one channel and a finite score, got shape "
                f"{mask.shape} and {confidence}"
            )
        found.append(CityscapesPrediction(label_id=label_id, score=confidence, mask=mask != 0))
    return found
