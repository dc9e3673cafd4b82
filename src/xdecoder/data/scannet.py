"""ScanNet's 25k frames: label maps per scene, and the panoptic JSON of X-Decoder's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, final

from xdecoder.data.coco import read_panoptic
from xdecoder.data.coco_file import categories_by_id
from xdecoder.data.dataset import Dataset, ExistingFiles
from xdecoder.data.decoding import FileImage, LabelCoding, LabelFile
from xdecoder.data.problems import refuse_duplicates
from xdecoder.data.records import SemanticSample
from xdecoder.data.selection import Selection
from xdecoder.jobs.files import read_text
from xdecoder.vocabularies import built_in

NYU40_OF_20 = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39)
"""The NYU-40 id of each of the 20 benchmark classes."""


@final
@dataclass(frozen=True, kw_only=True)
class ScanNet:
    """ScanNet with 20 or 40 classes, under `scannet_frames_25k/`.

    The semantic maps are X-Decoder's `label21` / `label41` (0 is void, then the classes in order) where they
    are there, and else the download's own `label`, with NYU-40 ids. `meta/<split>.txt` lists images as
    "scene0011_00/color/000000.jpg", or scenes as "scene0011_00".
    """

    classes: Literal[20, 40]

    def __call__(self, selection: Selection) -> Dataset[Any]:
        """Open the semantic or, with 20 classes, the panoptic, instance set."""
        vocabulary = built_in("scannet" if self.classes == 20 else "scannet-40")
        root = selection.path("scannet_frames_25k")
        images = root / "images" if (root / "images").is_dir() else root
        if selection.task != "semantic":
            return read_panoptic(
                selection,
                annotations=root / "scannet_panoptic.json",
                maps=root / "scannet_panoptic",
                images=images,
                image_name=lambda _image, map_name: _image_name(map_name),
                categories=categories_by_id(vocabulary, NYU40_OF_20),
            )
        frames = self._frames(selection.path("scannet_frames_25k/meta/{word}.txt"), images)
        existing = ExistingFiles(selection.name, selection.missing)
        samples: list[SemanticSample] = []
        for frame in frames:
            scene, stem = Path(frame).parts[0], Path(frame).stem
            label, coding = self._label(images / scene, stem)
            image_id = f"{scene}/{stem}"
            if selection.wants(image_id) and existing.has(str(images / frame), str(label)):
                samples.append(
                    SemanticSample(
                        image_id=image_id,
                        source=FileImage(path=str(images / frame)),
                        label_source=LabelFile(path=str(label), coding=coding),
                    )
                )
        return Dataset(
            samples,
            name=selection.name,
            task="semantic",
            split=selection.split,
            vocabulary=vocabulary,
            skipped=existing.finish(),
        )

    def _frames(self, listing: Path, images: Path) -> list[str]:
        if not listing.is_file():
            raise FileNotFoundError(
                f"{listing}: no such list; it names frames (scene0011_00/color/000000.jpg) or scenes, as "
                "ScanNet's scannetv2_val.txt does"
            )
        words = [line.split()[0] for line in read_text(listing).splitlines() if line.strip()]
        refuse_duplicates(words, what="frame", where=listing)
        frames: list[str] = []
        for word in words:
            if word.endswith(".jpg"):
                frames.append(word)
            else:
                frames.extend(
                    f"{word}/color/{p.name}" for p in sorted((images / word / "color").glob("*.jpg"))
                )
        return frames

    def _label(self, scene: Path, stem: str) -> tuple[Path, LabelCoding]:
        own = scene / f"label{self.classes + 1}" / f"{stem}.png"
        raw = scene / "label" / f"{stem}.png"
        if own.is_file() or not raw.is_file():
            return own, LabelCoding(classes=self.classes, first=1, void=(0,))
        if self.classes == 20:
            return raw, LabelCoding(classes=20, stored=NYU40_OF_20, void=(0,), others_void=True)
        return raw, LabelCoding(classes=40, first=1, void=(0,))


def _image_name(map_name: str) -> str:
    scene, separator, frame = map_name.partition("__")
    if not separator:
        raise ValueError(f"{map_name}: a ScanNet panoptic PNG is named <scene>__<frame>.png")
    return f"{scene}/color/{Path(frame).stem}.jpg"
