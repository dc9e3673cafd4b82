"""One task's answer as another's question."""

import numpy as np
import pytest

import xdecoder
from tiny_model import save_tiny_model
from xdecoder.editing import Recolor, edit
from xdecoder.predictor import Predictor

H, W = 64, 96


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return xdecoder.load(save_tiny_model(tmp_path_factory.mktemp("tiny")))


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)


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
