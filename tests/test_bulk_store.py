"""Labeling from and to an object store: what it holds, what happens when it goes away or refuses."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pytest
from pyarrow import parquet

from bulk_fixtures import IMAGES, Bulk, Store, rows_of
from test_bulk import content, pack
from xdecoder.bulk import Destination, find_source, label, read_status, run
from xdecoder.bulk.sources import ImageReader, SourceImage


@pytest.fixture
def filled(store: Store, bulk: Bulk) -> Store:
    for path in bulk.pictures.iterdir():
        store.put(path, f"in/{path.name}")
    return store


@pytest.mark.usefixtures("filled")
def test_a_bucket_s_images_are_labeled_into_it(bulk: Bulk, labeled: Destination) -> None:
    for i in range(2):
        destination = bulk.label("s3://pictures/in", "s3://pictures/out", f"{i}/2")
    rows = rows_of(destination)
    assert [row["path"] for row in rows] == [
        *(f"s3://pictures/in/{i}.png" for i in range(IMAGES - 1)),
        "s3://pictures/in/bad.png",
    ]
    assert content(rows) == content(rows_of(labeled))
    assert len(find_source("s3://pictures/in/[0-2].png")) == 3
    images = find_source("s3://pictures/in")
    assert label(images, bulk.predictor, destination).before == IMAGES


def test_packed_and_listed_images_of_a_bucket_are_read(
    bulk: Bulk, labeled: Destination, store: Store, tmp_path: Path
) -> None:
    pack(bulk.pictures, tmp_path / "all.tar")
    store.put(tmp_path / "all.tar", "tars/all.tar")
    files = [path.read_bytes() for path in sorted(bulk.pictures.glob("?.png"))]
    parquet.write_table(pa.table({"image": files}), tmp_path / "all.parquet")
    store.put(tmp_path / "all.parquet", "tables/all.parquet")
    store.put(bulk.pictures / "0.png", "0.png")
    (tmp_path / "all.txt").write_text("s3://pictures/0.png\ns3://pictures/gone.png\n")
    wanted = content(rows_of(labeled))
    for source in ("s3://pictures/tars/all.tar", "s3://pictures/tables"):
        destination = bulk.label(source, tmp_path / source.partition("//")[2].replace("/", "-"))
        assert content(rows_of(destination)) == wanted
    rows = rows_of(bulk.label(tmp_path / "all.txt", tmp_path / "listed"))
    assert content(rows) == wanted[:1]
    assert "gone.png" in rows[1]["path"]
    assert rows[1]["error"]


def test_lance_in_a_bucket_holds_the_same_rows(bulk: Bulk, labeled: Destination, store: Store) -> None:
    destination = bulk.label(bulk.pictures, "s3://pictures/out", format="lance")
    assert rows_of(destination) == rows_of(labeled)


def test_a_store_that_goes_away_ends_the_run_and_loses_nothing(
    bulk: Bulk, labeled: Destination, filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ImageReader.read

    def going_away(self: ImageReader, image: SourceImage) -> bytes:
        if image.path.endswith("/4.png"):
            error = OSError(errno.EIO, f"{image.file}: AWS Error NETWORK_CONNECTION during GetObject")
            raise error
        return read(self, image)

    with monkeypatch.context() as patch:
        patch.setattr(ImageReader, "read", going_away)
        with pytest.raises(OSError, match="NETWORK_CONNECTION"):
            bulk.label("s3://pictures/in", tmp_path)
    destination = Destination.open(str(tmp_path))
    status = read_status(destination)
    assert (status.labeled, status.failures) == (4, ())
    bulk.label("s3://pictures/in", tmp_path)
    assert content(rows_of(destination)) == content(rows_of(labeled))


@pytest.mark.usefixtures("filled")
def test_a_store_that_cannot_be_written_ends_the_run_and_it_goes_on_later(
    bulk: Bulk, labeled: Destination, filled: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "FRAGMENT_ROWS", 2)
    told: list[int] = []

    def progress(done: int, _: int) -> None:
        told.append(done)
        if done == 3:
            filled.stop()

    images = find_source(str(bulk.pictures))
    destination = Destination.create("s3://pictures/out", bulk.config)
    with pytest.raises(
        OSError,
        match=r"s3://pictures/out: .*NETWORK_CONNECTION.*; check the network, and AWS_ENDPOINT_URL .*; "
        r"what was labeled before is whole; run the same command again",
    ):
        label(images, bulk.predictor, destination, progress=progress)
    filled.start()
    assert read_status(destination).labeled == 2
    bulk.label(bulk.pictures, "s3://pictures/out")
    assert rows_of(destination) == rows_of(labeled)


@pytest.mark.usefixtures("store")
def test_a_bucket_or_folder_that_is_not_there_is_told(bulk: Bulk) -> None:
    with pytest.raises(FileNotFoundError, match="no bucket s3://nobucket: check its name"):
        find_source("s3://nobucket/x")
    with pytest.raises(FileNotFoundError, match="no images in s3://pictures/nothing"):
        find_source("s3://pictures/nothing")
    with pytest.raises(FileNotFoundError, match="no labels in s3://pictures/out; make some first"):
        Destination.open("s3://pictures/out")
    with pytest.raises(ValueError, match="COCO's JSON is written to a disk"):
        Destination.create("s3://pictures/out", bulk.config, "coco")


class Refusing(BaseHTTPRequestHandler):
    """A store that lets nobody in."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def _refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("_refusing")
def test_missing_credentials_are_told() -> None:
    with pytest.raises(OSError, match=r"s3://pictures/in: .*; check the credentials: AWS_ACCESS_KEY_ID"):
        find_source("s3://pictures/in")
