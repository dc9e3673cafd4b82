"""One task's answer as another's question."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xdecoder
from builders import save_tiny_model
from xdecoder.editing import Recolor, edit
from xdecoder.predictor.predictor import Predictor

H, W = 64, 96
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return xdecoder.load(save_tiny_model(tmp_path_factory.mktemp("tiny")))


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)


def test_the_example_makes_its_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ["--scenes", "5", "--size", "96", "--out", str(tmp_path / "out")]
    model = ["--weights", str(save_tiny_model(tmp_path / "tiny"))]
    monkeypatch.setattr(sys, "argv", ["compositions.py", *small, *model])
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path))
    runpy.run_path(str(ROOT / "examples/compositions.py"))
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"compositions-{name}.jpg" for name in ("describe", "edit", "retrieve")]
    sizes = [Image.open(tmp_path / "out" / name).width for name in names]
    assert sizes == [590, 1170, 1170]
    assert re.search(
        r"is in pictures \[\d, \d, \d, \d\]\nthe picture: .*\nthe region: ", capsys.readouterr().out
    )


def test_the_pictures_of_the_example_are_small_enough_for_a_clone() -> None:
    for name in ("retrieve", "describe", "edit"):
        assert (ROOT / f"docs/images/compositions-{name}.jpg").stat().st_size < 300_000


def test_a_phrase_s_mask_is_the_region_of_other_tasks(predictor: Predictor) -> None:
    image = predictor.encode(picture())
    mask = predictor.locate(image, "the dog")
    assert (mask == predictor.refer(image, ["the dog"]).masks[0]).all()
    assert predictor.caption(image, region="the dog") == predictor.caption(image, region=mask)
    edited = edit(image.image, mask, Recolor(color="teal"))
    assert (edited[~mask] == picture()[~mask]).all()


def test_boxes_and_masks_are_located_as_they_are(predictor: Predictor) -> None:
    image = predictor.encode(picture())
    mask = np.zeros((H, W), np.bool_)
    mask[2:5, 10:14] = True
    assert (predictor.locate(image, (10.0, 2.4, 13.5, 5.0)) == mask).all()  # pixels that it cuts count
    assert predictor.locate(image, mask) is mask
    both = predictor.locate([image, image], (10.0, 2.0, 14.0, 5.0))
    assert [found.sum() for found in both] == [12, 12]
    with pytest.raises(ValueError, match="within the image of 96 x 64 pixels"):
        predictor.locate(image, (0.0, 0.0, 97.0, 5.0))
    with pytest.raises(ValueError, match="the region is empty: mark at least one pixel"):
        predictor.locate(image, np.zeros((H, W), np.bool_))
    with pytest.raises(ValueError, match=r"must have the image's size \(64, 96\), got \(3, 5\)"):
        predictor.locate(image, np.ones((3, 5), np.bool_))
    with pytest.raises(ValueError, match="an empty phrase means nothing"):
        predictor.locate(image, " ")
