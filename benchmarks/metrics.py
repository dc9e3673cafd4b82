"""Times the metrics on generated data of COCO's size: `python benchmarks/metrics.py [NAME ...]`.

Every row runs in a process of its own, on one thread, so that its peak memory is its own (the data
included). Seconds are the processor's and leave out the making of the data, so that a busy
machine changes little. The bounds: panoptic quality of 5,000 images of 640 x 480 with 20 segments
under 60 s and 500 MB; AP as fast as faster-coco-eval alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

HEIGHT, WIDTH = 480, 640


def panel_map(rng: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """A map of 5 x 4 rectangles with uneven borders, one for each of 20 ids."""
    rows = np.sort(rng.choice(np.arange(20, HEIGHT - 20), 4, replace=False))
    columns = np.sort(rng.choice(np.arange(20, WIDTH - 20), 3, replace=False))
    grid = np.searchsorted(rows, np.arange(HEIGHT), side="right")[:, None] * 4
    return ids[grid + np.searchsorted(columns, np.arange(WIDTH), side="right")]


def panoptic_quality(images: int = 5000) -> float:
    from xdecoder.metrics.panoptic_quality import PanopticQuality, ScoredSegment

    rng = np.random.default_rng(0)
    quality = PanopticQuality({c: c <= 80 for c in range(1, 134)})
    spent = 0.0
    for image_id in range(images):
        ids = rng.choice(2**24 - 1, 20, replace=False) + 1
        categories = rng.integers(1, 134, 20)
        segments = [
            ScoredSegment(id=int(i), category_id=int(c)) for i, c in zip(ids, categories, strict=True)
        ]
        truth, prediction = panel_map(rng, ids), panel_map(rng, ids)
        start = time.process_time()
        quality.update(image_id, truth, segments, prediction, segments)
        spent += time.process_time() - start
    start = time.process_time()
    quality.result()
    return spent + time.process_time() - start


def semantic(images: int = 2000, class_count: int = 150) -> float:
    from xdecoder.metrics.semantic import MeanIoU

    rng = np.random.default_rng(0)
    scores = MeanIoU(class_count)
    spent = 0.0
    for image_id in range(images):
        labels = rng.integers(0, class_count, 20).astype(np.uint8)
        truth, prediction = panel_map(rng, labels), panel_map(rng, labels)
        start = time.process_time()
        scores.update(image_id, truth, prediction)
        spent += time.process_time() - start
    scores.result()
    return spent


def referring(expressions: int = 5000) -> float:
    from xdecoder.metrics.referring import ReferringSegmentation

    rng = np.random.default_rng(0)
    scores = ReferringSegmentation()
    spent = 0.0
    for key in range(expressions):
        masks = panel_map(rng, np.arange(20)) < 10, panel_map(rng, np.arange(20)) < 10
        start = time.process_time()
        scores.update([key], masks[0][None], masks[1][None])
        spent += time.process_time() - start
    scores.result()
    return spent


def _instances(images: int = 5000, per_image: int = 7) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from xdecoder.structures.masks import box_to_xywh, encode_rle, mask_box

    rng = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    templates: list[np.ndarray] = []
    for _ in range(60):
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        cy, cx, ry, rx = rng.uniform((50, 50, 8, 8), (430, 590, 90, 90))
        templates.append(((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1)
    encoded = [{"segmentation": encode_rle(t), "bbox": box_to_xywh(mask_box(t))} for t in templates]
    areas = [int(t.sum()) for t in templates]
    for image_id in range(images):
        chosen = rng.choice(60, per_image, replace=False)
        for n in chosen.tolist():
            entry = {**encoded[n], "image_id": image_id, "category_id": 1 + n % 80}
            annotations.append({**entry, "id": len(annotations) + 1, "area": areas[n], "iscrowd": 0})
        for n in np.concatenate([chosen, rng.choice(60, 13)]).tolist():
            entry = {**encoded[n], "image_id": image_id, "category_id": 1 + n % 80}
            detections.append({**entry, "score": float(rng.random())})
    truth = {
        "images": [{"id": i, "height": HEIGHT, "width": WIDTH} for i in range(images)],
        "annotations": annotations,
        "categories": [{"id": c, "name": str(c)} for c in range(1, 81)],
    }
    return truth, detections


def mask_ap() -> float:
    from xdecoder.metrics.average_precision import average_precision

    truth, detections = _instances()
    start = time.process_time()
    average_precision(truth, detections)
    return time.process_time() - start


def mask_ap_bare() -> float:
    """faster-coco-eval alone, with nothing checked."""
    from faster_coco_eval import COCO, COCOeval_faster

    truth, detections = _instances()
    for detection in detections:
        del detection["bbox"]
    start = time.process_time()
    coco = COCO(truth)
    evaluator = COCOeval_faster(coco, coco.loadRes(detections), iouType="segm", rle_iou_max_workers=1)
    evaluator.evaluate()
    evaluator.accumulate()
    return time.process_time() - start


def retrieval(images: int = 5000, captions: int = 5, channels: int = 512) -> float:
    from xdecoder.metrics.retrieval import Retrieval

    rng = np.random.default_rng(0)
    scores = Retrieval()
    for image_id in range(images):
        drawn = rng.standard_normal((2 + captions, channels), np.float32)
        scores.update(image_id, drawn[:2], drawn[2:])
    start = time.process_time()
    scores.result()
    return time.process_time() - start


def captions(images: int = 5000) -> float:
    from xdecoder.metrics.captions import CaptionScores

    rng = np.random.default_rng(0)
    vocabulary = [
        "a",
        "the",
        "man's",
        "dog",
        "isn't",
        "well-lit",
        "red,",
        "white.",
        "on",
        "in",
        "(big)",
        "two",
    ]
    scores = CaptionScores()
    for image_id in range(images):
        candidate, *references = (" ".join(rng.choice(vocabulary, 11)) for _ in range(6))
        scores.update(image_id, candidate, references)
    start = time.process_time()
    scores.result()
    return time.process_time() - start


def answering(questions: int = 50000) -> float:
    from xdecoder.metrics.vqa import VqaAccuracy

    rng = np.random.default_rng(0)
    answers = np.array(["yes", "no", "two", "a red dog", "isnt", "1,000", "black/white", "on the table."])
    scores = VqaAccuracy()
    spent = 0.0
    for question_id in range(questions):
        answer, *annotators = rng.choice(answers, 11).tolist()
        start = time.process_time()
        scores.update(question_id, answer, annotators)
        spent += time.process_time() - start
    scores.result()
    return spent


ROWS: dict[str, tuple[Callable[[], float], str]] = {
    "panoptic-quality": (panoptic_quality, "5,000 images 640 x 480, 20 segments"),
    "semantic": (semantic, "2,000 images 640 x 480, 150 classes"),
    "referring": (referring, "5,000 expressions 640 x 480"),
    "mask-ap": (mask_ap, "5,000 images, 35,000 objects, 100,000 detections"),
    "mask-ap-bare": (mask_ap_bare, "the same, faster-coco-eval alone"),
    "retrieval": (retrieval, "5,000 images, 25,000 captions, 512 channels"),
    "captions": (captions, "5,000 images, 5 references"),
    "answering": (answering, "50,000 questions"),
}


def main() -> None:
    """Prints the table, or, as its own child, one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ROWS, []], help="rows to run; all by default")
    parser.add_argument("--child", choices=list(ROWS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        seconds = ROWS[arguments.child][0]()
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{seconds:.1f} {megabytes:.0f}")
        return
    print(f"| {'metric':<17}| {'data':<50}| CPU s   | peak MB |")
    print(f"|{'-' * 18}|{'-' * 51}|--------:|--------:|")
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    for name in arguments.names or ROWS:
        child = subprocess.run(
            [sys.executable, __file__, "--child", name],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | threads,
        )
        seconds, megabytes = child.stdout.split()
        print(f"| {name:<17}| {ROWS[name][1]:<50}| {seconds:>7} | {megabytes:>7} |", flush=True)


if __name__ == "__main__":
    main()
