"""Commands that are killed, run out of room, or meet bad files: what they leave, and what the next run makes.

    python benchmarks/faults.py                         # everything
    python benchmarks/faults.py --kills 20 --only train # one command, killed more often

Kills: each command is killed (SIGKILL) at random moments and run again in the same folder; when it comes to
its end, what it has made is compared with what one unbroken run makes, byte by byte (an index row by row: its
files have random names), and the next folder is begun, until it was killed so often. Full disk: no file may
grow over 8 KB (`ulimit -f`); the command has to fail with a plain message and leave nothing half-written, and
the next run, without the limit, makes the same as ever. Memory: the peak over 300 images and over 30.
Bad files: a folder of 5,000 of which 50 cannot be read.

Prints a line for each and ends with exit code 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from xdecoder.picturebook import draw_scene
from xdecoder.search.tables import Tables

MODEL = ["-w", "picturebook", "--device", "cpu"]
SMALL = [*MODEL, "--short-side", "64"]
TRAINING = [
    "text_steps=1",
    "patch_steps=1",
    "steps=8",
    "images=2",
    "patches=2",
    "validation=2",
    "run.workers=0",
]
FILE_BLOCKS = 16  # of 512 bytes


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command that writes to a folder and can be run again there.

    Attributes:
        words: of its command line, but for the folder, which comes last.
        result: a digest of what it made in the folder.
    """

    words: Sequence[str]
    result: Callable[[Path], str]


def commands(pictures: Path) -> dict[str, Command]:
    settings = [w for s in [*TRAINING, "run.save_every=2", "run.log_every=1"] for w in ("--set", s)]
    return {
        "segment": Command(
            words=["segment", str(pictures), *SMALL, "--skip-existing", "--out"], result=_files
        ),
        "index": Command(words=["index", str(pictures), *SMALL, "--to"], result=_rows),
        "evaluate": Command(
            words=["evaluate", "picturebook-val", *MODEL, "--limit", "40", "--out"], result=_scores
        ),
        "train": Command(
            words=["train", "picturebook", "--device", "cpu", *settings, "--out"], result=_trained
        ),
        "export": Command(words=["picturebook", "export", "--n", "200", "--out"], result=_files),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=60, help="that segment and index work on")
    parser.add_argument("--files", type=int, default=5000, help="in the folder with bad ones")
    names = [*commands(Path()), "memory", "bad-files"]
    parser.add_argument("--only", nargs="*", choices=names, default=names)
    arguments = parser.parse_args()
    held = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = _draw(folder / "pictures", arguments.images)
        for name, command in commands(pictures).items():
            if name in arguments.only:
                place = folder / name
                place.mkdir()
                held &= _killed(name, command, place, arguments.kills, random.Random(arguments.seed))
                held &= _full(name, command, place)
                shutil.rmtree(place)
        if "memory" in arguments.only:
            held &= _flat_memory(folder)
        if "bad-files" in arguments.only:
            held &= _bad_files(folder, arguments.files)
    sys.exit(0 if held else 1)


def _killed(name: str, command: Command, place: Path, kills: int, moments: random.Random) -> bool:
    began = time.monotonic()
    _run(command, place / "whole")
    seconds = time.monotonic() - began
    whole = command.result(place / "whole")
    killed, ended, equal = 0, 0, 0
    while killed < kills or not ended:
        folder = place / f"killed-{ended}"
        process = _start(command, folder)
        try:
            process.communicate(timeout=moments.uniform(0, seconds) if killed < kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
            continue
        if process.returncode == 0:
            equal += command.result(folder) == whole
        ended += 1
    print(f"{name}: {killed} kills; {equal} of {ended} folders equal to an unbroken run's", flush=True)
    return equal == ended


def _full(name: str, command: Command, place: Path) -> bool:
    process = _start(command, place / "full", full=True)
    _, errors = process.communicate()
    told = process.returncode in (1, 2) and "Traceback" not in errors and "error:" in errors
    drafts = sum(p.name.startswith(".") for p in (place / "full").rglob("*"))
    _run(command, place / "full")
    equal = command.result(place / "full") == command.result(place / "whole")
    last = errors.strip().splitlines()[-1:] or ["nothing said"]
    print(f"{name}: full disk, exit code {process.returncode}, {drafts} half-written files: {last[0]}")
    print(f"{name}: with room again {'equal' if equal else 'UNEQUAL'} to an unbroken run's", flush=True)
    return told and equal and not drafts


def _flat_memory(folder: Path) -> bool:
    peaks = []
    for count in (30, 300):
        pictures = _draw(folder / f"memory-{count}", count)
        process = _start(
            Command(words=["segment", str(pictures), *SMALL, "--out"], result=_files), folder / "m"
        )
        _, status, usage = os.wait4(process.pid, 0)
        peaks.append(usage.ru_maxrss / 1024 if status == 0 else float("inf"))
        shutil.rmtree(folder / "m")
    flat = peaks[1] < 1.05 * peaks[0]
    print(f"memory: 30 images {peaks[0]:.0f} MB, 300 images {peaks[1]:.0f} MB: {'flat' if flat else 'GROWS'}")
    return flat


def _bad_files(folder: Path, count: int) -> bool:
    """Embed a folder in which every hundredth file is none that can be read."""
    good = [p.read_bytes() for p in sorted(_draw(folder / "good", 20).iterdir())]
    bad = [b"", b"no image", good[0][:200], b"%!PS\nquit", good[0][:60] + bytes(200)]
    pictures = folder / "many"
    pictures.mkdir()
    for i in range(count):
        spoiled = i % 100 == 50
        (pictures / f"{i}.png").write_bytes(bad[i // 100 % len(bad)] if spoiled else good[i % len(good)])
    words = ["embed", str(pictures), "--json", *MODEL, "--short-side", "32", "--batch-size", "8"]
    done = subprocess.run(_line(words), check=False, capture_output=True, text=True)
    rows = [row for row in map(json.loads, done.stdout.splitlines()) if "error" not in row]
    named = [line for line in done.stderr.splitlines() if "error:" in line]
    expected = sum(i % 100 == 50 for i in range(count))
    held = (done.returncode, len(rows), len(named)) == (1, count - expected, expected)
    print(
        f"bad files: {len(rows)} of {count} embedded, {len(named)} of {expected} bad ones named, "
        f"exit code {done.returncode}: {'as it should be' if held else 'WRONG'}"
    )
    return held


def _draw(folder: Path, count: int) -> Path:
    folder.mkdir()
    for seed in range(count):
        Image.fromarray(draw_scene(seed, split="val", size=64).image).save(folder / f"{seed:04}.png")
    return folder


def _line(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "xdecoder", *words]


def _start(command: Command, out: Path, *, full: bool = False) -> subprocess.Popen[str]:
    line = _line([*command.words, str(out)])
    if full:
        line = ["sh", "-c", f'ulimit -f {FILE_BLOCKS}; exec "$@"', "sh", *line]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _run(command: Command, out: Path) -> None:
    process = _start(command, out)
    _, errors = process.communicate()
    if process.returncode:
        sys.exit(f"{' '.join(command.words)} {out} ended with exit code {process.returncode}:\n{errors}")


def _digest(parts: Sequence[bytes]) -> str:
    return hashlib.sha256(b"\0".join(hashlib.sha256(p).digest() for p in parts)).hexdigest()


def _files(folder: Path) -> str:
    """Every file, hidden ones too, by name and bytes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return _digest([part for p in files for part in (bytes(p.relative_to(folder)), p.read_bytes())])


def _rows(folder: Path) -> str:
    """Every row of an index, order aside."""
    tables = Tables.open(folder)
    rows = [repr(row) for table in ("images", "regions") for row in tables.raw(table).to_arrow().to_pylist()]
    return _digest([row.encode() for row in sorted(rows)])


def _scores(folder: Path) -> str:
    """The scored scenes and their figures; the reports also tell times."""
    return _digest([p.read_bytes() for p in sorted(folder.rglob("scenes.jsonl"))])


def _trained(folder: Path) -> str:
    """The exported model; the logs also tell times."""
    return _files(folder / "model")


if __name__ == "__main__":
    main()
