"""An index of drawn scenes, killed half-way and resumed, and how well phrases find their scene and thing.

`python benchmarks/search_picturebook.py --scenes 500`: the ten rarest pairs of a color and a kind of thing
are searched, among whole images with the phrase then grounded in the first, and among regions. A scene is
right if it has such a thing; the mask is held against that thing's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import xdecoder
from xdecoder.picturebook import Scene, draw_scene
from xdecoder.search import Hit, Index
from xdecoder.search.tables import Tables
from xdecoder.structures import decode_rle

PHRASES = 10
GOOD_IOU = 0.8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--weights", default="picturebook")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pictures, place = Path(folder, "pictures"), Path(folder, "index")
        pictures.mkdir()
        scenes = [draw_scene(seed, split="val", size=192) for seed in range(arguments.scenes)]
        for scene in scenes:
            Image.fromarray(scene.image).save(pictures / f"{scene.seed}.png")
        command = [sys.executable, "-m", "xdecoder", "index", pictures, "--to", place]
        command += ["-v", "picturebook", "-w", arguments.weights]
        killed = _kill_half_way(command, place, arguments.scenes)
        subprocess.run(command, check=True)
        index = Index.open(place, xdecoder.load(arguments.weights))
        images, regions = (index.tables.count(table) for table in ("images", "regions"))
        print(f"killed at {killed} images, resumed to {images} of {len(scenes)}, {regions} regions")
        _search(index, scenes)


def _kill_half_way(command: Sequence[str | Path], place: Path, count: int) -> int:
    """Kill an indexer when it has written half of the images, or as many as it has written in one go."""
    process = subprocess.Popen(command)
    written = 0
    while written < count // 2 and process.poll() is None:
        time.sleep(0.05)
        try:
            written = Tables.open(place).count("images")
        except FileNotFoundError:  # not yet made
            continue
    process.kill()
    process.wait()
    return Tables.open(place).count("images")


def _search(index: Index, scenes: Sequence[Scene]) -> None:
    holders: dict[tuple[str, str], set[int]] = defaultdict(set)
    for scene in scenes:
        for thing in scene.things:
            holders[thing.color, thing.category].add(scene.seed)
    rarest = sorted(holders, key=lambda pair: (len(holders[pair]), pair))[:PHRASES]
    for name, search in (("images, grounded", index.ground), ("regions", index.find_regions)):
        right, overlaps = 0, []
        for color, category in rarest:
            phrase = f"{color} {category}"
            hit = search(phrase, k=1).hits[0]
            scene = scenes[int(Path(hit.path).stem)]
            first = scene.seed in holders[color, category]
            right += first
            overlaps.append(_overlap(hit, scene, color, category) if first else 0.0)
            print(f"{name}: {phrase}: {'right' if first else 'wrong'} scene first, IoU {overlaps[-1]:.2f}")
        good = sum(overlap >= GOOD_IOU for overlap in overlaps)
        print(f"{name}: right scene first {right} of {PHRASES}; IoU >= {GOOD_IOU} {good} of {PHRASES}")


def _overlap(hit: Hit, scene: Scene, color: str, category: str) -> float:
    """IoU of the grounded mask with the best fitting thing that the phrase may mean."""
    if hit.region is None:
        return 0.0
    mask = decode_rle(hit.region.mask)
    truths = [scene.ids == t.id for t in scene.things if (t.color, t.category) == (color, category)]
    return max(float((mask & truth).sum() / (mask | truth).sum()) for truth in truths)


if __name__ == "__main__":
    main()
