"""What results change where a model computes in fewer bits: the bundled model on drawn scenes.

    python benchmarks/precision.py                     # float16, int8 and bfloat16, 200 scenes
    python benchmarks/precision.py --count 4           # to try it
    python benchmarks/precision.py --speed             # seconds of Focal-T's sizes, random weights

Each scene is segmented, grounded, captioned, asked about and embedded in float32 and in the other dtype.
Counted are the segments of float32 that the other has with the same class and an IoU of at least 0.99, the
phrases whose masks have that, the captions and answers that stay the same, and the embeddings whose cosine
with those of float32 is at least 0.99.

Times are the shortest of some rounds, in which the dtypes take turns, by the clock and of the CPU: panoptic
segments of an image of 512 pixels, of 133 given classes, and captions of 50 tokens of one and of eight images
of 224 pixels, the encoding included, and that encoding alone. CPU seconds of threads that wait count too: for
them set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

import xdecoder
from xdecoder import EncodedImage, PanopticSegmentation, Predictor, XDecoder
from xdecoder.config import PRESETS
from xdecoder.picturebook import VOCABULARY, Scene, draw_scene, phrases, questions, words_rng
from xdecoder.weights.clip_merges import load_clip_tokenizer

IOU = 0.99
SIDE = 160


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union; two empty masks are the same."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def same_segments(wide: PanopticSegmentation, narrow: PanopticSegmentation) -> list[bool]:
    """Whether each segment has one of its class with the same mask."""
    return [
        any(
            other.category == segment.category
            and overlap(wide.ids == segment.id, narrow.ids == other.id) >= IOU
            for other in narrow.segments
        )
        for segment in wide.segments
    ]


def compare(wide: Predictor, narrow: Predictor, scene: Scene, kept: Counter[str]) -> None:
    """Count what there is to compare, and what is the same."""
    rng = words_rng(scene)
    texts = [phrase.text for phrase in phrases(scene, rng)][:3]
    asked = [question.text for question in questions(scene, rng)][:3]
    both = [(p, p.encode(scene.image)) for p in (wide, narrow)]
    segments = [p.segment(item, VOCABULARY) for p, item in both]
    found = [p.refer(item, texts).masks for p, item in both]
    captions = [p.caption(item).token_ids for p, item in both]
    answers = [[answer.text for answer in p.answer(item, asked)] for p, item in both]
    vectors = [p.embed_images(item).decoder for p, item in both]
    same = {
        "segments": same_segments(*segments),
        "phrases": [overlap(a, b) >= IOU for a, b in zip(*found, strict=True)],
        "captions": [captions[0] == captions[1]],
        "answers": [a == b for a, b in zip(*answers, strict=True)],
        "embeddings": [float((vectors[0] * vectors[1]).sum()) >= IOU],
    }
    for name, outcomes in same.items():
        kept[f"all {name}"] += len(outcomes)
        kept[name] += sum(outcomes)


def works(predictor: Predictor, *, large: int, small: int, steps: int) -> dict[str, Callable[[], object]]:
    """What is timed."""
    rng = np.random.default_rng(0)
    picture, *others = (
        rng.integers(0, 256, (side // 16, side // 16, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
        for side in (large, *[small] * 8)
    )
    classes = torch.randn(134, predictor.config.embed_width, generator=torch.Generator().manual_seed(0))

    def embedded(words: object) -> torch.Tensor:
        return classes

    def segment() -> None:
        with patch.object(predictor, "embed_vocabulary", embedded):
            item = predictor.encode(picture, short_side=large)
            predictor.segment(item, "coco", object_threshold=0.0)

    def encode(count: int) -> list[EncodedImage]:
        return predictor.encode(others[:count], short_side=small)

    return {
        "segments": segment,
        "encoding 1": lambda: encode(1),
        "a caption": lambda: predictor.caption(encode(1), steps=steps),
        "encoding 8": lambda: encode(8),
        "8 captions": lambda: predictor.caption(encode(8), steps=steps),
    }


def print_speed(dtypes: Sequence[str], rounds: int, *, quick: bool) -> None:
    """Time all dtypes, turn about, and print Markdown."""
    torch.manual_seed(0)
    sizes = (64, 64, 3) if quick else (512, 224, 50)
    with tempfile.TemporaryDirectory() as name:
        model = Path(name) / "model"
        if not quick:
            Predictor(XDecoder(PRESETS["focal-t"]), load_clip_tokenizer()).save(model)
        found = {
            dtype: works(
                xdecoder.load("picturebook" if quick else model, dtype=dtype),
                large=sizes[0],
                small=sizes[1],
                steps=sizes[2],
            )
            for dtype in dtypes
        }
        names = list(found[dtypes[0]])
        wall, cpu = ({dtype: dict.fromkeys(names, float("inf")) for dtype in dtypes} for _ in range(2))
        for _ in range(rounds + 1):  # the first warms up
            for work in names:
                for dtype in dtypes:
                    start, spent = time.perf_counter(), time.process_time()
                    found[dtype][work]()
                    wall[dtype][work] = min(wall[dtype][work], time.perf_counter() - start)
                    cpu[dtype][work] = min(cpu[dtype][work], time.process_time() - spent)
    for seconds, title in ((wall, "by the clock"), (cpu, "of the CPU")):
        print(f"\nSeconds {title}, {torch.get_num_threads()} threads:\n")
        print(f"| dtype | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
        for dtype in dtypes:
            print(f"| {dtype} | {' | '.join(f'{seconds[dtype][work]:.2f}' for work in names)} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="scenes")
    parser.add_argument("--dtypes", nargs="+", default=["float16", "int8", "bfloat16"])
    parser.add_argument("--speed", action="store_true", help="time instead of comparing")
    parser.add_argument("--rounds", type=int, default=5, help="of times")
    parser.add_argument("--quick", action="store_true", help="times of the bundled model, to try it")
    options = parser.parse_args(arguments)
    if options.speed:
        print_speed(["float32", *options.dtypes], options.rounds, quick=options.quick)
        return
    wide = xdecoder.load("picturebook")
    names = ("segments", "phrases", "captions", "answers", "embeddings")
    print(f"| dtype | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for dtype in options.dtypes:
        narrow = xdecoder.load("picturebook", dtype=dtype)
        kept: Counter[str] = Counter()
        for seed in range(options.count):
            compare(wide, narrow, draw_scene(seed, split="val", size=SIDE), kept)
        cells = [f"{kept[n]} of {kept[f'all {n}']} ({kept[n] / kept[f'all {n}']:.1%})" for n in names]
        print(f"| {dtype} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
