"""Regions edited: what changes, what must not, and what is refused."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool
from PIL import Image

from xdecoder.drawing.oklab import lab_to_srgb, srgb_to_lab
from xdecoder.editing import Blur, Change, Recolor, Remove, ReplaceBackground, edit
from xdecoder.editing.edges import grow, soften

H, W = 37, 53
BACKGROUND = np.random.default_rng(1).integers(0, 256, (29, 71, 3), dtype=np.uint8)
CHANGES = [Remove(), Recolor(color="teal"), Blur(), ReplaceBackground(background=BACKGROUND)]


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (H, W, 3), dtype=np.uint8)


def box(top: int = 10, left: int = 14, bottom: int = 25, right: int = 40) -> np.ndarray:
    mask = np.zeros((H, W), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def distances(to: Bool[np.ndarray, "H W"]) -> np.ndarray:
    """Of every pixel to the nearest of a mask, one by one."""
    rows, columns = np.indices(to.shape)
    ys, xs = np.nonzero(to)
    return np.hypot(rows[..., None] - ys, columns[..., None] - xs).min(axis=-1)


# --- bounds and edges ---


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: type(change).__name__)
@pytest.mark.parametrize("growth", [-3, 0, 2, None])
def test_nothing_outside_the_grown_region_changes(change: Change, growth: int | None) -> None:
    image, mask = noise(), box()
    edited = edit(image, mask, change, grow_by=growth)
    kept = ~grow(mask, round(change.reach * W) if growth is None else growth)
    if change.outside:
        kept = ~kept
    assert (edited[kept] == image[kept]).all()
    assert (edited[~kept] != image[~kept]).mean() > 0.5


@given(st.integers(0, 2**32 - 1), st.integers(-3, 5))
def test_a_region_grows_by_distance(seed: int, pixels: int) -> None:
    mask = np.random.default_rng(seed).random((17, 23)) < 0.1
    mask[8, 11], mask[0, 0] = True, False
    expected = distances(mask) <= pixels if pixels > 0 else distances(~mask) > -pixels
    np.testing.assert_array_equal(grow(mask, pixels), expected)


def test_a_mask_does_not_shrink_from_the_picture_s_border() -> None:
    mask = np.zeros((H, W), np.bool_)
    mask[:, 30:] = True
    assert (grow(mask, -4) == (np.arange(W) >= 34)).all()
    assert grow(np.ones((H, W), np.bool_), -9).all()


def test_the_edge_fades_inside_the_region_alone() -> None:
    mask = box()
    share = soften(mask, 4)
    assert (share[~mask] == 0).all()
    depth = distances(~mask)
    assert (share[depth >= 5] == 1).all()
    at = [share[17, 14 + inwards] for inwards in range(5)]
    assert (np.diff([0, *at]) > 0).all()
    assert (soften(mask, 0) == mask).all()


def test_strength_mixes_and_feather_0_cuts_hard() -> None:
    image, mask = np.full((H, W, 3), 100, np.uint8), box()
    change = Recolor(color="#ffffff")
    full = edit(image, mask, change, feather=0)
    assert (full[mask] == 255).all()
    assert (edit(image, mask, change, feather=0, strength=0.4)[mask] == 162).all()
    assert (edit(image, mask, change, strength=0) == image).all()
    soft = edit(image, mask, change, feather=5)
    assert 100 < soft[17, 14, 0] < soft[17, 16, 0] < soft[17, 27, 0] == 255


def test_a_size_over_the_limit_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match="size 99999 makes a picture over the limit of 67,108,864 pixels"):
        edit(noise(), box(), Blur(), size=99_999)


@pytest.mark.parametrize(
    ("size", "expected"), [(106, (74, 106)), (20, (14, 20)), (53, (37, 53)), (1, (1, 1))]
)
def test_the_result_may_have_another_size(size: int, expected: tuple[int, int]) -> None:
    assert edit(noise(), box(), Blur(), size=size).shape == (*expected, 3)


def test_the_picture_is_read_as_everywhere(tmp_path: Path) -> None:
    Image.fromarray(noise()).save(tmp_path / "a.png")
    for change in (Recolor(color="red"), ReplaceBackground(background=tmp_path / "a.png")):
        assert (edit(tmp_path / "a.png", box(), change) == edit(noise(), box(), change)).all()


# --- the changes ---


def test_the_main_color_becomes_the_one_asked_for_and_shading_stays() -> None:
    shades = srgb_to_lab(np.array((160, 60, 60), np.uint8)) * np.linspace(0.6, 1.3, W)[:, None]
    image = np.broadcast_to(lab_to_srgb(shades), (H, W, 3)).copy()
    image[:, 20:34] = (160, 60, 60)
    edited = edit(image, np.ones((H, W), np.bool_), Recolor(color="#2050c0"))
    assert np.abs(edited[5, 26].astype(int) - (0x20, 0x50, 0xC0)).max() <= 6
    lightness = srgb_to_lab(edited[5])[:, 0]
    assert (np.diff(lightness[:20]) > 0).all()
    assert (np.diff(lightness[34:]) > 0).all()


def test_black_white_and_other_hues_in_the_region_stay() -> None:
    image = np.full((H, W, 3), (210, 30, 30), np.uint8)
    image[12:15, 20:30], image[16:19, 20:30], image[20:23, 20:30] = 0, 255, (40, 160, 60)
    edited = edit(image, box(), Recolor(color="royalblue"))
    for row in (13, 17, 21):
        assert np.abs(edited[row, 25].astype(int) - image[row, 25]).max() <= 1
    assert np.abs(edited[11, 25].astype(int) - (65, 105, 225)).max() <= 2


def test_the_windows_of_a_car_do_not_outvote_its_paint() -> None:
    image = np.full((H, W, 3), 235, np.uint8)
    image[10:25, 14:24] = (190, 30, 40)
    edited = edit(image, box(), Recolor(color="#1e78be"), feather=0)
    assert np.abs(edited[17, 18].astype(int) - (0x1E, 0x78, 0xBE)).max() <= 1


@pytest.mark.parametrize("color", ["teal", "Teal", "#008080"])
def test_colors_are_names_or_numbers(color: str) -> None:
    image = np.full((H, W, 3), (60, 60, 200), np.uint8)
    assert edit(image, box(), Recolor(color=color))[17, 27].tolist() == [0, 128, 128]


def test_a_removed_thing_is_filled_from_around_it() -> None:
    slope = np.broadcast_to(np.linspace(40, 200, W)[None, :, None], (H, W, 3)).round().astype(np.uint8)
    image = slope.copy()
    image[box()] = (255, 0, 0)
    edited = edit(image, box(), Remove())
    assert np.abs(edited.astype(int) - slope).max() < 40
    assert np.abs(edited.astype(int) - slope).mean() < 4


def test_a_pattern_goes_on_where_a_thing_was() -> None:
    stripes = np.broadcast_to((np.arange(96)[:, None, None] // 4 % 2 * 150 + 50), (96, 130, 3)).astype(
        np.uint8
    )
    image, mask = stripes.copy(), np.zeros((96, 130), np.bool_)
    mask[30:60, 50:85] = True
    image[mask] = (255, 0, 0)
    edited = edit(image, mask, Remove())
    assert np.abs(edited[mask].astype(int) - stripes[mask]).mean() < 10
    assert (edit(image, mask, Remove()) == edited).all()


@pytest.mark.parametrize("size", [(5, 6), (9, 40)])
def test_a_thing_is_removed_where_no_patch_is_whole(size: tuple[int, int]) -> None:
    image, mask = np.full((*size, 3), 90, np.uint8), np.zeros(size, np.bool_)
    mask[1:-1, 2:-1] = True
    image[mask] = 250
    edited = edit(image, mask, Remove(), grow_by=0, feather=0)
    assert np.abs(edited.astype(int) - 90).max() <= 5


def test_a_blur_takes_the_detail_and_keeps_the_mean() -> None:
    image, mask = noise(), box(2, 3, 35, 50)
    edited = edit(image, mask, Blur(radius=6.0), feather=1)
    deep = distances(~mask) > 4
    assert edited[deep].std() < 0.15 * image[deep].std()
    assert abs(edited[deep].mean() - image[deep].mean()) < 6
    assert edited[deep].std() < edit(image, mask, Blur(radius=1.0), feather=1)[deep].std()


def test_the_background_fills_the_frame_about_its_middle() -> None:
    behind = np.zeros((2 * H, 3 * W, 3), np.uint8)
    behind[:, : W // 4] = 255  # cropped away: the frame shows the middle 2 W of 3 W
    behind[:, 3 * W // 2 :] = (0, 200, 0)
    edited = edit(noise(), box(), ReplaceBackground(background=behind))
    assert (edited[2:8, :20] == 0).all()
    assert (edited[2:8, 33:] == (0, 200, 0)).all()


def test_oklab_is_ottosson_s_and_its_inverse_exact() -> None:
    rgb = np.array([[255, 255, 255], [255, 0, 0], [0, 0, 255]], np.uint8)
    expected = [[1, 0, 0], [0.6280, 0.2249, 0.1258], [0.4520, -0.0325, -0.3115]]
    np.testing.assert_allclose(srgb_to_lab(rgb), expected, atol=1e-4)
    every = np.arange(256, dtype=np.uint8)
    colors = np.stack([every, every[::-1], np.roll(every, 77)], axis=1)
    assert (lab_to_srgb(srgb_to_lab(colors)) == colors).all()


# --- what is refused ---


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.ones((W, H), np.bool_), {}, r"must have the image's size \(37, 53\), got \(53, 37\)"),
        (np.zeros((H, W), np.bool_), {}, "the region is empty: mark at least one pixel"),
        (box(), {"strength": 1.5}, "strength must be between 0 and 1, got 1.5"),
        (box(), {"feather": -1}, "feather must be at least 0 pixels, got -1"),
        (box(), {"size": 0}, "size must be at least 1 pixel, got 0"),
        (box(), {"grow_by": -20}, "nothing is left of the region after it shrank by 20 pixels"),
    ],
)
def test_bad_regions_and_options_are_refused(
    mask: np.ndarray, options: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        edit(noise(), mask, Blur(), **options)  # pyright: ignore[reportArgumentType]


def test_a_region_without_surroundings_has_no_background_and_cannot_be_removed() -> None:
    whole = np.ones((H, W), np.bool_)
    with pytest.raises(ValueError, match="the region is the whole picture: there is no background"):
        edit(noise(), whole, ReplaceBackground(background=BACKGROUND))
    with pytest.raises(ValueError, match="the region is the whole picture: nothing is left to fill it from"):
        edit(noise(), whole, Remove())


def test_unknown_colors_and_impossible_blurs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no color 'purpel'; give a CSS name.*did you mean 'purple'"):
        Recolor(color="purpel")
    with pytest.raises(ValueError, match="no color '#12'"):
        Recolor(color="#12")
    with pytest.raises(ValueError, match="radius must be over 0 pixels, got 0"):
        Blur(radius=0.0)
    with pytest.raises(FileNotFoundError, match=r"no such image file: .*nowhere\.jpg"):
        edit(noise(), box(), ReplaceBackground(background=tmp_path / "nowhere.jpg"))


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    monkeypatch.delitem(sys.modules, "xdecoder.editing.opencv")
    with pytest.raises(ImportError, match=r"edited with OpenCV: pip install 'xdecoder\[edit\]'"):
        importlib.import_module("xdecoder.editing.opencv")
