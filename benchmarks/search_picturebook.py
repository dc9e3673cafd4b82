"""An index of drawn scenes, killed half-way and resumed, and how well phrases find their scene and thing.

`python benchmarks/search_picturebook.py --scenes 500`: the ten rarest pairs of a colour and a kind of thing
are searched and grounded. A scene is right if it has such a thing; the mask is held against that thing's.
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
from xdecoder.demo.held_out import VOCABULARY
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
        pictures, place, words = Path(folder, "pictures"), Path(folder, "index"), Path(folder, "words.txt")
        pictures.mkdir()
        kinds = ("thing" if VOCABULARY.is_thing(k) else "stuff" for k in range(len(VOCABULARY)))
        lines = [f"{kind}: {name}" for kind, name in zip(kinds, VOCABULARY.classes, strict=True)]
        words.write_text("\n".join(lines))
        scenes = [draw_scene(seed, split="val", size=192) for seed in range(arguments.scenes)]
        for scene in scenes:
            Image.fromarray(scene.image).save(pictures / f"{scene.seed}.png")
        command = [sys.executable, "-m", "xdecoder", "index", pictures, "--to", place, "-v", words]
        command += ["-w", arguments.weights]
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
            holders[thing.colour, thing.category].add(scene.seed)
    rarest = sorted(holders, key=lambda pair: (len(holders[pair]), pair))[:PHRASES]
    right, overlaps = 0, []
    for colour, category in rarest:
        phrase = f"the {colour} {category}"
        hit = index.ground(phrase, k=1).hits[0]
        scene = scenes[int(Path(hit.path).stem)]
        first = scene.seed in holders[colour, category]
        right += first
        overlaps.append(_overlap(hit, scene, colour, category) if first else 0.0)
        print(f"{phrase}: {'right' if first else 'wrong'} scene first, IoU {overlaps[-1]:.2f}")
    good = sum(overlap >= GOOD_IOU for overlap in overlaps)
    print(f"right scene first {right} of {len(rarest)}; IoU >= {GOOD_IOU} {good} of {len(rarest)}")


def _overlap(hit: Hit, scene: Scene, colour: str, category: str) -> float:
    """IoU of the grounded mask with the best fitting thing that the phrase may mean."""
    if hit.region is None:
        return 0.0
    mask = decode_rle(hit.region.mask)
    truths = [scene.ids == t.id for t in scene.things if (t.colour, t.category) == (colour, category)]
    return max(float((mask & truth).sum() / (mask | truth).sum()) for truth in truths)


if __name__ == "__main__":
    main()
