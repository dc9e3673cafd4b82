"""What `train custom` tells of data before it begins, and what it makes of the model that it starts from."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import xdecoder
from builders import export_scenes, save_tiny_model, write_json, write_voc
from xdecoder.config import ClassList, ModelConfig
from xdecoder.data.check import check_dataset
from xdecoder.data.convert import convert
from xdecoder.data.dataset import Dataset
from xdecoder.data.decoding import FileImage
from xdecoder.data.opening import open_dataset
from xdecoder.data.records import Annotation, InstanceSample, ListedAnnotations
from xdecoder.structures import encode_rle
from xdecoder.training.datasets.crops import View
from xdecoder.training.datasets.custom import Custom
from xdecoder.training.datasets.sampling import repeat_rare
from xdecoder.training.datasets.thresholds import choose_thresholds
from xdecoder.training.memory import activation_bytes, cuts_that_fit
from xdecoder.training.run import run_recipe
from xdecoder.training.run_folder import begun_accumulate, describe, enter
from xdecoder.training.start import add_queries
from xdecoder.weights.folder import build_model, load_model, read_config


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_scenes(tmp_path_factory.mktemp("scenes") / "data", train=4, val=2, size=64)


@pytest.fixture
def data(scenes: Path, tmp_path: Path) -> Path:
    """Scenes that a test may change."""
    return Path(shutil.copytree(scenes, tmp_path / "data"))


def read(data: Path, kind: str = "instances", split: str = "train") -> dict:
    return json.loads((data / f"annotations/{kind}_{split}.json").read_text())


def write(data: Path, file: dict, kind: str = "instances", split: str = "train") -> None:
    write_json(data / f"annotations/{kind}_{split}.json", file)


def adapted(data: Path, model: Path, **settings: object) -> Custom:
    return Custom(data=data, start=model, **settings).adapted()  # pyright: ignore[reportArgumentType]


def told(data: Path, model: Path, task: str = "instance") -> str:
    """What a run says before its first step."""
    return "\n".join(adapted(data, model, task=task).open().check())


def only(data: Path, keep: int, split: str = "train") -> None:
    """Leave the objects of one class alone."""
    file = read(data, split=split)
    file["categories"] = [row for row in file["categories"] if row["id"] == keep]
    file["annotations"] = [row for row in file["annotations"] if row["category_id"] == keep]
    write(data, file, split=split)


def test_one_class_and_images_without_an_object_are_told(data: Path, model: Path) -> None:
    file = read(data)
    first = file["annotations"][0]
    only(data, first["category_id"])
    file = read(data)
    kept = [row for row in file["annotations"] if row["image_id"] == first["image_id"]]
    write(data, {**file, "annotations": kept})
    lines = told(data, model)
    assert "one class alone" in lines
    assert "3 of 4 images have no object" in lines
    assert "the validation split has classes that are not trained" in lines


def test_classes_that_are_alike_absent_rare_or_another_splits_are_told(data: Path, model: Path) -> None:
    file = read(data)
    most = max(row["id"] for row in file["categories"])
    named = file["categories"][0]["name"]
    more = [
        {"id": most + 1, "name": f"{named.upper()} ", "supercategory": ""},
        {"id": most + 2, "name": "unicorn", "supercategory": ""},
    ]
    write(data, {**file, "categories": [*file["categories"], *more]})
    lines = told(data, model)
    assert f"classes named alike: {named}. They read the same to the text encoder" in lines
    assert "never there, so not learned: " in lines
    assert "unicorn" in lines
    assert "in fewer than 10 images: " in lines
    assert "segments.repeat_threshold" in lines
    assert "the validation split lacks classes that are trained: unicorn" in lines


def test_gray_and_16_bit_images_are_read_and_small_ones_told(data: Path, model: Path) -> None:
    images = sorted((data / "images/train").iterdir())
    gray = Image.open(images[0]).convert("L")
    gray.save(images[0])
    deep = (np.asarray(Image.open(images[1]).convert("L")).astype(np.uint16)) * 257
    Image.fromarray(deep).save(images[1])
    recipe = adapted(data, model, task="panoptic", short_side=128)
    assert recipe.part.sides == (128, 256)
    assert recipe.part.size == 192
    assert "4 images are less than half as large as they are trained at" in "\n".join(recipe.open().check())
    batch = recipe.open().batches.batch(0, 0, 1).segments
    assert batch is not None
    assert batch.images.isfinite().all()


def test_huge_images_are_left_out_and_told(data: Path, model: Path) -> None:
    (huge, *_) = sorted((data / "images/train").iterdir())
    Image.new("1", (8200, 8200)).save(huge)
    curriculum = adapted(data, model, task="panoptic").open()
    assert any(huge.name in line and "pixels" in line for line in curriculum.batches.batch(0, 0, 1).skipped)
    lines = "\n".join(curriculum.check())
    assert f"1 images are too large to be read: left out. {huge} is 8200 x 8200" in lines
    (held, *_) = sorted((data / "images/val").iterdir())
    held.write_bytes(huge.read_bytes())
    assert f"1 images of the validation split are too large to be read. {held} is" in told(data, model)


@pytest.fixture
def label_maps(tmp_path: Path) -> Path:
    """Images with label maps, three of which train and two validate."""
    write_voc(tmp_path / "labels", images=5, size=64)
    convert(tmp_path / "labels", tmp_path / "maps", val=0.4)
    return tmp_path / "maps"


def test_data_without_any_object_is_refused(data: Path, label_maps: Path, model: Path) -> None:
    for path in (label_maps / "labels/train").iterdir():
        Image.new("L", (64, 64), 255).save(path)
    with pytest.raises(ValueError, match="custom-semantic: none of 3 images has an object: nothing to learn"):
        told(label_maps, model, "semantic")
    file = read(data, "panoptic")
    for row in file["annotations"]:
        row["segments_info"] = []
        Image.new("RGB", (64, 64)).save(data / "panoptic_train" / row["file_name"])
    write(data, file, "panoptic")
    with pytest.raises(ValueError, match="custom-panoptic: none of 4 images has an object: nothing to learn"):
        told(data, model, "panoptic")


def test_a_validation_split_that_is_absent_or_broken_is_told_before_the_first_step(
    data: Path, model: Path
) -> None:
    path = data / "annotations/instances_val.json"
    path.write_text("{")
    with pytest.raises(
        ValueError, match=r"the validation split cannot be used: .*instances_val.json: not valid"
    ):
        told(data, model)
    assert "4 images" in "\n".join(adapted(data, model, task="instance", validation=0).open().check())
    path.unlink()
    assert "there is no validation split: nothing will tell how well" in told(data, model)


def test_images_that_are_both_trained_and_held_out_are_told(data: Path, model: Path) -> None:
    def notes(split: str) -> str:
        checks = check_dataset("custom-instances", data, split=split).tasks
        return "\n".join(note for task in checks for note in task.notes)

    assert "too: scores on them" not in told(data, model) + notes("train") + notes("val")
    trained, held = (sorted((data / f"images/{split}").iterdir()) for split in ("train", "val"))
    held[1].write_bytes(trained[2].read_bytes())
    line = "1 of 2 images of the val split are in the train split too: scores on them tell what was learned"
    for lines in (told(data, model), notes("train"), notes("val")):
        assert line in lines
        assert f"The first: {held[1]}" in lines
    (data / "images/test").mkdir()
    for image in held:
        shutil.copyfile(image, data / "images/test" / image.name)
    write(data, read(data, split="val"), split="test")
    assert "1 of 2 images of the test split are in the train split too" in notes("train")
    held[1].write_bytes(held[1].read_bytes()[:-1] + b"x")  # as many bytes
    assert "of the val split" not in told(data, model)


def test_images_without_a_label_map_unreadable_and_dark_ones_are_told(label_maps: Path, model: Path) -> None:
    Image.new("RGB", (64, 64)).save(label_maps / "images/train/more.webp")
    first, second, third = sorted(p for p in (label_maps / "images/train").iterdir() if p.stem != "more")
    Image.open(third).save(third.with_suffix(".bmp"))
    third.unlink()
    first.write_bytes(first.read_bytes()[:300])
    deep = np.asarray(Image.open(second).convert("L")).astype(np.uint16) * 16  # 12 bits in 16
    Image.fromarray(deep).save(second.with_suffix(".png"))
    second.unlink()
    lines = told(label_maps, model, "semantic")
    assert "semantic: 3 images" in lines
    assert "left out: 1, the first: " in lines
    assert "more.webp: it has no label map more.png" in lines
    assert f"1 of 3 images looked at cannot be read: left out; the first: {first} is cut short" in lines
    assert "1 of 3 images are dark, without a value above 64 of 255: files of 10, 12 or 14 bits" in lines
    (check,) = check_dataset("custom-semantic", label_maps, split="train").tasks
    assert any(note.startswith("1 of 2 images are dark, ") for note in check.notes)


def test_label_maps_of_colors_are_sent_to_convert(label_maps: Path, model: Path) -> None:
    for path in (label_maps / "labels/train").iterdir():
        Image.open(path).convert("RGB").save(path)
    with pytest.raises(ValueError, match=r"shape \(64, 64, 3\); `xdecoder datasets convert` makes class"):
        told(label_maps, model, "semantic")


def test_images_far_larger_than_they_are_trained_at_are_told(data: Path, model: Path) -> None:
    large = sorted((data / "images/train").iterdir())[0]
    for longer, noted in ((960, False), (961, True)):
        Image.new("RGB", (longer, 40)).save(large)
        line = "1 images are more than 10 times as long as the 96 pixels that they are trained at"
        assert (line in told(data, model)) == noted
    assert f"The largest: {large}, 961 x 40 pixels" in told(data, model)


def test_images_of_rare_classes_come_more_often(scenes: Path, model: Path) -> None:
    def sample(image: int, *categories: int) -> InstanceSample:
        regions = tuple(
            Annotation(
                id=i,
                category=category,
                crowd=False,
                box=None,
                area=None,
                segmentation=encode_rle(np.ones((4, 4), bool)),
            )
            for i, category in enumerate(categories)
        )
        return InstanceSample(
            image_id=image,
            source=FileImage(path=f"{image}.png"),
            region_source=ListedAnnotations(regions=regions),
        )

    samples = [sample(i, 0) for i in range(99)] + [sample(99, 0, 1)]
    data = Dataset(samples, name="some", task="instance")
    found = [s.image_id for s in repeat_rare(data, 0.09)]
    assert Counter(found) == {**dict.fromkeys(range(99), 1), 99: 3}  # sqrt(0.09 / 0.01)
    assert len(repeat_rare(data, 0.01)) == 100
    recipe = adapted(scenes, model, task="instance")
    repeated = replace(recipe, segments=replace(recipe.part, repeat_threshold=1.0)).open()
    assert "views an epoch, rare classes repeated, of images" in repeated.check()[0]
    assert len(repeated.batches.samples["instance"]) > 4


def test_things_look_as_large_in_training_as_they_will() -> None:
    rng = np.random.default_rng(0)
    for shape, wanted in (((480, 640), (160, 213)), ((640, 480), (213, 160)), ((100, 400), (80, 320))):
        view = View.draw(shape, rng, size=224, scale=(1.0, 1.0), flip=0.0, sides=(160, 320))
        assert view.resized == wanted


def test_a_start_grows_to_the_queries_of_photographs(scenes: Path, model: Path) -> None:
    recipe = adapted(scenes, model)
    assert recipe.queries == 101
    old, new = load_model(model)[0].decoder, recipe.open().build().model.decoder
    torch.testing.assert_close(new.query_features[:6], old.query_features[:6])
    torch.testing.assert_close(new.query_features[-1], old.query_features[-1])
    assert len(new.query_features) == len(new.query_positions) == 101


def test_new_queries_are_near_old_ones_and_no_two_are_alike() -> None:
    table = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    grown = add_queries(table, 12)
    assert grown.shape == (12, 64)
    copies = grown[4:-1]
    distances = torch.cdist(copies, table[:4])
    assert distances.argmin(1).tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert torch.pdist(grown).min() > 1.0
    assert add_queries(table, 5) is table


def test_thresholds_are_those_that_score_best(data: Path, model: Path) -> None:
    predictor = xdecoder.load(model)
    samples = open_dataset("custom-panoptic", data, task="panoptic", split="val")
    chosen = choose_thresholds(predictor, samples, images=2)
    assert chosen is not None
    assert 0 < chosen[0] <= 0.8
    assert 0.3 <= chosen[1] <= 0.8
    for path in (data / "images/val").iterdir():
        path.write_bytes(b"")
    assert choose_thresholds(predictor, samples, images=2) is None


def test_losses_of_whole_masks_are_those_of_all_points_together(scenes: Path, model: Path) -> None:
    recipe = adapted(scenes, model, task="panoptic")
    recipe = replace(recipe, segments=replace(recipe.part, images=2, size=64, sides=None))
    batch = recipe.open().batches.batch(0, 0, 1)
    torch.manual_seed(0)
    objective = recipe.open().build().eval()
    whole = objective(batch)["segmentation/mask_bce"]
    points = replace(
        recipe.losses,
        comparison="points",
        points=replace(recipe.losses.points, points=4000, important_share=0.0),
    )
    torch.manual_seed(0)
    sampled = replace(recipe, losses=points).open().build().eval()(batch)["segmentation/mask_bce"]
    torch.testing.assert_close(whole, sampled, rtol=0.1, atol=0.0)


def test_frozen_parts_stay_as_they_are_and_a_stopped_run_goes_on(
    data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(out: Path) -> dict[str, torch.Tensor]:
        settings = ["steps=2", "validation=0", "segments.images=2", "run.workers=0", "run.save_every=1"]
        given = [*settings, "freeze=[backbone, text_encoder]"]
        run_recipe("custom", out=out, start=model, data=data, settings=given, device="cpu")
        return load_file(out / "model/model.safetensors")

    start, trained = load_file(model / "model.safetensors"), run(tmp_path / "run")
    moved = {
        name
        for name in start
        if trained[name].shape != start[name].shape or (trained[name] != start[name]).any()
    }
    assert "backbone.stem.0.1.running_mean" in start
    assert not [name for name in moved if name.startswith(("backbone.", "text_encoder."))]
    assert {"decoder.norm.weight", "pixel_decoder.mask_features.weight"} <= moved
    assert "step 2:" not in capsys.readouterr().out  # nothing was scored
    shutil.copytree(tmp_path / "run", tmp_path / "stopped")
    (tmp_path / "stopped/finished.json").unlink()
    shutil.rmtree(tmp_path / "stopped/checkpoints/step_00000002")
    again = run(tmp_path / "stopped")
    assert all(torch.equal(again[name], tensor) for name, tensor in trained.items())


def test_frozen_parts_take_no_memory_and_get_no_gradient(data: Path, model: Path) -> None:
    config = read_config(model)
    assert activation_bytes(config, 64, ["backbone"]) < 0.7 * activation_bytes(config, 64)
    recipe = adapted(data, model, task="panoptic", freeze=("backbone",))
    objective = recipe.open().build().train()
    sum(t for t in objective(recipe.open().batches.batch(0, 0, 4)).values() if t.requires_grad).backward()
    learned = {name.split(".")[1] for name, p in objective.named_parameters() if p.grad is not None}
    assert learned == {"pixel_decoder", "text_encoder", "decoder", "logit_scale"}
    with pytest.raises(ValueError, match="freeze leaves nothing to learn: backbone, pixel_decoder, text_enc"):
        Custom(freeze=("backbone", "pixel_decoder", "text_encoder", "decoder"))


def test_a_step_is_cut_to_fit_the_memory(
    data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = read_config(model)
    each = activation_bytes(config, 64)
    assert activation_bytes(config, 128) == pytest.approx(5 * each, rel=0.1)  # less that of 32 pixels
    held = 20 * sum(p.numel() for p in build_model(config).parameters())
    for images, cuts in ((8, 1), (4.1, 2), (2.1, 4), (0.5, 8)):
        free = int((held + 1.5 * each * images) / 0.7) + 1
        assert cuts_that_fit(config, images=8, size=64, free=free) == cuts
    monkeypatch.setattr("xdecoder.training.datasets.custom_curriculum.free_bytes", lambda _: 1)
    monkeypatch.setattr("xdecoder.training.datasets.custom_curriculum._SMALL_STEP", 0)
    recipe = adapted(data, model)
    assert recipe.open().run_defaults()["accumulate"] == 8
    enter(tmp_path, describe("custom", recipe.open(), {"accumulate": 4}))
    assert begun_accumulate(tmp_path) == 4
    assert begun_accumulate(tmp_path / "none") is None


@pytest.mark.parametrize(("preset", "millions"), [("small", 12.6), ("tiny", 4.3)])
def test_small_presets_start_from_nothing(preset: str, millions: float, scenes: Path) -> None:
    recipe = Custom(data=scenes, start=None, preset=preset).adapted()
    assert recipe.optimizer.lr == 1e-3
    config = recipe.open().config
    assert sum(p.numel() for p in build_model(config).parameters()) == pytest.approx(millions * 1e6, rel=0.05)
    assert recipe.part.sides == (config.inference.short_side, config.inference.long_side)


def test_classes_of_a_model_are_written_and_read_and_checked(model: Path) -> None:
    config = read_config(model)
    words = ClassList(classes=("rusty nut", "sky"), things=(0,))
    known = replace(config, inference=replace(config.inference, vocabulary=words))
    assert ModelConfig.from_dict(json.loads(json.dumps(known.to_dict()))) == known
    told = known.to_dict()
    for wrong, message in (
        ({"classes": []}, "must name a class"),
        ({"classes": ["a\x1b[2J"]}, "without control characters"),
        ({"classes": ["a"], "things": [1]}, "must be places of its 1 classes"),
        (["a"], "expected an object of fields"),
    ):
        told["inference"]["vocabulary"] = wrong
        with pytest.raises(ValueError, match=message):
            ModelConfig.from_dict(told)
