"""A tiny model, pictures, and what the pictures are labeled with, for the tests of labeling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import xdecoder
from builders import draw_picture, save_tiny_model
from xdecoder.bulk import Destination, LabelingConfig, Shard, find_source, label
from xdecoder.bulk.joining import joined_labels
from xdecoder.predictor.predictor import Predictor
from xdecoder.vocabularies import parse_vocabulary

IMAGES = 7
WORDS = "car,cat,grass"


@dataclass(frozen=True, kw_only=True)
class Bulk:
    """What the tests label.

    Attributes:
        model: the folder of a tiny model.
        predictor: the model.
        config: all three verbs.
        pictures: a folder of drawn pictures and of a file that is none.
    """

    model: Path
    predictor: Predictor
    config: LabelingConfig
    pictures: Path

    def label(self, source: Path | str, to: Path | str, shard: str = "0/1", **options: Any) -> Destination:
        """Label a source; `format` and what `label` takes may be given."""
        destination = Destination.create(str(to), self.config, options.pop("format", "parquet"))
        part = Shard.parse(shard)
        images = find_source(str(source), part, column=options.get("column", "image"))
        label(images, self.predictor, destination, shard=part, **options)
        return destination


@pytest.fixture(scope="session")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bulk]:
    base = tmp_path_factory.mktemp("bulk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(base / "cache"))
        model = save_tiny_model(base / "tiny")
        predictor = xdecoder.load(model, batch_size=1)
        for seed in range(IMAGES - 1):
            draw_picture(base / "pictures" / f"{seed}.png", seed)
        (base / "pictures" / "bad.png").write_text("no picture")
        config = LabelingConfig.of(
            predictor,
            ("segment", "caption", "embed"),
            vocabulary=parse_vocabulary(WORDS),
            weights=str(model),
        )
        yield Bulk(model=model, predictor=predictor, config=config, pictures=base / "pictures")


@pytest.fixture(scope="session")
def labeled(bulk: Bulk, tmp_path_factory: pytest.TempPathFactory) -> Destination:
    """The pictures, labeled by one process; not to be written to."""
    return bulk.label(bulk.pictures, tmp_path_factory.mktemp("labeled"))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """An object store on this machine, with an empty bucket "pictures"."""
    with Store(monkeypatch) as found:
        yield found


class Store:
    """An object store that can go away and come back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        import boto3

        self._port = 0
        self.start()
        _, self._port = self._server.get_host_and_port()
        self.endpoint = f"http://127.0.0.1:{self._port}"
        settings = {
            "AWS_ENDPOINT": self.endpoint,  # as LanceDB reads it
            "AWS_ENDPOINT_URL": self.endpoint,  # as Arrow and boto3 do
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "anything",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        self.client = boto3.client("s3")
        self.client.create_bucket(Bucket="pictures")

    def put(self, path: Path, key: str) -> None:
        """Upload a file."""
        self.client.upload_file(str(path), "pictures", key)

    def stop(self) -> None:
        """Go away."""
        self._server.stop()

    def start(self) -> None:
        """Come back with what was there."""
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self._port, verbose=False)
        self._server.start()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        for found in self.client.list_objects_v2(Bucket="pictures").get("Contents", []):
            self.client.delete_object(Bucket="pictures", Key=found["Key"])
        self.client.delete_bucket(Bucket="pictures")
        self.stop()


def rows_of(destination: Destination) -> list[dict[str, Any]]:
    """The joined rows, by path."""
    columns = destination.schema.names
    found = pa.concat_tables([*joined_labels(destination).batches(columns), destination.schema.empty_table()])
    rows = found.to_pylist()
    assert len({row["path"] for row in rows}) == len(rows)
    return sorted(rows, key=lambda row: row["path"])
