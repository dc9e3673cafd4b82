import colorsys
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from xdecoder.picturebook import (
    COLORS,
    HELD_OUT_PAIRS,
    SETTINGS,
    STUFF_CATEGORIES,
    THING_CATEGORIES,
    Scene,
    contact_sheet,
    draw_patch,
    draw_scene,
)
from xdecoder.picturebook.composition import MIN_AREA, MIN_STUFF_AREA
from xdecoder.picturebook.palette import TONES, Rgb, sample_rgb
from xdecoder.picturebook.things import KINDS, SIZE_FACTORS, draw_thing

DIGEST = """
import hashlib
from xdecoder.picturebook import captions, draw_patch, draw_scene, phrases, questions, words_rng
digest = hashlib.sha256()
for seed in range(6):
    scene = draw_scene(seed, split="val", size=97)
    rng = words_rng(scene)
    digest.update(scene.image.tobytes() + scene.ids.tobytes() + repr(scene.segments).encode())
    digest.update(repr((captions(scene, rng), phrases(scene, rng), questions(scene, rng))).encode())
    digest.update(draw_patch(seed)[0].tobytes())
print(digest.hexdigest())
"""


# Every call below `xdecoder` is type-checked under pytest, so these counts are small.
@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_scene(seed, split="val", size=96) for seed in range(100)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def color_name(rgb: Rgb) -> str:
    """The nearest color's name, lightness weighing little: it recognizes a body under the scene's light."""
    red, green, blue = (channel / 255 for channel in rgb)
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.24 and saturation < 0.5:
        return "black"
    if saturation < 0.16:
        return "white" if value > 0.76 else "gray"
    degrees = hue * 360
    if 14 <= degrees < 40:
        return "brown" if value < 0.62 else "orange"
    bounds = (("red", 14), ("yellow", 75), ("green", 175), ("blue", 250), ("purple", 310))
    if 310 <= degrees < 350 or (degrees >= 350 and saturation < 0.55):
        return "pink"
    return next((name for name, upper in bounds if degrees < upper), "red")


def test_a_seed_gives_the_same_bytes_and_words_in_every_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "1", "4242")
    }
    assert len(digests) == 1


def test_drawing_neither_uses_nor_disturbs_the_global_random_state() -> None:
    np.random.seed(3)
    first = draw_scene(5, split="train", size=64)
    state = np.random.get_state()[1]
    np.random.seed(9)
    assert np.array_equal(draw_scene(5, split="train", size=64).image, first.image)
    np.random.seed(3)
    assert np.array_equal(state, np.random.get_state()[1])


def test_splits_and_seeds_give_different_scenes() -> None:
    images = [draw_scene(seed, split=split, size=64).image for seed in (0, 1) for split in ("train", "val")]
    assert len({image.tobytes() for image in images}) == 4


@pytest.mark.parametrize("size", [64, 101, 160])
def test_pictures_and_ids_have_the_size_asked_for(size: int) -> None:
    scene = draw_scene(1, split="train", size=size)
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.ids.shape == (size, size)
    assert scene.ids.dtype == np.int32
    assert scene.size == size


def test_every_pixel_belongs_to_a_segment_and_every_record_matches_its_pixels(scenes: list[Scene]) -> None:
    for scene in scenes:
        ids, areas = np.unique(scene.ids, return_counts=True)
        assert ids.tolist() == [segment.id for segment in scene.segments]
        assert ids.tolist() == list(range(1, len(scene.segments) + 1))
        assert areas.tolist() == [segment.area for segment in scene.segments]
        for segment in scene.segments:
            rows, columns = np.nonzero(scene.ids == segment.id)
            box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert segment.box == box
            assert segment.center == pytest.approx(((box[0] + box[2]) / 192, (box[1] + box[3]) / 192))


def test_scenes_hold_one_to_eight_things_and_each_stuff_once(scenes: list[Scene]) -> None:
    for scene in scenes:
        assert 1 <= len(scene.things) <= 8
        assert {thing.category for thing in scene.things} <= set(THING_CATEGORIES)
        assert {thing.color for thing in scene.things} <= set(COLORS)
        names = [segment.category for segment in scene.stuff]
        assert len(names) == len(set(names))
        assert set(names) <= set(STUFF_CATEGORIES)
        assert all(thing.on in names or thing.on in STUFF_CATEGORIES for thing in scene.things)


def test_everything_stays_visible_enough_to_be_seen(scenes: list[Scene]) -> None:
    for scene in scenes:
        for segment in scene.segments:
            least = MIN_AREA if segment.is_thing else MIN_STUFF_AREA
            assert segment.area >= least * 96 * 96


def test_occlusions_name_things_and_the_later_painted_one_is_in_front(scenes: list[Scene]) -> None:
    found = 0
    for scene in scenes:
        for front, back, share in scene.occlusions:
            assert scene.segment(front).is_thing
            assert scene.segment(back).is_thing
            assert front > back
            assert 0 < share <= 1
            assert scene.hidden(front=front, back=back) == share
            assert scene.hidden(front=back, back=front) == 0
            found += 1
    assert found > 12


def test_the_setting_follows_from_the_stuff(scenes: list[Scene]) -> None:
    for scene in scenes:
        stuff = {segment.category for segment in scene.stuff}
        if scene.setting == "room":
            assert {"wall", "floor"} <= stuff <= {"wall", "floor", "rug"}
            assert scene.time is None
            continue
        assert scene.time is not None
        assert "sky" in stuff
        expected = (
            "winter"
            if "snow" in stuff
            else "street"
            if "road" in stuff
            else ("sea" if "sand" in stuff else "lake")
            if "water" in stuff
            else ("desert" if "sand" in stuff else "meadow")
        )
        assert scene.setting == expected
    assert {scene.setting for scene in scenes} == set(SETTINGS)


def test_one_kind_often_comes_several_times(scenes: list[Scene]) -> None:
    several = sum(max(Counter(thing.category for thing in scene.things).values()) > 1 for scene in scenes)
    assert several > 0.35 * len(scenes)


def test_held_out_pairs_are_a_tenth_spread_over_colors_and_categories() -> None:
    assert len(HELD_OUT_PAIRS) == 33
    assert set(Counter(color for color, _ in HELD_OUT_PAIRS).values()) == {3}
    assert {color for color, _ in HELD_OUT_PAIRS} == set(COLORS)
    counts = Counter(category for _, category in HELD_OUT_PAIRS)
    assert set(counts) == set(THING_CATEGORIES)
    assert max(counts.values()) == 2


def test_held_out_pairs_never_occur_in_training_but_do_in_validation(scenes: list[Scene]) -> None:
    for seed in range(80):
        shown = {(thing.color, thing.category) for thing in draw_scene(seed, split="train", size=64).things}
        assert not shown & HELD_OUT_PAIRS
        _, category, color = draw_patch(seed, 32)
        assert (color, category) not in HELD_OUT_PAIRS
    assert any((thing.color, thing.category) in HELD_OUT_PAIRS for scene in scenes for thing in scene.things)


def test_scenes_with_held_out_pairs_can_be_asked_for() -> None:
    for seed in range(20):
        scene = draw_scene(seed, split="val", size=64, held_out=True)
        assert any((thing.color, thing.category) in HELD_OUT_PAIRS for thing in scene.things)


@pytest.mark.parametrize("color", COLORS)
def test_the_jitter_of_a_color_never_leaves_its_name(color: str) -> None:
    draw = rng()
    assert {color_name(sample_rgb(color, draw)) for _ in range(300)} == {color}


def test_tones_lie_apart_in_hue_saturation_or_value() -> None:
    def apart(first: tuple[float, float], second: tuple[float, float], gap: float) -> bool:
        return first[0] - second[1] >= gap or second[0] - first[1] >= gap

    names = list(TONES)
    for k, name in enumerate(names):
        for other in names[:k]:
            a, b = TONES[name], TONES[other]
            assert (
                apart(a.hue, b.hue, 15)
                or apart(a.saturation, b.saturation, 0.25)
                or apart(a.value, b.value, 0.3)
            ), (name, other)


@pytest.mark.parametrize("category", THING_CATEGORIES)
def test_the_named_color_is_the_commonest_on_a_thing(category: str) -> None:
    for k, color in enumerate(COLORS):
        sprite = draw_thing(category, color, rng(k), size="large", picture=160)
        solid = sprite.rgb[sprite.alpha == 255]
        names = Counter(color_name(tuple(int(channel) for channel in pixel)) for pixel in solid[::7])
        assert names.most_common(1)[0][0] == color
        assert names[color] > 0.38 * names.total()


def test_sizes_leave_a_gap_and_every_kind_has_variants() -> None:
    small, medium, large = SIZE_FACTORS["small"], SIZE_FACTORS["medium"], SIZE_FACTORS["large"]
    assert small[1] * 1.25 < medium[0]
    assert medium[1] * 1.25 < large[0]
    assert set(KINDS) == set(THING_CATEGORIES)
    assert all(len(kind.drawings) >= 2 for kind in KINDS.values())


def test_patches_show_every_category_and_color() -> None:
    patches = [draw_patch(seed, 48) for seed in range(300)]
    assert all(image.shape == (48, 48, 3) and image.dtype == np.uint8 for image, _, _ in patches)
    assert {category for _, category, _ in patches} == set(THING_CATEGORIES)
    assert {color for _, _, color in patches} == set(COLORS)


def test_a_contact_sheet_has_a_cell_for_every_scene(scenes: list[Scene]) -> None:
    one = contact_sheet(scenes[:1], columns=3, cell=64)
    five = contact_sheet(scenes[:5], columns=3, cell=64)
    assert five.width > 3 * (one.width - 20)  # three in a row, a gap of 10 beside each
    assert 2 * (one.height - 40) < five.height < 2 * (one.height + 40)  # two rows, as high as their texts
    with pytest.raises(ValueError, match="at least one scene"):
        contact_sheet([])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1, "split": "val"}, "seed must be 0 or more"),
        ({"seed": 0, "split": "val", "size": 20}, "between 64 and 1024"),
        ({"seed": 0, "split": "train", "held_out": True}, "never in the train split"),
    ],
)
def test_bad_arguments_are_refused_with_a_reason(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw_scene(**arguments)  # type: ignore[arg-type]
