"""LVIS's average precision: the figures of its own program, and hand-computed rules."""

import math
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as rle

from xdecoder.metrics.lvis_ap import MOST_DETECTIONS, lvis_average_precision

H, W = 130, 140
FREQUENCIES = {3: "r", 4: "c", 8: "f", 9: "f", 12: "r"}


def row(image: int, category: int, box: tuple[int, ...]) -> dict[str, Any]:
    """An object or, with a score, a detection: a box from left, top, to right, bottom, and most of it."""
    left, top, right, bottom = box
    mask = np.zeros((H, W), np.uint8)
    mask[top:bottom, left:right] = 1
    mask[top, left + 1 : right] = 0
    code: Any = rle.encode(np.asfortranarray(mask))
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, right - left, bottom - top],
        "area": int(mask.sum()),
        "segmentation": {"size": code["size"], "counts": code["counts"].decode("ascii")},
    }


def truth_of(
    objects: list[dict[str, Any]],
    absent: dict[int, list[int]],
    incomplete: dict[int, list[int]],
    images: int = 3,
) -> dict[str, Any]:
    return {
        "images": [
            {
                "id": i,
                "height": H,
                "width": W,
                "neg_category_ids": absent.get(i, []),
                "not_exhaustive_category_ids": incomplete.get(i, []),
            }
            for i in range(1, images + 1)
        ],
        "annotations": [{**one, "id": n} for n, one in enumerate(objects, start=1)],
        "categories": [{"id": i, "name": f"class {i}", "frequency": f} for i, f in FREQUENCIES.items()],
    }


def drawn(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Six images: a few classes annotated in each, some not exhaustively, detections of all classes."""
    rng = np.random.default_rng(seed)

    def box() -> tuple[int, ...]:
        left, top = rng.integers(0, (30, 25))
        width, height = rng.integers(4, rng.choice([30, 100]), 2)
        return int(left), int(top), int(min(W, left + width)), int(min(H, top + height))

    objects: list[dict[str, Any]] = []
    absent: dict[int, list[int]] = {}
    incomplete: dict[int, list[int]] = {}
    detections: list[dict[str, Any]] = []
    for image in range(1, 7):
        order = rng.permutation(list(FREQUENCIES)).tolist()
        present, absent[image] = order[:2], order[2:3]
        incomplete[image] = present[:1] if rng.random() < 0.5 else []
        for category in present:
            objects += [row(image, category, box()) for _ in range(int(rng.integers(1, 4)))]
        for one in [o for o in objects if o["image_id"] == image]:
            left, top, width, height = one["bbox"]
            moved = np.maximum(0, np.array([left, top, left + width, top + height]) + rng.integers(-2, 3, 4))
            detections.append(
                {**row(image, one["category_id"], tuple(moved.tolist())), "score": rng.random()}
            )
        for _ in range(8):
            detections.append({**row(image, int(rng.choice(order)), box()), "score": rng.random()})
    return truth_of(objects, absent, incomplete, images=6), detections


FIGURES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_rare", "ap_common", "ap_frequent", "ar300")
OFFICIAL = {
    ("segm", 0): "0.3028263683511208 0.5514576457645765 0.29166666666666663 0.33996935407826495 "
    "0.6366336633663366 0.289495199519952 0.28787128712871285 0.32363507779349365 0.6237142857142857",
    ("segm", 1): "0.2521910785939615 0.6072519751975196 0.23712121212121215 0.22007563256325635 "
    "0.5526292629262927 0.17048369122626544 0.34608076030615337 0.32171617161716176 0.4958333333333334",
    ("bbox", 1): "0.2872195924343566 0.6072519751975196 0.24715548477924718 0.2626817146000314 "
    "0.5604840484048406 0.19131327418456126 0.39503069925609235 0.37122112211221114 0.5354166666666667",
}
"""What lvis 0.5.3 gives on `drawn(seed)`."""


@pytest.mark.parametrize(("kind", "seed"), OFFICIAL)
def test_figures_are_those_of_lvis(kind: Any, seed: int) -> None:
    found = lvis_average_precision(*drawn(seed), kind=kind)
    official = [float(figure) for figure in OFFICIAL[kind, seed].split()]
    assert [getattr(found, name) for name in FIGURES] == pytest.approx(official, abs=1e-12)
    assert math.isnan(found.ap_large)


OBJECT = (10, 10, 40, 40)
ELSEWHERE = (60, 60, 90, 90)


def sure(image: int, category: int, box: tuple[int, ...], score: float) -> dict[str, Any]:
    return {**row(image, category, box), "score": score}


@pytest.mark.parametrize(
    ("category", "absent", "incomplete", "ap"),
    [
        (3, {}, {}, 0.5),  # a surer wrong one before the right one, in an image that has the class
        (3, {}, {1: [3]}, 1.0),  # there may be more of them: not wrong
        (4, {}, {}, 1.0),  # nobody looked for the class in that image
    ],
)
def test_a_detection_without_a_match_is_wrong_where_its_class_is_annotated(
    category: int, absent: dict[int, list[int]], incomplete: dict[int, list[int]], ap: float
) -> None:
    truth = truth_of([row(1, 3, OBJECT)], absent, incomplete)
    found = lvis_average_precision(truth, [sure(1, 3, OBJECT, 0.5), sure(1, category, ELSEWHERE, 0.9)])
    assert found.ap_rare == pytest.approx(ap)
    assert math.isnan(found.ap_common)
    assert found.without_detection == (2, 3)


def test_a_detection_in_an_image_known_to_have_none_is_wrong() -> None:
    detections = [sure(1, 3, OBJECT, 0.5), sure(2, 3, OBJECT, 0.9)]
    assert lvis_average_precision(truth_of([row(1, 3, OBJECT)], {}, {}), detections).ap == pytest.approx(1)
    truth = truth_of([row(1, 3, OBJECT)], {2: [3]}, {})
    assert lvis_average_precision(truth, detections).ap == pytest.approx(0.5)


def test_the_300_surest_of_an_image_count_over_all_classes() -> None:
    truth = truth_of([row(1, 3, OBJECT)], {}, {})
    others = [sure(1, 4, ELSEWHERE, 0.6) for _ in range(MOST_DETECTIONS)]
    found = lvis_average_precision(truth, [sure(1, 3, OBJECT, 0.5), *others[1:]])
    assert found.ap == pytest.approx(1)
    assert lvis_average_precision(truth, [sure(1, 3, OBJECT, 0.5), *others]).ap == 0


def test_a_truth_of_coco_is_refused() -> None:
    truth = truth_of([row(1, 3, OBJECT)], {}, {})
    with pytest.raises(ValueError, match="image 1 has no list 'neg_category_ids'"):
        lvis_average_precision({**truth, "images": [{"id": 1, "height": H, "width": W}]}, [])
    with pytest.raises(ValueError, match="category 3 has the frequency None; LVIS's are r"):
        lvis_average_precision({**truth, "categories": [{"id": 3, "name": "cup"}]}, [])
