"""The bundled model's recipe: its batches, its losses, its scores and its command."""

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
from builders import FPN, tiny_config
from xdecoder.cli.app import app
from xdecoder.config import (
    HybridConfig,
    InferenceConfig,
)
from xdecoder.evaluation.picturebook.scores import evaluate_picturebook
from xdecoder.losses.config import LossConfig, SupervisedLayers
from xdecoder.losses.phrases import concatenate
from xdecoder.model import XDecoder
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.picturebook import (
    ANSWERS,
    COLORS,
    HELD_OUT_PAIRS,
    SETTINGS,
    SYNONYMS,
    THING_CATEGORIES,
    Scene,
    draw_scene,
    is_true,
    is_true_of,
    plural,
)
from xdecoder.picturebook.statements import SETTING_WORDS
from xdecoder.predictor.predictor import Predictor
from xdecoder.training.ablations import Ablation, PretrainingTask
from xdecoder.training.picturebook.batches import PatchBatch, SceneBatch, TextBatch
from xdecoder.training.picturebook.caption_reward import caption_reward
from xdecoder.training.picturebook.nouns import caption_nouns
from xdecoder.training.picturebook.objective import PictureBookObjective
from xdecoder.training.picturebook.recipe import PictureBookLosses, PictureBookRecipe, SceneMixture
from xdecoder.training.picturebook.source import PictureBookBatches, Resolution, coverage
from xdecoder.training.picturebook.tokenizer import build_tokenizer
from xdecoder.weights.folder import load_answer_head, load_model, save_model

TOKENIZER = build_tokenizer(40)
CONFIG = tiny_config(
    TOKENIZER.vocabulary_size,
    context_length=40,
    backbone=HybridConfig(widths=(8, 12, 16, 20), depths=(1, 1, 1, 1), place_channels=8),
    pixel_decoder=dataclasses.replace(FPN, mask_stride=2),
    inference=InferenceConfig(short_side=64, long_side=64, caption_steps=12),
)
SOURCE = PictureBookBatches(
    config=CONFIG,
    tokenizer=TOKENIZER,
    seed=1,
    text_steps=1,
    patch_steps=1,
    patches=6,
    resolutions=(
        Resolution(steps=2, scene_size=64, image_size=64),
        Resolution(steps=9, scene_size=96, image_size=96),
    ),
    caption_reward_from=4,
    images=4,
    question_length=18,
    mixture=SceneMixture(pair_share=0.0),
)
LAYERS = SupervisedLayers(
    segmentation=(0, 2), referring=(2,), captioning=(0, 1), retrieval=(-1,), answers=(0, 1)
)


def objective() -> PictureBookObjective:
    torch.manual_seed(0)
    head = AnswerHead(16, ANSWERS, question_length=18)
    return PictureBookObjective(
        XDecoder(CONFIG),
        head,
        tokenizer=TOKENIZER,
        losses=PictureBookLosses(layers=LAYERS),
        rewarded_captions=2,
    )


def scenes(step: int = 2, **mixture: object) -> SceneBatch:
    source = dataclasses.replace(SOURCE, mixture=SceneMixture(**{"pair_share": 0.0, **mixture}))  # pyright: ignore
    batch = source.batch(step, 0, 1)
    assert isinstance(batch, SceneBatch)
    return batch


def total(terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([term for term in terms.values() if term.requires_grad]).sum()


def text(ids: torch.Tensor) -> str:
    return TOKENIZER.decode(ids.tolist()[1:])


def test_a_batch_follows_from_its_step_and_its_process_alone() -> None:
    for step in (0, 1, 2, 5):
        first, again, other = SOURCE.batch(step, 1, 2), SOURCE.batch(step, 1, 2), SOURCE.batch(step, 0, 2)
        ids = [b.names if isinstance(b, SceneBatch) else b.token_ids for b in (first, again, other)]  # pyright: ignore
        assert torch.equal(ids[0], ids[1])
        if isinstance(first, (PatchBatch, SceneBatch)):
            assert isinstance(again, type(first))
            assert isinstance(other, type(first))
            assert torch.equal(first.images, again.images)
            assert not torch.equal(first.images, other.images)


def test_the_kinds_of_batches_and_sizes_of_pictures_follow_each_other() -> None:
    kinds = [type(SOURCE.batch(step, 0, 1)) for step in range(3)]
    assert kinds == [TextBatch, PatchBatch, SceneBatch]
    assert [scenes(step).images.shape[-1] for step in (2, 3, 4, 12, 99)] == [64, 64, 96, 96, 96]


def test_texts_overlap_as_far_as_they_say_the_same() -> None:
    batch = SOURCE.batch(0, 0, 1)
    assert isinstance(batch, TextBatch)
    torch.testing.assert_close(batch.overlaps.diagonal(), torch.ones(len(batch.token_ids)))
    said = [text(ids) for ids in batch.token_ids]
    for i in range(len(said)):
        for j in range(i):
            for color in COLORS:
                if said[i] == f"{color}." and said[j].endswith(f" {color}."):
                    assert batch.overlaps[i, j] == 1.0  # a template adds nothing


def test_segments_phrases_and_answers_belong_to_their_scenes() -> None:
    batch = scenes(5, template_share=0.0, synonym_share=0.0)
    names = [text(ids).rstrip(".") for ids in batch.names]
    assert names[-1] == "background"
    first = 100_000_000 + 3 * 4
    drawn = [draw_scene(first + i, split="train", size=96) for i in range(4)]
    for scene, classes, masks in zip(drawn, batch.classes, batch.masks, strict=True):
        assert [names[k] for k in classes.tolist()] == [s.category for s in scene.segments]
        assert torch.allclose(masks.sum(0), torch.ones(48, 48))
        areas = (masks.sum((1, 2)) * 4).round().long().tolist()
        assert areas == [s.area for s in scene.segments]
    captions = [text(ids) for ids in batch.captions]
    for i, caption in enumerate(captions):
        assert is_true(caption, drawn[i // 3]), caption
        assert int(batch.caption_valid[i].sum()) == len(TOKENIZER.encode(caption))
    assert sum(batch.phrase_counts) == len(batch.phrases) == len(batch.phrase_lengths)
    for ids, length in zip(batch.phrases, batch.phrase_lengths, strict=True):
        assert int(ids[length - 1]) == TOKENIZER.end_id
    assert batch.questions.shape[1] == 18
    assert batch.answers.max() < len(ANSWERS)


def test_pairs_that_are_held_out_are_never_named() -> None:
    for step in range(2, 12):
        batch = scenes(step, pair_share=1.0, template_share=0.0, synonym_share=0.0)
        names = [text(ids).rstrip(".") for ids in batch.names]
        assert len(set(names)) == len(names) == 49
        assert not {f"{color} {category}" for color, category in HELD_OUT_PAIRS} & set(names)
        for classes in batch.classes:
            assert int(classes.max()) < len(names) - 1


def test_captions_of_regions_look_at_one_thing_alone() -> None:
    batch = scenes(5, captions=1, region_captions=2, box_share=0.0)
    assert [tuple(level.shape) for level in batch.caption_regions] == [(12, n, n) for n in (3, 6, 12)]
    first = 100_000_000 + 3 * 4
    for i, ids in enumerate(batch.captions):
        levels = [level[i] for level in batch.caption_regions]
        if i % 3 == 0:
            assert all(level.all() for level in levels)
            continue
        scene = draw_scene(first + i // 3, split="train", size=96)
        meant = [thing for thing in scene.things if is_true_of(text(ids), scene, thing)]
        cells = [torch.from_numpy(scene.ids == thing.id)[::8, ::8] for thing in meant]
        # Nearest: the corner of each cell; what no corner hits keeps the cell that it covers most.
        assert any(torch.equal(levels[2], c) or (int(levels[2].sum()) == 1 and not c.any()) for c in cells)
        assert all(level.any() for level in levels)


def test_the_names_of_a_caption_are_its_categories_and_colors() -> None:
    batch = scenes(5)
    known = {word for name in (*THING_CATEGORIES, *COLORS) for word in (name, *SYNONYMS.get(name, ()))}
    for ids, valid, named in zip(batch.captions, batch.caption_valid, batch.caption_names, strict=True):
        words = [TOKENIZER.decode([int(i)]) for i in ids[named]]
        assert {plural(word) for word in known} | known >= set(words)
        assert not (named & ~valid).any()
        others = {TOKENIZER.decode([int(i)]) for i in ids[valid & ~named]}
        assert not others & (set(COLORS) | set(THING_CATEGORIES))


def test_regions_may_be_boxes() -> None:
    for level in scenes(5, captions=1, region_captions=1, box_share=1.0).caption_regions:
        for cells in level[1::2]:
            assert torch.equal(cells, cells.any(1)[:, None] & cells.any(0))


@pytest.mark.parametrize(("size", "cells"), [(64, 32), (64, 16), (96, 60), (96, 96)])
def test_coverage_is_the_share_of_each_cell(size: int, cells: int) -> None:
    scene = draw_scene(4, split="val", size=size)
    masks = coverage(scene, cells)
    assert masks.shape == (len(scene.segments), cells, cells)
    assert torch.allclose(masks.sum(0), torch.ones(cells, cells), atol=1e-5)
    fine = np.kron(scene.ids == 2, np.ones((cells, cells)))  # every pixel cut into cells by cells
    means = fine.reshape(cells, size, cells, size).mean((1, 3))
    np.testing.assert_allclose(masks[1].numpy(), means, atol=1e-5)


def test_pictures_are_read_at_another_size_than_drawn() -> None:
    larger = dataclasses.replace(SOURCE, resolutions=(Resolution(steps=9, scene_size=64, image_size=96),))
    batch, plain = larger.batch(2, 0, 1), SOURCE.batch(2, 0, 1)
    assert isinstance(batch, SceneBatch)
    assert isinstance(plain, SceneBatch)
    assert (batch.images.shape[-1], plain.images.shape[-1]) == (96, 64)
    assert [tuple(level.shape[1:]) for level in batch.caption_regions] == [(n, n) for n in (3, 6, 12)]
    for large, small in zip(batch.masks, plain.masks, strict=True):
        assert large.shape[1:] == (48, 48)
        torch.testing.assert_close(large.mean((1, 2)), small.mean((1, 2)))
    model = XDecoder(CONFIG).eval()
    scene = draw_scene(100_000_000, split="train", size=64)
    read = Predictor(model, TOKENIZER).encode(scene.image, short_side=96, long_side=96).batch.features
    with torch.no_grad():
        trained = model.encode_images(batch.images)
    torch.testing.assert_close(trained.mask_features[0], read.mask_features[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_every_kind_of_batch_teaches_the_parts_it_is_for(step: int) -> None:
    module = objective()
    terms = module(SOURCE.batch(step, 0, 1))
    total(terms).backward()
    trained = {
        name.split(".")[1 if name.startswith("model.") else 0]
        for name, parameter in module.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }
    expected = [
        {"text_encoder"},
        {"backbone", "backbone_projection", "logit_scale"},
        {name for name, _ in module.model.named_children()}
        | {"backbone_projection", "logit_scale", "answer_head", "dense"},
    ]
    assert trained == expected[step]


def test_captions_of_its_own_are_caption_reward_from_a_step_on() -> None:
    assert [len(scenes(step).scenes) for step in (2, 5, 6, 9)] == [0, 0, 4, 4]
    torch.manual_seed(0)
    found = objective()(scenes(6))
    assert found["caption_reward"].requires_grad
    assert not found["caption_reward/mean"].requires_grad
    assert not found["caption_reward/true"].requires_grad


def test_what_is_rewarded_becomes_likelier(monkeypatch: pytest.MonkeyPatch) -> None:
    def pays(caption: str, _: Scene) -> float:
        return caption.count("e") / max(1, len(caption))

    monkeypatch.setattr("xdecoder.training.picturebook.objective.caption_reward", pays)
    module, batch = objective(), scenes(6)
    module.rewarded_captions = 8
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    rewards: list[float] = []
    for _ in range(25):
        found = module(batch)
        optimizer.zero_grad()
        found["caption_reward"].backward()
        optimizer.step()
        rewards.append(float(found["caption_reward/mean"]))
    assert np.mean(rewards[-5:]) > 2 * np.mean(rewards[:5])


def test_a_true_caption_is_worth_more_the_more_it_says() -> None:
    scene = next(
        s for s in (draw_scene(i, split="val", size=64) for i in range(40)) if len(description_of(s)) == 3
    )
    one, two, three = description_of(scene)
    place = SETTING_WORDS[scene.setting]
    told = [one, f"{one} {place}", f"{one} and {two}", f"{one}, {two} and {three}"]
    assert [caption_reward(text, scene) for text in told] == pytest.approx([0.55, 0.7, 0.7, 0.85])
    assert caption_reward(f"{one}, {two} and {three} {place}", scene) == pytest.approx(1.0)
    assert caption_reward("there are three things", scene) == pytest.approx(0.4)
    for wrong in (f"{one} and {one}", "", "hello", f"{one} and"):
        assert caption_reward(wrong, scene) == 0


def description_of(scene: Scene) -> list[str]:
    """Its things, where no two are alike and none is a person (who is "in red")."""
    things = [f"{thing.color} {thing.category}" for thing in scene.things]
    plain = len(set(things)) == len(things) and all(t.category != "person" for t in scene.things)
    return [f"{'an' if t[0] in 'aeiou' else 'a'} {t}" for t in things] if plain else []


def test_a_scene_is_learned_by_heart() -> None:
    module = objective()
    batch = SOURCE.batch(2, 0, 1)
    optimizer = torch.optim.Adam(module.parameters(), lr=3e-3)
    totals: list[float] = []
    for _ in range(30):
        loss = total(module(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals.append(float(loss.detach()))
    assert totals[-1] < 0.6 * totals[0]


def test_phrases_stand_one_after_the_other_without_their_padding() -> None:
    tokens = torch.arange(4 * 3 * 2.0).reshape(4, 3, 2)
    joined, valid = concatenate(tokens, [2, 3, 1, 2], [3, 0, 1])
    assert valid.sum(1).tolist() == [6, 0, 2]
    assert torch.equal(joined[0], torch.cat((tokens[0, :2], tokens[1], tokens[2, :1])))
    assert torch.equal(joined[2, :2], tokens[3, :2])


def test_scores_lie_between_nothing_and_all() -> None:
    module = objective().eval()
    predictor = Predictor(module.model, TOKENIZER, answer_head=module.answer_head)
    scores = evaluate_picturebook(predictor, count=3, size=64)
    assert all(0 <= value <= 1 for value in scores.to_dict().values())
    assert scores == evaluate_picturebook(predictor, count=3, size=64)


SHORT = ["text_steps=1", "patch_steps=1", "steps=1", "images=2", "patches=2", "validation=2"]


def test_the_command_trains_the_bundled_model_and_goes_on(tmp_path: Path) -> None:
    settings = [word for s in [*SHORT, "run.log_every=1"] for word in ("--set", s)]
    first = CliRunner().invoke(app, ["train", "picturebook", "--out", str(tmp_path / "run"), *settings])
    assert first.exit_code == 0, first.output
    model, _ = load_model(tmp_path / "run" / "model")
    assert model.config == PictureBookRecipe().open().config
    assert (tmp_path / "run" / "model" / "model.safetensors").stat().st_size < 20 * 2**20
    head = load_answer_head(tmp_path / "run" / "model")
    assert head is not None
    assert (head.answers, head.linear1.weight.dtype) == (ANSWERS, torch.float16)
    scores = json.loads((tmp_path / "run" / "scores.jsonl").read_text())
    assert {"pq", "referring", "captions", "retrieval", "answers"} <= set(scores)
    with Image.open(tmp_path / "run" / "samples" / "step_00000003.png") as opened:
        sheet = opened.copy()
    assert sheet.size == (4 * 256 + 5 * 12, 3 * 256 + 4 * 12)  # six scenes, each beside what was found
    more = [*settings, "--from", str(tmp_path / "run")]
    second = CliRunner().invoke(app, ["train", "picturebook", "--out", str(tmp_path / "more"), *more])
    assert second.exit_code == 0, second.output
    log = (tmp_path / "more" / "metrics.jsonl").read_text()
    assert json.loads(log)["step"] == 1  # neither texts nor patches again


def test_a_run_starts_from_a_model(tmp_path: Path) -> None:
    curriculum = PictureBookRecipe(start=Path("picturebook")).open()
    assert [phase.name for phase in curriculum.phases] == ["scenes"]
    built, bundled = curriculum.build(), xdecoder.load("picturebook")
    for name, tensor in bundled.model.state_dict().items():
        assert torch.equal(built.model.state_dict()[name], tensor.to(built.model.state_dict()[name].dtype))
    assert bundled.answer_head is not None
    for name, tensor in bundled.answer_head.state_dict().items():
        assert torch.equal(built.answer_head.state_dict()[name], tensor.float())
    save_model(tmp_path, XDecoder(CONFIG), TOKENIZER)
    with pytest.raises(
        ValueError, match=r"is of other sizes than the recipe: its backbone\S+ is .*, the recipe's .*; leave"
    ):
        PictureBookRecipe(start=tmp_path).open().build()


def test_the_command_says_what_is_wrong() -> None:
    unknown = CliRunner().invoke(app, ["train", "novel"])
    assert unknown.exit_code == 2
    assert "no recipe 'novel'; there are picturebook, custom" in unknown.output
    wrong = CliRunner().invoke(app, ["train", "picturebook", "--set", "stepz=3"])
    assert "has no setting 'stepz'" in wrong.output


def test_the_command_lists_recipes_and_estimates_one() -> None:
    assert "finetune_vqa" in CliRunner().invoke(app, ["train", "list"]).output
    settings = [word for s in SHORT for word in ("--set", s)]
    told = CliRunner().invoke(app, ["train", "picturebook", "--dry-run", *settings])
    assert told.exit_code == 0, told.output
    for wanted in ("model.backbone", "GiB a process", "scenes: 1 steps of 2 images", "GiB a process, "):
        assert wanted in told.output


def test_every_thing_has_a_token_of_its_own() -> None:
    for name in (*THING_CATEGORIES, *COLORS):
        assert len(TOKENIZER.encode(name)) == 3


@pytest.mark.parametrize(
    ("left_out", "gone"),
    [
        ("referring", {"segmentation/referring_ce", "segmentation/referring_bce"}),
        ("captioning", {"pairs/captioning", "pairs/repetition"}),
        ("retrieval", {"pairs/retrieval", "pairs/backbone_retrieval"}),
        ("segmentation", {"segmentation/class_ce", "segmentation/mask_bce", "dense"}),
    ],
)
def test_a_task_that_is_left_out_leaves_no_term(left_out: PretrainingTask, gone: set[str]) -> None:
    sizes = dataclasses.replace(CONFIG, inference=dataclasses.replace(CONFIG.inference, caption_steps=4))
    recipe = PictureBookRecipe(sizes=sizes, losses=PictureBookLosses(layers=LAYERS))
    full = set(recipe.open().build()(scenes()))
    ablated = dataclasses.replace(recipe, ablation=Ablation(left_out=(left_out,)))
    assert full - set(ablated.open().build()(scenes())) >= gone <= full


def test_some_scenes_come_without_text() -> None:
    half = scenes(pairs=0.5)
    assert half.pair_images.tolist() == [0, 1]
    assert len(half.captions) == 2 * half.captions_each
    assert len(half.pairs) == len(half.pair_groups) == 2
    terms = objective()(half)
    assert {"pairs/captioning", "pairs/retrieval"} <= set(terms)


def test_a_step_whose_scenes_all_come_without_text_goes_on() -> None:
    elsewhere = next(s for s in SETTINGS if all(scene.setting != s for scene in shown(2)))
    none = scenes(pair_settings=(elsewhere,))  # pyright: ignore[reportArgumentType]
    assert not len(none.pair_images)
    assert not any(name.startswith("pairs") for name in objective()(none))


def test_captions_keep_to_the_styles_that_are_left() -> None:
    counted = scenes(styles=("count",), region_captions=0)  # pyright: ignore[reportArgumentType]
    assert all("thing" in text(ids) for ids in counted.captions)


def shown(step: int) -> list[Scene]:
    first = SOURCE.seed * 100_000_000 + (step - 2) * SOURCE.images
    return [draw_scene(first + i, split="train", size=64) for i in range(SOURCE.images)]


def test_an_ablation_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="names every task: nothing is left to learn"):
        Ablation(left_out=("segmentation", "referring", "captioning", "retrieval"))
    with pytest.raises(ValueError, match=r"Ablation.pairs must lie in \(0, 1\], got 0"):
        Ablation(pairs=0)


def test_nouns_of_captions_are_as_said_and_as_meant() -> None:
    said = caption_nouns("two violet mugs, a dog and lawn by the sea, butterflies")
    assert said == {"purple cup": "violet mug", "dog": "dog", "grass": "lawn", "butterfly": "butterfly"}


def test_queries_are_aligned_with_nouns_where_that_is_learned() -> None:
    batch = scenes(pairs=0.5)
    nouns = batch.nouns
    assert nouns.counts[2:] == (0, 0)
    assert min(nouns.counts[:2]) >= 2  # a noun, and the caption
    assert len(nouns.texts) == len(nouns.groups) == sum(nouns.counts)
    assert len(nouns.name_groups) == len(batch.names)
    assert set(nouns.groups.tolist()) & set(nouns.name_groups.tolist())
    assert "segmentation/nouns" not in objective()(batch)
    losses = PictureBookLosses(layers=LAYERS, config=LossConfig(nouns=1.0))
    recipe = PictureBookRecipe(sizes=CONFIG, losses=losses)
    assert "segmentation/nouns" in recipe.open().build()(batch)
