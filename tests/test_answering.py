"""Questions about images: as the paper puts it, whatever the batch, from Python and the command line."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.networks.queries import QueryKind, visibility
from xdecoder.predictor import answering
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import Answer
from xdecoder.weights.folder import load_answer_head, load_model, save_model
from xdecoder.weights.inspection import inspect

ANSWERS = ("yes", "no", "1", "2", "red", "dog", "left")
QUESTIONS = ["how many dogs are there?", "is it day?", "what color is the car?"]
LENGTH = 13


def picture(seed: int, height: int = 50, width: int = 70) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a head."""
    return save_tiny_model(
        tmp_path_factory.mktemp("models") / "answering", answers=ANSWERS, question_length=LENGTH
    )


@pytest.fixture(scope="module")
def predictor(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        return xdecoder.load(folder)


def assert_same(actual: Answer, expected: Answer) -> None:
    assert actual.question == expected.question
    assert [c.text for c in actual.candidates] == [c.text for c in expected.candidates]
    scores = [[c.score for c in answer.candidates] for answer in (actual, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


@torch.inference_mode()
def in_one_sequence(predictor: Predictor, image: NDArray[np.uint8], question: str) -> torch.Tensor:
    """Latent queries and question tokens in one sequence, as in figure 3 of the paper; the probabilities."""
    model, head = predictor.model, predictor.answer_head
    assert head is not None
    decoder = model.decoder
    item = predictor.encode(image)
    memory = item.batch.features.memory
    ids = torch.tensor(predictor.tokenizer.encode_batch([question], LENGTH))
    tokens = model.text_encoder(ids).tokens
    Q = decoder.config.queries
    x = torch.cat((decoder.query_features[None], tokens), dim=1)
    positions = torch.cat((decoder.query_positions[None], tokens + decoder.caption_positions[:LENGTH]), dim=1)
    kinds = {QueryKind.OBJECT: Q - 1, QueryKind.GLOBAL: 1, QueryKind.QUESTION: LENGTH}
    mask = visibility(kinds, kinds, x.device)
    for index, layer in enumerate(decoder.layers):
        level = index % 3
        state = decoder.norm(x[:, :Q])
        cosine = torch.nn.functional.cosine_similarity(state[:, -1:], state[:, :-1], dim=-1)[:, None]
        whole = cosine.softmax(-1) @ state[:, :-1]
        inside = decoder._inside(torch.cat((state[:, :-1], whole), dim=1), memory, level)
        inside = inside | ~inside.any(-1, keepdim=True)
        visible = torch.cat((inside, inside.new_ones(1, LENGTH, inside.shape[-1])), dim=1)
        keys, values = decoder._project(layer, memory, index)
        x = layer.cross_attend(x, positions, keys, values, visible[:, None])
        attention = layer.self_attention
        x = layer.self_attend(x, positions, attention.keys(x + positions), attention.values(x), mask)
    last = decoder.norm(x)[:, -1]
    hidden = torch.nn.functional.gelu(head.norm(head.linear1(last)))
    return head.linear2(hidden)[0].softmax(-1)


def test_an_answer_is_read_off_the_last_token_of_a_question_that_sees_all_of_itself(
    predictor: Predictor,
) -> None:
    best: set[str] = set()
    for question in QUESTIONS:
        expected = in_one_sequence(predictor, picture(1), question)
        answer = predictor.answer(picture(1), question, top_k=len(ANSWERS))
        found = {c.text: c.score for c in answer.candidates}
        torch.testing.assert_close(torch.tensor([found[a] for a in ANSWERS]), expected, atol=1e-5, rtol=0)
        assert (answer.text, answer.score) == (max(found, key=found.__getitem__), max(found.values()))
        best.add(f"{expected.tolist()}")
    assert len(best) == len(QUESTIONS)


def test_no_answer_depends_on_the_batch_or_on_the_other_questions(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "_TOGETHER", 4)
    images = [picture(1), picture(2, 70, 50), picture(3), picture(4, 64, 64)]
    together = predictor.answer(images, QUESTIONS)
    for image, answers in zip(images, together, strict=True):
        for question, answer in zip(QUESTIONS, answers, strict=True):
            assert_same(answer, predictor.answer(image, question))
    encoded = predictor.encode(images)
    for answers, others in zip(predictor.answer(encoded[::-1], QUESTIONS), together[::-1], strict=True):
        for answer, other in zip(answers, others, strict=True):
            assert_same(answer, other)


def test_one_gives_one_and_a_list_a_list(predictor: Predictor) -> None:
    image = predictor.encode(picture(1))
    assert isinstance(predictor.answer(image, "is it day?"), Answer)
    assert [a.question for a in predictor.answer(image, QUESTIONS)] == QUESTIONS
    assert [a.question for a in predictor.answer([image, image], "is it day?")] == ["is it day?"] * 2
    assert [len(answers) for answers in predictor.answer([image, image], (*QUESTIONS,))] == [3, 3]
    assert predictor.answer([], QUESTIONS) == []
    assert len(predictor.answer(image, "is it day?").candidates) == 5
    assert len(predictor.answer(image, "is it day?", top_k=99).candidates) == len(ANSWERS)


def test_a_head_is_kept_with_its_model(predictor: Predictor, plain: Path, tmp_path: Path) -> None:
    predictor.save(tmp_path)
    again = xdecoder.load(tmp_path)
    assert again.answer(picture(1), QUESTIONS) == predictor.answer(picture(1), QUESTIONS)
    assert inspect(tmp_path).answers == ANSWERS
    assert (tmp_path / "answering.safetensors").stat().st_mode & 0o777 == (
        tmp_path / "answering.json"
    ).stat().st_mode & 0o777
    save_model(tmp_path, *load_model(plain))  # a model without a head leaves no other one's behind
    assert load_answer_head(tmp_path) is None
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }


def test_a_head_runs_in_the_model_s_kind_of_numbers(folder: Path) -> None:
    half = xdecoder.load(folder, dtype=torch.bfloat16)
    assert half.answer_head is not None
    assert half.answer_head.linear1.weight.dtype == torch.bfloat16
    assert sum(c.score for c in half.answer(picture(1), "is it day?", top_k=7).candidates) == pytest.approx(
        1, abs=1e-2
    )


# --- bad input ---


def test_a_model_without_a_head_says_what_to_do(plain: Path) -> None:
    model = Predictor(*load_model(plain))
    with pytest.raises(ValueError, match=r"not trained to answer: take one that was, .*finetune_vqa"):
        model.answer(picture(1), "is it day?")
    assert inspect(plain).answers == ()


def test_questions_that_mean_nothing_are_refused(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="an empty question means nothing"):
        predictor.answer(picture(1), ["is it day?", " "])
    with pytest.raises(ValueError, match="no questions given; give at least one"):
        predictor.answer(picture(1), [])
    with pytest.raises(ValueError, match="top_k must be a whole number of at least 1, got 0"):
        predictor.answer(picture(1), "is it day?", top_k=0)


def test_a_question_longer_than_the_head_reads_is_told(predictor: Predictor) -> None:
    with pytest.warns(UserWarning, match=f"the question is longer than {LENGTH - 2} tokens and was cut"):
        predictor.answer(picture(1), "dog " * LENGTH)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # of files that other tests left open
        predictor.answer(picture(1), "dog " * (LENGTH - 2))


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("{", "answering.json is damaged"),
        ('{"answers": ["yes"]}', r"answering.json is damaged: .* under question_length, got None"),
        ('{"answers": ["yes", "no"], "question_length": 9}', r"linear2.bias: expected \[2\], got \[7\]"),
    ],
)
def test_a_damaged_head_is_told(description: str, message: str, folder: Path, tmp_path: Path) -> None:
    save_model(tmp_path, *load_model(folder), answer_head=load_answer_head(folder))
    (tmp_path / "answering.json").write_text(description)
    with pytest.raises(ValueError, match=message):
        xdecoder.load(tmp_path)
    (tmp_path / "answering.safetensors").unlink()
    (tmp_path / "answering.json").write_text('{"answers": ["yes"], "question_length": 9}')
    with pytest.raises(FileNotFoundError, match=r"it has no answering.safetensors"):
        xdecoder.load(tmp_path)


# --- the command ---


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    for name in ("one.png", "two.png"):
        Image.fromarray(picture(len(name))).save(name)
    return ["one.png", "two.png"]


def run(folder: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["answer", *words, "--weights", str(folder), "--device", "cpu"])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


def test_the_command_prints_answers(photos: list[str], folder: Path, predictor: Predictor) -> None:
    one, two = predictor.answer(photos, QUESTIONS, top_k=3)
    assert run(folder, "one.png", QUESTIONS[0]) == f"{one[0]}\n"
    assert run(folder, "one.png", *QUESTIONS) == "".join(f"{a.question}\t{a}\n" for a in one)
    told = run(folder, *photos, "-q", QUESTIONS[0], "-q", QUESTIONS[1])
    lines = [
        (name, a.question, a.text) for name, found in (("one.png", one), ("two.png", two)) for a in found[:2]
    ]
    assert [tuple(line.split("\t")) for line in told.splitlines()] == lines
    likeliest = ", ".join(f"{c.text} {c.score:.2f}" for c in one[0].candidates)
    assert run(folder, "one.png", QUESTIONS[0], "--top-k", "3") == f"{likeliest}\n"


def test_the_command_prints_and_writes_json(photos: list[str], folder: Path) -> None:
    told = run(folder, *photos, "-q", QUESTIONS[0], "--json", "--out", "kept", "--top-k", "2")
    for name, line in zip(photos, told.splitlines(), strict=True):
        data = json.loads(line)
        assert (data["file"], data["kind"]) == (name, "answers")
        assert [len(answer["candidates"]) for answer in data["answers"]] == [2]
        assert data["answers"][0]["question"] == QUESTIONS[0]
        assert json.loads((Path("kept") / name).with_suffix(".json").read_text()) == data


def test_the_command_says_what_is_wrong(photos: list[str], folder: Path, plain: Path) -> None:
    assert "no question given; add one: xdecoder answer one.png" in run(folder, "one.png", code=2)
    assert "two.png is a file, and stands where questions are" in run(folder, *photos, "is it?", code=2)
    assert "an empty question means nothing" in run(folder, "one.png", " ", code=2)
    assert "not trained to answer" in run(plain, "one.png", "is it day?", code=2)
