"""What a data set yields: frozen samples that name their files and decode them only when asked.

Everything here can be pickled and sent to a worker process. In every label map a pixel holds an index into
the data set's `vocabulary.classes`, or `VOID` (-1) where the annotators gave none; files that write void as
0, 255 or 65535 are translated on reading. In a panoptic map 0 is the id of no segment.

Arrays: images `[H, W, 3]` uint8 RGB, label maps `[H, W]` int16, panoptic ids `[H, W]` int32, masks `[H, W]`
bool.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from jaxtyping import Bool, Int16, Int32, UInt8

from xdecoder.images import ImageHeader, read_header
from xdecoder.structures.masks import (
    Box,
    Polygons,
    Rle,
    decode_rle,
    encode_rle,
    mask_box,
    outlined_rle,
    segmentation_rle,
)

VOID = -1
"""The index of an unlabeled pixel in every label map of this package."""

Task = Literal["panoptic", "instance", "semantic", "referring", "caption", "question"]
ImageId = int | str


@final
@dataclass(frozen=True, kw_only=True)
class Annotation:
    """One annotated object.

    Attributes:
        id: the annotation's id in its file; those without one are numbered -1, -2, ... by their place.
        category: index into the vocabulary; for referring data without one, the file's own category id.
        crowd: a group that is not told apart (COCO's iscrowd).
        box: the file's box; None where it has none, and the mask's counts.
        area: the file's area in pixels, which COCO's size classes go by; None where it has none.
        segmentation: polygons or run lengths, as the file has them.
        outlined: polygons are drawn as PhraseCut draws them (`outlined_rle`), not filled as COCO does.
    """

    id: int
    category: int
    crowd: bool
    box: Box | None
    area: float | None
    segmentation: Polygons | Rle
    outlined: bool = False

    def rle(self, height: int, width: int) -> Rle:
        """The mask, compressed, for an image of this size.

        Raises:
            ValueError: the annotation's run lengths are of another size.
        """
        try:
            if self.outlined and isinstance(self.segmentation, tuple):
                return outlined_rle(self.segmentation, height, width)
            return segmentation_rle(self.segmentation, height, width)
        except ValueError as error:
            raise ValueError(f"annotation {self.id}: {error}") from error

    def mask(self, height: int, width: int) -> Bool[np.ndarray, "H W"]:
        """The `[H, W]` mask for an image of this size."""
        return decode_rle(self.rle(height, width))


@final
@dataclass(frozen=True, kw_only=True)
class SegmentInfo:
    """One segment of a panoptic map; `category` indexes the vocabulary."""

    id: int
    category: int
    is_thing: bool
    crowd: bool
    area: int


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PanopticMap:
    """Ids per pixel and what they mean.

    Attributes:
        ids: `[H, W]` int32; 0 is void.
        segments: those that own at least one pixel.
        covered: ids that the file lists but that own no pixel (another segment was painted over them).
    """

    ids: Int32[np.ndarray, "H W"]
    segments: tuple[SegmentInfo, ...]
    covered: tuple[int, ...] = ()

    def labels(self) -> Int16[np.ndarray, "H W"]:
        """The `[H, W]` map of category indexes, `VOID` elsewhere; crowds count as their category."""
        found, inverse = np.unique(self.ids, return_inverse=True)
        category_of = {s.id: s.category for s in self.segments}
        table = np.array([category_of.get(int(i), VOID) for i in found], dtype=np.int16)
        return table[inverse].reshape(self.ids.shape)


# Sources: where a picture or an annotation lies and how it is decoded.


class StoredImage(ABC):
    """Where an image lies."""

    @abstractmethod
    def load(self, size: tuple[int, int] | None = None) -> UInt8[np.ndarray, "H W 3"]:
        """Decode to `[H, W, 3]` RGB, upright.

        Args:
            size: height and width of the annotation: an image that EXIF turns is left as stored where only
                that fits.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be read as an image.
        """

    @abstractmethod
    def encoded(self) -> bytes:
        """The image file's bytes, undecoded."""

    def header(self) -> ImageHeader:
        """Its size, without decoding it.

        Raises:
            FileNotFoundError: there is no such file.
            TooLargeError: it has more pixels than PIL opens.
            ValueError: it cannot be read as an image.
        """
        return read_header(self.encoded(), name=self.name)

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call it in a message."""


class StoredLabels(ABC):
    """Where a semantic label map lies."""

    @abstractmethod
    def load(self) -> Int16[np.ndarray, "H W"]:
        """Decode to `[H, W]` category indexes."""


class StoredPanoptic(ABC):
    """Where a panoptic map lies."""

    @abstractmethod
    def load(self) -> PanopticMap:
        """Decode ids and segments."""


class StoredAnnotations(ABC):
    """Where an image's objects lie."""

    @abstractmethod
    def load(self) -> tuple[Annotation, ...]:
        """Decode the objects."""


@final
@dataclass(frozen=True, kw_only=True)
class ListedAnnotations(StoredAnnotations):
    """Objects that the annotation file spelled out."""

    regions: tuple[Annotation, ...]

    def load(self) -> tuple[Annotation, ...]:
        """The listed objects."""
        return self.regions


@final
@dataclass(frozen=True, kw_only=True)
class PanopticLabels(StoredLabels):
    """The label map that a panoptic map implies."""

    panoptic: StoredPanoptic

    def load(self) -> Int16[np.ndarray, "H W"]:
        """Each pixel's category."""
        return self.panoptic.load().labels()


@final
@dataclass(frozen=True, kw_only=True)
class PanopticThings(StoredAnnotations):
    """The things of a panoptic map; `categories` are the vocabulary indexes that become 0, 1, 2, ..."""

    panoptic: StoredPanoptic
    categories: tuple[int, ...]

    def load(self) -> tuple[Annotation, ...]:
        """One region per thing segment, crowds included."""
        decoded = self.panoptic.load()
        index_of = {category: i for i, category in enumerate(self.categories)}
        regions: list[Annotation] = []
        for segment in decoded.segments:
            if not segment.is_thing or segment.category not in index_of:
                continue
            mask = decoded.ids == segment.id
            regions.append(
                Annotation(
                    id=segment.id,
                    category=index_of[segment.category],
                    crowd=segment.crowd,
                    box=mask_box(mask),
                    area=float(segment.area),
                    segmentation=encode_rle(mask),
                )
            )
        return tuple(regions)


# Samples: one image and what is known of it.


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image of a data set. `size` is `(height, width)` where the annotation file states it."""

    image_id: ImageId
    source: StoredImage
    size: tuple[int, int] | None = None

    def image(self) -> UInt8[np.ndarray, "H W 3"]:
        """Decode the image, `[H, W, 3]` RGB.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it cannot be read, or is not of the size that the annotation file states.
        """
        pixels = self.source.load(self.size)
        if self.size is not None and pixels.shape[:2] != self.size:
            height, width = self.size
            raise ValueError(
                f"{self.source.name}: the annotation file says {width}x{height}, the image is "
                f"{pixels.shape[1]}x{pixels.shape[0]}; use the images that the annotations were made for"
            )
        return pixels


def _require_same_size(image: np.ndarray, annotation: np.ndarray, name: str) -> None:
    if image.shape[:2] != annotation.shape:
        raise ValueError(
            f"{name}: the image is {image.shape[1]}x{image.shape[0]}, its annotation "
            f"{annotation.shape[1]}x{annotation.shape[0]}; they must be made from the same image"
        )


@final
@dataclass(frozen=True, kw_only=True)
class SemanticSample(Sample):
    """An image with a category per pixel."""

    label_source: StoredLabels

    def labels(self) -> Int16[np.ndarray, "H W"]:
        """The map of category indexes; `VOID` is -1."""
        return self.label_source.load()

    def read(self) -> tuple[UInt8[np.ndarray, "H W 3"], Int16[np.ndarray, "H W"]]:
        """Image and labels.

        Raises:
            ValueError: they differ in size.
        """
        labels = self.labels()
        image = self.image() if self.size else self.source.load(labels.shape)
        _require_same_size(image, labels, self.source.name)
        return image, labels


@final
@dataclass(frozen=True, kw_only=True)
class PanopticSample(Sample):
    """An image with a segment per pixel."""

    panoptic_source: StoredPanoptic

    def panoptic(self) -> PanopticMap:
        """Ids and segments."""
        return self.panoptic_source.load()

    def read(self) -> tuple[UInt8[np.ndarray, "H W 3"], PanopticMap]:
        """Image and panoptic map.

        Raises:
            ValueError: they differ in size.
        """
        panoptic = self.panoptic()
        image = self.image() if self.size else self.source.load(panoptic.ids.shape)
        _require_same_size(image, panoptic.ids, self.source.name)
        return image, panoptic


@final
@dataclass(frozen=True, kw_only=True)
class InstanceSample(Sample):
    """An image with its objects.

    Attributes:
        region_source: where they lie.
        absent: of a federated data set (LVIS), the categories that are known not to be in the image; of those
            that are neither here nor among its objects nothing is known. None where all are annotated.
        incomplete: likewise, the categories of which there may be more objects than are annotated.
    """

    region_source: StoredAnnotations
    absent: tuple[int, ...] | None = None
    incomplete: tuple[int, ...] = ()

    def regions(self) -> tuple[Annotation, ...]:
        """The objects, crowds included."""
        return self.region_source.load()


@final
@dataclass(frozen=True, kw_only=True)
class Referent:
    """What phrases mean, and the phrases that people used for it.

    Attributes:
        id: the data set's.
        phrases: texts that each mean the region, one or more.
        region: an object; in gRefCOCO several as one, or, with an empty mask, none.
    """

    id: int | str
    phrases: tuple[str, ...]
    region: Annotation


@final
@dataclass(frozen=True, kw_only=True)
class ReferringSample(Sample):
    """An image with objects that phrases point at."""

    referents: tuple[Referent, ...]


@final
@dataclass(frozen=True, kw_only=True)
class CaptionSample(Sample):
    """An image with its captions."""

    captions: tuple[str, ...]


@final
@dataclass(frozen=True, kw_only=True)
class Question:
    """A question and what people answered (ten answers in VQAv2; none in a test split)."""

    id: int
    text: str
    answers: tuple[str, ...] = ()
    kind: str = ""


@final
@dataclass(frozen=True, kw_only=True)
class QuestionSample(Sample):
    """An image with its questions."""

    questions: tuple[Question, ...]
