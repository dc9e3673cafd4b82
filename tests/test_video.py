"""Videos and cameras frame by frame; a tiny video of 7 frames of 80 x 96 pixels, 5 a second."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import encode_rle
from xdecoder.video import Frame, VideoWriter, is_video, open_video

COUNT, RATE, H, W = 7, 5.0, 80, 96


def make_video(path: Path, count: int = COUNT) -> Path:
    """Frames that turn from red to blue."""
    writer = VideoWriter(path, rate=RATE, size=(H, W))
    for number in range(count):
        pixels = np.zeros((H, W, 3), np.uint8)
        pixels[..., 0], pixels[..., 2] = 240 - 40 * number, 40 * number
        writer.write(pixels, number / RATE)
    writer.close()
    return path


def frames_of(path: Path, **options: Any) -> list[Frame]:
    with open_video(str(path), **options) as video:
        return list(video.frames)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDECODER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "clip.mp4")
    return Path("clip.mp4")


def run(verb: str, model: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, [verb, *arguments, "--weights", str(model)])


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# Reading and writing


def test_a_video_is_read_frame_by_frame_in_red_green_and_blue(clip: Path) -> None:
    with open_video(str(clip)) as video:
        assert (video.height, video.width, video.rate, video.count) == (H, W, RATE, COUNT)
    frames = frames_of(clip)
    assert [frame.number for frame in frames] == list(range(COUNT))
    assert [frame.seconds for frame in frames] == pytest.approx([n / RATE for n in range(COUNT)])
    for frame in frames:
        assert frame.pixels.shape == (H, W, 3)
        assert frame.pixels.mean(axis=(0, 1)) == pytest.approx(
            [240 - 40 * frame.number, 0, 40 * frame.number], abs=8
        )


def test_every_so_many_frames_keep_their_numbers_and_times(clip: Path) -> None:
    frames = frames_of(clip, every=3)
    assert [frame.number for frame in frames] == [0, 3, 6]
    assert frames[1].seconds == pytest.approx(3 / RATE)
    with open_video(str(clip), every=3) as video:
        assert (video.rate, video.count) == (RATE / 3, 3)


def test_a_late_frame_leaves_the_one_before_on_the_screen(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "late.mp4", rate=RATE, size=(H, W))
    for seconds in (0.0, 0.2, 1.0):
        writer.write(np.zeros((H, W, 3), np.uint8), seconds)
    writer.close()
    assert len(frames_of(tmp_path / "late.mp4")) == 6


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "v.mp4", rate=RATE, size=(H, W))
    with pytest.raises(ValueError, match="a frame of 3 x 5 pixels in a video of 96 x 80"):
        writer.write(np.zeros((5, 3, 3), np.uint8), 0.0)
    writer.close()


def test_frames_over_the_limit_are_refused_before_they_are_decoded(clip: Path) -> None:
    with pytest.raises(ValueError, match="frames of 96 x 80 pixels, over the limit of 7,000"):
        frames_of(clip, max_pixels=7000)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("a.MP4", True), ("camera:0", True), ("camera:x", False), ("a.jpg", False), ("camera", False)],
)
def test_a_video_is_told_by_its_name(source: str, expected: bool) -> None:
    assert is_video(source) == expected


# The commands


def test_segment_makes_a_drawn_video_and_a_line_of_json_a_frame(clip: Path, model: Path) -> None:
    result = run("segment", model, str(clip), "-v", "car, grass", "--out", "out", "--batch-size", "3")
    assert result.exit_code == 0, result.output
    assert "7 frames" in result.stderr
    assert sorted(p.name for p in Path("out").iterdir()) == ["clip.jsonl", "clip.mp4"]
    rows = lines_of(Path("out/clip.jsonl").read_text())
    assert [row["frame"] for row in rows] == list(range(COUNT))
    predictor = xdecoder.load(model)
    frames = frames_of(clip)
    expected = predictor.segment([frame.pixels for frame in frames], ["car", "grass"])
    for row, frame, found in zip(rows, frames, expected, strict=True):
        assert (row["file"], row["frame"], row["seconds"]) == ("clip.mp4", frame.number, frame.seconds)
        parts = [(part["label"], part["segmentation"]) for part in row["segments"]]
        assert parts == [(region.label, encode_rle(region.mask)) for region in found.regions()]
    drawn = frames_of(Path("out/clip.mp4"))
    assert len(drawn) == COUNT
    assert np.abs(drawn[2].pixels.astype(int) - np.asarray(expected[2].draw())).mean() < 20
    converted = CliRunner().invoke(app, ["convert", "out/clip.jsonl", "--to", "yolo"])
    assert converted.exit_code == 0, converted.output
    assert len(list(Path("out/clip/yolo/labels/train").iterdir())) == COUNT
    again = run("segment", model, str(clip), "--out", "out", "--skip-existing")
    assert (again.exit_code, "from before" in again.stderr) == (0, True)


def test_refer_prints_lines_and_writes_nothing(clip: Path, model: Path) -> None:
    result = run("refer", model, str(clip), "the car", "--json", "--every", "4")
    assert result.exit_code == 0, result.output
    assert [row["frame"] for row in lines_of(result.stdout)] == [0, 4]
    assert lines_of(result.stdout)[0]["groundings"][0]["phrase"] == "the car"
    assert not Path("results").exists()


def test_frames_are_decoded_a_batch_at_a_time(
    clip: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    seen: list[int] = []

    class Capture:
        def __init__(self, *arguments: Any) -> None:
            self._capture = real(*arguments)

        def retrieve(self) -> Any:
            decoded.append(1)
            return self._capture.retrieve()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._capture, name)

    def refer(*_: Any, **__: Any) -> Any:
        seen.append(len(decoded))
        return found(*_, **__)

    real, found = cv2.VideoCapture, Predictor.refer
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    monkeypatch.setattr(Predictor, "refer", refer)
    result = run("refer", model, str(clip), "the car", "--json", "--batch-size", "3")
    assert result.exit_code == 0, result.output
    assert seen == [3, 6, 7]


def test_a_camera_is_worked_on_until_ctrl_c_and_what_was_seen_is_kept(
    clip: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Camera:
        """A camera that shows the video; Ctrl-C is pressed at the fourth frame."""

        def __init__(self, index: int) -> None:
            assert index == 2
            self._capture, self._grabbed = real(str(clip)), 0

        def grab(self) -> bool:
            self._grabbed += 1
            if self._grabbed == 4:
                raise KeyboardInterrupt
            return self._capture.grab()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._capture, name)

    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    result = run("segment", model, "camera:2", "-v", "car, grass", "--out", "out")
    assert result.exit_code == 0, result.output
    assert "camera:2: Ctrl-C ends it" in result.stderr
    rows = lines_of(Path("out/camera-2.jsonl").read_text())
    assert [row["frame"] for row in rows] == [0, 1, 2]
    monkeypatch.setattr(cv2, "VideoCapture", real)
    assert len(frames_of(Path("out/camera-2.mp4"))) >= 3


def test_an_interrupted_video_leaves_nothing(
    clip: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "refer", interrupt)
    result = run("refer", model, str(clip), "the car", "--out", "out")
    assert (result.exit_code, "none are kept" in " ".join(result.stderr.split())) == (130, True)
    assert list(Path("out").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.mp4",), "no such video: none.mp4"),
        (("https://example.org/clip.mp4",), "no such video: https://example.org/clip.mp4"),
        (("bad.mp4",), "bad.mp4 is not a video that can be read"),
        (("clip.mp4", "photos"), "photos is no video"),
        (("camera:999",), "no such camera"),
        (("clip.mp4", "--out", "."), "would overwrite it; choose another --out"),
        (("clip.mp4", "--format", "coco"), "--format coco is for images"),
    ],
)
def test_what_cannot_be_done_is_told(
    arguments: tuple[str, ...], message: str, clip: Path, model: Path
) -> None:
    Path("bad.mp4").write_bytes(b"no video")
    result = run("segment", model, *arguments)
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (2, True), result.output
    assert not Path("results").exists()
    assert len(frames_of(clip)) == COUNT


def test_a_broken_video_is_told_in_one_line_without_opencv_s_and_ffmpeg_s_own(
    clip: Path, model: Path
) -> None:
    Path("bad.mp4").write_bytes(b"no video" * 100)
    whole = clip.read_bytes()
    at = whole.index(b"mdat") + 200
    Path("noise.mp4").write_bytes(whole[:at] + bytes(range(256)) + whole[at + 256 :])
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    command = [sys.executable, "-m", "xdecoder", "segment", "-v", "car", "--weights", str(model)]

    def run(name: str, **variables: str) -> tuple[int, str]:
        done = subprocess.run(
            [*command, name], env=quiet | variables, capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout + done.stderr

    expected = "error: bad.mp4 is not a video that can be read; convert it to MP4 (H.264)"
    assert run("bad.mp4") == (2, f"{expected}\n")
    asked = run("bad.mp4", OPENCV_FFMPEG_LOGLEVEL="16", OPENCV_LOG_LEVEL="WARNING")[1]
    assert "moov atom not found" in asked
    assert "VIDEOIO" in asked
    code, output = run("noise.mp4")
    assert (code, "@" in output) == (0, False), output


def test_without_opencv_the_error_says_how_to_install_it(
    clip: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    result = run("segment", model, str(clip))
    assert (result.exit_code, "pip install 'xdecoder[video]'" in result.stderr) == (2, True)
