import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from xdecoder.data.custom import CUSTOM
from xdecoder.data.opening import open_dataset
from xdecoder.picturebook import Scene, SceneExportReport, draw_scene, export, is_true, resolve
from xdecoder.picturebook.export import CATEGORY_IDS

COUNT, SEED = 7, 11


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "scenes"
    export(out, count=COUNT, split="val", size=67, seed=SEED)
    return out


@pytest.fixture(scope="module")
def scenes() -> dict[int, Scene]:
    return {seed: draw_scene(seed, split="val", size=67) for seed in range(SEED, SEED + COUNT)}


def read(folder: Path, kind: str) -> dict[str, list[dict[str, object]]]:
    return json.loads((folder / "annotations" / f"{kind}_val.json").read_text())


def test_images_come_back_as_drawn(folder: Path, scenes: dict[int, Scene]) -> None:
    for seed, scene in scenes.items():
        assert np.array_equal(np.asarray(Image.open(folder / "images/val" / f"{seed:012d}.png")), scene.image)


def test_instances_load_with_pycocotools_and_masks_are_exact(folder: Path, scenes: dict[int, Scene]) -> None:
    coco = COCO(str(folder / "annotations" / "instances_val.json"))
    assert sorted(coco.getImgIds()) == sorted(scenes)
    assert len(coco.getCatIds()) == 30
    for seed, scene in scenes.items():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[seed]))
        assert len(annotations) == len(scene.things)
        for annotation, thing in zip(annotations, scene.things, strict=True):
            assert np.array_equal(coco.annToMask(annotation), scene.ids == thing.id)
            assert annotation["area"] == thing.area
            assert annotation["category_id"] == CATEGORY_IDS[thing.category]
            left, top, width, height = annotation["bbox"]
            assert (left, top, left + width, top + height) == thing.box


def test_panoptic_pictures_hold_exactly_the_segments_listed(folder: Path, scenes: dict[int, Scene]) -> None:
    panoptic = read(folder, "panoptic")
    assert len(panoptic["categories"]) == 41
    for annotation in panoptic["annotations"]:
        scene = scenes[annotation["image_id"]]
        coded = np.asarray(Image.open(folder / "panoptic_val" / annotation["file_name"])).astype(int)
        ids = coded[..., 0] + 256 * coded[..., 1] + 65536 * coded[..., 2]
        assert np.array_equal(ids, scene.ids)
        listed = {segment["id"]: segment["area"] for segment in annotation["segments_info"]}
        found, areas = np.unique(ids, return_counts=True)
        assert listed == dict(zip(found.tolist(), areas.tolist(), strict=True))


def test_captions_load_with_pycocotools_and_are_true(folder: Path, scenes: dict[int, Scene]) -> None:
    coco = COCO(str(folder / "annotations" / "captions_val.json"))
    for seed, scene in scenes.items():
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[seed]))
        assert len(annotations) == 5
        assert all(is_true(annotation["caption"], scene) for annotation in annotations)


def test_every_referring_sentence_means_its_annotation(folder: Path, scenes: dict[int, Scene]) -> None:
    coco = COCO(str(folder / "annotations" / "instances_val.json"))
    refs = read(folder, "referring")["refs"]
    numbers = [sentence["sent_id"] for ref in refs for sentence in ref["sentences"]]
    assert numbers == list(range(1, len(numbers) + 1))
    for ref in refs:
        scene = scenes[ref["image_id"]]
        mask = coco.annToMask(coco.loadAnns([ref["ann_id"]])[0])
        assert ref["sent_ids"] == [sentence["sent_id"] for sentence in ref["sentences"]]
        for sentence in ref["sentences"]:
            assert np.array_equal(scene.ids == resolve(sentence["sent"], scene), mask)


def test_questions_and_answers_pair_up_in_the_form_of_vqa_v2(folder: Path) -> None:
    asked, answered = read(folder, "questions")["questions"], read(folder, "answers")["annotations"]
    assert [q["question_id"] for q in asked] == [a["question_id"] for a in answered]
    assert [q["image_id"] for q in asked] == [a["image_id"] for a in answered]
    for answer in answered:
        assert {entry["answer"] for entry in answer["answers"]} == {answer["multiple_choice_answer"]}
        assert [entry["answer_id"] for entry in answer["answers"]] == list(range(1, 11))
        assert answer["answer_type"] in ("yes/no", "number", "other")


def test_progress_and_the_summary_count_what_was_written(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    exported = export(
        tmp_path / "new" / "folder",
        count=3,
        split="train",
        size=64,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert isinstance(exported, SceneExportReport)
    assert (exported.images, exported.captions) == (3, 15)
    assert len(list((tmp_path / "new" / "folder" / "images/train").iterdir())) == 3


def test_a_folder_with_something_in_it_is_refused_unless_told(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    export(tmp_path / "out", count=1, split="val", size=64)
    with pytest.raises(FileExistsError, match="not empty; name another folder, or overwrite to replace it"):
        export(tmp_path / "out", count=2, split="val", size=64)
    assert export(tmp_path / "out", count=2, split="val", size=64, overwrite=True).images == 2
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileExistsError, match="is a file"):
        export(tmp_path / "file", count=1, split="val", size=64)
    with pytest.raises(ValueError, match="count must be at least 1"):
        export(tmp_path / "none", count=0, split="val")


def test_an_export_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def stop(done: int, count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "out", count=2, split="val", size=64, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_every_reader_of_ones_own_data_reads_an_export_as_written(
    folder: Path, scenes: dict[int, Scene]
) -> None:
    opened = {
        (name, task): open_dataset(name, folder, task=task)
        for name, info in CUSTOM.items()
        for task in info.tasks
        if name != "custom-semantic"
    }
    assert len(opened) == 8
    for (name, _task), data in opened.items():
        assert not data.skipped
        assert len(data) == len(scenes) or name == "custom-referring"
        for sample in data:
            key = int(Path(sample.source.name).stem)
            assert np.array_equal(sample.image(), scenes[key].image)
    for sample in opened["custom-panoptic", "panoptic"]:
        assert np.array_equal(sample.panoptic().ids, scenes[sample.image_id].ids)
    for sample in opened["custom-referring", "referring"]:
        for referent in sample.referents:
            assert (referent.region.mask(67, 67).sum()) in {t.area for t in scenes[sample.image_id].things}
    answers = [q.answers for s in opened["custom-questions", "question"] for q in s.questions]
    assert all(len(a) == 10 for a in answers)
