"""Calls of the model's verbs: records that compare, so that equal calls are answered together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, final

import numpy as np
from jaxtyping import Bool, Float

from xdecoder.images import read_image
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.options import (
    AnswerOptions,
    CaptionOptions,
    EncodeOptions,
    ReferOptions,
    SearchOptions,
    SegmentOptions,
)
from xdecoder.predictor.predictor import Predictor
from xdecoder.predictor.prompts import Prompt, prompt_mask
from xdecoder.predictor.segmentation import Segmentation
from xdecoder.search.found import Found
from xdecoder.search.index import Example, Index
from xdecoder.structures import Answer, Caption, Grounding, decode_rle
from xdecoder.vocabularies import Vocabulary

Source = bytes | EncodedImage
"""An image as a client gives it: a file's bytes, or what its id stands for."""


@dataclass(frozen=True, kw_only=True)
class RunLengths:
    """A mask as a client sends it, which is decoded when its image's size is known.

    Attributes:
        size: height and width in pixels.
        counts: COCO's compressed run lengths.
    """

    size: tuple[int, int]
    counts: str

    def decode(self, size: tuple[int, int]) -> Bool[np.ndarray, "H W"]:
        """The mask of an image of this size.

        Raises:
            ValueError: it is damaged, or of another size.
        """
        return decode_rle({"size": list(self.size), "counts": self.counts}, size)


SentPrompt = str | tuple[float, float, float, float] | RunLengths
"""A part of an image: a phrase, a box (left, top, right, bottom) in pixels, or a mask."""


def decode_prompt(region: SentPrompt, image: EncodedImage) -> Prompt:
    """A region as the predictor takes it."""
    return region.decode(image.geometry.output) if isinstance(region, RunLengths) else region


@dataclass(frozen=True, kw_only=True)
class Call(ABC):
    """A verb and all that it is told; equal ones are answered in one batch.

    Attributes:
        encode: the size that images are brought to.
    """

    verb: ClassVar[str]
    encode: EncodeOptions = field(default_factory=EncodeOptions)

    def read(self, predictor: Predictor, sources: Sequence[Source], max_pixels: int) -> list[EncodedImage]:
        """The images encoded, those together that are not yet."""
        new = [
            read_image(s, max_pixels=max_pixels, name="the image") for s in sources if isinstance(s, bytes)
        ]
        encoded = iter(predictor.encode(new, **asdict(self.encode)) if new else [])
        return [next(encoded) if isinstance(s, bytes) else s for s in sources]

    @abstractmethod
    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[object]:
        """One result for each image."""


@final
@dataclass(frozen=True, kw_only=True)
class EncodeCall(Call):
    """The images encoded, each by itself, so that keeping one keeps no other."""

    verb: ClassVar[str] = "encode"

    def read(self, predictor: Predictor, sources: Sequence[Source], max_pixels: int) -> list[EncodedImage]:
        return [
            image
            for source in sources
            for image in super(EncodeCall, self).read(predictor, [source], max_pixels)
        ]

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> list[EncodedImage]:
        for image in images:
            _ = image.batch.latents  # decoded now, so that their bytes are counted
        return images


@final
@dataclass(frozen=True, kw_only=True)
class SegmentCall(Call):
    """The image divided into classes; those of the model where `words` is None."""

    verb: ClassVar[str] = "segment"
    words: Vocabulary | None = None
    options: SegmentOptions = field(default_factory=SegmentOptions)

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[Segmentation]:
        found: Any = predictor.segment(images, self.words, **asdict(self.options))
        return found


@final
@dataclass(frozen=True, kw_only=True)
class ReferCall(Call):
    """Phrases grounded."""

    verb: ClassVar[str] = "refer"
    phrases: tuple[str, ...]
    options: ReferOptions = field(default_factory=ReferOptions)

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[Grounding]:
        return predictor.refer(images, self.phrases, **asdict(self.options))


@final
@dataclass(frozen=True, kw_only=True)
class CaptionCall(Call):
    """The image, or a region of it, in a sentence."""

    verb: ClassVar[str] = "caption"
    region: SentPrompt | None = None
    options: CaptionOptions = field(default_factory=CaptionOptions)

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[Caption]:
        options = asdict(self.options)
        if isinstance(self.region, RunLengths):
            masks = [self.region.decode(image.geometry.output) for image in images]
            pairs = zip(images, masks, strict=True)
            return [predictor.caption(image, region=mask, **options) for image, mask in pairs]
        return predictor.caption(images, region=self.region, **options)


@final
@dataclass(frozen=True, kw_only=True)
class AnswerCall(Call):
    """Questions about the image in words."""

    verb: ClassVar[str] = "answer"
    questions: tuple[str, ...]
    options: AnswerOptions = field(default_factory=AnswerOptions)

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[list[Answer]]:
        return predictor.answer(images, self.questions, **asdict(self.options))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """An image, or a region of it, in the space that it shares with texts.

    Attributes:
        decoder: the decoder's unit vector; of a region, the only one.
        backbone: the backbone's unit vector; None for a region.
        texts: in words, as they were asked for.
        similarity: of each, its cosine with the region, or the mean of its cosines with both vectors.
        logits: the same times the model's own scale.
    """

    decoder: Float[np.ndarray, " P"]
    backbone: Float[np.ndarray, " P"] | None
    texts: tuple[str, ...]
    similarity: tuple[float, ...]
    logits: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "kind": "embedding",
            "decoder": self.decoder.tolist(),
            "backbone": None if self.backbone is None else self.backbone.tolist(),
            "texts": [{"text": t, "similarity": s} for t, s in zip(self.texts, self.similarity, strict=True)],
        }


@final
@dataclass(frozen=True, kw_only=True)
class EmbedCall(Call):
    """The image's, or a region's, embedding, and how like texts it is."""

    verb: ClassVar[str] = "embed"
    texts: tuple[str, ...] = ()
    region: SentPrompt | None = None

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[Embedded]:
        texts = predictor.embed_texts(self.texts) if self.texts else None
        scale = float(predictor.model.logit_scale.detach().exp())
        found: list[Embedded] = []
        for image in images:
            if self.region is None:
                row = predictor.embed_images(image)
                decoder, backbone = row.decoder, row.backbone
                likeness = [] if texts is None else row.similarity(texts)[0].tolist()
            else:
                decoder = predictor.embed_region(image, decode_prompt(self.region, image))
                backbone = None
                likeness = [] if texts is None else (decoder @ texts.T)[0].tolist()
            found.append(
                Embedded(
                    decoder=decoder[0].cpu().numpy(),
                    backbone=None if backbone is None else backbone[0].cpu().numpy(),
                    texts=self.texts,
                    similarity=tuple(likeness),
                    logits=tuple(scale * value for value in likeness),
                )
            )
        return found


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Located:
    """A region found in an image.

    Attributes:
        image: the picture.
        mask: where the region is.
    """

    image: EncodedImage
    mask: Bool[np.ndarray, "H W"]


@final
@dataclass(frozen=True, kw_only=True)
class EditCall(Call):
    """The mask of a region, to edit it."""

    verb: ClassVar[str] = "edit"
    region: SentPrompt

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[Located]:
        if isinstance(self.region, str):
            masks = predictor.locate(images, self.region)
        else:
            prompts = [decode_prompt(self.region, image) for image in images]
            pairs = zip(images, prompts, strict=True)
            masks = [prompt_mask(p, i.geometry.output) for i, p in pairs if not isinstance(p, str)]
        return [Located(image=i, mask=m) for i, m in zip(images, masks, strict=True)]


@final
@dataclass(frozen=True, kw_only=True)
class SearchCall(Call):
    """Images of an index, or regions in them, like words, the image or a region of it.

    Attributes:
        index: what is searched.
        options: what it is searched for.
        query: the words; None searches by the image.
        region: the part of the image that is meant.
    """

    verb: ClassVar[str] = "search"
    index: Index
    options: SearchOptions
    query: str | None = None
    region: SentPrompt | None = None

    def find(self) -> Found:
        """What is like the words."""
        return self.index.find(self.query or "", self.options)

    def answer(self, predictor: Predictor, images: list[EncodedImage]) -> Sequence[Found]:
        found: list[Found] = []
        for image in images:
            region = None if self.region is None else decode_prompt(self.region, image)
            found.append(self.index.find(Example(image=image, region=region), self.options))
        return found
