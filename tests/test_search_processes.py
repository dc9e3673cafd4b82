"""Indexers that are killed, that run at once, and whose disk fills: each a process of its own."""

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

import xdecoder
from builders import draw_picture, save_tiny_model
from xdecoder.predictor.predictor import Predictor
from xdecoder.search import Index
from xdecoder.search.tables import Tables

IMAGES = 12
WORDS = "car,cat,grass"
INDEXER = """
import resource, sys
from xdecoder.cli.app import app
from xdecoder.search import indexing, tables
indexing._SECONDS = 0  # each image is written at once
put = tables.Tables.put
limit, pause = int(sys.argv.pop(1)), int(sys.argv.pop(1))
def limited(self, images):
    put(self, images)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if self.count("images") == pause:
        print("paused", flush=True)
        sys.stdin.read()
tables.Tables.put = limited
app()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def predictor(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield xdecoder.load(model, batch_size=1)  # as the command line has it: equal to the last bit


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(IMAGES):
        draw_picture(folder / f"{seed}.png", seed)
    return folder


def start(
    pictures: Path, place: Path | str, model: Path, limit: int = 0, pause: int = 0
) -> subprocess.Popen[str]:
    """An indexer whose files may have `limit` bytes after its first image; it waits after `pause` images."""
    command = ["index", pictures, "--to", place, "-v", WORDS, "-w", model, "--device", "cpu"]
    return subprocess.Popen(
        [sys.executable, "-c", INDEXER, str(limit), str(pause), *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def written(place: Path) -> int:
    try:
        return Tables.open(place).count("images")
    except FileNotFoundError:
        return 0


def check_whole(place: Path | str, pictures: Path, predictor: Predictor, fresh: Path) -> None:
    """Each image once, with the regions that an index made at one go has."""
    found = Index.open(place, predictor)
    wanted = Index.create(fresh, predictor, vocabulary=WORDS)
    wanted.update(pictures)
    for index in (found, wanted):
        assert index.tables.count("images") == len(index.tables.known(pictures)) == IMAGES
    regions = [
        Counter(
            (hit.path, hit.region.label, hit.region.area)
            for hit in index.find_regions("x", k=1000).hits
            if hit.region is not None
        )
        for index in (found, wanted)
    ]
    assert regions[0] == regions[1]
    assert set(regions[0].values()) == {1}


def test_a_killed_indexer_is_resumed_by_two_at_once_with_nothing_lost_or_doubled(
    model: Path, predictor: Predictor, pictures: Path, tmp_path: Path
) -> None:
    place = tmp_path / "index"
    first = start(pictures, place, model, pause=3)
    assert first.stdout is not None
    assert first.stdout.readline() == "paused\n"
    first.kill()
    first.communicate()
    assert written(place) == 3
    second = start(pictures, place, model)
    while second.poll() is None and written(place) < 5:
        time.sleep(0.01)
    report = Index.create(place, predictor, vocabulary=WORDS).update(pictures)
    assert second.wait() == 0, second.stderr and second.stderr.read()
    assert report.indexed + report.unchanged == IMAGES
    check_whole(place, pictures, predictor, tmp_path / "fresh")


def test_a_disk_that_fills_is_told_and_the_index_is_whole_and_goes_on(
    model: Path, predictor: Predictor, pictures: Path, tmp_path: Path
) -> None:
    place = tmp_path / "index"
    process = start(pictures, place, model, limit=1000)
    _, told = process.communicate()
    assert process.returncode == 1
    assert "could not be written: File too large" in told
    assert "make room, then run the same command again: it goes on from there" in told
    assert written(place) == 1
    assert len(Index.open(place, predictor).find_images("a car").hits) == 1
    report = Index.create(place, predictor).update(pictures)
    assert (report.indexed, report.unchanged) == (IMAGES - 1, 1)
    check_whole(place, pictures, predictor, tmp_path / "fresh")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket, in an object store on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "anybody",
        "AWS_SECRET_ACCESS_KEY": "anything",
        "AWS_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=settings["AWS_ENDPOINT"]).create_bucket(Bucket="pictures")
    yield "s3://pictures"
    server.stop()


def test_two_indexers_at_once_share_an_object_store(
    model: Path, predictor: Predictor, pictures: Path, bucket: str, tmp_path: Path
) -> None:
    place = f"{bucket}/index"
    with pytest.raises(FileNotFoundError, match="no index in s3://pictures/index; make one first"):
        Index.open(place, predictor)
    other = start(pictures, place, model)
    report = Index.create(place, predictor, vocabulary=WORDS).update(pictures)
    assert other.wait() == 0, other.stderr and other.stderr.read()
    assert report.indexed + report.unchanged == IMAGES
    check_whole(place, pictures, predictor, tmp_path / "fresh")
    assert Index.open(place, predictor).update(pictures).unchanged == IMAGES
