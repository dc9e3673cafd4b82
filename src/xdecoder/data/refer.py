"""RefCOCO, RefCOCO+ and RefCOCOg: phrases that point at COCO's objects.

The `refer` layout keeps the phrases in a pickle. A pickle can run any program, so it is read with an
unpickler that admits plain containers, numbers and strings alone. The same list as JSON, and the
COCO-like JSON of X-Decoder's layout, are read too.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, final

from xdecoder.data.captions import coco_image
from xdecoder.data.coco import annotation_of
from xdecoder.data.dataset import Dataset, ExistingFiles, Skip, group_by, refuse_duplicates
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.records import Annotation, ImageId, Referent, ReferringSample
from xdecoder.data.selection import Selection


class _PlainUnpickler(pickle.Unpickler):
    """Admits dictionaries, lists, tuples, sets, numbers, strings and None; no classes, no functions."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, and only plain data is allowed")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it holds a persistent id, and only plain data is allowed")


def read_plain_pickle(path: Path) -> Any:
    """What a pickle holds, provided that it holds plain data only; Python 2's strings are read as Latin-1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no pickle, or it names a class or function.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `xdecoder datasets check` prints the layout")
    with path.open("rb") as file:
        try:
            return _PlainUnpickler(file, encoding="latin1").load()
        except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, AttributeError) as error:
            raise ValueError(
                f"{path}: refused: {error}. A refs file holds lists and dictionaries alone; get it from the "
                "refer project again"
            ) from error


@final
@dataclass(frozen=True, kw_only=True)
class Refer:
    """One of the three sets in one of its partitions, e.g. folder "refcocog" and partition "umd"."""

    folder: str
    partition: str

    def __call__(self, selection: Selection) -> Dataset[ReferringSample]:
        """Open one split: one sample an image, with every referred object of that split."""
        name = f"{self.folder}_{self.partition}_{selection.word}"
        coco_like = selection.path(f"coco/annotations/{name}.json")
        if coco_like.is_file():
            return _from_coco_like(selection, coco_like)
        refs_path, rows = self._refs(selection)
        refs = [row for row in rows if row["split"] == selection.word]
        refuse_duplicates((row["ref_id"] for row in refs), what="ref", where=refs_path)
        instances_path = self._file(selection, "instances.json")
        data = read_json(instances_path)
        sizes = {row["id"]: (row["height"], row["width"]) for row in data["images"]}
        refuse_duplicates((row["id"] for row in data["annotations"]), what="annotation", where=instances_path)
        annotations = {row["id"]: row for row in data["annotations"]}
        unknown = [row["ann_id"] for row in refs if row["ann_id"] not in annotations]
        if unknown:
            raise ValueError(
                f"{refs_path}: refs name annotation(s) {unknown[:5]}, which {instances_path.name} lacks; "
                "both files must come from the same download"
            )
        items = [
            (row["image_id"], row["ref_id"], row["sentences"], annotations[row["ann_id"]]) for row in refs
        ]
        return _samples(selection, items, sizes)

    def image_ids(self, selection: Selection) -> frozenset[ImageId]:
        """The images of one split, from the refs file alone."""
        _path, rows = self._refs(selection)
        return frozenset(row["image_id"] for row in rows if row["split"] == selection.word)

    def _refs(self, selection: Selection) -> tuple[Path, list[dict[str, Any]]]:
        path = self._file(selection, f"refs({self.partition}).p")
        if not path.is_file():
            path = self._file(selection, f"refs({self.partition}).json")
        rows = read_json(path) if path.suffix == ".json" else read_plain_pickle(path)
        needed = {"ref_id", "ann_id", "image_id", "split", "sentences"}
        if not isinstance(rows, list) or any(not isinstance(r, dict) or not needed <= set(r) for r in rows):
            raise ValueError(f"{path}: expected a list of refs, each with {', '.join(sorted(needed))}")
        return path, rows

    def _file(self, selection: Selection, name: str) -> Path:
        return selection.path(
            f"refcocoseg/{self.folder}/{name}|{self.folder}/{name}|refer/data/{self.folder}/{name}"
        )


def _from_coco_like(selection: Selection, path: Path) -> Dataset[ReferringSample]:
    data = read_json(path)
    refuse_duplicates((row["id"] for row in data["images"]), what="image", where=path)
    images = {row["id"]: row for row in data["images"]}
    stray = [row["image_id"] for row in data["annotations"] if row["image_id"] not in images]
    if stray:
        raise ValueError(f'{path}: annotations name image(s) {stray[:5]}, which "images" lacks')
    items = [
        (row["image_id"], row.get("ref_id", row["id"]), row["sentences"], row) for row in data["annotations"]
    ]
    return _samples(
        selection, items, {k: (v["height"], v["width"]) for k, v in images.items() if "height" in v}
    )


def _samples(
    selection: Selection,
    items: Sequence[tuple[int, int, list[dict[str, Any]], dict[str, Any]]],
    sizes: dict[int, tuple[int, int]],
) -> Dataset[ReferringSample]:
    existing = ExistingFiles(selection.name, selection.missing)
    left_out: list[Skip] = []
    samples: list[ReferringSample] = []
    for image_id, rows in group_by(items, lambda item: item[0]).items():
        number = int(str(image_id))
        path = str(coco_image(selection, number, "train2014"))
        if not selection.wants(number) or not existing.has(path):
            continue
        referents: list[Referent] = []
        for _image, ref_id, sentences, annotation in rows:
            region = annotation_of(annotation, annotation.get("category_id", 0))
            phrases = tuple(str(s.get("raw") or s.get("sent", "")).strip() for s in sentences)
            if not isinstance(region, Annotation):
                left_out.append(region)
            elif not any(phrases):
                left_out.append(Skip(item=f"ref {ref_id}", reason="no phrase"))
            else:
                referents.append(Referent(id=ref_id, phrases=tuple(p for p in phrases if p), region=region))
        if referents:
            samples.append(
                ReferringSample(
                    image_id=number,
                    source=FileImage(path=path),
                    size=sizes.get(number),
                    referents=tuple(referents),
                )
            )
    return Dataset(
        samples,
        name=selection.name,
        task="referring",
        split=selection.split,
        skipped=(*existing.finish(), *left_out),
    )
