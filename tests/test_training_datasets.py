"""Training on data sets, tried on drawn scenes that were exported in COCO's layout."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import FOCALNET, export_scenes, tiny_config
from xdecoder.cli.app import app
from xdecoder.config import (
    InteractionConfig,
)
from xdecoder.data.dataset import Dataset
from xdecoder.data.decoding import FileImage
from xdecoder.data.records import (
    Annotation,
    CaptionSample,
    Question,
    QuestionSample,
    Referent,
    ReferringSample,
)
from xdecoder.evaluation.benchmarks import BENCHMARKS
from xdecoder.evaluation.plan import Overrides
from xdecoder.evaluation.run import EvaluatedModel, evaluate
from xdecoder.jobs.distributed import World
from xdecoder.losses.config import PointSampling
from xdecoder.model import XDecoder
from xdecoder.picturebook import draw_scene
from xdecoder.structures import encode_rle
from xdecoder.training.batches import Batch, text_id
from xdecoder.training.config import OptimizerConfig, RunConfig
from xdecoder.training.datasets.crops import View
from xdecoder.training.datasets.nouns import NounFinder
from xdecoder.training.datasets.parts import TaskConfig
from xdecoder.training.datasets.pretrain import PretrainFocalL, PretrainFocalT
from xdecoder.training.datasets.recipe import DatasetRecipe, PublishedLosses
from xdecoder.training.datasets.samples import draw_predictions
from xdecoder.training.datasets.sampling import Samples
from xdecoder.training.datasets.source import DatasetBatches
from xdecoder.training.datasets.validation import score_validation, validation_benchmarks
from xdecoder.training.loop import train
from xdecoder.training.picturebook.tokenizer import build_tokenizer
from xdecoder.training.recipe import Recipe
from xdecoder.training.recipes import RECIPES, find_recipe
from xdecoder.weights.folder import load_model, save_model
from xdecoder.weights.published import to_published

TOKENIZER = build_tokenizer(30)
CONFIG = tiny_config(
    TOKENIZER.vocabulary_size, context_length=30, backbone=dataclasses.replace(FOCALNET, block="depthwise")
)
LOSSES = PublishedLosses(points=PointSampling(points=50))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_scenes(tmp_path_factory.mktemp("data") / "scenes", train=5, val=2, size=96)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(1)
    save_model(folder, XDecoder(CONFIG), TOKENIZER)
    return folder


def segments(**changes: object) -> TaskConfig:
    part = TaskConfig(
        dataset="custom-panoptic", task="panoptic", split="train", images=2, size=64, scale=(0.6, 1.4)
    )
    return dataclasses.replace(part, **changes)  # pyright: ignore[reportArgumentType]


def source(data: Path, *parts: TaskConfig, answers: tuple[str, ...] = ()) -> DatasetBatches:
    return DatasetBatches(
        parts=parts,
        root=data,
        config=CONFIG,
        tokenizer=TOKENIZER,
        seed=4,
        answers=answers,
        question_length=20,
    )


def test_segments_and_their_masks_are_seen_through_the_same_view(data: Path) -> None:
    part = segments(images=5, scale=(1.0, 1.0), flip=1.0, size=96)
    batch = source(data, part).batch(0, 0, 1).segments
    assert batch is not None
    for row, seed in enumerate(order_of(5, range(5))):
        scene = draw_scene(seed, split="train", size=96)
        mean, std = (torch.tensor(x)[:, None, None] for x in (CONFIG.pixel_mean, CONFIG.pixel_std))
        mirrored = torch.from_numpy(scene.image[:, ::-1].copy()).permute(2, 0, 1)
        torch.testing.assert_close(batch.images[row] * std + mean, mirrored.float(), atol=1e-3, rtol=0)
        assert len(batch.masks[row]) == len(scene.segments)
        union = torch.zeros(96, 96, dtype=torch.int32)
        for mask in batch.masks[row]:
            union += mask.int()
        assert (union == 1).all()
        areas = sorted(int(mask.sum()) for mask in batch.masks[row])
        assert areas == sorted(segment.area for segment in scene.segments)


def test_padding_is_zero_and_belongs_to_no_segment(data: Path) -> None:
    batch = source(data, segments(images=3, size=96, scale=(0.5, 0.5))).batch(0, 0, 1).segments
    assert batch is not None
    assert not batch.images[:, :, 48:].any()
    assert not batch.images[:, :, :, 48:].any()
    assert all(not masks[:, 48:].any() and not masks[:, :, 48:].any() for masks in batch.masks)


def test_processes_share_out_the_samples_of_a_step(data: Path) -> None:
    made = source(data, segments(images=4))
    whole = made.batch(3, 0, 1).segments
    halves = [made.batch(3, rank, 2).segments for rank in range(2)]
    assert whole is not None
    assert all(half is not None for half in halves)
    torch.testing.assert_close(whole.images, torch.cat([half.images for half in halves if half is not None]))
    assert torch.equal(whole.names, halves[1].names if halves[1] is not None else whole.names[:0])


def order_of(length: int, places: range, seed: int = 4) -> list[int]:
    samples = Samples([Dataset(caption_samples(length), name="some", task="caption")], seed=seed)
    return [samples.find(place)[1] for place in places]


def caption_samples(count: int) -> list[CaptionSample]:
    source = FileImage(path="nowhere.png")
    return [CaptionSample(image_id=i, source=source, captions=("a",)) for i in range(count)]


def test_every_epoch_shows_each_sample_once_in_an_order_of_its_own() -> None:
    first, second = order_of(7, range(7)), order_of(7, range(7, 14))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_mixed_sources_are_taken_as_often_as_they_weigh() -> None:
    sources = [Dataset(caption_samples(n), name="some", task="caption") for n in (5, 3)]
    samples = Samples(sources, weights=(3.0, 1.0), seed=0)
    found = [samples.find(place) for place in range(4096)]
    numbers = [number for number, _ in found]
    assert numbers.count(1) == 1024
    assert max(numbers[i : i + 8].count(1) for i in range(4000)) <= 3  # evenly spread
    for number, length in ((0, 5), (1, 3)):
        taken = [index for n, index in found if n == number]
        assert sorted(taken[:length]) == sorted(taken[length : 2 * length]) == list(range(length))


def test_a_view_larger_than_the_square_is_cut(data: Path) -> None:
    view = View.draw((40, 80), np.random.default_rng(0), size=32, scale=(3.0, 3.0), flip=0.5)
    assert view.resized == (48, 96)
    assert view.image(np.zeros((40, 80, 3), np.uint8)).shape == (32, 32, 3)
    assert view.masks(np.ones((2, 40, 80), bool)).all()


@pytest.mark.parametrize("kind", ["panoptic", "instance", "pairs", "both"])
def test_a_recipe_learns_resumes_and_writes_a_model(
    kind: str, data: Path, model: Path, tmp_path: Path
) -> None:
    pairs = TaskConfig(
        dataset="custom-pairs", task="caption", images=3, size=32, scale=(1.0, 1.0), flip=0.0, split="all"
    )
    instances = segments(dataset="custom-instances", task="instance")
    recipe = DatasetRecipe(
        start=model,
        data=data,
        steps=3,
        losses=LOSSES,
        segments=instances if kind == "instance" else None if kind == "pairs" else segments(),
        pairs=pairs if kind in ("pairs", "both") else None,
    )
    train(recipe.open(), RunConfig(folder=tmp_path, log_every=1, save_every=2, validate_every=0), World())
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    wanted = {"pairs": {"pairs"}, "both": {"segmentation", "pairs"}}.get(kind, {"segmentation"})
    for row in rows:
        assert row["loss/total"] == pytest.approx(sum(row[f"loss/{name}"] for name in wanted), rel=1e-4)
    scores = json.loads((tmp_path / "scores.jsonl").read_text())
    assert scores.pop("step") == 3
    figures = {
        "pairs": set(),
        "instance": {"custom-instances/instance/AP"},
    }.get(kind, {"custom-panoptic/panoptic/PQ"})
    assert set(scores) == figures
    assert all(0 <= score <= 1 for score in scores.values())
    with Image.open(tmp_path / "samples" / "step_00000003.png") as opened:
        sheet = opened.copy()
    samples = {"pairs": 3, "both": 2 + 3}.get(kind, 2)  # two of the validation split; three pairs
    assert sheet.height > samples * 560 * 0.9  # each as annotated, and beside it as it is read
    assert sheet.width == 2 * 560 + 3 * 12
    trained, tokenizer = load_model(tmp_path / "model")
    before, _ = load_model(model)
    assert tokenizer.vocabulary_size == TOKENIZER.vocabulary_size
    assert not torch.equal(trained.decoder.query_features, before.decoder.query_features)


def test_the_command_trains_on_anybodys_folder(data: Path, model: Path, tmp_path: Path) -> None:
    small = ["steps=1", "segments.images=1", "segments.size=64", "losses.points.points=20", "run.log_every=1"]
    settings = [word for s in small for word in ("--set", s)]
    where = ["--data", str(data), "--from", str(model), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["train", "custom", *where, *settings])
    assert done.exit_code == 0, done.output
    trained = load_model(tmp_path / "model")[0].config
    assert trained.backbone == CONFIG.backbone
    assert trained.decoder == dataclasses.replace(CONFIG.decoder, queries=101)
    wrong = CliRunner().invoke(app, ["train", "picturebook", *where])
    assert wrong.exit_code == 2
    assert "PictureBookRecipe has no setting 'data'" in wrong.output


def test_every_task_of_panoptic_annotations_is_scored_while_it_is_learned() -> None:
    parts = [TaskConfig(dataset="custom-panoptic", task=t) for t in ("panoptic", "semantic", "instance")]
    assert [row.kind for row in validation_benchmarks(parts)] == ["panoptic", "semantic", "instance"]


def test_a_run_is_scored_by_the_evaluation_of_its_validation_split(data: Path) -> None:
    assert [row.name for row in validation_benchmarks([segments()])] == ["custom-panoptic"]
    captions = TaskConfig(dataset="coco-karpathy", task="caption", split="train", images=1, size=32)
    rows = validation_benchmarks(
        [captions, TaskConfig(dataset="refcoco", task="referring", images=1, size=32)]
    )
    assert [(row.data, row.kind, row.split) for row in rows] == [
        ("coco-karpathy", "retrieval", "val"),
        ("coco-karpathy", "caption", "val"),
        ("refcoco", "referring", "val"),
    ]
    predictor = xdecoder.load("picturebook")
    scores = score_validation(predictor, [segments()], data=data, images=2)
    assert scores["custom-panoptic/panoptic/PQ"] > 0.3
    row = BENCHMARKS["custom-panoptic"]
    overrides = Overrides(short_side=predictor.config.inference.short_side, limit=2)
    report = evaluate(
        row, EvaluatedModel.of("same", predictor), data=data, out=data.parent / "out", overrides=overrides
    )
    assert report is not None
    assert scores == {"custom-panoptic/panoptic/PQ": pytest.approx(report.scores.figures["PQ"] / 100)}
    with pytest.warns(UserWarning, match="no validation by referring on refcoco"):
        elsewhere = score_validation(
            predictor,
            [TaskConfig(dataset="refcoco", task="referring", images=1, size=32)],
            data=data,
            images=1,
        )
    assert elsewhere == {}


def test_segmented_images_are_referred_to_by_free_text_or_else_by_names(data: Path) -> None:
    part = segments(images=5, size=96, scale=(1.0, 1.0), flip=0.0, names=2)
    made = source(data, part)
    whole = Annotation(
        id=1,
        category=0,
        crowd=False,
        box=(0, 0, 96, 96),
        area=96.0 * 96,
        segmentation=encode_rle(np.ones((96, 96), bool)),
    )
    wordy = made.samples["panoptic"].sources[0][0].image_id
    spoken = tuple(Referent(id=i, phrases=(f"the car {'red ' * i}",), region=whole) for i in range(6))
    made.__dict__["referents"] = {wordy: spoken}
    counts: set[int] = set()
    named: set[int] = set()
    for step in range(12):
        batch = made.batch(step, 0, 1).segments
        assert batch is not None
        assert batch.phrases is not None
        phrases, start = batch.phrases, 0
        texts = [TOKENIZER.decode(ids.tolist()[1:]) for ids in phrases.texts]
        names = [TOKENIZER.decode(ids.tolist()[1:]) for ids in batch.names]
        assert sum(phrases.free) == 1
        for image, count in enumerate(phrases.counts):
            rows, masks, labels = phrases.rows[image], phrases.masks[image], batch.labels[image]
            own, start = texts[start : start + count], start + count
            if phrases.free[image]:
                counts.add(count)
                assert masks.all()
                assert all(text.startswith("the car") for text in own)
                continue
            classes = [names.index(text) for text in own]
            named |= {sorted(labels.unique().tolist()).index(k) for k in classes}
            assert len(classes) == min(2, len(labels.unique()))
            found = [classes[int(row) - (start - count)] for row in rows]
            expected = [i for i, label in enumerate(labels.tolist()) if label in classes]
            assert found == [int(labels[i]) for i in expected]
            assert torch.equal(masks, batch.masks[image][expected])
    assert counts == {1, 2, 3, 4}
    assert max(named) > 1  # not the lowest classes alone
    without = source(data, dataclasses.replace(part, names=0)).batch(0, 0, 1).segments
    assert without is not None
    assert without.phrases is None


def test_released_settings_are_followed_in_pretraining() -> None:
    for recipe in (PretrainFocalT(), PretrainFocalL()):
        assert recipe.segments is not None
        assert recipe.segments.phrases == ("refcoco", "refcoco+", "refcocog-umd")
        losses = recipe.losses
        assert (losses.config.captioning, losses.config.retrieval, losses.config.backbone_retrieval) == (
            8,
            8,
            8,
        )
        assert (losses.phrase_weight, losses.name_weight) == (2.0, 0.5)
        assert losses.layers.referring == (-6, -5, -4, -3, -2, -1)
        assert losses.layers.captioning == (-3, -2, -1)


def test_the_towers_rate_reaches_every_parameter_that_the_published_names_say() -> None:
    optimizer = OptimizerConfig()
    for name, _ in XDecoder(CONFIG).named_parameters():
        published = to_published(name)
        assert published is not None, name
        is_tower = "backbone" in published or "lang_encoder" in published
        assert optimizer.factor(f"model.{name}") == (0.1 if is_tower else 1.0), name


def test_phrases_and_questions_are_learned_from(data: Path, model: Path) -> None:
    image = FileImage(path=str(data / "images" / "train" / f"{2:012d}.png"))
    mask = np.zeros((96, 96), bool)
    mask[10:50, 20:60] = True
    region = Annotation(
        id=1, category=0, crowd=False, box=(20, 10, 60, 50), area=1600.0, segmentation=encode_rle(mask)
    )
    referring = ReferringSample(
        image_id=1,
        source=image,
        referents=(Referent(id=1, phrases=("the red car",), region=region),),
    )
    asked = QuestionSample(
        image_id=1,
        source=image,
        questions=(Question(id=1, text="is it day?", answers=("yes",) * 2 + ("no",)),),
    )
    parts = (
        TaskConfig(dataset="refcoco", task="referring", images=1, size=96, scale=(1.0, 1.0), flip=0.0),
        TaskConfig(dataset="vqav2", task="question", images=1, size=64, scale=(1.0, 1.0), flip=0.0),
    )
    made = source(data, *parts, answers=("no", "yes", "maybe"))
    made.__dict__["samples"] = {
        "referring": Samples([Dataset([referring], name="one", task="referring")], seed=4),
        "question": Samples([Dataset([asked], name="one", task="question")], seed=4),
    }
    batch = made.batch(0, 0, 1)
    assert batch.phrases is not None
    assert batch.questions is not None
    assert torch.equal(batch.phrases.masks[0][0], torch.from_numpy(mask))
    assert TOKENIZER.decode(batch.phrases.phrases[0].tolist()) == "the red car"
    torch.testing.assert_close(batch.questions.answers, torch.tensor([[1 / 3, 2 / 3, 0.0]]))

    (data / "answers.json").write_text('["no", "yes", "maybe"]')
    recipe = DatasetRecipe(
        start=model, phrases=parts[0], questions=parts[1], losses=LOSSES, answers=data / "answers.json"
    )
    objective = recipe.open().build()
    terms = objective(batch)
    torch.stack([t for t in terms.values() if t.requires_grad]).sum().backward()
    assert {"referring", "answers"} <= set(terms)
    assert objective.answer_head is not None
    assert objective.answer_head.linear2.weight.grad is not None
    assert objective.model.decoder.mask_mlp[2].weight.grad is not None


def test_phrases_and_answers_are_drawn_and_what_cannot_be_read_is_left_out(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = FileImage(path=str(data / "images" / "train" / f"{2:012d}.png"))
    mask = np.zeros((96, 96), bool)
    mask[10:50, 20:60] = True
    region = Annotation(
        id=1, category=0, crowd=False, box=(20, 10, 60, 50), area=1600.0, segmentation=encode_rle(mask)
    )
    samples = {
        "referring": ReferringSample(
            image_id=1, source=image, referents=(Referent(id=1, phrases=("the red car",), region=region),)
        ),
        "question": QuestionSample(
            image_id=2,
            source=image,
            questions=(Question(id=1, text="what time is it?", answers=("day",)),),
        ),
    }
    kinds = {"refcoco": "referring", "vqav2": "question"}

    def opened(name: str, *_: object, **__: object) -> Dataset[ReferringSample | QuestionSample]:
        sample = samples[kinds[name]]
        lost = dataclasses.replace(sample, source=FileImage(path="nowhere.png"))
        return Dataset([lost, sample], name=name, task="referring")

    for opener in ("open_dataset", "open_source"):
        monkeypatch.setattr(f"xdecoder.training.datasets.samples.{opener}", opened)
    parts = (
        TaskConfig(dataset="refcoco", task="referring", images=1, size=96),
        TaskConfig(dataset="vqav2", task="question", images=1, size=64),
    )
    predictor = xdecoder.load("picturebook")
    draw_predictions(predictor, parts, data=data, path=tmp_path / "sheet.png")
    assert 2 * 560 < Image.open(tmp_path / "sheet.png").height < 3 * 560
    draw_predictions(predictor, parts, data=data, path=tmp_path / "none.png", count=1)
    assert not (tmp_path / "none.png").exists()


def test_nouns_are_found_whatever_their_number() -> None:
    finder = NounFinder()
    found = finder.nouns("A man rides past two traffic lights, and the dogs run after a dog.")
    assert found == {"man": "man", "traffic light": "traffic lights", "dog": "dogs"}
    assert finder.nouns("Running fast.") == {}
    assert finder.meaning("Traffic lights") == "traffic light"


def test_objects_are_aligned_with_the_nouns_of_captions(data: Path, model: Path) -> None:
    part = segments(captions="custom-captions")
    made = source(data, part)
    (panoptic,) = made.samples["panoptic"].sources
    assert isinstance(panoptic, Dataset)
    images = [panoptic[place].image_id for place in order_of(5, range(2))]
    made.__dict__["captions"] = {images[0]: ("two cars near a zebra",), images[1]: ("it is late",)}
    batch = made.batch(0, 0, 1)
    assert batch.segments is not None
    nouns = batch.segments.nouns
    assert nouns is not None
    assert nouns.counts == (3, 1)
    assert "cars" in TOKENIZER.decode(nouns.texts[0].tolist())
    assert TOKENIZER.decode(nouns.texts[2].tolist()) == "two cars near a zebra"
    names = panoptic.vocabulary
    assert names is not None
    assert nouns.groups[0] == nouns.name_groups[names.classes.index("car")]
    assert nouns.groups[1] == text_id("zebra")
    recipe = DatasetRecipe(start=model, data=data, segments=part, losses=LOSSES)
    objective = recipe.open().build()
    terms = objective(batch)
    assert terms["segmentation/nouns"] > 0
    without = dataclasses.replace(batch, segments=dataclasses.replace(batch.segments, nouns=None))
    assert "segmentation/nouns" not in objective(without)
    made.__dict__["captions"] = {}
    with pytest.raises(ValueError, match=r"20 samples .* --set 'segments\.captions=\"\"'"):
        made.batch(0, 0, 1)


def test_a_recipe_may_turn_interactions_off_in_what_it_starts_from(data: Path, model: Path) -> None:
    off = InteractionConfig(texts_see_global=False)
    curriculum = DatasetRecipe(start=model, data=data, segments=segments(), interactions=off).open()
    assert curriculum.config.decoder.interactions == off
    built, start = curriculum.build().model, load_model(model)[0]
    assert built.config == curriculum.config
    for (name, expected), actual in zip(start.named_parameters(), built.parameters(), strict=True):
        assert torch.equal(actual, expected), name
        assert actual.requires_grad
    kept = DatasetRecipe(start=model, data=data, segments=segments()).open()
    assert kept.config == CONFIG


def test_a_batch_moves_with_all_its_parts(data: Path) -> None:
    batch: Batch = source(data, segments()).batch(0, 0, 1)
    moved = batch.to(torch.device("meta"))
    assert moved.segments is not None  # pyright: ignore[reportAttributeAccessIssue]
    assert moved.segments.masks[0].device.type == "meta"  # pyright: ignore[reportAttributeAccessIssue]


def test_every_recipe_can_be_made_and_says_what_it_is() -> None:
    for name, row in RECIPES.items():
        recipe = find_recipe(name)
        assert issubclass(recipe, Recipe)
        assert (recipe.__doc__ or "").splitlines()[0] == row.summary


def test_impossible_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="a multiple of 32"):
        segments(size=50)
    with pytest.raises(ValueError, match="a run needs segments, phrases, pairs or questions"):
        DatasetRecipe()
    with pytest.raises(ValueError, match="no preset 'focal-x'; there are focal-t"):
        DatasetRecipe(preset="focal-x", segments=segments())
