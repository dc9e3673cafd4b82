"""Anybody's own data, in COCO's, VQA's and `refer`'s formats, as label maps with `classes.txt`, as pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xdecoder.data.coco import read_captions, read_instances, read_panoptic
from xdecoder.data.coco_file import categories_of_file, read_coco_file
from xdecoder.data.dataset import Dataset, ExistingFiles
from xdecoder.data.decoding import LabelCoding, read_json
from xdecoder.data.folders import Folders
from xdecoder.data.formats.masks import is_no_class
from xdecoder.data.info import DatasetInfo, DatasetSplit, Origin
from xdecoder.data.pairs import open_pair_folder
from xdecoder.data.records import CaptionSample, QuestionSample, ReferringSample, Task
from xdecoder.data.refer import read_refs, referring_samples
from xdecoder.data.selection import Selection
from xdecoder.data.vqa import read_questions
from xdecoder.jobs.files import read_text
from xdecoder.vocabularies import Vocabulary

_IMAGES = "images/{split}|{split}/images|{split}"
_CLASSES = "classes.txt|labels.txt"
_LISTED = "|".join(f"annotations/{kind}_{{split}}.json" for kind in ("captions", "instances", "panoptic"))
"""A COCO-style file, whichever there is, that says which file an image is."""

VOID_VALUE = 255
"""What a label map of one's own holds where nothing is labeled; 65535 in one of 16 bits."""


def open_custom_instances(selection: Selection) -> Dataset[Any]:
    """COCO-style instances: `annotations/instances_<split>.json`, or Roboflow's layout."""
    return read_instances(
        selection,
        annotations=selection.path("annotations/instances_{split}.json|{split}/_annotations.coco.json"),
        images=selection.path(_IMAGES),
        categories=categories_of_file,
    )


def open_custom_panoptic(selection: Selection) -> Dataset[Any]:
    """A COCO-style panoptic folder, with its own categories."""
    return read_panoptic(
        selection,
        annotations=selection.path("annotations/panoptic_{split}.json"),
        maps=selection.path("panoptic_{split}|annotations/panoptic_{split}"),
        images=selection.path(_IMAGES),
        categories=categories_of_file,
    )


def open_custom_semantic(selection: Selection) -> Dataset[Any]:
    """Images and label maps of the same names, and `classes.txt` with a class a line, the first being 0.

    The value of a class that is called background, void, unlabeled or ignore is void, as 255 and 65535 are.

    Raises:
        FileNotFoundError: there is no `classes.txt`, or unless they may be skipped, files are missing.
        ValueError: `classes.txt` names no class, or one twice.
    """
    path = selection.path(_CLASSES)
    names = read_class_names(path)
    kept = [i for i, name in enumerate(names) if not is_no_class(name)]
    if not kept:
        raise ValueError(f"{path}: no class; write one a line")
    try:
        vocabulary = Vocabulary(
            classes=tuple(names[i] for i in kept), things=frozenset(), name=path.parent.name or "custom"
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    void = {VOID_VALUE, 65535, *range(len(names))} - set(kept)
    coding = LabelCoding(classes=len(kept), stored=tuple(kept), void=tuple(sorted(void)))
    return Folders(
        images=_IMAGES,
        labels="labels/{split}|{split}/labels",
        coding=coding,
        vocabulary=lambda _selection: vocabulary,
        tells_unlabeled=True,
    )(selection)


def read_class_names(path: Path) -> tuple[str, ...]:
    """The lines of a file of class names; empty lines are passed over.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, or names a class twice.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; it names the classes, one a line, the first being 0")
    lines = read_text(path).splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: names {twice[:5]} twice; each line is a class of its own")
    return names


def open_custom_captions(selection: Selection) -> Dataset[CaptionSample]:
    """COCO-style captions: `annotations/captions_<split>.json`."""
    return read_captions(
        selection,
        annotations=selection.path("annotations/captions_{split}.json"),
        images=selection.path(_IMAGES),
    )


def open_custom_referring(selection: Selection) -> Dataset[ReferringSample]:
    """Phrases of `annotations/referring_<split>.json` for objects of `annotations/instances_<split>.json`."""
    path = selection.path("annotations/referring_{split}.json")
    data = read_json(path)
    refs = read_refs(data.get("refs") if isinstance(data, dict) else data, path)
    instances = read_coco_file(selection.path("annotations/instances_{split}.json"))
    images, existing = selection.path(_IMAGES), ExistingFiles(selection.name, selection.missing)
    return referring_samples(
        selection,
        instances,
        instances.of_refs(refs, path),
        existing,
        lambda image_id: (image_id, existing.find(images, instances.images[image_id].file_name)),
    )


def open_custom_questions(selection: Selection) -> Dataset[QuestionSample]:
    """VQA-style `annotations/questions_<split>.json`, with `answers_<split>.json` if it is there.

    Which file an image is says a COCO-style file beside them: captions, instances or panoptic.
    """
    listed = read_coco_file(selection.path(_LISTED))
    listed.problems.refuse()
    questions = selection.path("annotations/questions_{split}.json")
    answers = selection.path("annotations/answers_{split}.json")
    images, existing = selection.path(_IMAGES), ExistingFiles(selection.name, selection.missing)

    def image_of(image_id: Any) -> tuple[Any, str]:
        if image_id not in listed.images:
            raise ValueError(
                f"{questions}: a question is about image {image_id!r}, which {listed.path} lacks"
            )
        return image_id, existing.find(images, listed.images[image_id].file_name)

    return read_questions(selection, questions, answers if answers.is_file() else None, existing, image_of)


def open_custom_pairs(selection: Selection) -> Dataset[CaptionSample]:
    """A folder with `pairs.jsonl`."""
    return open_pair_folder(selection.root, missing=selection.missing)


def _row(title: str, files: dict[Task, tuple[str, ...]], vocabulary: str, loader: Any) -> DatasetInfo:
    return DatasetInfo(
        title=f"Your own {title}",
        files=files,
        splits={name: DatasetSplit(word=name) for name in ("val", "train", "test")},
        origin=Origin(size="yours", source="yours", license="yours"),
        vocabulary=vocabulary,
        loader=loader,
    )


_PANOPTIC = ("annotations/panoptic_{split}.json", "panoptic_{split}|annotations/panoptic_{split}", _IMAGES)

CUSTOM: dict[str, DatasetInfo] = {
    "custom-instances": _row(
        "COCO-style instances",
        {"instance": ("annotations/instances_{split}.json|{split}/_annotations.coco.json", _IMAGES)},
        "the annotation file",
        open_custom_instances,
    ),
    "custom-panoptic": _row(
        "COCO-style panoptic folder",
        {"panoptic": _PANOPTIC, "semantic": _PANOPTIC, "instance": _PANOPTIC},
        "the annotation file",
        open_custom_panoptic,
    ),
    "custom-semantic": _row(
        "images and label maps, with classes.txt",
        {"semantic": (_CLASSES, _IMAGES, "labels/{split}|{split}/labels")},
        "classes.txt",
        open_custom_semantic,
    ),
    "custom-captions": _row(
        "COCO-style captions",
        {"caption": ("annotations/captions_{split}.json", _IMAGES)},
        "none (captions)",
        open_custom_captions,
    ),
    "custom-referring": _row(
        "phrases for COCO-style instances",
        {
            "referring": (
                "annotations/referring_{split}.json",
                "annotations/instances_{split}.json",
                _IMAGES,
            )
        },
        "none (phrases)",
        open_custom_referring,
    ),
    "custom-questions": _row(
        "questions and answers in VQA's format",
        {
            "question": (
                "annotations/questions_{split}.json",
                _LISTED,
                _IMAGES,
            )
        },
        "none (answers)",
        open_custom_questions,
    ),
    "custom-pairs": DatasetInfo(
        title="Your own image-text pairs: a folder with pairs.jsonl",
        files={"caption": ("pairs.jsonl",)},
        splits={"all": DatasetSplit(word="all")},
        origin=Origin(size="yours", source="yours", license="yours"),
        vocabulary="none (captions)",
        loader=open_custom_pairs,
    ),
}
"""The rows of the table that are for one's own data."""
