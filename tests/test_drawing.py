import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from xdecoder.drawing import regions as drawing
from xdecoder.drawing.regions import Region, distance_to_border, draw_regions, label_color
from xdecoder.vocabularies import built_in

Box = tuple[int, int, int, int]


def gray(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 90, np.uint8)


def rectangle(height: int, width: int, box: Box) -> np.ndarray:
    mask = np.zeros((height, width), np.bool_)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


@pytest.fixture
def tags(monkeypatch: pytest.MonkeyPatch) -> dict[str, Box]:
    """The places of the names that are drawn."""
    places: dict[str, Box] = {}
    write = drawing._write_tag

    def note(picture, place, text, *rest):
        places[text] = place
        write(picture, place, text, *rest)

    monkeypatch.setattr(drawing, "_write_tag", note)
    return places


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def luminance(color: tuple[int, int, int]) -> float:
    parts = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def test_a_label_has_one_color():
    assert label_color("person") == label_color("Person ")
    assert label_color("sky-other-merged") == label_color("sky")
    assert label_color("the man in red") == label_color("the man in red") != label_color("the man in blue")


@pytest.mark.parametrize("name", ["coco", "ade20k", "cityscapes"])
def test_the_classes_of_a_vocabulary_have_distinct_colors(name: str):
    classes = built_in(name).classes
    assert len({label_color(c) for c in classes}) == len(classes)


def test_names_are_readable_on_every_color():
    image, mask = gray(8, 6), rectangle(8, 6, (0, 0, 3, 3))
    for label in built_in("coco").classes:
        regions = [Region(mask=mask, label=label, text="")] * 5
        for patch in drawing._patches(regions, (image.shape[1], image.shape[0])):
            assert 1.05 / (luminance(patch.tag_color) + 0.05) > 7  # WCAG AAA, for white text


def test_the_picture_outside_regions_stays_as_it_is():
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    drawn = np.asarray(
        draw_regions(image, [Region(mask=rectangle(90, 120, (30, 20, 60, 50)), label="dog", text="")])
    )
    outside = ~rectangle(90, 120, (26, 16, 64, 54))
    np.testing.assert_array_equal(drawn[outside], image[outside])
    assert (drawn[35, 45] != image[35, 45]).any()


def test_opacity_mixes_picture_and_color():
    region = Region(mask=rectangle(60, 80, (0, 0, 60, 60)), label="dog", text="")
    for opacity in (0.0, 0.25, 1.0):
        inner = np.asarray(draw_regions(gray(60, 80), [region], opacity=opacity))[30, 30]
        expected = 90 + opacity * (np.array(label_color("dog")) - 90)
        assert np.abs(inner - expected).max() <= 1


def test_borders_are_outlined_and_picture_edges_are_not():
    region = Region(mask=rectangle(60, 80, (0, 0, 60, 60)), label="dog", text="")
    drawn = np.asarray(draw_regions(gray(60, 80), [region], opacity=0.0)).astype(int)
    changed = (drawn != 90).any(-1)
    assert changed[:, 59].all()
    assert not changed[:, :50].any()


def test_small_regions_are_painted_over_large_ones():
    small = Region(mask=rectangle(60, 80, (20, 20, 40, 40)), label="cat", text="")
    large = Region(mask=np.ones((60, 80), np.bool_), label="sky", text="")
    drawn = np.asarray(draw_regions(gray(60, 80), [small, large], opacity=1.0))
    assert tuple(drawn[30, 30]) == label_color("cat")


def test_further_regions_of_a_label_have_other_shades():
    regions = [
        Region(mask=rectangle(60, 90, (x, 5, x + 20, 50)), label="person", text="") for x in (2, 30, 60)
    ]
    drawn = np.asarray(draw_regions(gray(60, 90), regions, opacity=1.0))
    assert len({tuple(drawn[25, x]) for x in (12, 40, 70)}) == 3
    assert tuple(drawn[25, 12]) == label_color("person")


def test_nothing_to_draw_is_the_picture():
    image = gray(5, 7)
    empty = Region(mask=np.zeros((5, 7), np.bool_), label="dog", text="dog")
    np.testing.assert_array_equal(np.asarray(draw_regions(image, [empty])), image)


def test_the_callers_picture_is_left_alone():
    image = gray(40, 50)
    draw_regions(image, [Region(mask=np.ones((40, 50), np.bool_), label="dog", text="dog")])
    assert (image == 90).all()


def test_a_name_lies_in_its_region(tags: dict[str, Box]):
    l_shape = rectangle(300, 400, (0, 0, 40, 300)) | rectangle(300, 400, (0, 220, 400, 300))
    draw_regions(gray(300, 400), [Region(mask=l_shape, label="road", text="road")])
    left, top, right, bottom = tags["road"]
    assert l_shape[top:bottom, left:right].all()


def test_the_name_of_a_small_region_lies_beside_it(tags: dict[str, Box]):
    box = (190, 140, 206, 150)
    draw_regions(gray(300, 400), [Region(mask=rectangle(300, 400, box), label="bird", text="bird")])
    assert not overlap(tags["bird"], box)
    assert abs(tags["bird"][3] - box[1]) <= 2


def test_the_name_of_a_thin_ring_lies_across_it(tags: dict[str, Box]):
    ring = rectangle(300, 400, (50, 50, 350, 250)) & ~rectangle(300, 400, (54, 54, 346, 246))
    draw_regions(gray(300, 400), [Region(mask=ring, label="rug", text="rug")])
    left, top, right, bottom = tags["rug"]
    assert ring[top:bottom, left:right].any()


def test_the_name_of_a_speck_is_left_out(tags: dict[str, Box]):
    draw_regions(
        gray(300, 400), [Region(mask=rectangle(300, 400, (9, 9, 11, 11)), label="bird", text="bird")]
    )
    assert not tags


def test_a_long_phrase_is_wrapped_and_cut(tags: dict[str, Box]):
    phrase = "the man " * 30
    draw_regions(gray(300, 400), [Region(mask=rectangle(300, 400, (9, 9, 350, 250)), label="x", text=phrase)])
    (text,) = tags
    assert text.count("\n") == 2
    assert text.endswith("…")
    assert tags[text][2] - tags[text][0] < 220


@pytest.mark.parametrize("height", [75, 300, 1500])
def test_names_grow_with_the_picture(tags: dict[str, Box], height: int):
    width = height * 4 // 3
    draw_regions(
        gray(height, width), [Region(mask=np.ones((height, width), np.bool_), label="a", text="dog")]
    )
    _, top, _, bottom = tags["dog"]
    assert bottom - top == pytest.approx(max(12, height * 0.045), rel=0.25)


@settings(max_examples=10)
@given(
    st.lists(
        st.tuples(st.integers(0, 180), st.integers(0, 120), st.integers(4, 90), st.integers(4, 90)),
        min_size=1,
        max_size=12,
    )
)
def test_names_never_overlap_or_leave_the_picture(corners: list[Box]):
    places: list[Box] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "_write_tag", lambda _, place, *rest: places.append(place))
        regions = [
            Region(mask=rectangle(150, 200, (x, y, x + w, y + h)), label="cup", text=f"cup {i}")
            for i, (x, y, w, h) in enumerate(corners)
        ]
        draw_regions(gray(150, 200), regions)
    for i, place in enumerate(places):
        assert place[0] >= 0
        assert place[1] >= 0
        assert place[2] <= 200
        assert place[3] <= 150
        assert not any(overlap(place, other) for other in places[:i])


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2), (20, 400)])
def test_pictures_of_any_shape_are_drawn(size: tuple[int, int]):
    drawn = draw_regions(gray(*size), [Region(mask=np.ones(size, np.bool_), label="dog", text="dog")])
    assert drawn.size == size[::-1]


@given(
    arrays.arrays(np.bool_, st.tuples(st.integers(1, 7), st.integers(1, 9))), st.sampled_from([0.5, 1.0, 3.0])
)
def test_distance_to_border_is_the_distance_to_the_nearest_cell_outside(cells: np.ndarray, step_x: float):
    padded = np.pad(cells, 1)
    outside = np.argwhere(~padded)
    expected = np.array(
        [
            [
                np.hypot((outside[:, 0] - y - 1) * 2, (outside[:, 1] - x - 1) * step_x).min()
                for x in range(cells.shape[1])
            ]
            for y in range(cells.shape[0])
        ]
    )
    np.testing.assert_allclose(distance_to_border(cells, step_x=step_x, step_y=2.0), expected)


@pytest.mark.parametrize("opacity", [-0.1, 1.5])
def test_an_impossible_opacity_is_refused(opacity: float):
    with pytest.raises(ValueError, match=rf"opacity must lie between 0 and 1, got {opacity}"):
        draw_regions(gray(5, 7), [], opacity=opacity)


def test_a_mask_of_another_size_is_refused():
    region = Region(mask=np.ones((7, 5), np.bool_), label="dog", text="dog")
    with pytest.raises(ValueError, match=r"the mask of 'dog' is 5 x 7, the picture 7 x 5; resize the mask"):
        draw_regions(gray(5, 7), [region])
