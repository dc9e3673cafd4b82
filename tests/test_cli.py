"""The command line as a user meets it: images in, files and lines out, errors in words."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from typer.testing import CliRunner

import xdecoder
from xdecoder.cli import loading
from xdecoder.cli.app import app
from xdecoder.cli.targets import find_targets
from xdecoder.jobs import isolation as attempts
from xdecoder.structures import Grounding, InstanceSegmentation, PanopticSegmentation, SemanticSegmentation
from xdecoder.structures import result as results

SMALL = ["--vocabulary", "dog, grass, sky", "--short-side", "32"]
WORDS = [*SMALL, "--object-threshold", "0"]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Done]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cli(folder: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command in a folder of its own; inference with the tiny model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDECODER_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(command: str, *arguments: object, model: bool = True) -> Done:
        end = ["--weights", str(folder), "--device", "cpu"] if model else []
        result = CliRunner().invoke(app, [command, *map(str, arguments), *end])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three good images, two of one stem and one in a subfolder, and two bad ones."""
    place = tmp_path / "photos"
    (place / "trip").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name, size in {"one.jpg": (40, 60), "one.png": (30, 20), "trip/one.jpg": (25, 35)}.items():
        Image.fromarray(generator.integers(0, 255, (*size, 3), dtype=np.uint8)).save(place / name)
    (place / "cut.jpg").write_bytes((place / "one.jpg").read_bytes()[:300])
    (place / "text.png").write_text("no picture")
    return place


def files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()}


# --- segment ---


def test_one_bad_file_does_not_stop_the_run(cli: Cli, photos: Path) -> None:
    done = cli("segment", photos, *WORDS)
    assert done.code == 1
    assert files(Path("results")) == {
        f"{name}.{suffix}" for name in ("one.jpg", "one.png", "trip/one") for suffix in ("png", "json")
    }
    assert "3 images in" in done.err
    assert f"error: {photos / 'cut.jpg'} is cut short or damaged" in done.err
    assert f"error: {photos / 'text.png'} is not an image" in done.err
    assert "2 of 5 images failed" in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    assert Image.open("results/trip/one.png").size == (35, 25)
    stored = PanopticSegmentation.load("results/one.jpg.json", image=photos / "one.jpg")
    assert stored.vocabulary == ("dog", "grass", "sky")
    assert stored.segments
    assert json.loads(Path("results/trip/one.json").read_text())["file"] == str(photos / "trip/one.jpg")


@pytest.mark.parametrize("batch_size", [1, 4])
def test_results_are_those_of_python_whatever_the_batch(
    cli: Cli, photos: Path, folder: Path, batch_size: int
) -> None:
    done = cli("segment", photos / "one.jpg", photos / "trip", *WORDS, "--json", "--batch-size", batch_size)
    assert done.code == 0, done.err
    assert not Path("results").exists()
    assert [Path(str(line["file"])).parent.name for line in done.lines] == ["photos", "trip"]
    predictor = xdecoder.load(folder)
    for line in done.lines:
        image = predictor.encode(str(line["file"]), short_side=32)
        expected = predictor.segment(image, "dog, grass, sky", object_threshold=0.0)
        actual = PanopticSegmentation.from_dict(line)
        assert [s.label for s in actual.segments] == [s.label for s in expected.segments]
        assert (actual.ids == expected.ids).mean() >= 0.9995


def test_json_lines_tell_failures_too(cli: Cli, photos: Path) -> None:
    done = cli("segment", photos, *WORDS, "--json", "--out", "kept")
    assert done.code == 1
    failed = {Path(str(line["file"])).name: line["error"] for line in done.lines if "error" in line}
    assert set(failed) == {"cut.jpg", "text.png"}
    assert "cut short" in str(failed["cut.jpg"])
    assert len(done.lines) == 5
    assert len(files(Path("kept"))) == 6


def test_skip_existing_goes_on_where_a_run_stopped(cli: Cli, photos: Path) -> None:
    (photos / "cut.jpg").unlink()
    (photos / "text.png").unlink()
    first = cli("segment", photos, *WORDS, "--out", "kept", "--json")
    Path("kept/trip/one.json").unlink()
    before = Path("kept/one.jpg.json").stat().st_mtime_ns
    done = cli("segment", photos, *WORDS, "--out", "kept", "--skip-existing", "--json")
    assert done.code == 0
    assert "1 image in" in done.err
    assert "and 2 from before" in done.err
    assert Path("kept/one.jpg.json").stat().st_mtime_ns == before
    assert Path("kept/trip/one.json").is_file()
    by_name = [sorted(d.lines, key=lambda line: str(line["file"])) for d in (first, done)]
    assert by_name[0] == by_name[1]
    again = cli("segment", photos, *WORDS, "--out", "kept", "--skip-existing")
    assert (again.code, "0 images in" in again.err) == (0, True)


def test_one_image_is_told_on_stdout(cli: Cli, photos: Path) -> None:
    done = cli("segment", photos / "one.jpg", *WORDS)
    assert done.code == 0
    assert done.out.startswith("PanopticSegmentation of 60 x 40 pixels")
    assert files(Path("results")) == {"one.png", "one.json"}


@pytest.mark.parametrize(
    ("task", "kind"), [("instance", InstanceSegmentation), ("semantic", SemanticSegmentation)]
)
def test_every_task_has_its_kind_of_result(
    task: str, kind: type[InstanceSegmentation | SemanticSegmentation], cli: Cli, photos: Path
) -> None:
    done = cli("segment", photos / "one.jpg", "--task", task, *SMALL, "--things", "sky", "--json")
    assert done.code == 0
    assert kind.from_dict(done.lines[0]).size == (40, 60)


def test_vocabularies_are_files_and_things_and_stuff_too(cli: Cli, photos: Path) -> None:
    Path("words.txt").write_text("thing: cloud\nstuff: dog\n")
    base = ["segment", photos / "one.jpg", "--json", "--short-side", "32"]
    assert cli(*base, "--vocabulary", "words.txt").lines[0]["vocabulary"] == ["cloud", "dog"]
    assert cli(*base, "--things", "a, b", "--stuff", "c").lines[0]["vocabulary"] == ["a", "b", "c"]


def test_without_a_vocabulary_it_is_coco(cli: Cli, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def embed(_: object, words: xdecoder.Vocabulary) -> None:
        asked.append(words.name)
        raise ValueError("enough")

    monkeypatch.setattr(loading, "embed_vocabulary", embed)
    assert cli("segment", photos / "one.jpg").code == 2
    assert asked == ["coco"]


def test_score_threshold_leaves_instances_out(cli: Cli, photos: Path) -> None:
    base = ["segment", photos / "one.jpg", "--task", "instance", "--things", "dog", *SMALL, "--json"]
    assert cli(*base).lines[0]["instances"]
    assert cli(*base, "--score-threshold", "1").lines[0]["instances"] == []


def test_a_threshold_of_another_task_is_refused_before_the_model_is_read(cli: Cli, photos: Path) -> None:
    done = cli("segment", photos, "--task", "semantic", *WORDS, "--weights", "nowhere")
    assert done.code == 2
    assert "error: object_threshold says nothing to the task semantic: it is for panoptic" in done.err


# --- names of results ---


def names(inputs: list[str], out: str | None = None) -> list[str]:
    return [t.name.as_posix() for t in find_targets(inputs, None if out is None else Path(out))]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a/x/1.jpg", "a/y/1.jpg", "b/x/1.jpg", "b/x/2.png", "b/x/2.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


@pytest.mark.usefixtures("tree")
def test_names_are_paths_below_what_holds_all_inputs() -> None:
    assert names(["a"]) == ["x/1", "y/1"]
    assert names(["a/x/1.jpg"]) == ["1"]
    assert names(["a/x"]) == ["1"]
    assert names(["a", "b/x/1.jpg"]) == ["a/x/1", "a/y/1", "b/x/1"]
    assert names(["a/*/1.jpg"]) == ["x/1", "y/1"]
    assert names(["b"]) == ["x/1.jpg", "x/2.jpg", "x/2.png"]


@pytest.mark.usefixtures("tree")
def test_an_image_named_twice_is_worked_on_once() -> None:
    assert names(["a", "a/x/1.jpg", "b/../a/y/1.jpg"]) == ["x/1", "y/1"]


@pytest.mark.usefixtures("tree")
def test_results_of_an_earlier_run_are_no_images() -> None:
    Path("results/x").mkdir(parents=True)
    Path("results/x/1.png").write_bytes(b"")
    assert len(names(["."], "results")) == 5
    assert len(names(["."])) == 6
    assert names(["results"], "elsewhere") == ["x/1"]


@pytest.mark.usefixtures("tree")
def test_results_never_overwrite_images() -> None:
    with pytest.raises(ValueError, match="--out a is the folder of the images; choose another"):
        names(["a"], "a")
    shutil.move("b/x/2.png", "a/x/1.png")
    with pytest.raises(ValueError, match=r"the result of a/x/1.png would overwrite .*1.png; choose another"):
        names(["a/x/1.png"], "a/x")


# --- refer, caption, embed ---


def test_refer_takes_an_image_and_phrases(cli: Cli, photos: Path) -> None:
    done = cli("refer", photos / "one.jpg", "the left dog", "a ball", "--short-side", 32)
    assert done.code == 0
    assert Grounding.load("results/one.json").phrases == ("the left dog", "a ball")
    assert "the left dog" in done.out
    assert Image.open("results/one.png").size == (60, 40)


def test_refer_takes_several_images_and_phrases_with_p(cli: Cli, photos: Path) -> None:
    both = [photos / "one.jpg", photos / "trip/one.jpg"]
    base = ["refer", *both, "-p", "the left dog", "-p", "a ball", "--short-side", 32, "--json"]
    together, separately = cli(*base), cli(*base, "--one-by-one")
    assert together.code == separately.code == 0
    assert [line["file"] for line in together.lines] == list(map(str, both))
    for one, other in zip(together.lines, separately.lines, strict=True):
        assert Grounding.from_dict(one).phrases == ("the left dog", "a ball")
        assert Grounding.from_dict(one).scores != Grounding.from_dict(other).scores


def test_refer_does_not_take_a_file_for_a_phrase(cli: Cli, photos: Path) -> None:
    done = cli("refer", photos / "one.jpg", photos / "one.png", "the dog")
    assert done.code == 2
    assert (
        "one.png is a file, and stands where phrases are; for several images, give the phrases with -p"
        in done.err
    )
    done = cli("refer", photos / "one.jpg")
    assert done.code == 2
    assert "no phrase given; add one: xdecoder refer" in done.err


def test_caption_prints_the_sentences(cli: Cli, photos: Path, folder: Path) -> None:
    one, other = photos / "one.jpg", photos / "trip/one.jpg"
    predictor = xdecoder.load(folder)
    encoded = [predictor.encode(path, short_side=32) for path in (one, other)]
    expected = [predictor.caption(image, steps=3).text for image in encoded]
    base = ["--short-side", 32, "--steps", 3]
    assert cli("caption", one, *base).out == f"{expected[0]}\n"
    assert cli("caption", one, other, *base).out == f"{one}\t{expected[0]}\n{other}\t{expected[1]}\n"
    assert not Path("results").exists()
    beam = cli("caption", one, *base, "--beams", 3, "--json", "--out", "kept").lines[0]
    assert beam["text"] == predictor.caption(encoded[0], steps=3, beams=3).text
    assert json.loads(Path("kept/one.json").read_text()) == beam
    assert files(Path("kept")) == {"one.json"}


def test_caption_of_a_region_by_box_mask_or_phrase(cli: Cli, photos: Path) -> None:
    mask = np.zeros((40, 60), np.uint8)
    mask[5:30, 10:50] = 255
    Image.fromarray(mask).save("mask.png")
    base = ["caption", photos / "one.jpg", "--short-side", 64, "--steps", 3, "--json"]
    whole, box, of_mask, phrase = (
        cli(*base, *part).lines[0]
        for part in ([], ["--box", "10,5,50,30"], ["--mask", "mask.png"], ["--region", "the dog"])
    )
    assert box == of_mask
    assert box["score"] != whole["score"]
    assert {"text", "score", "token_ids"} <= set(phrase)
    assert cli(*base, "--box", "1,2,3", "--region", "x").err.startswith("error: give the region once")
    wrong = cli(*base, "--box", "1,2,x,4")
    assert (wrong.code, "--box takes four numbers, LEFT,TOP,RIGHT,BOTTOM; got '1,2,x,4'" in wrong.err) == (
        2,
        True,
    )


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_embed_writes_names_and_vectors(suffix: str, cli: Cli, photos: Path) -> None:
    done = cli(
        "embed", photos, "-t", "a dog", "-t", "a [red] ball", "--short-side", 32, "--out", f"e.{suffix}"
    )
    assert done.code == 1  # two of the files are no images
    expected = sorted(str(photos / name) for name in ("one.jpg", "one.png", "trip/one.jpg"))
    if suffix == "npz":
        with np.load("e.npz", allow_pickle=False) as stored:
            found = dict(stored)
        images, texts = found.pop("image_names").tolist(), found.pop("text_names").tolist()
    else:
        with safe_open("e.safetensors", framework="np") as stored:
            found = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            metadata = stored.metadata()
        images, texts = json.loads(metadata["image_names"]), json.loads(metadata["text_names"])
    assert (images, texts) == (expected, ["a dog", "a [red] ball"])
    cosines = (found["decoder"] @ found["texts"].T + found["backbone"] @ found["texts"].T) / 2
    np.testing.assert_allclose(found["similarity"], cosines, atol=1e-6)
    assert "a [red] ball" in done.out
    row = next(line for line in done.out.splitlines() if "trip" in line)
    assert [float(x) for x in row.split()[1:]] == pytest.approx(cosines[2].tolist(), abs=1e-3)


def test_embed_of_texts_or_images_alone(cli: Cli, photos: Path) -> None:
    done = cli("embed", "--text", "a dog", "--json")
    assert [line["text"] for line in done.lines] == ["a dog"]
    assert len(done.lines[0]["embedding"]) == 64  # pyright: ignore[reportArgumentType]
    assert not Path("embeddings.npz").exists()
    assert cli("embed", photos / "one.jpg", "--short-side", 32).out == ""
    with np.load("embeddings.npz") as stored:
        assert {"decoder", "backbone", "image_names"} <= set(stored.files)
    nothing = cli("embed")
    assert (nothing.code, "nothing to embed: name images, or texts with --text" in nothing.err) == (2, True)
    wrong = cli("embed", "-t", "a", "--out", "e.txt")
    assert (wrong.code, "expected a name ending in .npz or .safetensors" in wrong.err) == (2, True)


# --- info, help, errors ---


def test_info_tells_versions_devices_and_extras(cli: Cli) -> None:
    told = cli("info", model=False)
    assert told.code == 0
    installed = metadata.version("torch")
    assert installed in told.out
    facts = json.loads(cli("info", "--json", model=False).out)
    assert facts["packages"]["torch"] == installed
    assert facts["devices"][0]["threads"] == torch.get_num_threads()
    assert facts["cache"] == os.environ["XDECODER_CACHE"]
    assert {"data", "evaluate", "train", "supervision"} <= set(facts["extras"])
    assert facts["model"]["name"] == "picturebook"


@pytest.mark.parametrize(
    "command",
    ["segment", "refer", "caption", "answer", "embed", "demo", "train", "evaluate", "score", "info"],
)
def test_help_has_examples(command: str, cli: Cli) -> None:
    done = cli(command, "--help", model=False)
    assert done.code == 0
    assert re.search(rf"^\s*xdecoder {command} ", done.out, re.MULTILINE)


def test_help_lists_every_command_and_the_exit_codes(cli: Cli) -> None:
    done = cli("--help", model=False)
    listed = re.findall(r"^│ (\w+) ", done.out, re.MULTILINE)
    expected = {
        "segment",
        "refer",
        "caption",
        "answer",
        "embed",
        "demo",
        "train",
        "evaluate",
        "score",
        "info",
    }
    assert expected | {"weights", "datasets"} <= set(listed)
    assert "0 done, 1 failed, wholly or for some images, 2 usage" in done.out


def test_the_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from xdecoder.cli import app; "
        "print([m for m in ('torch', 'numpy', 'PIL', 'huggingface_hub') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment", "nowhere"], "no such file or folder: nowhere"),
        (["segment", "empty"], "no images in empty; looked for .jpg"),
        (["segment", "a.png", "--skip-existing", "--json"], "--skip-existing needs the folder"),
        (["segment", "a.png", "--device", "tpu"], "no device 'tpu'; this computer has cpu"),
        (["segment", "a.png", "--weights", "unheard"], "no model 'unheard': expected a folder"),
        (["caption", "a.png", "--mask", "nowhere.png"], "no such image file: nowhere.png"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments: list[str], message: str, cli: Cli) -> None:
    Path("empty").mkdir()
    Image.new("RGB", (4, 4)).save("a.png")
    end = [] if "--weights" in arguments else ["--weights", "unheard"]
    done = cli(*arguments, *end, model=False)
    assert (done.code, done.out) == (2, "")
    assert re.fullmatch(r"error: [^\n]*\n", done.err)
    assert message in done.err


@pytest.mark.parametrize("arguments", [["segment"], ["segment", "a.png", "--task", "x"], ["paint", "a.png"]])
def test_unknown_options_are_exit_code_2(arguments: list[str], cli: Cli) -> None:
    assert cli(*arguments, model=False).code == 2


def test_debug_shows_where_an_error_comes_from(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in cli("segment", "nowhere").err
    shown = cli("segment", "nowhere", "--debug")
    assert (shown.code, "Traceback" in shown.err) == (2, True)
    monkeypatch.setenv("XDECODER_DEBUG", "1")
    assert "find_images" in cli("segment", "nowhere").err


def test_a_full_disk_stops_the_run_and_leaves_nothing_half_written(
    cli: Cli, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "cut.jpg").unlink()
    (photos / "text.png").unlink()
    assert cli("segment", photos / "one.jpg", *WORDS, "--json").code == 0  # which keeps the names' embeddings
    whole = results.os.fsync
    writes: list[int] = []

    def fsync(descriptor: int) -> None:
        writes.append(descriptor)
        if len(writes) == 4:  # the second image's JSON
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(descriptor)

    monkeypatch.setattr(results.os, "fsync", fsync)
    done = cli("segment", photos, *WORDS)
    assert done.code == 1
    assert "stopped after 1 of 3 images; --skip-existing goes on from here" in done.err
    assert f"cannot write the result of {photos / 'one.png'} to results: No space left on device" in done.err
    monkeypatch.undo()
    assert files(photos.parent / "results") == {"one.jpg.png", "one.jpg.json", "one.png.png"}


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(
    cli: Cli, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(attempts, "read_image", interrupt)
    done = cli("segment", photos, *WORDS)
    assert done.code == 130
    assert "interrupted after 0 of 5 images; --skip-existing goes on from here" in done.err
    assert "Traceback" not in done.err
    monkeypatch.setattr(loading, "load_predictor", interrupt)
    early = cli("segment", photos, *WORDS)
    assert (early.code, early.err) == (130, "interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_installed_program_runs_and_is_interrupted_cleanly(
    folder: Path, photos: Path, cache: Path
) -> None:
    environment = {**os.environ, "XDECODER_CACHE": str(cache), "COLUMNS": "200"}
    program = [sys.executable, "-m", "xdecoder"]
    done = subprocess.run(
        [
            *program,
            "caption",
            "photos/one.jpg",
            "photos/cut.jpg",
            "--short-side",
            "32",
            "-w",
            folder,
            "--json",
        ],
        cwd=photos.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [
        {"file", "kind", "text", "score", "token_ids"},
        {"file", "error"},
    ]
    for i in range(400):
        shutil.copy(photos / "one.jpg", photos / "trip" / f"{i}.jpg")
    slow = subprocess.Popen(
        [*program, "segment", "photos/trip", *WORDS, "-w", folder, "--json"],
        cwd=photos.parent,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # tests that run in the background ignore the signal, and would hand that on
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert slow.stdout is not None
    json.loads(slow.stdout.readline())
    slow.send_signal(signal.SIGINT)
    out, err = slow.communicate(timeout=60)
    assert slow.returncode == 130
    assert "interrupted after" in err
    assert "Traceback" not in err
    assert all(json.loads(line) for line in out.splitlines())
