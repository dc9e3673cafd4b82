"""A model over videos and cameras, frame by frame: results as a video and as lines of JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
import typer

from xdecoder.cli.console import INTERRUPTED, print_notice
from xdecoder.cli.labeling import FormatOptions
from xdecoder.cli.options import PictureOutput, VideoOptions
from xdecoder.cli.over_images import (
    ImageTask,
    Results,
    check_output,
    print_json,
    print_wait,
    run_over_images,
)
from xdecoder.cli.progress import ProgressBar
from xdecoder.jobs.files import draft_folder, flat_name, remove_drafts
from xdecoder.jobs.folder_lock import hold_folder
from xdecoder.jobs.printable import printable
from xdecoder.structures.result import SegmentationResult
from xdecoder.video import Frame, Video, VideoWriter, is_camera, is_video, open_video

_R = TypeVar("_R", bound=SegmentationResult)


@dataclass(frozen=True, kw_only=True)
class _Target:
    """A video and the names of its results."""

    source: str
    name: str

    def files(self, folder: Path) -> tuple[Path, Path]:
        """The drawn video, and the lines."""
        return folder / f"{self.name}.mp4", folder / f"{self.name}.jsonl"


def run_over_sources(
    sources: Sequence[str],
    output: PictureOutput,
    prepare: Callable[[Results], ImageTask[_R]],
    *,
    export: FormatOptions,
    video: VideoOptions,
    debug: bool,
) -> int:
    """Work through images, or through videos.

    Args:
        sources: files, folders and globs; or videos and cameras.
        output: where results go.
        prepare: makes the task, when all else is known to be right.
        export: the labeling tool's files that are written of images' results.
        video: what of a video is worked on.
        debug: let the first error through.

    Returns:
        The exit code; errors as `run_over_images` and `run_over_videos`.
    """
    if any(map(is_video, sources)):
        if export.format is not None:
            raise ValueError(
                f"--format {export.format} is for images; the .jsonl of a video goes through "
                "`xdecoder convert`"
            )
        return run_over_videos(sources, output, prepare, every=video.every)
    code = run_over_images(sources, output, prepare, debug=debug)
    export.write(output.folder)
    return code


def run_over_videos(
    sources: Sequence[str],
    output: PictureOutput,
    prepare: Callable[[Results], ImageTask[_R]],
    *,
    every: int,
) -> int:
    """Work through videos; each one's results are there whole or not at all, a camera's until Ctrl-C.

    Args:
        sources: videos and cameras.
        output: where results go: NAME.mp4, drawn, and NAME.jsonl; or lines on stdout.
        prepare: makes the task, as for images; only what it computes is asked for.
        every: of so many frames the first is worked on.

    Returns:
        The exit code.

    Raises:
        typer.Exit: Ctrl-C was pressed while a file was worked on (130).
        FileNotFoundError: there is no such video or camera.
        ValueError: videos and images are mixed, results would overwrite a video, or a video is damaged.
        OSError: a result could not be written.
    """
    check_output(output)
    folder = output.folder
    targets = _targets(sources, folder)
    for target in targets:  # before a model is loaded
        with open_video(target.source, every=every):
            pass
    task = prepare(Results(folder=None, as_json=False, skip_existing=False, draws=False, single=False))
    for target in targets:
        _work_through(target, folder, output, task, every)
    return 0


def _targets(sources: Sequence[str], folder: Path | None) -> list[_Target]:
    if other := [source for source in sources if not is_video(source)]:
        raise ValueError(f"videos are worked on apart from images: {other[0]} is no video")
    taken: set[str] = set()
    targets = [
        _Target(source=source, name=flat_name(Path(_called(source)), taken))
        for source in dict.fromkeys(sources)
    ]
    for target in targets:
        if folder is not None and any(_is_same(file, target.source) for file in target.files(folder)):
            raise ValueError(f"the result of {target.source} would overwrite it; choose another --out")
    return targets


def _called(source: str) -> str:
    return source.replace(":", "-") if is_camera(source) else source


def _is_same(file: Path, source: str) -> bool:
    return file.exists() and Path(source).exists() and file.samefile(source)


def _work_through(
    target: _Target, folder: Path | None, output: PictureOutput, task: ImageTask[Any], every: int
) -> None:
    if folder is not None and output.skip_existing and all(f.is_file() for f in target.files(folder)):
        print_notice(f"{printable(target.source)}: from before")
        return
    with ExitStack() as stack:
        video = stack.enter_context(open_video(target.source, every=every))
        place: Path | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold_folder(folder, print_wait(folder)))
            remove_drafts(folder)
            place = stack.enter_context(draft_folder(folder))
        began = time.monotonic()
        done = _write(target, video, place, output, task)
        if not done:
            raise ValueError(f"{target.source}: no frame of it could be read; convert it to MP4 (H.264)")
        if place is not None and folder is not None:
            for draft, file in zip(target.files(place), target.files(folder), strict=True):
                draft.replace(file)
        seconds = time.monotonic() - began
        where = "" if folder is None else f", written to {printable(str(target.files(folder)[0]))} and .jsonl"
        print_notice(f"{done} frame{'' if done == 1 else 's'} in {seconds:.1f} s{where}")
        if video.count is not None and done < video.count:
            print_notice(f"{printable(target.source)} says it has {video.count} frames; it may be cut short")


def _write(
    target: _Target, video: Video, place: Path | None, output: PictureOutput, task: ImageTask[Any]
) -> int:
    """Write the results of the frames into a folder, or print them; how many frames there were."""
    live = is_camera(target.source)
    if live:
        print_notice(f"{target.source}: Ctrl-C ends it")
    done = 0
    with ExitStack() as stack:
        writer: VideoWriter | None = None
        lines: IO[str] | None = None
        if place is not None:
            drawn, data = target.files(place)
            writer = VideoWriter(drawn, rate=video.rate, size=(video.height, video.width))
            stack.callback(writer.close)
            lines = stack.enter_context(data.open("w", encoding="utf-8"))
        progress = stack.enter_context(ProgressBar("frames", visible=not live, speed=True))
        try:
            for frame, result in _results(video.frames, task, 1 if live else task.batch_size):
                row = {"file": target.source, "frame": frame.number, "seconds": frame.seconds}
                row |= result.to_dict()
                if writer is not None and lines is not None:
                    writer.write(np.asarray(result.draw()), frame.seconds)
                    lines.write(json.dumps(row) + "\n")
                if output.as_json:
                    print_json(row)
                done += 1
                progress(done, max(done, video.count or 0))
        except KeyboardInterrupt:
            if not live:
                print_notice(f"interrupted after {done} frames of {printable(target.source)}; none are kept")
                raise typer.Exit(INTERRUPTED) from None
    return done


def _results(
    frames: Iterator[Frame], task: ImageTask[Any], batch_size: int
) -> Iterator[tuple[Frame, SegmentationResult]]:
    while group := list(islice(frames, batch_size)):
        yield from zip(group, task.compute([frame.pixels for frame in group]), strict=True)
