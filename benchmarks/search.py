"""Recall and time of the approximate index, on clustered synthetic vectors: `python benchmarks/search.py`."""

from __future__ import annotations

import argparse
import tempfile
import time

import numpy as np
import pyarrow as pa
from jaxtyping import Float32

from xdecoder.search.config import IndexConfig
from xdecoder.search.rows import VECTOR, region_schema
from xdecoder.search.tables import Tables
from xdecoder.vocabularies import Vocabulary

K = 10
QUERIES = 200
_CHUNK = 50_000
_PER_CLUSTER = 100
_SPREAD = 0.7  # of a cluster, in the distance of clusters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=128, help="numbers in a vector")
    arguments = parser.parse_args()
    count, width = arguments.vectors, arguments.width
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((max(1, count // _PER_CLUSTER), width), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        config = IndexConfig(
            weights="none",
            model="none",
            width=width,
            vocabulary=Vocabulary(classes=("thing",), things=frozenset({0})),
            short_side=None,
        )
        tables = Tables.create(folder, config)
        schema = region_schema(config)
        chunks = (
            _rows(start, min(_CHUNK, count - start), centers, schema, rng)
            for start in range(0, count, _CHUNK)
        )
        tables.raw("regions").add(pa.RecordBatchReader.from_batches(schema, chunks))
        begin = time.perf_counter()
        tables.optimize()
        print(f"{count:,} vectors of {width}: index built in {time.perf_counter() - begin:.0f} s")
        queries = _vectors(QUERIES, centers, rng)
        exact, slow = _search(tables, queries[:50], exact=True)
        near, fast = _search(tables, queries, exact=False)
        shared = sum(len(a & b) for a, b in zip(exact, near, strict=False))
        print(f"recall@{K} {shared / (K * len(exact)):.3f}")
        for name, seconds in (("approximate", fast), ("exact", slow)):
            half, most = np.percentile(seconds, [50, 95], axis=0) * 1000
            print(
                f"{name}: p50 {half[0]:.1f} ms, p95 {most[0]:.1f} ms; of CPU {half[1]:.1f}, {most[1]:.1f} ms"
            )


def _vectors(
    count: int, centers: Float32[np.ndarray, "C P"], rng: np.random.Generator
) -> Float32[np.ndarray, "N P"]:
    noise = rng.standard_normal((count, centers.shape[1]), np.float32)
    vectors = centers[rng.integers(len(centers), size=count)] + np.float32(_SPREAD) * noise
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _rows(
    start: int,
    count: int,
    centers: Float32[np.ndarray, "C P"],
    schema: pa.Schema,
    rng: np.random.Generator,
) -> pa.RecordBatch:
    columns: list[pa.Array] = []
    for field in schema:
        if field.name == VECTOR:
            flat = pa.array(_vectors(count, centers, rng).ravel())
            columns.append(pa.FixedSizeListArray.from_arrays(flat, field.type.list_size))
        elif field.type == pa.string():
            columns.append(
                pa.array([f"/photos/{i // 8:07d}.jpg#{i % 8}" for i in range(start, start + count)])
            )
        else:
            columns.append(pa.array(rng.uniform(0, 1000, count).astype(int)).cast(field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _search(
    tables: Tables, queries: Float32[np.ndarray, "N P"], *, exact: bool
) -> tuple[list[set[str]], list[tuple[float, float]]]:
    """The ids found for each query, and its seconds: by the clock, and of all threads' CPU time."""
    found: list[set[str]] = []
    seconds: list[tuple[float, float]] = []
    for query in queries:
        begin, cpu = time.perf_counter(), time.process_time()
        hits = tables.nearest("regions", query, k=K, exact=exact)
        seconds.append((time.perf_counter() - begin, time.process_time() - cpu))
        found.append({hit.path for hit in hits})
    return found, seconds


if __name__ == "__main__":
    main()
