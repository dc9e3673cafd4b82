"""Scenes as files: COCO panoptic, instances and captions, referring phrases, and VQAv2 questions.

`export` writes one folder (SPLIT is "train" or "val"):

    images/SPLIT/000000000007.png              scene 7; the image's id is the scene's seed
    panoptic_SPLIT/000000000007.png            its segments, id = R + 256 G + 65536 B
    annotations/panoptic_SPLIT.json            COCO panoptic
    annotations/instances_SPLIT.json           COCO instances, masks as compressed run lengths
    annotations/captions_SPLIT.json            COCO captions, five an image
    annotations/referring_SPLIT.json           {"info", "refs": [...]}, in the spirit of `refer`; see below
    annotations/questions_SPLIT.json           VQAv2 questions
    annotations/answers_SPLIT.json             VQAv2 annotations, ten equal answers each
    pairs.jsonl                                lines of an image's path and its captions
    sheet.png                                  the first scenes, with their segments and captions

`open_dataset` reads the folder as custom-panoptic, custom-instances, custom-captions, custom-referring,
custom-questions and custom-pairs.

A ref is one thing with every sentence that means it: {"ref_id", "ann_id" (of the instances file), "image_id",
"category_id", "file_name", "split", "sent_ids", "sentences": [{"sent_id", "raw",
"sent", "tokens"}]}. Things that no sentence singles out have none, nor has stuff.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from xdecoder.images import encode_ids
from xdecoder.jobs.files import remove_drafts, whole_folder
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.picturebook.captions import captions
from xdecoder.picturebook.composition import draw_scene
from xdecoder.picturebook.nouns import words_rng
from xdecoder.picturebook.questions import questions
from xdecoder.picturebook.referring import Phrase, phrases
from xdecoder.picturebook.scene import Scene, SceneSegment
from xdecoder.picturebook.sheet import contact_sheet
from xdecoder.picturebook.vocabulary import STUFF_CATEGORIES, THING_CATEGORIES, Split
from xdecoder.structures.masks import box_to_xywh, encode_rle
from xdecoder.structures.png import write_png

CATEGORY_IDS: Final[dict[str, int]] = {
    name: number for number, name in enumerate((*THING_CATEGORIES, *STUFF_CATEGORIES), start=1)
}
"""The category ids of every exported file: things from 1, then stuff."""

_SHOWN = 12
_Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class SceneExportReport:
    """How much an export wrote."""

    images: int
    instances: int
    captions: int
    sentences: int
    questions: int


@dataclass(kw_only=True)
class _Files:
    images: list[_Record] = field(default_factory=list[_Record])
    panoptic: list[_Record] = field(default_factory=list[_Record])
    instances: list[_Record] = field(default_factory=list[_Record])
    captions: list[_Record] = field(default_factory=list[_Record])
    refs: list[_Record] = field(default_factory=list[_Record])
    questions: list[_Record] = field(default_factory=list[_Record])
    answers: list[_Record] = field(default_factory=list[_Record])
    sentences: int = 0


def export(
    out: Path,
    *,
    count: int,
    split: Split,
    size: int = 160,
    seed: int = 0,
    overwrite: bool = False,
    progress: ProgressCallback | None = None,
) -> SceneExportReport:
    """Write `count` scenes, of seeds `seed`, `seed + 1` and so on, with all their annotations.

    Everything is written to a folder beside `out` first and moved at the end, so `out` is whole or not there.

    Args:
        out: the folder to make.
        count: how many scenes, at least 1.
        split: "train" or "val".
        size: side of the pictures in pixels.
        seed: the first scene's seed.
        overwrite: replace `out`, with everything in it, if it is not empty.
        progress: called with (scenes done, count) after every scene.

    Raises:
        FileExistsError: if `out` holds something and `overwrite` is false, or is a file.
        ValueError: for a bad count, split, size or seed.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; name a folder to write to")
    if out.is_dir() and any(out.iterdir()) and not overwrite:
        raise FileExistsError(f"{out} is not empty; name another folder, or overwrite to replace it")
    out.parent.mkdir(parents=True, exist_ok=True)
    remove_drafts(out.parent)
    with whole_folder(out) as draft:
        return _write(draft, count=count, split=split, size=size, seed=seed, progress=progress)


def _write(
    out: Path,
    *,
    count: int,
    split: Split,
    size: int,
    seed: int,
    progress: ProgressCallback | None,
) -> SceneExportReport:
    images, panoptic, annotations = out / "images" / split, out / f"panoptic_{split}", out / "annotations"
    for folder in (images, panoptic, annotations):
        folder.mkdir(parents=True)
    files = _Files()
    shown: list[Scene] = []
    for done in range(count):
        scene = draw_scene(seed + done, split=split, size=size)
        name = f"{scene.seed:012d}.png"
        write_png(images / name, scene.image)
        write_png(panoptic / name, encode_ids(scene.ids))
        _add(files, scene, name)
        shown += [scene] if done < _SHOWN else []
        if progress is not None:
            progress(done + 1, count)
    info = {
        "description": f"Picture-book scenes, {split}, seeds {seed} to {seed + count - 1}, {size} pixels",
        "version": "1",
        "year": 2025,
    }
    coco = {"info": info, "licenses": [], "images": files.images}
    vqa = {
        "info": info,
        "license": {},
        "data_type": "picturebook",
        "data_subtype": split,
        "task_type": "Open-Ended",
    }
    things = [record for record in _categories() if record["isthing"]]
    contents: dict[str, _Record] = {
        "panoptic": {**coco, "annotations": files.panoptic, "categories": _categories()},
        "instances": {**coco, "annotations": files.instances, "categories": things},
        "captions": {**coco, "annotations": files.captions},
        "referring": {"info": info, "refs": files.refs},
        "questions": {**vqa, "questions": files.questions},
        "answers": {**vqa, "annotations": files.answers},
    }
    for kind, content in contents.items():
        (annotations / f"{kind}_{split}.json").write_text(json.dumps(content), encoding="utf-8")
    with (out / "pairs.jsonl").open("w", encoding="utf-8") as file:
        for pair in _pairs(files, split):
            file.write(json.dumps(pair) + "\n")
    write_png(out / "sheet.png", contact_sheet(shown))
    return SceneExportReport(
        images=count,
        instances=len(files.instances),
        captions=len(files.captions),
        sentences=files.sentences,
        questions=len(files.questions),
    )


def _pairs(files: _Files, split: Split) -> Iterator[_Record]:
    texts: dict[int, list[str]] = {}
    for row in files.captions:
        texts.setdefault(row["image_id"], []).append(row["caption"])
    for image in files.images:
        yield {"image": f"images/{split}/{image['file_name']}", "captions": texts[image["id"]]}


def _categories() -> list[_Record]:
    records: list[_Record] = []
    for name, number in CATEGORY_IDS.items():
        color = [(number * factor) % 256 for factor in (67, 131, 211)]
        thing = name in THING_CATEGORIES
        supercategory = "thing" if thing else "stuff"
        records.append(
            {
                "id": number,
                "name": name,
                "isthing": int(thing),
                "color": color,
                "supercategory": supercategory,
            }
        )
    return records


def _add(files: _Files, scene: Scene, name: str) -> None:
    rng, image_id = words_rng(scene), scene.seed
    height, width = scene.ids.shape
    files.images.append({"id": image_id, "file_name": name, "width": width, "height": height, "license": 0})
    files.panoptic.append(
        {
            "image_id": image_id,
            "file_name": name,
            "segments_info": [
                {
                    "id": segment.id,
                    "category_id": CATEGORY_IDS[segment.category],
                    "area": segment.area,
                    "bbox": box_to_xywh(segment.box),
                    "iscrowd": 0,
                }
                for segment in scene.segments
            ],
        }
    )
    for text in captions(scene, rng):
        files.captions.append({"id": len(files.captions) + 1, "image_id": image_id, "caption": text})
    said = phrases(scene, rng, per_thing=3)
    for thing in scene.things:
        annotation = _instance(scene, thing, number=len(files.instances) + 1)
        files.instances.append(annotation)
        own = [phrase for phrase in said if phrase.segment == thing.id]
        if own:
            files.refs.append(_ref(files, own, annotation, scene=scene, name=name))
    for question in questions(scene, rng):
        number = len(files.questions) + 1
        files.questions.append({"image_id": image_id, "question": question.text, "question_id": number})
        files.answers.append(
            {
                "question_id": number,
                "image_id": image_id,
                "question_type": question.kind,
                "answer_type": _answer_type(question.answer),
                "multiple_choice_answer": question.answer,
                "answers": [
                    {"answer": question.answer, "answer_confidence": "yes", "answer_id": k}
                    for k in range(1, 11)
                ],
            }
        )


def _answer_type(answer: str) -> str:
    """VQAv2's three kinds of answers."""
    if answer in ("yes", "no"):
        return "yes/no"
    return "number" if answer.isdigit() else "other"


def _instance(scene: Scene, thing: SceneSegment, *, number: int) -> _Record:
    return {
        "id": number,
        "image_id": scene.seed,
        "category_id": CATEGORY_IDS[thing.category],
        "segmentation": encode_rle(scene.ids == thing.id),
        "area": thing.area,
        "bbox": box_to_xywh(thing.box),
        "iscrowd": 0,
    }


def _ref(files: _Files, own: list[Phrase], annotation: _Record, *, scene: Scene, name: str) -> _Record:
    first = files.sentences + 1
    files.sentences += len(own)
    return {
        "ref_id": len(files.refs) + 1,
        "ann_id": annotation["id"],
        "image_id": scene.seed,
        "category_id": annotation["category_id"],
        "file_name": name,
        "split": scene.split,
        "sent_ids": list(range(first, first + len(own))),
        "sentences": [
            {"sent_id": first + k, "raw": phrase.text, "sent": phrase.text, "tokens": phrase.text.split()}
            for k, phrase in enumerate(own)
        ],
    }
