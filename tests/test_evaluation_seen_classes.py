"""How far a vocabulary is from that of training."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from builders import build_predictor
from xdecoder.cli.app import app
from xdecoder.evaluation.seen_classes import is_seen, means_by_seen, nearest_classes

TRAINED = ("person", "sky-other-merged", "dining table")


def test_a_class_is_seen_by_any_of_its_names_as_they_are_compared() -> None:
    assert is_seen("Person", TRAINED)
    assert is_seen("sky", TRAINED)
    assert is_seen("board, dining table", TRAINED)
    assert not is_seen("table", TRAINED)


def test_the_nearest_classes_are_those_of_the_largest_cosine_and_the_most_alike_spelling() -> None:
    eye = np.eye(3, dtype=np.float32)
    (rider,) = nearest_classes(
        ["dinning table"],
        TRAINED,
        embeddings=np.array([[0.6, 0.8, 0.0]], np.float32),
        trained_embeddings=eye,
        count=2,
    )
    assert [name for name, _ in rider.by_embedding] == ["sky-other-merged", "person"]
    assert rider.by_embedding[0][1] == pytest.approx(0.8)
    assert rider.by_spelling[0] == "dining table"
    assert not rider.seen


def test_scores_are_meaned_over_seen_and_unseen_classes_that_occur() -> None:
    means = means_by_seen({"person": 40.0, "sky": 60.0, "kiosk": 10.0, "dining table": math.nan}, TRAINED)
    assert means == {"seen": 50, "unseen": 10}
    assert math.isnan(means_by_seen({"person": 40.0}, TRAINED)["unseen"])


def test_the_command_tells_neighbors_and_the_share_of_unseen_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    build_predictor().save(tmp_path / "model")
    words = [
        "datasets",
        "vocabulary",
        "dog, bird",
        "--against",
        "dog, cat",
        "--weights",
        str(tmp_path / "model"),
    ]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "1 of 2 classes (50 %) are not in dog, cat" in told.output
    data = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    dog = data["classes"][0]
    assert (dog["name"], dog["seen"], dog["by_spelling"]) == ("dog", True, ["dog", 1.0])
    assert dog["by_embedding"][0] == ["dog", pytest.approx(1, abs=1e-4)]
