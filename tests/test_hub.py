import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from builders import save_tiny_model
from goldens import Golden
from hub_server import COMMIT, Hub, etag_of, serve
from xdecoder.cli import app as cli
from xdecoder.config import PRESETS
from xdecoder.tokenizer import Tokenizer
from xdecoder.weights import clip_merges, download, hub
from xdecoder.weights.conversion import pull
from xdecoder.weights.folder import build_model, load_model
from xdecoder.weights.inspection import inspect
from xdecoder.weights.published_config import config_from_checkpoint
from xdecoder.weights.published_models import PUBLISHED
from xdecoder.weights.sources import resolve_model
from xdecoder.weights.tensors import shapes_of

NAME = "xdecoder_focalt_last"
FILE = f"xdecoder/X-Decoder/{NAME}.pt"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr(download.time, "sleep", lambda _: None)
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def checkpoint(golden_a: Golden) -> bytes:
    data = BytesIO()
    torch.save(golden_a.weights, data)
    return data.getvalue()


@pytest.fixture
def server(checkpoint: bytes, monkeypatch: pytest.MonkeyPatch) -> Generator[Hub]:
    """A hub that holds golden A under a published name."""
    with serve(Hub(files={FILE: checkpoint}, large={FILE})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        yield hub


@pytest.fixture
def published(golden_a: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published model of that name has golden A's sizes."""
    config = config_from_checkpoint(shapes_of(golden_a.weights))
    parameters = sum(t.numel() for t in build_model(config).state_dict().values()) / 1e6
    monkeypatch.setitem(PRESETS, "tiny", config)
    row = replace(PUBLISHED[NAME], presets=("tiny",), parameters=parameters)
    monkeypatch.setitem(PUBLISHED, NAME, row)


def kept(cache: Path) -> list[str]:
    """What lies in the folder of downloads."""
    return [path.name for path in (cache / "downloads").iterdir() if path.suffix != ".lock"]


def run(*arguments: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments], env={"COLUMNS": "200"})
    return done.exit_code, done.stdout, done.stderr


def test_a_published_model_is_downloaded_and_converted_once(
    server: Hub, published: None, cache: Path
) -> None:
    code, out, err = run("weights", "pull", NAME)
    assert (code, out) == (0, f"{cache / NAME}\nUse it by name: --weights {NAME}\n")
    assert "warning" not in err
    assert sorted(path.name for path in (cache / NAME).iterdir()) == sorted(hub.FOLDER_FILES)
    assert sorted(path.name for path in cache.iterdir()) == ["downloads", NAME]
    assert kept(cache) == []  # the checkpoint is not kept twice
    asked = list(server.asked)
    assert run("weights", "pull", NAME)[0] == 0
    assert server.asked == asked
    assert load_model(resolve_model(NAME))[0].config.decoder.queries == 81


def test_how_far_and_how_fast_a_download_is_stands_on_stderr(server: Hub, published: None) -> None:
    _, _, err = run("weights", "pull", NAME)
    assert f"{NAME}.pt:" in err
    assert "B/s" in err


def test_the_token_goes_to_the_hub_alone(
    server: Hub, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    pull(NAME)
    assert {line.split(" ")[1].split("?")[0] for line in server.asked if line.startswith("GET")} == {
        f"/cdn/{FILE}"
    }
    assert server.tokens == {"HEAD": {"Bearer hf_secret"}, "GET": {""}}


def test_a_transfer_that_is_cut_goes_on_where_it_stopped(
    server: Hub, published: None, checkpoint: bytes
) -> None:
    server.cut_after = len(checkpoint) // 3 + 1
    pull(NAME)
    third = server.cut_after
    assert server.sent(FILE) == [f"bytes={start}-" for start in (0, third, 2 * third)]


def test_a_transfer_that_brings_nothing_is_given_up_and_keeps_what_came(
    server: Hub, published: None, checkpoint: bytes, cache: Path
) -> None:
    half = len(checkpoint) // 2
    part = cache / "downloads" / f"{NAME}-{etag_of(checkpoint, large=True)[:16]}.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(checkpoint[:half])
    server.status = 503
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    assert f"{NAME} could not be downloaded (ConnectionError: {NAME}.pt stopped at " in err
    assert "What came is kept: run the same again to go on" in err
    assert f"xdecoder weights convert {NAME}.pt" in err
    assert part.read_bytes() == checkpoint[:half]
    server.status = None
    pull(NAME)
    assert server.sent(FILE)[-1] == f"bytes={half}-"


def test_a_killed_download_goes_on_where_it_stopped(
    server: Hub, published: None, checkpoint: bytes, cache: Path
) -> None:
    server.hold = threading.Event()
    command = [sys.executable, "-m", "xdecoder", "weights", "pull", NAME]
    child = subprocess.Popen(
        command, env={**os.environ, "HF_ENDPOINT": server.address}, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + 120
    while (
        not (parts := list(cache.glob("downloads/*.part"))) or parts[0].stat().st_size < len(checkpoint) // 4
    ):
        assert child.poll() is None
        assert time.monotonic() < until
        time.monotonic()
        threading.Event().wait(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    server.hold.set()
    server.hold = None
    have = parts[0].stat().st_size
    assert 0 < have < len(checkpoint)
    pull(NAME)
    assert server.sent(FILE) == ["bytes=0-", f"bytes={have}-"]


def test_two_at_once_download_and_convert_once(server: Hub, published: None, cache: Path) -> None:
    with ThreadPoolExecutor(2) as both:
        folders = list(both.map(pull, [NAME, NAME]))
    assert folders == [cache / NAME] * 2
    assert server.sent(FILE) == ["bytes=0-"]
    assert kept(cache) == []


def test_a_server_without_ranges_sends_all_again(
    server: Hub, published: None, checkpoint: bytes, cache: Path
) -> None:
    part = cache / "downloads" / f"{NAME}-{etag_of(checkpoint, large=True)[:16]}.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(checkpoint[:1000])
    server.ranges = False
    pull(NAME)
    assert server.sent(FILE) == ["bytes=1000-"]


def test_what_arrives_damaged_is_refused_and_deleted(server: Hub, published: None, cache: Path) -> None:
    server.damage = True
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    assert f"error: {NAME}.pt arrived damaged: its digest is " in err
    assert kept(cache) == []
    server.damage = False
    assert run("weights", "pull", NAME)[0] == 0


def test_a_part_of_other_content_is_not_gone_on_with(
    server: Hub, published: None, checkpoint: bytes, cache: Path
) -> None:
    part = cache / "downloads" / f"{NAME}-{etag_of(b'older', large=True)[:16]}.pt.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"older")
    pull(NAME)
    assert server.sent(FILE) == ["bytes=0-"]


def test_another_model_under_a_published_name_is_refused(server: Hub, cache: Path) -> None:
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    assert "came as xdecoder_focalt_last and is another model: it has the sizes of no published model" in err
    assert "expected focal-t and 164.5 million. It was not taken" in err
    assert not (cache / NAME).exists()
    assert kept(cache) == []


def test_a_file_of_another_sha256_is_not_even_fetched(
    server: Hub, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], sha256="ab" * 32))
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    assert f"has another {NAME}.pt than the published one: its sha256 is " in err
    assert server.sent(FILE) == []


def test_a_full_disk_is_told_before_the_download(
    server: Hub, published: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    assert "0.00 GB free, the download needs 0.02 GB: make room, or set XDECODER_CACHE" in err
    assert server.sent(FILE) == []


def test_a_half_made_cache_is_made_again(server: Hub, published: None, cache: Path) -> None:
    (cache / NAME).mkdir(parents=True)
    (cache / NAME / "model.safetensors").write_bytes(b"half")
    pull(NAME)
    assert inspect(cache / NAME).config.decoder.queries == 81


def test_a_failed_conversion_keeps_the_download_and_no_model(
    server: Hub, published: None, checkpoint: bytes, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clip_merges, "installed_files", lambda: iter(()))
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    assert "CLIP's vocabulary is needed once" in err
    assert "openai/clip-vit-base-patch32/merges.txt; failed with RepositoryNotFoundError" in err
    assert not (cache / NAME).exists()
    fetched = server.sent(FILE)
    monkeypatch.undo()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("XDECODER_CACHE", str(cache))
    assert len(list((cache / "downloads").glob("*.pt"))) == len(fetched) == 1


def test_the_clip_vocabulary_comes_from_the_hub_where_no_package_has_it(
    server: Hub, published: None, clip_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    merges = clip_merges.read_merges(next(clip_merges.installed_files()).read_bytes(), "the package")
    text = "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n"
    server.files["openai/clip-vit-base-patch32/merges.txt"] = text.encode()
    monkeypatch.setattr(clip_merges, "installed_files", lambda: iter(()))
    tokenizer = load_model(pull(NAME))[1]
    assert tokenizer.encode("a zebra's hat") == clip_tokenizer.encode("a zebra's hat")


@pytest.mark.parametrize("files", [{}, {"xdecoder/X-Decoder/README.md": b"x"}], ids=["repository", "file"])
def test_what_is_gone_says_what_to_do(
    files: dict[str, bytes], server: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files = files
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    for part in (
        f"{NAME} could not be downloaded (",
        f"{NAME}.pt (about 658 MB) of xdecoder/X-Decoder on huggingface.co",
        f"https://huggingface.co/xdecoder/X-Decoder/resolve/main/{NAME}.pt",
        f"xdecoder weights convert {NAME}.pt {cache / NAME}",
    ):
        assert part in err


@pytest.mark.parametrize("way", ["no server", "offline mode"])
def test_offline_says_what_is_needed_and_how_to_do_it_by_hand(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", way == "offline mode")
    code, _, err = run("weights", "pull", NAME)
    assert code == 2
    assert f"{NAME} could not be downloaded (" in err
    assert f"xdecoder weights convert {NAME}.pt" in err


# --- folders in repositories ---


@pytest.fixture
def repository(server: Hub, tmp_path: Path) -> Hub:
    folder = save_tiny_model(tmp_path / "tiny", answers=["yes", "no"])
    for path in folder.iterdir():
        server.files[f"some/thing/{path.name}"] = path.read_bytes()
    server.large |= {"some/thing/model.safetensors", "some/thing/answering.safetensors"}
    return server


def test_a_repository_with_a_model_folder_is_used_by_its_name(repository: Hub, cache: Path) -> None:
    code, out, _ = run("weights", "info", "some/thing", "--json")
    assert code == 0
    assert str(cache / "repositories" / "some--thing" / COMMIT) in out
    assert load_model(resolve_model("some/thing"))[0].config.decoder.queries == 7
    assert len(repository.sent("some/thing/model.safetensors")) == 1


def test_a_model_that_answers_nothing_needs_no_answers(repository: Hub) -> None:
    for name in ("answering.json", "answering.safetensors"):
        del repository.files[f"some/thing/{name}"]
    assert inspect(resolve_model("some/thing")).answers == ()


def test_a_folder_s_download_goes_on_where_it_stopped(repository: Hub) -> None:
    size = len(repository.files["some/thing/model.safetensors"])
    repository.cut_after = size // 2 + 1
    resolve_model("some/thing")
    assert repository.sent("some/thing/model.safetensors") == ["bytes=0-", f"bytes={size // 2 + 1}-"]


def test_a_new_version_is_taken_and_offline_the_last_one(
    repository: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve_model("some/thing")
    repository.commit = "f" * 40
    second = resolve_model("some/thing")
    assert (first.name, second.name) == (COMMIT, "f" * 40)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.warns(UserWarning, match=r"does not answer .*: some/thing is taken as it was last"):
        assert resolve_model("some/thing") == second


def test_all_files_of_a_repository_are_of_one_commit_whatever_is_pushed_meanwhile(repository: Hub) -> None:
    resolve_model("some/thing")
    asked = [line.split()[1] for line in repository.asked if line.startswith("HEAD")]
    assert asked[0].startswith("/some/thing/resolve/main/")
    assert len(asked) > 2
    assert all(path.startswith(f"/some/thing/resolve/{COMMIT}/") for path in asked[1:])


def test_a_repository_that_is_none_or_holds_no_model_is_explained(repository: Hub) -> None:
    for name, cause in (("no/thing", "RepositoryNotFoundError"), ("some/thing", "EntryNotFoundError")):
        repository.files.pop("some/thing/config.json", None)
        code, _, err = run("weights", "info", name)
        assert code == 2
        assert f"there is no folder {name}, and no model could be downloaded from" in err
        assert cause in err


def test_a_folder_goes_before_a_repository_of_the_same_name(
    repository: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "tiny").rename(tmp_path / "some" / "thing")
    monkeypatch.chdir(tmp_path)
    assert resolve_model("some/thing") == Path("some/thing")
    assert repository.asked == []


# --- the table ---


def test_the_table_names_the_published_files() -> None:
    assert set(PUBLISHED) == {
        "xdecoder_focalt_last",
        "xdecoder_focalt_best_openseg",
        "xdecoder_focalt_last_novg",
        "xdecoder_focall_last",
        "xdecoder_focall_bestseg",
        "xdecoder_focall_last_oq101",
    }
    for name, model in PUBLISHED.items():
        assert model.name == name
        assert model.file == f"{name}.pt"
        assert model.good_for
        preset = PRESETS["focal-t" if model.backbone == "Focal-T" else "focal-l"]
        count = sum(t.numel() for t in build_model(preset).state_dict().values())
        assert model.parameters == pytest.approx(count / 1e6, abs=0.2)
    scores = {(s.data, s.metric): s.value for s in PUBLISHED[NAME].scores}
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
