"""Annotation files spoilt at random: every command says what is wrong with which file, and none dies.

`python tests/test_data_campaign.py 400 20` runs as many as you like, each through `datasets check`, one in
twenty through `evaluate` too.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from spoiling import spoil
from xdecoder.cli.app import app
from xdecoder.structures import encode_rle

H, W = 12, 16


def sound(kind: str) -> dict[str, Any]:
    """A file that nothing is wrong with."""
    images = [{"id": i, "file_name": f"{i}.png", "height": H, "width": W} for i in (1, 2)]
    categories = [{"id": 1, "name": "nut", "isthing": 1}, {"id": 2, "name": "mist", "isthing": 0}]
    if kind == "captions":
        return {
            "images": images,
            "annotations": [{"id": i, "image_id": i, "caption": "a nut"} for i in (1, 2)],
        }
    if kind == "panoptic":
        segments = [
            {"id": i, "category_id": i, "iscrowd": 0, "area": 96, "bbox": [0, 0, 8, 12]} for i in (1, 2)
        ]
        rows = [{"image_id": i, "file_name": f"{i}.png", "segments_info": segments} for i in (1, 2)]
        return {"images": images, "annotations": deepcopy(rows), "categories": categories}
    rle = dict(encode_rle(np.arange(H * W).reshape(H, W) % 7 == 0))
    masks: list[Any] = [[[2.0, 2, 8, 2, 8, 8, 2, 8]], {"size": [H, W], "counts": [20, 30, H * W - 50]}, rle]
    return {
        "images": images,
        "annotations": [
            {"id": i + 1, "image_id": 1 + i % 2, "category_id": 1 + i % 2, "iscrowd": 0, "bbox": [2, 2, 6, 6],
             "area": 36, "segmentation": mask}
            for i, mask in enumerate(masks)
        ],
        "categories": categories,
    }  # fmt: skip


def write(root: Path, kind: str, data: Any, draw: random.Random) -> Path:
    """The data set's files; now and then their bytes are spoilt too."""
    for folder in ("images/val", "panoptic_val", "annotations"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    ids = np.repeat(np.array([1, 2], np.uint8), 8)[None].repeat(H, 0)
    for number in (1, 2):
        Image.fromarray(np.full((H, W, 3), 90, np.uint8)).save(root / f"images/val/{number}.png")
        Image.fromarray(np.stack([ids, 0 * ids, 0 * ids], -1)).save(root / f"panoptic_val/{number}.png")
    content = json.dumps(data).encode()
    if draw.random() < 0.1:
        content = content[: draw.randrange(len(content) + 1)]
    if draw.random() < 0.05:
        content = content.replace(b"nut", b"caf\xe9")
    path = root / f"annotations/{kind}_val.json"
    path.write_bytes(content)
    return path


def run(arguments: list[str], file: Path, root: Path) -> str:
    """What came of a command: "right", "told" or what is wrong with how it ended."""
    result = CliRunner().invoke(app, arguments)
    ended = result.exception is None or isinstance(result.exception, SystemExit)
    if not ended or "Traceback" in result.output or "unexpected" in result.output:
        return f"died: {result.exception!r}"
    if result.exit_code == 0:
        return "right"
    lines = [
        line for line in result.output.splitlines() if line.startswith(("    problem: ", "    left out "))
    ]
    lines = [line for line in lines if "... and " not in line] or [result.output.replace("\n", "")]
    vague = [line for line in lines if str(root) not in line]
    return f"names no file: {vague[0][-300:]}" if vague else "told"


def campaign(count: int, seed: int, folder: Path, *, every: int = 0) -> Counter[str]:
    """Spoil `count` files; one in `every` goes through `evaluate` too. Counts of what came of them."""
    draw = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(count):
        kind = draw.choice(["instances", "instances", "panoptic"])
        root = folder / str(number)
        file = write(root, kind, spoil(sound(kind), draw), draw)
        sheet = ["--picture", str(root / "sheet.png")]
        commands = {
            "check": ["datasets", "check", f"custom-{kind}", "--data", str(root), "--samples", "all", *sheet]
        }
        if every and number % every == 0:
            task = {"instances": "instance"}.get(kind, kind)
            out = ["--data", str(root), "--out", str(root / "out")]
            commands["evaluate"] = ["evaluate", f"custom-{task}", *out, "--short-side", "32"]
        for name, arguments in commands.items():
            came = run(arguments, file, root)
            counts[f"{name}: {came.split(':')[0]}"] += 1
            if came not in ("right", "told"):
                print(f"{root} {name} {came}", flush=True)
    return counts


@pytest.mark.parametrize("seed", range(4))
def test_no_spoilt_file_ends_a_command_otherwise_than_told(seed: int, tmp_path: Path):
    counts = campaign(12, seed, tmp_path)
    assert set(counts) <= {"check: right", "check: told"}, counts
    assert counts.total() == 12


def results_of(kind: str) -> Any:
    """Results that nothing is wrong with."""
    rows = sound(kind)["annotations"]
    if kind == "panoptic":
        return sound(kind)
    names = {
        "captions": ("image_id", "caption"),
        "instances": ("image_id", "category_id", "segmentation", "bbox"),
    }
    return [{**{name: row[name] for name in names[kind]}, "score": 0.5} for row in rows]


def score_campaign(count: int, seed: int, folder: Path) -> Counter[str]:
    """Score results against a truth, one of them spoilt. Counts of what came of it."""
    draw = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(count):
        kind = draw.choice(["instances", "panoptic", "captions"])
        root = folder / str(number)
        spoilt = draw.choice(["truth", "results"])
        truth = write(root, kind, spoil(sound(kind), draw) if spoilt == "truth" else sound(kind), draw)
        results = root / "results.json"
        good = results_of(kind)
        results.write_text(json.dumps(spoil(good, draw) if spoilt == "results" else good))
        task = {"instances": "instance", "captions": "caption"}.get(kind, kind)
        maps = ["--maps", str(root / "panoptic_val"), "--truth-maps", str(root / "panoptic_val")]
        came = run(["score", task, str(results), "--truth", str(truth), *maps], truth, root)
        counts[came.split(":")[0]] += 1
        if came not in ("right", "told"):
            print(f"{root} score {task} {spoilt} {came}", flush=True)
    return counts


@pytest.mark.parametrize("seed", range(2))
def test_no_spoilt_file_ends_a_scoring_otherwise_than_told(seed: int, tmp_path: Path):
    counts = score_campaign(20, seed, tmp_path)
    assert set(counts) <= {"right", "told"}, counts
    assert counts.total() == 20


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(dict(campaign(int(sys.argv[1]), 2026, Path(scratch), every=int([*sys.argv, "0"][2]))))
        print(dict(score_campaign(int(sys.argv[1]), 2026, Path(scratch) / "score")))
