"""`xdecoder index` and `xdecoder search` as a user meets them, bad input included."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

import xdecoder
from builders import draw_picture, save_tiny_model
from xdecoder.cli.app import app
from xdecoder.search import Index
from xdecoder.search.config import IndexConfig
from xdecoder.weights.folder import load_model, save_model

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a model, pictures and their index, in which the commands run."""
    base = tmp_path_factory.mktemp("search")
    save_tiny_model(base / "model")
    draw_picture(base / "pictures" / "one.png", 1)
    draw_picture(base / "pictures" / "two.png", 2)
    (base / "pictures" / "text.png").write_text("no picture")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(base / "cache"))
        patch.setenv("COLUMNS", "300")
        patch.chdir(base)
        yield base


@pytest.fixture(scope="module")
def run(place: Path) -> Run:
    def invoke(*arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, " ".join(result.stderr.split())

    return invoke


@pytest.fixture(scope="module")
def indexed(run: Run) -> tuple[int, str, str]:
    return run("index", "pictures", "--to", "index", "-v", "car,cat,grass", "-w", "model")


def test_a_bad_file_is_told_and_does_not_stop_the_others(indexed: tuple[int, str, str]) -> None:
    code, _, told = indexed
    assert code == 1
    assert "2 images indexed in" in told
    assert "text.png is not an image that can be read" in told


def test_a_file_that_can_no_longer_be_read_leaves_the_index(place: Path, run: Run) -> None:
    draw_picture(place / "changing" / "a.png", 3)
    draw_picture(place / "changing" / "b.png", 4)
    assert run("index", "changing", "--to", "changing.index", "-v", "car,cat", "-w", "model")[0] == 0
    (place / "changing" / "a.png").write_text("no picture any more")
    code, _, told = run("index", "changing", "--to", "changing.index", "-w", "model")
    assert code == 1
    assert "0 images indexed" in told
    assert "changing.index holds 1 images" in told


@pytest.mark.usefixtures("indexed")
def test_hits_are_printed_written_and_told_to_machines(place: Path, run: Run) -> None:
    code, out, _ = run("search", "index", "a red car", "--ground", "--out", "page.html")
    assert code == 0
    assert str(place / "pictures" / "one.png") in out
    assert (place / "page.html").read_text().startswith("<!doctype html>")
    code, out, _ = run("search", "index", "a red car", "--regions", "-k", "1", "--json")
    data = json.loads(out)
    assert (data["kind"], data["query"], len(data["hits"])) == ("regions", "a red car", 1)
    region = data["hits"][0]["region"]
    assert set(region) == {"label", "score", "area", "bbox", "segmentation"}
    assert region["segmentation"]["size"] == [80, 96]


@pytest.mark.usefixtures("indexed")
def test_an_example_finds_images_and_a_part_of_it_finds_regions(place: Path, run: Run) -> None:
    whole = json.loads(run("search", "index", "--image", "pictures/one.png", "--json")[1])
    assert whole["kind"] == "images"
    assert whole["hits"][0]["file"] == str(place / "pictures" / "one.png")
    part = ["--image", "pictures/one.png", "--box", "0,0,96,80", "--json"]
    assert json.loads(run("search", "index", *part)[1])["kind"] == "regions"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "a car"], "no index in nowhere; make one first: xdecoder index FOLDER --to nowhere"),
        (["pictures", "a car"], "no index in pictures; make one first"),
        (["index", " "], "an empty query means nothing; write some words"),
        (["index"], "say what to find, once: in words, or by an image"),
        (["index", "a car", "--image", "pictures/one.png"], "say what to find, once"),
        (["index", "a car", "--box", "1,2,3,4"], "--box and --mask are of an image: add --image FILE"),
        (["index", "a car", "--ground", "--regions"], "--ground finds images by words"),
        (["index", "a car", "--out", "page.pdf"], "--out page.pdf: expected a name ending in .html"),
        (["index", "a car", "--where", "width >"], "the filter 'width >' is not understood"),
        (["index", "a car", "--where", "width / 0 > 1"], "is not understood: Divide by zero error"),
        (["index", "a car", "-k", "9" * 30], "k must be a whole number from 1 to 1000000, got 999"),
        (["index", "a car", "--where", "label = 'car'"], "images have labels instead: array_has(labels"),
        (["index", "a car", "--regions", "--where", "name = 'car'"], "No field named name. Write SQL on"),
        (
            ["index", "--image", "pictures/one.png", "--box", "9,9,97,20"],
            "within the image of 96 x 80 pixels",
        ),
        (["index", "--image", "gone.png"], "no such image file: gone.png"),
    ],
)
@pytest.mark.usefixtures("indexed")
def test_bad_searches_say_what_to_do(run: Run, arguments: list[str], message: str) -> None:
    code, _, told = run("search", *arguments)
    assert code == 2
    assert message in told


def test_bad_folders_say_what_to_do(place: Path, run: Run) -> None:
    (place / "empty").mkdir()
    code, _, told = run("index", "empty", "--to", "other", "-v", "car", "-w", "model")
    assert (code, "no images in" in told) == (2, True)
    code, _, told = run("index", "gone", "--to", "other", "-v", "car", "-w", "model")
    assert (code, "no folder gone to index" in told) == (2, True)


@pytest.mark.usefixtures("indexed")
def test_another_vocabulary_size_or_model_is_refused(place: Path, run: Run) -> None:
    code, _, told = run("index", "pictures", "--to", "index", "-v", "car,cat", "-w", "model")
    assert code == 2
    assert "indexed with another vocabulary: 'custom' (3 classes: car, cat, grass), not 'custom' (2" in told
    code, _, told = run("index", "pictures", "--to", "index", "--short-side", "32", "-w", "model")
    assert code == 2
    assert "indexed with short_side of the model, not 32" in told
    model, tokenizer = load_model(place / "model")
    with torch.no_grad():
        model.backbone_projection += 1e-3
    save_model(place / "other_model", model, tokenizer)
    for command in (["index", "pictures", "--to", "index"], ["search", "index", "a car"]):
        code, _, told = run(*command, "-w", "other_model")
        assert code == 2
        assert f"index was indexed with other weights: {place / 'model'}" in told
    with pytest.raises(ValueError, match="embeddings of two models cannot be compared"):
        Index.open("index", xdecoder.load(place / "other_model"))


@pytest.mark.usefixtures("indexed")
@pytest.mark.parametrize("damage", ["empty", "cut", "foreign"])
@pytest.mark.parametrize(
    ("table", "part"), [("images", "data"), ("images", "_versions"), ("regions", "_versions")]
)
def test_an_index_whose_files_are_damaged_is_named(
    table: str, part: str, damage: str, place: Path, run: Run
) -> None:
    shutil.rmtree("damaged", ignore_errors=True)
    shutil.copytree("index", "damaged")
    kind = "*.lance" if part == "data" else "*.manifest"
    for file in (Path("damaged") / f"{table}.lance" / part).glob(kind):
        whole = file.read_bytes()
        foreign = random.Random(0).randbytes(len(whole))
        file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "foreign": foreign}[damage])
    for command in (
        ("search", "damaged", "a red car"),
        ("search", "damaged", "a red car", "--where", "width > 1"),
        ("index", "pictures", "--to", "damaged", "-w", "model"),
    ):
        code, _, told = run(*command)
        assert code == 1, told
        assert "error: the index in damaged could not be read: " in told
        assert ".rs:" not in told
        assert told.endswith("If its files are damaged, delete it, and index again")


def test_an_index_of_a_later_format_is_refused() -> None:
    with pytest.raises(ValueError, match="is an index of format 2, this program reads format 1"):
        IndexConfig.from_json('{"format": 2}', place="index")
