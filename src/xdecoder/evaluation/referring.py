"""Referring segmentation: a mask for each referred object, scored by mean and cumulative IoU.

As in the published evaluation, an object is asked for by its first phrase in lower case, and all objects of
an image in one pass, where their phrases see one another.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from xdecoder.data.dataset import Skip
from xdecoder.data.records import ImageId, ReferringSample
from xdecoder.evaluation.protocol import BenchmarkProtocol, Picture, Predictor, Scores
from xdecoder.evaluation.result_files import ID, Entry, by_id, read_list, write_list
from xdecoder.metrics.referring import ReferringSegmentation
from xdecoder.structures import decode_rle


@final
class ReferringProtocol(BenchmarkProtocol[ReferringSample]):
    """Referring benchmarks. The result file lists, for each object, `ref_id`, `phrase` and `segmentation`."""

    file: ClassVar[str] = "referring.json"

    def read(self, sample: ReferringSample) -> Picture:
        image = sample.image()
        for referent in sample.referents:
            referent.region.rle(image.shape[0], image.shape[1])  # refuses a mask of another size
        return Picture(pixels=image)

    def predict(self, predictor: Predictor, sample: ReferringSample, picture: Picture) -> Entry:
        phrases = [referent.phrases[0].lower() for referent in sample.referents]
        result = predictor.refer(self.encode(predictor, picture.pixels), phrases)
        rows = result.to_coco(image_id=sample.image_id)
        fields = ("image_id", "phrase", "score", "bbox", "segmentation")
        return {
            "image_id": sample.image_id,
            "objects": [
                {"ref_id": referent.id, **{name: row[name] for name in fields}}
                for referent, row in zip(sample.referents, rows, strict=True)
            ],
        }

    def write(self, entries: Iterable[Entry], path: Path) -> None:
        def rows() -> Iterator[Entry]:
            for entry in entries:
                yield from entry["objects"]

        write_list(rows(), path)

    def score(self, path: Path, left_out: Collection[ImageId] = ()) -> Scores:
        kept = [s for s in self.dataset if s.image_id not in left_out]
        known = {referent.id for sample in kept for referent in sample.referents}
        rows = by_id(read_list(path, {"ref_id": ID, "segmentation": dict}), path, known, id_field="ref_id")
        gathered = ReferringSegmentation()
        skipped: list[Skip] = []
        missing: list[ImageId] = []
        for sample in kept:
            for referent in sample.referents:
                row = rows.get(referent.id)
                try:
                    height, width = (
                        row["segmentation"]["size"] if row else sample.size or sample.image().shape[:2]
                    )
                    truth = referent.region.mask(height, width)
                except (ValueError, FileNotFoundError) as error:
                    skipped.append(Skip(item=f"ref {referent.id}", reason=str(error)))
                    continue
                if row is None:
                    missing.append(referent.id)
                mask = np.zeros_like(truth) if row is None else decode_rle(row["segmentation"])
                if sample.size is not None and mask.shape != sample.size:
                    raise ValueError(
                        f"{path}: the mask of ref {referent.id} is {mask.shape[0]} x {mask.shape[1]}, its "
                        f"image {sample.size[0]} x {sample.size[1]} (height x width): resize it"
                    )
                gathered.update([referent.id], truth[None], mask[None])
        return Scores(
            figures=self._figures(gathered),
            images=len(kept),
            skipped=tuple(skipped),
            missing=tuple(missing),
        )

    def _figures(self, gathered: ReferringSegmentation) -> dict[str, float]:
        smallest = self.run.benchmark.smallest_mask
        if smallest is None:
            result = gathered.result()
            figures = {"mIoU": result.miou, "cIoU": result.ciou}
        else:
            result = gathered.generalized(smallest=smallest)
            figures = {"gIoU": result.giou, "cIoU": result.ciou, "N-acc": result.n_acc, "T-acc": result.t_acc}
        figures |= {f"P@{x}": share for x, share in result.precision.items()}
        return {name: 100 * value for name, value in figures.items()}
