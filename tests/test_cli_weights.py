import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file
from typer.testing import CliRunner

from goldens import Golden
from xdecoder.cli.commands.weights import app
from xdecoder.config import ModelConfig
from xdecoder.weights.conversion import convert
from xdecoder.weights.folder import read_config
from xdecoder.weights.published_models import PUBLISHED


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "120"})
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def checkpoint(golden_b: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "b.safetensors"
    save_file(golden_b.weights, path)
    return path


@pytest.fixture(scope="module")
def folder(checkpoint: Path, golden_b: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "b"
    convert(checkpoint, folder, yaml=golden_b.config_path)
    return folder


def test_convert_writes_a_folder_and_says_what_it_dropped(
    checkpoint: Path, golden_b: Golden, tmp_path: Path
) -> None:
    code, out, err = run("convert", checkpoint, tmp_path / "b", "--config", golden_b.config_path)
    assert code == 0
    assert "350 tensors, 3.7 million parameters" in out
    assert "Dropped, no parameters: criterion.empty_weight, sem_seg_head.predictor.self_attn_mask" in out
    assert err == ""
    assert read_config(tmp_path / "b").text.heads == 6


def test_convert_without_a_yaml_says_what_it_assumed(checkpoint: Path, tmp_path: Path) -> None:
    code, out, err = run("convert", checkpoint, tmp_path / "b", "--json")
    assert code == 0
    assert json.loads(out)["settings_assumed"] is True
    code, _, err = run("convert", checkpoint, tmp_path / "b")
    assert code == 0
    assert "8 heads and the published thresholds were assumed" in err


def test_convert_tells_errors_without_a_traceback(checkpoint: Path, golden_a: Golden, tmp_path: Path) -> None:
    code, out, err = run("convert", tmp_path / "absent.pt", tmp_path / "b")
    assert (code, out) == (2, "")
    assert err.startswith("error: no checkpoint at ")
    code, _, err = run("convert", checkpoint, tmp_path / "b", "--config", golden_a.config_path)
    assert code == 2
    assert "b.safetensors: the YAML is not this checkpoint's" in err
    code, _, err = run("convert", checkpoint, tmp_path / "b", "--clip-vocabulary", tmp_path / "x.txt")
    assert code == 2
    assert "error: no CLIP vocabulary at" in err
    assert not (tmp_path / "b").exists()


def test_list_shows_every_published_model_and_its_scores() -> None:
    code, out, _ = run("list")
    assert code == 0
    for name in PUBLISHED:
        assert name in out
    assert "PQ 50.8" in out
    assert "Focal-L" in out


def test_list_for_machines() -> None:
    code, out, _ = run("list", "--json")
    assert code == 0
    models = {model["name"]: model for model in json.loads(out)}
    assert set(models) == set(PUBLISHED)
    assert {"data": "COCO", "metric": "PQ", "value": 50.8} in models["xdecoder_focalt_last"]["scores"]


def test_info_describes_a_folder(folder: Path) -> None:
    code, out, _ = run("info", folder)
    assert code == 0
    for part in ("focalnet", "101 queries", "49408 tokens", "object 0.3", "float32", "pixel_decoder"):
        assert part in out
    code, out, _ = run("info", folder, "--json")
    described = json.loads(out)
    assert ModelConfig.from_dict(described["config"]) == read_config(folder)
    assert described["total_parameters"] == sum(described["parameters"].values()) == 3684986


def test_info_of_a_model_that_is_not_here_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path))
    code, _, err = run("info", "xdecoder_focalt_last")
    assert code == 2
    assert "is not in the cache: run `xdecoder weights pull xdecoder_focalt_last`" in err


def test_list_and_info_know_what_is_in_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path))
    assert "in the cache" not in run("list")[1]
    shutil.copytree(folder, tmp_path / "xdecoder_focall_last")
    assert run("info", "xdecoder_focall_last")[0] == 0
    assert "in the cache" in run("list")[1]


def test_the_commands_load_no_torch_until_they_run() -> None:
    code = (
        "import sys, xdecoder.cli.commands.weights;"
        "print('torch' in sys.modules, 'huggingface_hub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
