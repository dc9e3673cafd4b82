import socket
from pathlib import Path

import pytest
import torch

from goldens import Golden
from xdecoder.config import PRESETS
from xdecoder.weights import hub
from xdecoder.weights.conversion import pull
from xdecoder.weights.folder import build_model, load_model
from xdecoder.weights.inspection import inspect
from xdecoder.weights.sources import resolve_model

NAME = "xdecoder_focalt_last"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def asked(golden_a: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A hub that holds golden A under every name; the list of what was asked of it."""
    calls: list[tuple[str, str]] = []

    def download(repository: str, file: str) -> str:
        calls.append((repository, file))
        torch.save(golden_a.weights, tmp_path / file)
        return str(tmp_path / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    return calls


def offline(*args: object, **options: object) -> str:
    raise ConnectionError("no route to host\nand a long explanation")


def test_a_published_model_is_downloaded_and_converted_once(
    asked: list[tuple[str, str]], cache: Path
) -> None:
    folder = pull(NAME)
    assert folder == cache / NAME
    assert sorted(path.name for path in folder.iterdir()) == sorted(hub.FOLDER_FILES)
    assert [path.name for path in cache.iterdir()] == [NAME]
    assert pull(NAME) == folder
    assert asked == [("xdecoder/X-Decoder", f"{NAME}.pt")]


def test_a_published_name_loads(asked: list[tuple[str, str]]) -> None:
    model, tokenizer = load_model(resolve_model(NAME))
    assert model.config.decoder.queries == 81
    assert tokenizer.vocabulary_size == 49408
    assert len(asked) == 1


def test_a_half_made_cache_is_made_again(asked: list[tuple[str, str]], cache: Path) -> None:
    (cache / NAME).mkdir(parents=True)
    (cache / NAME / "model.safetensors").write_bytes(b"half")
    pull(NAME)
    assert inspect(cache / NAME).config.decoder.queries == 81


def test_a_failed_conversion_leaves_nothing_in_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.pt").write_bytes(b"<html>")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_: str(tmp_path / "bad.pt"))
    with pytest.raises(ValueError, match="download it again"):
        pull(NAME)
    assert list(cache.iterdir()) == []


def test_offline_says_what_is_needed_and_how_to_do_it_by_hand(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(FileNotFoundError) as error:
        load_model(resolve_model(NAME))
    for part in (
        f"{NAME} could not be downloaded (ConnectionError: no route to host)",
        f"{NAME}.pt (about 658 MB) of xdecoder/X-Decoder on huggingface.co",
        f"https://huggingface.co/xdecoder/X-Decoder/resolve/main/{NAME}.pt",
        f"xdecoder weights convert {NAME}.pt {cache / NAME}",
    ):
        assert part in str(error.value)


def test_the_real_client_without_a_network_gives_the_same_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"xdecoder weights convert {NAME}\.pt"):
        hub.download(hub.find(NAME))


def test_a_repository_with_a_model_folder_loads(
    tmp_path: Path, golden_a: Golden, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = pull(NAME)
    patterns: list[object] = []

    def snapshot(repository: str, *, allow_patterns: list[str]) -> str:
        patterns.extend([repository, allow_patterns])
        return str(stored)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert load_model(resolve_model("somebody/focal-tiny"))[0].config.decoder.queries == 81
    files = ["config.json", "model.safetensors", "tokenizer.json", "answering.json", "answering.safetensors"]
    assert patterns == ["somebody/focal-tiny", files]


def test_an_unknown_repository_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(FileNotFoundError, match=r"no folder some/thing, .*huggingface\.co/some/thing \(Conn"):
        load_model(resolve_model("some/thing"))


def test_a_folder_goes_before_a_repository_of_the_same_name(
    tmp_path: Path, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some").mkdir()
    pull(NAME).rename(tmp_path / "some" / "thing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    assert resolve_model("some/thing") == Path("some/thing")


def test_the_table_names_the_published_files() -> None:
    assert set(hub.PUBLISHED) == {
        "xdecoder_focalt_last",
        "xdecoder_focalt_best_openseg",
        "xdecoder_focalt_last_novg",
        "xdecoder_focall_last",
        "xdecoder_focall_bestseg",
        "xdecoder_focall_last_oq101",
    }
    for name, model in hub.PUBLISHED.items():
        assert model.name == name
        assert model.file == f"{name}.pt"
        assert model.good_for
        preset = PRESETS["focal-t" if model.backbone == "Focal-T" else "focal-l"]
        count = sum(t.numel() for t in build_model(preset).state_dict().values())
        assert model.parameters == pytest.approx(count / 1e6, abs=0.2)
    scores = {(s.data, s.metric): s.value for s in hub.PUBLISHED[NAME].scores}
    assert scores["COCO", "PQ"] == 50.8
    assert scores["COCO-Karpathy", "CIDEr"] == 83.3
    assert ("ADE20K-150", "PQ") not in scores


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no published model 'focalx'; there are xdecoder_focalt_last, "):
        pull("focalx")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDECODER_CACHE", "/a/b")
    assert hub.cache_folder() == Path("/a/b")
    monkeypatch.delenv("XDECODER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert hub.cache_folder() == Path("/c/xdecoder")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert hub.cache_folder() == Path("~/.cache/xdecoder").expanduser()
