"""RefCOCO, RefCOCO+ and RefCOCOg: phrases that point at COCO's objects.

The `refer` layout keeps the phrases in a pickle. A pickle can run any program, so it is read with an
unpickler that admits plain containers, numbers and strings alone. The same list as JSON, and the
COCO-like JSON of X-Decoder's layout, are read too.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, final

from xdecoder.data.captions import coco_image, coco_number
from xdecoder.data.coco_file import CocoFile, Ref, read_annotation, read_coco_file
from xdecoder.data.dataset import Dataset, ExistingFiles, Skip
from xdecoder.data.decoding import FileImage, read_json
from xdecoder.data.problems import Problems, has_fields, refuse_duplicates, rows_of
from xdecoder.data.records import ImageId, Referent, ReferringSample
from xdecoder.data.selection import Selection

_REF: Mapping[str, type | tuple[type, ...]] = {
    "ref_id": int,
    "image_id": (int, str),
    "split": str,
    "sentences": list,
}
"""What a ref holds beside its object."""


class _PlainUnpickler(pickle._Unpickler):  # pyright: ignore[reportPrivateUsage]
    """Admits dictionaries, lists, tuples, sets, numbers, strings and None; no classes, no functions.

    The unpickler in Python: the one in C can be made to fill the memory by a file of a few bytes.
    """

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it names {module}.{name}, and only plain data is allowed")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError("it holds a persistent id, and only plain data is allowed")

    def get_extension(self, code: int) -> NoReturn:
        raise pickle.UnpicklingError("it names a registered class, and only plain data is allowed")


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
        except Exception as error:  # a hostile or damaged file raises whatever it pleases
            raise ValueError(
                f"{path}: refused: {error or type(error).__name__}. A refs file holds lists and dictionaries "
                "alone; get it from the refer project again"
            ) from error


@final
@dataclass(frozen=True, kw_only=True)
class ReferPartition:
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
        file = read_coco_file(selection.path(refer_files(self.folder, "instances.json")))
        return _of_coco(selection, file, file.of_refs(refs, refs_path))

    def image_ids(self, selection: Selection) -> frozenset[ImageId]:
        """The images of one split, from the refs file alone."""
        _path, rows = self._refs(selection)
        return frozenset(row["image_id"] for row in rows if row["split"] == selection.word)

    def _refs(self, selection: Selection) -> tuple[Path, list[dict[str, Any]]]:
        path = selection.path(refer_files(self.folder, *refs_names(self.partition)))
        rows = read_json(path) if path.suffix == ".json" else read_plain_pickle(path)
        return path, read_refs(rows, path)


def refs_names(partition: str) -> tuple[str, str]:
    """The files that hold a partition's phrases: a pickle, as they are published, or JSON."""
    return f"refs({partition}).p", f"refs({partition}).json"


def refer_files(folder: str, *names: str) -> str:
    """Where a file of one of the sets lies in `refer`'s layout, as a pattern of `Selection.path`.

    Args:
        folder: of the set, such as "refcocog".
        names: the file's name; several where any of them will do.
    """
    places = (f"refcocoseg/{folder}", folder, f"refer/data/{folder}")
    return "|".join(f"{place}/{name}" for name in names for place in places)


def read_refs(rows: object, path: Path, *, objects: type = int) -> list[dict[str, Any]]:
    """A list of refs, checked.

    Args:
        rows: what the file holds.
        path: the file that the rows come from, for errors.
        objects: the type of a ref's `ann_id`; a list in gRefCOCO.

    Raises:
        ValueError: it is no list of objects, or what a ref needs is missing; all is told.
    """
    refs = rows_of({"refs": rows}, "refs", path, "a list of refs")
    problems = Problems(path)
    for place, row in enumerate(refs):
        if has_fields(row, {**_REF, "ann_id": objects}, f"ref {place}", problems):
            _check_sentences(row["sentences"], f"ref {place}", problems)
    problems.refuse()
    for split in sorted({row["split"] for row in refs}):
        refuse_duplicates((r["ref_id"] for r in refs if r["split"] == split), what="ref", where=path)
    return refs


def _check_sentences(sentences: list[Any], where: str, problems: Problems) -> None:
    for sentence in sentences:
        if not isinstance(sentence, dict) or not isinstance(sentence.get("raw", sentence.get("sent")), str):
            problems.add(f'{where}: a sentence is an object with a text under "raw" or "sent"')


def phrase_of(sentence: Mapping[str, Any]) -> str:
    """The text of a checked sentence."""
    return str(sentence.get("raw") or sentence.get("sent", "")).strip()


def _from_coco_like(selection: Selection, path: Path) -> Dataset[ReferringSample]:
    file = read_coco_file(path)
    for row in file.annotations:
        called = row.where.removeprefix(f"{path}, ")
        if has_fields(row.fields, {"sentences": list}, called, file.problems):
            _check_sentences(row.fields["sentences"], called, file.problems)
    file.problems.refuse()
    items = [(row.fields.get("ref_id", row.number), row.fields["sentences"], row) for row in file.annotations]
    return _of_coco(selection, file, items)


def _of_coco(selection: Selection, file: CocoFile, items: Sequence[Ref]) -> Dataset[ReferringSample]:
    """Refs whose images are COCO's."""
    existing = ExistingFiles(selection.name, selection.missing)
    return referring_samples(
        selection, file, items, existing, lambda image_id: train_image(selection, image_id, file.path)
    )


def train_image(selection: Selection, image_id: ImageId, where: Path) -> tuple[ImageId, str]:
    """The number and the path of one of COCO's training images of 2014.

    Raises:
        ValueError: the id is none of COCO's.
    """
    number = coco_number(image_id, where)
    return number, str(coco_image(selection, number, "train2014"))


def referring_samples(
    selection: Selection,
    file: CocoFile,
    items: Sequence[Ref],
    existing: ExistingFiles,
    image_of: Callable[[ImageId], tuple[ImageId, str]],
) -> Dataset[ReferringSample]:
    """One sample an image, with every referred object.

    Args:
        selection: what is asked for.
        file: the annotation file that holds the referred objects' masks.
        items: the refs: id, sentences and the object's row.
        existing: what looks for files.
        image_of: an image's id and path, from its id in the file.

    Raises:
        FileNotFoundError: images are missing, unless they may be skipped.
        ValueError: the objects' file is malformed, or nothing is left.
    """
    file.problems.refuse()
    left_out: list[Skip] = []
    samples: list[ReferringSample] = []
    groups: dict[ImageId, list[Ref]] = {}
    for item in items:
        groups.setdefault(item[2].image_id, []).append(item)
    for key, rows in groups.items():
        image_id, path = image_of(key)
        if not selection.wants(image_id) or not existing.has(path):
            continue
        referents: list[Referent] = []
        for ref_id, sentences, row in rows:
            category = row.fields.get("category_id", 0)
            phrases = tuple(phrase_of(s) for s in sentences)
            if not any(phrases):
                left_out.append(Skip(item=f"ref {ref_id}", reason="no phrase"))
                continue
            try:
                region = read_annotation(
                    row.fields,
                    number=row.number,
                    category=category if type(category) is int else 0,
                    where=row.where,
                )
            except ValueError as error:
                left_out.append(Skip(item=f"ref {ref_id}", reason=str(error)))
                continue
            referents.append(Referent(id=ref_id, phrases=tuple(p for p in phrases if p), region=region))
        if referents:
            samples.append(
                ReferringSample(
                    image_id=image_id,
                    source=FileImage(path=path),
                    size=file.images[key].size,
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
