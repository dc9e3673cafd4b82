"""Which model is meant where none is named, and what is said of it."""

import json
import warnings
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli import app as cli
from xdecoder.weights.default import BUNDLED_MODELS, config_file, default_weights


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model under the bundled one's name, and another one with answers."""
    place = tmp_path_factory.mktemp("models")
    save_tiny_model(place / "picturebook")
    save_tiny_model(place / "mine", answers=["yes", "no"])
    return place


@pytest.fixture(autouse=True)
def _places(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdecoder.weights.sources._ASSETS", models)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), "green").save("a.png")


def run(*arguments: object, **environment: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments], env={"COLUMNS": "400", **environment})
    return done.exit_code, done.stdout, done.stderr


def test_the_bundled_model_says_once_that_it_knows_drawn_scenes_only(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save("b.png")
    code, _, err = run("caption", "a.png", "b.png")
    assert code == 0
    assert err.count("knows drawn scenes only, no photographs") == 1
    assert "--weights xdecoder_focalt_last" in err
    with pytest.warns(UserWarning, match=r"knows drawn scenes only.*Naming the model ends this warning"):
        xdecoder.load()


def test_a_quiet_command_gives_results_and_errors_alone(tmp_path: Path) -> None:
    Path("torn.png").write_bytes(b"no picture")
    code, out, err = run("caption", "a.png", "torn.png", "--quiet")
    assert code == 1
    assert "a.png" in out
    assert "drawn scenes" not in err
    assert "torn.png" in err
    assert err.count("\n") == 1
    assert run("caption", "nowhere.png", "--quiet")[0] == 2


@pytest.mark.parametrize("way", ["option", "environment", "default", "python"])
def test_a_bundled_model_that_is_named_says_nothing(way: str) -> None:
    if way == "python":
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", ResourceWarning)  # of files that other tests left open
            xdecoder.load("picturebook")
        return
    if way == "default":
        assert run("weights", "default", "picturebook")[0] == 0
    arguments = ["--weights", "picturebook"] if way == "option" else []
    environment = {"XDECODER_WEIGHTS": "picturebook"} if way == "environment" else {}
    code, _, err = run("caption", "a.png", *arguments, **environment)
    assert code == 0
    assert "warning" not in err


def test_a_default_is_taken_by_commands_python_and_info(models: Path) -> None:
    code, out, _ = run("weights", "default", models / "mine")
    assert code == 0
    assert out == f"{models / 'mine'} (chosen in {config_file()})\n"
    assert run("answer", "a.png", "is it a cat?")[0] == 0  # which the bundled one here cannot
    assert xdecoder.load().answer_head is not None
    facts = json.loads(run("info", "--json")[1])["model"]
    assert (facts["name"], facts["chosen_in"]) == (str(models / "mine"), str(config_file()))
    assert facts["answers"] == 2
    assert f"{models / 'mine'}, chosen in {config_file()}" in run("info")[1]


def test_a_folder_is_kept_by_its_whole_path(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(models)
    run("weights", "default", "mine")
    monkeypatch.chdir(tmp_path)
    assert default_weights().name == str(models / "mine")


def test_a_model_that_comes_with_the_package_can_be_the_default() -> None:
    for name in BUNDLED_MODELS:
        assert run("weights", "default", name)[:2] == (0, f"{name} (chosen in {config_file()})\n")


def test_the_environment_goes_before_the_file(models: Path) -> None:
    run("weights", "default", models / "mine")
    code, out, err = run("weights", "default", "picturebook", XDECODER_WEIGHTS="some/thing")
    assert (code, out) == (0, "some/thing (chosen in XDECODER_WEIGHTS)\n")
    assert "XDECODER_WEIGHTS goes before what was set now" in err
    assert run("weights", "default", "--json")[1] == json.dumps(
        {"name": "picturebook", "chosen_in": str(config_file())}, indent=2
    ) + "\n"  # fmt: skip


def test_a_default_is_forgotten_again_and_other_settings_stay(models: Path) -> None:
    config_file().parent.mkdir(parents=True)
    config_file().write_text('{"other": 1}')
    run("weights", "default", models / "mine")
    code, out, _ = run("weights", "default", "--unset")
    assert (code, out) == (0, "picturebook (nothing is chosen)\n")
    assert json.loads(config_file().read_text()) == {"other": 1}


def test_a_published_default_that_is_not_here_says_how_to_get_it() -> None:
    code, _, err = run("weights", "default", "xdecoder_focalt_last")
    assert code == 0
    assert "not in the cache: `xdecoder weights pull xdecoder_focalt_last` brings it" in err
    code, out, _ = run("info")
    assert code == 0
    assert "xdecoder_focalt_last is not in the cache: run `xdecoder weights pull xdecoder_focalt_last`" in out


@pytest.mark.parametrize("name", ["nothing_of_that_name", "../../etc/passwd", ""])
def test_what_is_no_model_is_no_default(name: str) -> None:
    code, _, err = run("weights", "default", name)
    assert code == 2
    assert "expected a folder, a Hugging Face repository (owner/name), or one of picturebook" in err
    assert not config_file().exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"weights": 5}', '{"weights": ""}', "\x00"])
def test_a_damaged_configuration_file_is_named(text: str) -> None:
    config_file().parent.mkdir(parents=True)
    config_file().write_text(text)
    code, _, err = run("caption", "a.png")
    assert code == 2
    assert f"error: {config_file()}" in err
    assert run("caption", "a.png", "--weights", "picturebook")[0] == 0


def test_drawn_scenes_need_no_warning(tmp_path: Path) -> None:
    arguments = ["picturebook-val", "--limit", "1", "--out", tmp_path / "out"]
    code, _, err = run("evaluate", *arguments)
    assert code == 0, err
    assert "drawn scenes only" not in err
