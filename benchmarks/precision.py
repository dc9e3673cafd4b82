"""What results change where a model computes in fewer bits: the bundled model on drawn scenes.

    python benchmarks/precision.py                     # bfloat16 and float16, 200 scenes
    python benchmarks/precision.py --count 4           # to try it

Each scene is segmented, grounded, captioned, asked about and embedded in float32 and in the other dtype.
Counted are the segments of float32 that the other has with the same class and an IoU of at least 0.99, the
phrases whose masks have that, the captions and answers that stay the same, and the embeddings whose cosine
with those of float32 is at least 0.99.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence

import numpy as np

import xdecoder
from xdecoder import PanopticSegmentation, Predictor
from xdecoder.picturebook import VOCABULARY, Scene, draw_scene, phrases, questions, words_rng

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="scenes")
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float16"])
    options = parser.parse_args(arguments)
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
