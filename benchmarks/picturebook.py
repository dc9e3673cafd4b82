"""How fast the picture-book world is drawn and described, on one core: `python benchmarks/picturebook.py`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import cv2

from xdecoder.picturebook import captions, draw_patch, draw_scene, phrases, questions, words_rng


def measure(name: str, unit: str, work: Callable[[int], object], count: int) -> None:
    """Print how many times a second of one core's time `work` runs; it is given 0, 1, 2 and so on."""
    for k in range(5):
        work(k)
    start = time.process_time()
    for k in range(count):
        work(k)
    print(f"{name:<18}{count / (time.process_time() - start):>8.0f} {unit}/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="scenes to draw at each size")
    count: int = parser.parse_args().count
    cv2.setNumThreads(1)
    for size in (96, 128, 160):
        measure(
            f"scenes, {size} px",
            "scenes",
            lambda seed, size=size: draw_scene(seed, split="train", size=size),
            count,
        )
    measure("patches, 64 px", "patches", draw_patch, count)
    scenes = [draw_scene(seed, split="train", size=96) for seed in range(min(count, 100))]
    rngs = [words_rng(scene) for scene in scenes]
    last = len(scenes)
    measure("5 captions", "scenes", lambda k: captions(scenes[k % last], rngs[k % last]), count)
    measure("phrases", "scenes", lambda k: phrases(scenes[k % last], rngs[k % last]), count)
    measure("4 questions", "scenes", lambda k: questions(scenes[k % last], rngs[k % last]), count)


if __name__ == "__main__":
    main()
