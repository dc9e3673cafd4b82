"""How well models learn photographs: eight of them by heart, others by an 80/20 split; what a size costs.

    python benchmarks/photographs.py eight --photographs coco100 --out DIR
    python benchmarks/photographs.py starts --photographs coco100 --out DIR --start picturebook --start DIR2
    python benchmarks/photographs.py sizes --photographs coco100 --out DIR
    python benchmarks/photographs.py reading --photographs coco100 --out DIR

`--photographs` is a folder with images of COCO in COCO's own layout: `annotations/panoptic_train2017.json`,
`panoptic_train2017/`, `train2017/`.

eight: the first eight images, learned without jitter and evaluated on themselves at the model's own size.
starts: four fifths of the images learned, the rest evaluated, by the 30 most frequent classes; each start on
the same splits, for the same CPU time (user and system), measured on its first steps. Prints the mean
panoptic quality and its standard deviation over the splits.
sizes: CPU time and the most memory of a step, by the short side.
reading: CPU time in which training reads a photograph with its panoptic map, by its size.

All go on where they were stopped, by the same command.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from xdecoder.training.datasets.custom import Custom

CLASSES = 30
PROBE_STEPS = 6
READ = 8
"""Images that `reading` reads."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["eight", "starts", "sizes", "reading"])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", action="append", help="a model's name or folder; several to compare")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=20.0, help="of CPU time, each run")
    parser.add_argument("--steps", type=int, default=600, help="of `eight`")
    parser.add_argument("--sides", type=int, nargs="+", default=[160, 240, 320], help="of `sizes`")
    parser.add_argument("--set", action="append", default=[], help="further settings of every run")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    starts = arguments.start or ["picturebook-lite"]
    match arguments.what:
        case "eight":
            eight(arguments.photographs, arguments.out, starts[0], arguments.steps, arguments.set)
        case "starts":
            compare(arguments, starts)
        case "sizes":
            sizes(arguments.photographs, arguments.out, starts[0], arguments.sides, arguments.set)
        case "reading":
            reading(arguments.photographs, arguments.out, starts[0])


# --- eight ------------------------------------------------------------------------------------------------


def eight(photographs: Path, out: Path, start: str, steps: int, settings: Sequence[str]) -> None:
    """Learn eight images by heart."""
    file = read_annotations(photographs)
    rows = file["annotations"][:8]
    data = out / "eight"
    if not data.is_dir():
        used = {s["category_id"] for row in rows for s in row["segments_info"]}
        for split in ("train", "val"):
            write_split(photographs, data, split, file, rows, used)
    own = ["segments.scale=[1,1]", "segments.flip=0", "segments.images=4", "segments.names=0"]
    run = out / f"eight-{steps}"
    train(data, run, start, [*own, f"steps={steps}", "run.patience=0", *settings])
    for step, scores in read_lines(run / "scores.jsonl", "step").items():
        print(f"step {step}: PQ {100 * scores['custom-panoptic/panoptic/PQ']:.1f}")
    print(f"{cpu_minutes(run):.1f} CPU-minutes")


# --- starts -----------------------------------------------------------------------------------------------


def compare(arguments: argparse.Namespace, starts: Sequence[str]) -> None:
    """Learn splits from several starts; print as they come."""
    found: dict[str, list[float]] = {start: [] for start in starts}
    for number in range(arguments.splits):
        data = arguments.out / f"split-{number}"
        if not data.is_dir():
            write_frequent(arguments.photographs, data, number)
        for start in starts:
            name = Path(start).name
            probe = arguments.out / f"probe-{name}-{number}"
            train(data, probe, start, [f"steps={PROBE_STEPS}", "validation=0", *arguments.set])
            spent = [row["cpu_seconds"] for row in read_lines(probe / "metrics.jsonl", "step").values()]
            steps = round(60 * arguments.minutes / statistics.median(spent))
            run = arguments.out / f"{name}-{number}-{arguments.minutes:g}min"
            validate = f"run.validate_every={steps}"
            own = [f"steps={steps}", "run.patience=0", validate, f"run.save_every={max(1, steps // 20)}"]
            train(data, run, start, [*own, *arguments.set])
            scores = list(read_lines(run / "scores.jsonl", "step").values())
            found[start].append(100 * scores[-1]["custom-panoptic/panoptic/PQ"])
            print(
                f"split {number}, {start}: PQ {found[start][-1]:.1f} after {steps} steps, "
                f"{cpu_minutes(run):.1f} CPU-minutes",
                flush=True,
            )
    for start, values in found.items():
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{start}: PQ {statistics.mean(values):.1f} ± {spread:.1f} over {len(values)} splits")


def write_frequent(photographs: Path, data: Path, seed: int) -> None:
    """An 80/20 split whose segments are those of the most frequent classes; all else is unlabeled."""
    file = read_annotations(photographs)
    counts = Counter(
        category
        for row in file["annotations"]
        for category in {s["category_id"] for s in row["segments_info"]}
    )
    kept = {category for category, _ in counts.most_common(CLASSES)}
    rows = file["annotations"]
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    cut = round(0.8 * len(rows))
    for split, places in (("train", order[:cut]), ("val", order[cut:])):
        write_split(photographs, data, split, file, [rows[place] for place in places], kept)


# --- sizes ------------------------------------------------------------------------------------------------


def sizes(photographs: Path, out: Path, start: str, sides: Sequence[int], settings: Sequence[str]) -> None:
    """Time and memory by the short side."""
    data = out / "split-0"
    if not data.is_dir():
        write_frequent(photographs, data, 0)
    for side in sides:
        run = out / f"size-{side}"
        own = [f"short_side={side}", f"steps={PROBE_STEPS}", "validation=0", "run.accumulate=1"]
        train(data, run, start, [*own, *settings])
        rows = list(read_lines(run / "metrics.jsonl", "step").values())
        spent = statistics.median(row["cpu_seconds"] for row in rows)
        print(
            f"short side {side}: {spent:.1f} CPU-seconds a step of 8 images, {rows[-1]['memory_gib']:.1f} GiB"
        )


# --- reading ----------------------------------------------------------------------------------------------


def reading(photographs: Path, out: Path, start: str) -> None:
    """Time of reading a photograph, enlarged by whole factors."""
    file = read_annotations(photographs)
    rows = file["annotations"][:READ]
    used = {s["category_id"] for row in rows for s in row["segments_info"]}
    for factor in (1, 4, 8):
        data = out / f"times-{factor}"
        if not data.is_dir():
            write_split(photographs, data, "train", file, rows, used)
            enlarge(data, factor)
        recipe = Custom(data=data, start=Path(start)).adapted()
        batches, share = recipe.open().batches, recipe.part.images
        began = time.process_time()
        for place in range(READ):
            batches.batch(0, place % share, share)
        spent = (time.process_time() - began) / READ
        print(f"{factor} times as large as COCO's: {spent:.3f} CPU-seconds an image")


def enlarge(data: Path, factor: int) -> None:
    """Enlarge the images of a training split, and their maps."""
    path = data / "annotations/panoptic_train.json"
    file = json.loads(path.read_text())
    for image in file["images"]:
        image["width"], image["height"] = size = (image["width"] * factor, image["height"] * factor)
        picture = data / "images/train" / image["file_name"]
        stored = data / "panoptic_train" / Path(image["file_name"]).with_suffix(".png")
        photograph, ids = Image.open(picture).convert("RGB").resize(size), Image.open(stored)
        picture.unlink()  # a link to the original
        photograph.save(picture, quality=90)
        ids.resize(size, Image.Resampling.NEAREST).save(stored)
    path.write_text(json.dumps(file))


# --- what all need ----------------------------------------------------------------------------------------


def train(data: Path, run: Path, start: str, settings: Sequence[str]) -> None:
    """Run, or go on with, `xdecoder train custom`, in a process of its own."""
    log_every = [] if any(s.startswith("run.log_every") for s in settings) else ["run.log_every=1"]
    given = [word for s in (*settings, *log_every, "run.workers=0") for word in ("--set", s)]
    command = [sys.executable, "-m", "xdecoder", "train", "custom", "--data", str(data), "--from", start]
    done = subprocess.run([*command, "--out", str(run), *given], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def cpu_minutes(run: Path) -> float:
    """Processor time that a run's steps took."""
    return sum(row["cpu_seconds"] for row in read_lines(run / "metrics.jsonl", "step").values()) / 60


def read_lines(path: Path, key: str) -> dict[int, Row]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {row[key]: row for row in rows}


def read_annotations(photographs: Path) -> Row:
    return json.loads((photographs / "annotations/panoptic_train2017.json").read_text())


def write_split(
    photographs: Path, data: Path, split: str, file: Row, rows: Sequence[Row], classes: set[int]
) -> None:
    """Write some images as a split of one's own panoptic data; segments of other classes are void."""
    maps = data / f"panoptic_{split}"
    for folder in (data / "images" / split, maps, data / "annotations"):
        folder.mkdir(parents=True, exist_ok=True)
    images = {image["id"]: image for image in file["images"]}
    written: list[Row] = []
    for row in rows:
        name = images[row["image_id"]]["file_name"]
        target = data / "images" / split / name
        if not target.exists():
            target.symlink_to((photographs / "train2017" / name).resolve())
        kept = [s for s in row["segments_info"] if s["category_id"] in classes]
        stored = np.array(Image.open(photographs / "panoptic_train2017" / row["file_name"]).convert("RGB"))
        ids = stored[..., 0] + 256 * stored[..., 1].astype(int) + 65536 * stored[..., 2].astype(int)
        stored[~np.isin(ids, [s["id"] for s in kept])] = 0
        Image.fromarray(stored).save(maps / row["file_name"])
        written.append({**row, "segments_info": kept})
    categories = [c for c in file["categories"] if c["id"] in classes]
    content = {"images": [images[r["image_id"]] for r in rows], "annotations": written}
    path = data / "annotations" / f"panoptic_{split}.json"
    path.write_text(json.dumps({**content, "categories": categories}))


if __name__ == "__main__":
    main()
    print(f"in all {resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime / 60:.1f} CPU-minutes in this call")
