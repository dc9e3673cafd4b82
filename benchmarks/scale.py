"""Drawn scenes labeled by one process, by shards, under torchrun and on a Ray cluster: the same rows?

    OMP_NUM_THREADS=1 python benchmarks/scale.py --scenes 2000
    python benchmarks/scale.py --sizes data/coco/panoptic_train2017

Prints the seconds by the clock and of CPU time that each way takes, the share of one process's speed that
each of two keeps, and whether all ways gave the same rows, byte by byte. Beside other work the clock says
little; CPU time then says what sharing out costs. `--sizes` prints what an image takes of memory and of
storage, its masks being those of a folder of COCO's panoptic PNGs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from xdecoder import load
from xdecoder.bulk import Destination, find_source, read_status
from xdecoder.bulk.cluster import label_on_cluster
from xdecoder.bulk.config import LabelingConfig
from xdecoder.bulk.destination import parquet_bytes
from xdecoder.bulk.joining import StoredRow, joined_labels
from xdecoder.bulk.sources import SourceImage
from xdecoder.images import read_stored
from xdecoder.jobs.cluster import Actors
from xdecoder.picturebook.export import export
from xdecoder.predictor.model_source import ModelSource
from xdecoder.structures import encode_rle

VERBS = ("segment", "caption", "embed")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a way of labeling took.

    Attributes:
        name: of the way.
        clock: seconds by the clock.
        cpu: seconds of CPU time of all its processes; None where they are not this one's children.
        labeling: seconds by the clock that the slowest process labeled for; None where it does not say.
        digest: of its rows.
        rows: how many.
    """

    name: str
    clock: float
    cpu: float | None
    labeling: float | None
    digest: str
    rows: int


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scenes", type=int, default=2000)
    parser.add_argument("--weights", default="picturebook", help="the model")
    parser.add_argument("--without", default="", help="ways to leave out, with commas: torchrun, ray")
    parser.add_argument("--sizes", type=Path, metavar="PNGS", help="measure sizes instead")
    arguments = parser.parse_args()
    if arguments.sizes is not None:
        tell_sizes(arguments.sizes)
        return
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        export(base / "scenes", count=arguments.scenes, split="val", size=160)
        images = base / "scenes" / "images" / "val"
        ways: dict[str, Callable[[Path], list[float]]] = {
            "1 process": lambda to: run([command(images, to, arguments.weights)]),
            "2 processes": lambda to: run(shards(images, to, arguments.weights, 2)),
            "4 shards": lambda to: run(shards(images, to, arguments.weights, 4), together=2),
            "torchrun": lambda to: run([torchrun(images, to, arguments.weights)]),
            "ray": lambda to: on_cluster(images, to, arguments.weights),
        }
        left_out = set(arguments.without.split(","))
        measured = [measure(name, base, way) for name, way in ways.items() if name not in left_out]
        before = children_seconds()
        run([command(images, base / "1-process", arguments.weights)])
        idle = children_seconds() - before
    tell(measured, arguments.scenes, idle)


def command(images: Path, to: Path, weights: str) -> list[str]:
    """One process that labels all."""
    return [sys.executable, "-m", "xdecoder", "label", str(images), "--to", str(to), "-w", weights]


def shards(images: Path, to: Path, weights: str, count: int) -> list[list[str]]:
    """One process for each part."""
    return [[*command(images, to, weights), "--shard", f"{i}/{count}"] for i in range(count)]


def torchrun(images: Path, to: Path, weights: str) -> list[str]:
    """Two processes that torchrun starts."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return [sys.executable, *launcher, *command(images, to, weights)[1:]]


def run(commands: list[list[str]], together: int = 2) -> list[float]:
    """Run commands, so many at a time; the seconds that each labeled for, its start left out."""
    seconds: list[float] = []
    for start in range(0, len(commands), together):
        running = [
            subprocess.Popen(
                words, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
            for words in commands[start : start + together]
        ]
        for process in running:
            _, told = process.communicate()
            if process.returncode:
                raise RuntimeError(told)
            seconds += map(float, re.findall(r"images labeled in ([\d.]+) s", " ".join(told.split())))
    return seconds


def on_cluster(images: Path, to: Path, weights: str) -> list[float]:
    """Two nodes of one core each on this machine, the second of which is killed after a quarter."""
    settings = {"raylet_start_wait_time_s": 600, "worker_niceness": 0, "USAGE_STATS_ENABLED": 0}
    os.environ.update({f"RAY_{name}": str(value) for name, value in settings.items()})
    import ray
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    second = [cluster.add_node(**size)]
    cluster.connect()

    def kill(done: int, total: int) -> None:
        if second and done >= total / 4:
            cluster.remove_node(second.pop(), allow_graceful=False)

    predictor = load(weights, batch_size=1)
    try:
        label_on_cluster(
            find_source(str(images)),
            ModelSource.of(weights, predictor),
            Destination.create(str(to), LabelingConfig.of(predictor, VERBS, weights=weights)),
            actors=Actors(least=2, most=2),
            together=16,
            progress=kill,
        )
    finally:
        ray.shutdown()
        cluster.shutdown()
    return []


def measure(name: str, base: Path, way: Callable[[Path], list[float]]) -> Measured:
    """Label in one way, and look at the rows."""
    to = base / name.replace(" ", "-")
    before, start = children_seconds(), time.perf_counter()
    labeling = way(to)
    clock, cpu = time.perf_counter() - start, children_seconds() - before
    destination = Destination.open(str(to))
    assert not read_status(destination).failures
    table = pa.concat_tables(joined_labels(destination).batches(destination.schema.names))
    rows = sorted(table.to_pylist(), key=lambda row: row["path"])
    print(f"{name}: {clock:.1f} s by the clock, {cpu:.1f} s of CPU time", flush=True)
    return Measured(
        name=name,
        clock=clock,
        cpu=None if name == "ray" else cpu,
        labeling=max(labeling, default=None),
        digest=hashlib.sha256(repr(rows).encode()).hexdigest(),
        rows=len(rows),
    )


def children_seconds() -> float:
    """CPU time of the children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tell_sizes(pngs: Path, images: int = 100_000, width: int = 512) -> None:
    """Bytes an image: of memory while it is listed, known and joined; of storage as a row."""
    held: dict[str, Callable[[], object]] = {
        "listed": lambda: [listed(i) for i in range(images)],
        "known to have a row": lambda: {f"{i:032x}" for i in range(images)},
        "joined": lambda: {
            listed(i).path: StoredRow(key=f"{i:032x}", failed=False, part=pngs.name) for i in range(images)
        },
    }
    for name, make in held.items():
        tracemalloc.start()
        kept = make()
        print(f"{name}: {tracemalloc.get_traced_memory()[0] / images:.0f} bytes of memory an image")
        tracemalloc.stop()
        del kept
    masks: list[list[str]] = []
    for path in sorted(pngs.glob("*.png")):
        colors = read_stored(path, palette="colors").astype(np.int64)
        ids = colors @ (1, 256, 65536)
        masks.append([encode_rle(ids == i)["counts"] for i in np.unique(ids) if i])
    vectors = np.random.default_rng(0).standard_normal((len(masks), 2 * width)).astype(np.float16)
    table = pa.table(
        {
            "masks": pa.array(masks, pa.list_(pa.string())),
            "embeddings": pa.array(list(vectors), pa.list_(pa.float16(), 2 * width)),
        }
    )
    for column in table.column_names:
        size = len(parquet_bytes(table.select([column]))) / len(masks)
        print(f"{column}: {size:.0f} bytes an image in Parquet, of {len(masks)} images")


def listed(number: int) -> SourceImage:
    """An image in a bucket."""
    path = f"s3://bucket/photos/{number // 1000:06d}/{number:012d}.jpg"
    return SourceImage(path=path, size=150_000 + number, version=str((1 << 60) + number), file=path)


def tell(measured: list[Measured], scenes: int, idle: float) -> None:
    """The table; `idle` is the CPU time of a process that finds nothing to do."""
    one = measured[0]
    print(f"{'':14s} {'rows':>6s} {'clock s':>8s} {'CPU s':>8s} {'CPU ms/image':>13s}  rows as one process")
    for way in measured:
        cpu = "-" if way.cpu is None else f"{way.cpu:.1f}"
        each = "-" if way.cpu is None else f"{1000 * way.cpu / scenes:.0f}"
        same = "yes" if (way.digest, way.rows) == (one.digest, scenes) else "NO"
        print(f"{way.name:14s} {way.rows:6d} {way.clock:8.1f} {cpu:>8s} {each:>13s}  {same}")
    two = next(way for way in measured if way.name == "2 processes")
    if one.labeling and two.labeling and one.cpu and two.cpu:
        print(f"2 processes on 2 cores: efficiency {one.labeling / (2 * two.labeling):.2f} by the clock,")
        print(
            f"    {(one.cpu - idle) / (two.cpu - 2 * idle):.2f} by CPU time, starts of {idle:.1f} s left out"
        )


if __name__ == "__main__":
    main()
