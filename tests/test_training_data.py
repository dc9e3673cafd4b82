"""What training does with data as people have it: no masks, torn files, pairs in any form, own labels."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from typer import Typer
from typer.testing import CliRunner, Result

import xdecoder
from builders import export_scenes, save_tiny_model, write_json
from xdecoder.cli.app import app
from xdecoder.cli.command import add_command
from xdecoder.cli.commands.train import train as train_command
from xdecoder.config import ClassList
from xdecoder.data.opening import open_dataset
from xdecoder.data.pair_files import open_pairs
from xdecoder.jobs.distributed import World
from xdecoder.picturebook import draw_scene
from xdecoder.training.batches import Batch
from xdecoder.training.datasets.crops import View
from xdecoder.training.datasets.custom import Custom, find_annotations
from xdecoder.training.datasets.parts import Mixed, TaskConfig
from xdecoder.training.datasets.recipe import DatasetRecipe
from xdecoder.training.datasets.sampling import open_source
from xdecoder.training.datasets.source import DatasetBatches
from xdecoder.training.estimate import estimate
from xdecoder.weights.folder import load_model, read_config, read_tokenizer

APP = Typer()
add_command(APP)(train_command)
SMALL = ["steps=2", "segments.images=2", "segments.size=64", "losses.points.points=20", "run.log_every=1"]


def run_train(*words: str, settings: list[str] = SMALL) -> Result:
    return CliRunner().invoke(APP, ["custom", *words, *(w for s in settings for w in ("--set", s))])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Scenes with panoptic and instance annotations, in the layout of one's own data."""
    return export_scenes(tmp_path / "data", train=4, val=2, size=64)


def edit_instances(data: Path, split: str = "train", **fields: object) -> None:
    """Set fields of every annotation; keep the instances alone."""
    path = data / f"annotations/instances_{split}.json"
    file = json.loads(path.read_text())
    write_json(path, {**file, "annotations": [{**row, **fields} for row in file["annotations"]]})
    for other in data.glob("annotations/panoptic_*"):
        other.unlink()


@pytest.mark.parametrize("segmentation", [[], None, [[1, 2, 3, 4]]])
def test_boxes_alone_are_refused_before_the_first_step(
    segmentation: object, data: Path, model: Path, tmp_path: Path
) -> None:
    edit_instances(data, segmentation=segmentation)
    done = run_train("--data", str(data), "--from", str(model), "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert "has a mask that can be read: boxes alone do not make segments" in " ".join(done.output.split())
    assert "Traceback" not in done.output
    assert not (tmp_path / "run" / "model").exists()
    assert not (tmp_path / "run" / "recipe.json").exists()


def test_objects_without_a_pixel_are_told_and_refused_where_there_are_no_others(
    data: Path, model: Path, tmp_path: Path
) -> None:
    words = ("--data", str(data), "--from", str(model), "--out", str(tmp_path / "run"))
    edit_instances(data, segmentation=[[0.1, 0.2, 0.5, 0.2, 0.5, 0.4]])  # shares of the size, no pixels
    refused = run_train(*words)
    assert refused.exit_code == 2
    assert "have no pixel in their image, so there is nothing to learn. Coordinates" in refused.output
    path = data / "annotations/instances_train.json"
    file = json.loads(path.read_text())
    file["annotations"][0]["segmentation"] = [[1, 1, 30, 1, 30, 30]]
    write_json(path, file)
    torn = next((data / "images/val").iterdir())
    torn.write_bytes(torn.read_bytes()[:300])
    told = run_train(*words, settings=[*SMALL, "validation=2", "steps=1"])
    assert told.exit_code == 0, told.output
    assert "objects looked at have no pixel in their image, so they are not learned" in told.output
    assert "validation by instance on custom-instances leaves out 1, the first: " in told.output


def test_annotations_that_are_left_out_are_told(data: Path, model: Path, tmp_path: Path) -> None:
    edit_instances(data)
    path = data / "annotations/instances_train.json"
    file = json.loads(path.read_text())
    file["annotations"][0]["segmentation"] = []
    write_json(path, file)
    done = run_train("--data", str(data), "--from", str(model), "--out", str(tmp_path / "run"))
    assert done.exit_code == 0, done.output
    assert "instance: 4 images of custom-instances" in done.output
    assert "left out: 1, the first: annotation" in done.output


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: shutil.rmtree(data / "annotations"), "no annotations to train on; looked for"),
        (lambda data: (data / "annotations/panoptic_train.json").write_text("{"), "panoptic_train.json"),
        (lambda data: shutil.rmtree(data / "images"), "missing"),
        (lambda data: shutil.rmtree(data / "panoptic_train"), "missing"),
    ],
)
def test_bad_data_is_told_in_one_line_before_anything_is_built(
    spoil: object, message: str, data: Path, model: Path, tmp_path: Path
) -> None:
    assert callable(spoil)
    spoil(data)
    done = run_train("--data", str(data), "--from", str(model), "--out", str(tmp_path / "run"))
    assert done.exit_code == 2
    assert message in done.output
    assert "Traceback" not in done.output
    assert "worker process" not in done.output


def test_torn_images_are_left_out_and_told(data: Path, model: Path, tmp_path: Path) -> None:
    torn = data / "images/train/000000000002.png"
    torn.write_bytes(torn.read_bytes()[:300])
    settings = [*SMALL, "run.workers=1"]
    done = run_train(
        "--data", str(data), "--from", str(model), "--out", str(tmp_path / "run"), settings=settings
    )
    assert done.exit_code == 0, done.output
    assert done.output.count("left out: ") == 1
    assert torn.name in done.output
    for path in (data / "images/train").iterdir():
        path.write_bytes(path.read_bytes()[:300])
    refused = run_train("--data", str(data), "--from", str(model), "--out", str(tmp_path / "none"))
    assert refused.exit_code == 2
    assert "samples in a row cannot be read" in refused.output


def test_the_task_is_read_from_the_data(data: Path) -> None:
    assert find_annotations(data, "auto") == ("custom-panoptic", "panoptic")
    assert find_annotations(data, "semantic") == ("custom-panoptic", "semantic")
    assert find_annotations(data, "instance") == ("custom-instances", "instance")
    for path in data.glob("annotations/panoptic_*"):
        path.unlink()
    assert find_annotations(data, "auto") == ("custom-instances", "instance")
    for path in data.glob("annotations/instances_*"):
        path.unlink()
    (data / "classes.txt").write_text("sky\ngrass\n")
    assert find_annotations(data, "auto") == ("custom-semantic", "semantic")
    with pytest.raises(FileNotFoundError, match=r"looked for annotations/panoptic_train\.json"):
        find_annotations(data, "panoptic")
    with pytest.raises(ValueError, match="task must be auto, panoptic, instance, semantic, got 'boxes'"):
        Custom.begin({"data": data, "task": "boxes"})


def test_defaults_suit_the_model_that_is_started_from(data: Path) -> None:
    bundled = Custom(data=data).adapted()
    assert bundled.start == Path("picturebook-lite")
    assert bundled.segments is not None
    assert (bundled.segments.size, bundled.segments.sides) == (224, (160, 320))
    assert bundled.losses.comparison == "whole"
    assert bundled.queries == 101
    assert (bundled.optimizer.lr, bundled.optimizer.lr_factors) == (1e-3, ())
    published = Custom(data=data, start=None).adapted()
    assert published.segments is not None
    assert (published.segments.size, published.segments.sides) == (1024, (800, 1333))
    assert (published.losses.comparison, published.losses.points.points) == ("points", 12544)
    assert published.optimizer.lr == 1e-4
    assert published.optimizer.lr_factors
    curriculum = bundled.open()
    assert curriculum.phases[0].steps == 300  # 50 epochs of four images are 25 steps
    assert curriculum.run_defaults() == {"validate_every": 30, "save_every": 30, "patience": 5}


def test_one_command_learns_from_a_folder_and_keeps_the_best_model(
    data: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    settings = [*SMALL, "segments.scale=[1, 1]", "run.validate_every=1"]
    words = ("--data", str(data), "--from", str(model), "--out", str(out), "--task", "instance")
    done = run_train(*words, settings=settings)
    assert done.exit_code == 0, done.output
    scores = [json.loads(line) for line in (out / "scores.jsonl").read_text().splitlines()]
    assert [set(row) for row in scores] == [{"step", "custom-instances/instance/AP"}] * 2
    assert load_model(out / "model-best")[0].config == load_model(out / "model")[0].config
    classes = read_config(out / "model").inference.vocabulary
    assert isinstance(classes, ClassList)
    assert xdecoder.load(out / "model").default_vocabulary.classes == classes.classes
    assert classes.classes == open_dataset("custom-instances", data, split="train").vocabulary.classes
    assert classes.things == tuple(range(len(classes.classes)))
    card = (out / "model/README.md").read_text()
    assert f"Things: {', '.join(classes.classes)}" in card
    assert "trained on 4 images of data (custom-instances, instance) from tiny" in card
    assert "xdecoder segment photo.jpg --weights THIS_FOLDER --task instance" in card
    assert f"| 2 | {100 * scores[1]['custom-instances/instance/AP']:.1f} |" in card
    assert f"xdecoder train custom --from {model} --data {data} --task instance --set steps=2" in card
    assert Image.open(out / "model/curves.png").width == 800
    assert "already finished" in run_train(*words, settings=settings).output
    other = run_train(*words, settings=[*settings, "steps=3"])
    assert other.exit_code == 2
    assert "holds a run made otherwise (steps 2 there, 3 now)" in other.output
    path = data / "annotations/instances_train.json"
    file = json.loads(path.read_text())
    gone = file["images"].pop()["id"]
    kept = [row for row in file["annotations"] if row["image_id"] != gone]
    write_json(path, {**file, "annotations": kept})
    fewer = run_train(*words, settings=settings)
    assert "made_of.images.instance [4] there, [3] now" in fewer.output


# Image-text pairs.


def scene_bytes(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_scene(seed, split="train", size=64).image).crop((0, 0, 64, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(path: Path, seeds: range) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for seed in seeds:
            text = {"caption": f"scene {seed}"} if seed % 2 else None
            files = {"png": scene_bytes(seed)}
            files |= {"json": json.dumps(text).encode()} if text else {"txt": f"scene {seed}".encode()}
            for suffix, content in files.items():
                info = tarfile.TarInfo(f"{seed:04d}.{suffix}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def write_pairs(folder: Path, form: str) -> str:
    """Six pairs in a form; what to call them."""
    folder.mkdir(parents=True)
    match form:
        case "shards":
            write_shard(folder / "0.tar", range(4))
            write_shard(folder / "1.tar", range(4, 6))
            return f"{folder}/{{0..1}}.tar"
        case "folder of shards":
            write_shard(folder / "0.tar", range(6))
            return str(folder)
        case "jsonl":
            for seed in range(6):
                (folder / f"{seed}.png").write_bytes(scene_bytes(seed))
            lines = [json.dumps({"image": f"{seed}.png", "caption": f"scene {seed}"}) for seed in range(6)]
            (folder / "pairs.jsonl").write_text("\n".join(lines))
            return str(folder)
    rows = {"image": [scene_bytes(s) for s in range(6)], "caption": [f"scene {s}" for s in range(6)]}
    if form == "parquet":
        pq.write_table(pa.table(rows), folder / "a.parquet")
        return f"{folder}/*.parquet"
    with (
        pa.OSFile(str(folder / "a.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, pa.table(rows).schema) as file,
    ):
        file.write_table(pa.table(rows))
    return str(folder / "a.arrow")


FORMS = ["shards", "folder of shards", "jsonl", "parquet", "arrow"]


@pytest.mark.parametrize("form", FORMS)
def test_pairs_are_read_in_any_form_and_order(form: str, tmp_path: Path) -> None:
    pairs = open_pairs(write_pairs(tmp_path / "pairs", form))
    assert len(pairs) == 6
    for seed in (5, 0, 3):
        assert pairs[seed].captions == (f"scene {seed}",)
        expected = Image.open(io.BytesIO(scene_bytes(seed)))
        np.testing.assert_array_equal(pairs[seed].image(), np.asarray(expected))


def test_a_folder_of_pairs_needs_no_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_pairs(tmp_path / "mine", "folder of shards")
    assert len(open_source("mine", tmp_path, task="caption", split="")) == 6
    with pytest.raises(ValueError, match="no data set 'yours'"):
        open_source("yours", tmp_path, task="caption", split="")


def test_pairs_that_are_no_pairs_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing is there; expected a folder with pairs\.jsonl"):
        open_pairs(str(tmp_path / "*.tar"))
    (tmp_path / "torn.tar").write_bytes(b"not a tar")
    with pytest.raises(ValueError, match=r"torn\.tar: not an uncompressed tar, or cut short"):
        open_pairs(str(tmp_path / "torn.tar"))
    with tarfile.open(tmp_path / "lonely.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("1.txt"))
    with pytest.raises(ValueError, match=r"no pairs; a pair is key\.jpg and key\.txt or key\.json"):
        open_pairs(str(tmp_path / "lonely.tar"))


def pair_batches(model: Path, part: TaskConfig) -> DatasetBatches:
    config, tokenizer = read_config(model), read_tokenizer(model)
    return DatasetBatches(parts=(part,), root=Path("nowhere"), config=config, tokenizer=tokenizer, seed=3)


def captions_of(batches: DatasetBatches, step: int, rank: int = 0, world_size: int = 1) -> list[str]:
    pairs = batches.batch(step, rank, world_size).pairs
    assert pairs is not None
    rows = zip(pairs.captions, pairs.valid, strict=True)
    return [batches.tokenizer.decode(ids[own].tolist()) for ids, own in rows]


@pytest.mark.parametrize("form", ["shards", "parquet"])
def test_pairs_are_shared_out_shuffled_and_resumable(form: str, model: Path, tmp_path: Path) -> None:
    where = write_pairs(tmp_path / "pairs", form)
    part = TaskConfig(dataset=where, task="caption", images=2, size=64, squeeze=True, buffer=3)
    batches = pair_batches(model, part)
    first, second = ([c for step in range(b, b + 3) for c in captions_of(batches, step)] for b in (0, 3))
    assert sorted(first) == sorted(second) == [f"scene {seed}" for seed in range(6)]
    assert first != second
    again = pair_batches(model, part)  # as after a kill
    assert [c for rank in range(2) for c in captions_of(again, 4, rank, 2)] == captions_of(batches, 4)


def test_pairs_are_mixed_and_their_pictures_squeezed(model: Path, tmp_path: Path) -> None:
    first, second = (write_pairs(tmp_path / name, "shards") for name in "ab")
    part = TaskConfig(
        dataset=first,
        task="caption",
        images=8,
        size=64,
        squeeze=True,
        flip=0.0,
        mix=(Mixed(dataset=second, weight=3.0),),
    )
    batches = pair_batches(model, part)
    assert [number for number, _ in map(batches.samples["caption"].find, range(8))].count(1) == 6
    pairs = batches.batch(0, 0, 1).pairs
    assert pairs is not None
    assert (pairs.images[:, :, -1].abs().sum((1, 2)) > 0).all()  # no padding below
    view = View.squeeze(np.random.default_rng(0), size=32, flip=0.0)
    assert view.image(np.zeros((40, 64, 3), np.uint8)).shape == (32, 32, 3)


def test_pretraining_takes_pairs_from_disk(data: Path, model: Path, tmp_path: Path) -> None:
    part = TaskConfig(
        dataset=write_pairs(tmp_path / "pairs", "shards"), task="caption", images=2, size=32, squeeze=True
    )
    segments = TaskConfig(dataset="custom-panoptic", task="panoptic", split="train+val", images=2, size=64)
    recipe = DatasetRecipe(start=model, data=data, segments=segments, pairs=part, epochs=3.0)
    curriculum = recipe.open()
    assert curriculum.phases[0].steps == 9  # three epochs of four and two images
    told = [line for line in curriculum.check() if not line.startswith("  ")]
    assert told == ["panoptic: 6 images of custom-panoptic", f"caption: 6 images of {part.dataset}"]
    terms = curriculum.build()(curriculum.build_source().batch(0, 0, 1))
    assert {"segmentation", "pairs"} <= set(terms)
    assert all(torch.isfinite(term) for term in terms.values())


def test_a_dry_run_tells_sizes_before_it_opens_data_and_measures_a_share(
    data: Path, model: Path, tmp_path: Path
) -> None:
    segments = TaskConfig(dataset="custom-panoptic", task="panoptic", split="train", images=4, size=64)
    absent = estimate(DatasetRecipe(start=model, data=tmp_path / "none", segments=segments).open(), World())
    told: list[str] = []
    with pytest.raises(FileNotFoundError, match="none"):
        told.extend(absent)
    assert told[0].split() == ["part", "parameters"]
    assert "weights, gradients, optimizer" in told[-1]
    part = TaskConfig(
        dataset=write_pairs(tmp_path / "pairs", "shards"), task="caption", images=6, size=32, squeeze=True
    )
    recipe = DatasetRecipe(start=model, data=data, segments=segments, pairs=part, epochs=2.0)
    seen: list[int] = []
    real = DatasetBatches.batch

    def spy(batches: DatasetBatches, step: int, rank: int, world_size: int) -> Batch:
        seen.append(world_size)
        return real(batches, step, rank, world_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatasetBatches, "batch", spy)
        lines = list(estimate(recipe.open(), World()))
    assert seen == [2]
    assert "data sets: 2 steps of 10 images" in lines
    assert "measuring 1/2 of a step, images by kind: 4, 6" in lines
    assert lines.index("data sets: 2 steps of 10 images") < lines.index(lines[-1])


def test_the_small_pretraining_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs/training.md").read_text(encoding="utf-8")
    _, section = page.split("## Pretraining, at a size to try\n")
    code, commands = re.findall(r"^```(?:python|sh)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[:2]
    exec(compile(code, "training.md", "exec"), {})
    for line in commands.replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        words = words[words.index("xdecoder") + 1 :]
        short = ["--set", "steps=2", "--set", "run.log_every=1"] if words[0] == "train" else []
        done = CliRunner().invoke(app, [*words, *short])
        assert done.exit_code == 0, done.output
    *_, last = (json.loads(row) for row in Path("runs/tiny/metrics.jsonl").read_text().splitlines())
    assert {"nouns", "referring_ce", "retrieval", "captioning"} <= {name.rpartition("/")[2] for name in last}
