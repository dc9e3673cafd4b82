"""An index at size: overlapping writers, one that optimizes, images alone, how it lies in storage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from bulk_fixtures import IMAGES, WORDS, Bulk
from xdecoder.cli.app import app
from xdecoder.search import Example, Index
from xdecoder.search.folder import Fingerprint
from xdecoder.search.rows import IndexedImage, image_rows, image_schema
from xdecoder.search.stats import read_stats
from xdecoder.search.tables import Tables

KEYS = 60
WRITER = """
import random, sys, time
import lancedb
from pyarrow import parquet
place, file, first = sys.argv[1:]
table = lancedb.connect(place).open_table("images")
rows = parquet.read_table(file).slice(int(first), 30)
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, 30, 6):
    for _ in range(50):
        try:
            merge = table.merge_insert("path").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(rows.slice(start, 6))
            break
        except Exception as error:
            if "conflict" not in str(error).lower():
                raise
            table.checkout_latest()
            time.sleep(random.uniform(0, 0.1))
    else:
        sys.exit("gave up")
"""


def test_four_processes_that_write_overlapping_images_leave_each_once(bulk: Bulk, tmp_path: Path) -> None:
    """The tables' primary keys see to it: without them, merges of the same new key both insert it."""
    index = Index.create(tmp_path / "index", bulk.predictor, vocabulary=WORDS)
    schema = image_schema(index.config)
    vector = np.eye(1, 2 * index.config.width, dtype=np.float32)[0]
    images = [
        IndexedImage(
            path=f"/photos/{i}.jpg",
            fingerprint=Fingerprint(size=i, time=0, digest=""),
            size=(2, 3),
            vector=vector,
            regions=(),
        )
        for i in range(KEYS)
    ]
    parquet.write_table(image_rows(images, schema), tmp_path / "rows.parquet")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path / "index", tmp_path / "rows.parquet", str(first)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in (0, 10, 20, 30)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        writer.communicate("go\n", timeout=300)
        assert writer.returncode == 0
    paths = Tables.open(tmp_path / "index").raw("images").to_arrow()["path"].to_pylist()
    assert sorted(paths) == sorted(image.path for image in images)


def test_a_process_gives_its_optimizing_up_where_another_thwarts_it(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = Index.create(tmp_path / "index", bulk.predictor, vocabulary=WORDS)
    tried: list[str] = []

    def thwarted(*_: object, **__: object) -> None:
        tried.append("once")
        raise RuntimeError("lance error: Retryable commit conflict for version 3")

    monkeypatch.setattr(type(index.tables.raw("images")), "optimize", thwarted)
    assert index.update(bulk.pictures).indexed == IMAGES - 1
    assert len(tried) == 2  # of each table once
    assert index.update(bulk.pictures, optimize=False).unchanged == IMAGES - 1
    assert len(tried) == 2


@pytest.fixture(scope="module")
def alone(bulk: Bulk, tmp_path_factory: pytest.TempPathFactory) -> Index:
    """An index of images without regions."""
    index = Index.create(tmp_path_factory.mktemp("alone") / "index", bulk.predictor, regions=False)
    index.update(bulk.pictures)
    return index


def test_an_index_of_images_alone_finds_images_as_one_with_regions_does(
    bulk: Bulk, alone: Index, tmp_path: Path
) -> None:
    both = Index.create(tmp_path / "both", bulk.predictor, vocabulary=WORDS)
    both.update(bulk.pictures)
    assert alone.tables.count("regions") == 0 < both.tables.count("regions")
    found, wanted = (index.find_images("a red car").hits for index in (alone, both))
    assert [(hit.path, hit.similarity) for hit in found] == [(hit.path, hit.similarity) for hit in wanted]
    with pytest.raises(ValueError, match="holds images alone; search images, or make another index"):
        alone.find_regions("a red car")
    picture = bulk.pictures / "0.png"
    assert alone.find_images(Example(image=picture)).hits[0].path == str(picture)


def test_an_index_goes_on_as_it_was_made(bulk: Bulk, alone: Index) -> None:
    opened = Index.create(alone.tables.place, bulk.predictor)
    assert not opened.config.regions
    with pytest.raises(ValueError, match="indexed with images alone, not images and regions; go on as it"):
        Index.create(alone.tables.place, bulk.predictor, regions=True)


def test_stats_tell_rows_bytes_files_versions_and_what_is_not_indexed(alone: Index) -> None:
    images, regions = read_stats(alone.tables)
    assert (images.name, images.rows, regions.rows) == ("images", IMAGES - 1, 0)
    assert images.bytes > (IMAGES - 1) * 2 * alone.config.width * 4
    assert images.version >= images.versions >= 1
    assert images.fragments >= 1
    assert images.indexes == ()
    told = CliRunner().invoke(app, ["index", "stats", "--to", alone.tables.place]).stdout
    assert "no regions" in told
    assert f"images: {IMAGES - 1} rows, " in told


def test_the_command_indexes_images_alone(
    bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["-w", str(bulk.model), "--device", "cpu"]
    told = CliRunner().invoke(app, ["index", str(bulk.pictures), "--to", "i", "--images-only", *model])
    assert told.exit_code == 1  # one is no picture
    assert f"i holds {IMAGES - 1} images and 0 regions" in " ".join(told.stderr.split())
    schema: pa.Schema = Tables.open("i").raw("images").schema
    assert "vector" in schema.names
