"""`xdecoder edit` as a user meets it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from xdecoder.cli.app import app
from xdecoder.editing import Blur, Recolor, ReplaceBackground, edit
from xdecoder.structures import decode_rle

H, W = 40, 60


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs `xdecoder edit` in a folder with the pictures one.png and two.png."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    for seed, name in enumerate(("one.png", "two.png")):
        pixels = np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(name)

    def invoke(*arguments: object) -> Done:
        result = CliRunner().invoke(app, ["edit", *map(str, arguments), "--device", "cpu"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return invoke


def read(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def box_mask(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((H, W), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_a_phrase_is_found_and_changed(cli: Cli, folder: Path) -> None:
    model = ["--weights", folder, "--short-side", 32]
    done = cli("one.png", "the dog", "--recolor", "teal", "--feather", 2, *model)
    assert done.code == 0, done.err
    data: dict[str, Any] = json.loads(Path("results/one.json").read_text())
    assert {key: data[key] for key in ("file", "kind", "edit", "height", "width")} == {
        "file": "one.png",
        "kind": "edit",
        "edit": "recolor",
        "height": H,
        "width": W,
    }
    predictor = xdecoder.load(folder)
    mask = predictor.locate(predictor.encode("one.png", short_side=32), "the dog")
    assert (decode_rle(data["region"]["segmentation"]) == mask).all()
    assert (read("results/one.png") == edit("one.png", mask, Recolor(color="teal"), feather=2)).all()
    assert done.out.startswith(f"the dog: {100 * mask.mean():.1f} % of the picture, --box ")


def test_several_images_take_the_region_by_option(cli: Cli, folder: Path) -> None:
    model = ["--weights", folder, "--short-side", 32, "--batch-size", 2]
    done = cli("one.png", "two.png", "-r", "the dog", "--blur", "--json", "--out", "kept", *model)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["file"], line["region"]["label"]) for line in lines] == [
        ("one.png", "the dog"),
        ("two.png", "the dog"),
    ]
    for line in lines:
        mask = decode_rle(line["region"]["segmentation"])
        assert (read(f"kept/{line['file']}") == edit(line["file"], mask, Blur())).all()


def test_boxes_and_masks_need_no_model(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xdecoder, "load", None)
    mask = box_mask(10, 5, 40, 30)
    Image.fromarray(mask).save("mask.png")
    expected = edit("one.png", mask, Blur(), grow_by=-2, feather=3, strength=0.5, size=120)
    how = ["--blur", "--grow", -2, "--feather", 3, "--strength", 0.5, "--size", 120]
    assert cli("one.png", "two.png", "--box", "10,5,40,30", *how, "--out", "box").code == 0
    assert cli("one.png", "--mask", "mask.png", *how, "--out", "mask").code == 0
    assert (read("box/one.png") == expected).all()
    assert (read("mask/one.png") == expected).all()
    assert (read("box/two.png") != expected).any()
    behind = ["--replace-background", "two.png", "--out", "behind"]
    assert cli("one.png", "--mask", "mask.png", *behind).code == 0
    assert (read("behind/one.png") == edit("one.png", mask, ReplaceBackground(background="two.png"))).all()


def test_a_region_outside_one_image_does_not_stop_the_others(cli: Cli) -> None:
    Image.new("RGB", (20, 10)).save("small.png")
    done = cli("one.png", "small.png", "--box", "1,1,40,30", "--remove", "--out", "kept")
    assert done.code == 1
    assert (
        "small.png: the region's box must be (left, top, right, bottom) within the image of 20 x 10"
        in done.err
    )
    assert [path.name for path in sorted(Path("kept").iterdir())] == ["one.json", "one.png"]


BOX = ["--box", "1,1,40,30"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*BOX], "give one edit, --remove, --recolor, --blur, --replace-background, --prompt; got none"),
        ([*BOX, "--remove", "--blur"], "got --remove and --blur"),
        ([*BOX, "--recolor", "bleu"], "no color 'bleu'; give a CSS name, such as teal, or #rrggbb"),
        ([*BOX, "--replace-background", "nowhere.jpg"], "no such image file: nowhere.jpg"),
        (
            [*BOX, "--prompt", "a boat"],
            "--prompt paints with an inpainting pipeline of diffusers: add --pipeline",
        ),
        ([*BOX, "--prompt", "a boat", "--pipeline", "nowhere"], "no pipeline 'nowhere': expected a folder"),
        ([*BOX, "--blur", "--seed", "3"], "--paint-size belong to --prompt, not to --blur"),
        ([*BOX, "-r", "the dog", "--blur"], "give the region once: --region, --box or --mask"),
        (["--box", "1,2,3", "--blur"], "--box takes four numbers, LEFT,TOP,RIGHT,BOTTOM; got '1,2,3'"),
        (["--mask", "nowhere.png", "--blur"], "no such image file: nowhere.png"),
        (["--blur"], "no region given; add one: xdecoder edit one.png 'the red car'"),
        ([" ", "--blur"], "an empty region means nothing"),
        (["-r", "", "--blur"], "an empty phrase means nothing"),
        (["the dog", "the cat", "--blur"], "one region at a time; got 'the dog', 'the cat'"),
        (["two.png", "--blur"], "two.png is a file, and stands where regions are"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_told(arguments: list[str], message: str, cli: Cli) -> None:
    done = cli("one.png", *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert "Traceback" not in done.err
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mask", "black.png", "--blur"], "one.png: the region is empty: mark at least one pixel"),
        (["--mask", "small.png", "--blur"], "the region must have the image's size (40, 60), got (10, 20)"),
        ([*BOX, "--blur", "--grow", "-30"], "nothing is left of the region after it shrank by 30 pixels"),
    ],
)
def test_a_region_that_does_not_fit_fails_its_image(arguments: list[str], message: str, cli: Cli) -> None:
    Image.new("L", (W, H)).save("black.png")
    Image.new("L", (20, 10), 255).save("small.png")
    done = cli("one.png", *arguments)
    assert (done.code, done.out) == (1, "")
    assert message in done.err
