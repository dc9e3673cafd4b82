"""Images and words in, results out: the door that most users come in by."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args, overload

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.images import ImageSource
from xdecoder.model import XDecoder, normalize
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.predictor import answering, captioning
from xdecoder.predictor.embedding import RegionEmbeddings, embed_region
from xdecoder.predictor.encoding import AnyImage, EncodedImage, Encoder, by_batch
from xdecoder.predictor.name_cache import NameCache
from xdecoder.predictor.prompts import Prompt, prompt_mask
from xdecoder.predictor.segmentation import Segmenter
from xdecoder.predictor.texts import check_texts
from xdecoder.structures import (
    Answer,
    Caption,
    Grounding,
    InstanceSegmentation,
    PanopticSegmentation,
    SemanticSegmentation,
)
from xdecoder.tasks import retrieval
from xdecoder.tasks.referring import refer
from xdecoder.tasks.retrieval import ImageEmbeddings
from xdecoder.tasks.vocabulary import embed_texts, encode_phrases
from xdecoder.tokenizer import Tokenizer
from xdecoder.vocabularies import (
    Vocabulary,
    VocabularySpec,
    built_in,
    clean_name,
    parse_vocabulary,
    prompts,
)
from xdecoder.weights.digest import digest_model
from xdecoder.weights.folder import save_model

Segmentation = PanopticSegmentation | InstanceSegmentation | SemanticSegmentation
SegmentationTask = Literal["panoptic", "instance", "semantic"]
Questions = list[str] | tuple[str, ...]
"""Several questions; each is asked of every image."""

_R = TypeVar("_R")


class Predictor:
    """A model, its tokenizer and every task.

    Every verb takes one image or a list of them, and gives one result or a list. Images are a path, a file's
    bytes, a PIL image, an array, a tensor (see `xdecoder.images.read_image`) or what `encode` returned.
    Lists are worked through in batches of images of one padded size, so that no image's result depends on
    the others.

    Args:
        model: the network.
        tokenizer: its tokenizer.
        answer_head: its classifier of answers, which `answer` needs.
        cache: folder in which embeddings of class names are kept; None keeps them in memory alone.
        batch_size: images encoded together at the most.
    """

    def __init__(
        self,
        model: XDecoder,
        tokenizer: Tokenizer,
        *,
        answer_head: AnswerHead | None = None,
        cache: Path | None = None,
        batch_size: int = 8,
    ) -> None:
        self.model = model.eval()
        self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.tokenizer = tokenizer
        self.answer_head = None if answer_head is None else answer_head.to(model.logit_scale).eval()
        self._encoder = Encoder(model, batch_size)
        self._names = NameCache(model, tokenizer, cache)

    @property
    def config(self) -> ModelConfig:
        """What the model is made of; `config.inference` holds the defaults of the verbs."""
        return self.model.config

    @property
    def default_vocabulary(self) -> Vocabulary:
        """The classes that images are divided into unless told otherwise."""
        return built_in(self.config.inference.vocabulary)

    @property
    def batch_size(self) -> int:
        """Images encoded together at the most."""
        return self._encoder.batch_size

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.logit_scale.device

    def digest(self) -> str:
        """What tells the model from others, whatever its name or folder; see `digest_model`."""
        return digest_model(self.model, self.tokenizer, self.answer_head)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a model folder, as `load` reads it."""
        save_model(Path(folder), self.model, self.tokenizer, answer_head=self.answer_head)

    # Encoding

    @overload
    def encode(
        self, image: ImageSource, *, short_side: int | None = None, long_side: int | None = None
    ) -> EncodedImage: ...
    @overload
    def encode(
        self, image: Sequence[ImageSource], *, short_side: int | None = None, long_side: int | None = None
    ) -> list[EncodedImage]: ...

    @torch.inference_mode()
    def encode(
        self,
        image: ImageSource | Sequence[ImageSource],
        *,
        short_side: int | None = None,
        long_side: int | None = None,
    ) -> EncodedImage | list[EncodedImage]:
        """Encode images once, for several verbs.

        Args:
            image: one image or a list.
            short_side: pixels that the shorter side is resized to; by default the model's own.
            long_side: pixels that the longer side has at the most; by default the model's own limit, grown
                with a larger short side.
        """
        if _is_many(image):
            images = cast("Sequence[ImageSource]", image)
            return [item for batch in self._encoder.batches(images, short_side, long_side) for item in batch]
        return next(self._encoder.batches([cast("ImageSource", image)], short_side, long_side))[0]

    def _for_each(
        self, image: AnyImage | Sequence[AnyImage], result: Callable[[EncodedImage], _R]
    ) -> _R | list[_R]:
        if not _is_many(image):
            return result(next(self._encoder.batches([cast("AnyImage", image)]))[0])
        images = cast("Sequence[AnyImage]", image)
        return [result(item) for batch in self._encoder.batches(images) for item in batch]

    def _words(
        self,
        vocabulary: VocabularySpec | None,
        things: str | Sequence[str] | None = None,
        stuff: str | Sequence[str] | None = None,
    ) -> Vocabulary:
        if vocabulary is None and things is None and stuff is None:
            return self.default_vocabulary
        return parse_vocabulary(vocabulary, things=things, stuff=stuff)

    # Verbs

    @overload
    def segment(
        self,
        image: AnyImage,
        vocabulary: VocabularySpec | None = ...,
        *,
        task: Literal["panoptic"] = ...,
        things: str | Sequence[str] | None = ...,
        stuff: str | Sequence[str] | None = ...,
        object_threshold: float | None = ...,
        overlap_threshold: float | None = ...,
    ) -> PanopticSegmentation: ...
    @overload
    def segment(
        self,
        image: AnyImage,
        vocabulary: VocabularySpec | None = ...,
        *,
        task: Literal["instance"],
        things: str | Sequence[str] | None = ...,
        stuff: str | Sequence[str] | None = ...,
        score_threshold: float = ...,
    ) -> InstanceSegmentation: ...
    @overload
    def segment(
        self,
        image: AnyImage,
        vocabulary: VocabularySpec | None = ...,
        *,
        task: Literal["semantic"],
        things: str | Sequence[str] | None = ...,
        stuff: str | Sequence[str] | None = ...,
    ) -> SemanticSegmentation: ...
    @overload
    def segment(
        self,
        image: AnyImage | Sequence[AnyImage],
        vocabulary: VocabularySpec | None = ...,
        *,
        task: SegmentationTask = ...,
        things: str | Sequence[str] | None = ...,
        stuff: str | Sequence[str] | None = ...,
        object_threshold: float | None = ...,
        overlap_threshold: float | None = ...,
        score_threshold: float = ...,
    ) -> Segmentation | list[Segmentation]: ...

    @torch.inference_mode()
    def segment(
        self,
        image: AnyImage | Sequence[AnyImage],
        vocabulary: VocabularySpec | None = None,
        *,
        task: SegmentationTask = "panoptic",
        things: str | Sequence[str] | None = None,
        stuff: str | Sequence[str] | None = None,
        object_threshold: float | None = None,
        overlap_threshold: float | None = None,
        score_threshold: float = 0.0,
    ) -> Segmentation | list[Segmentation]:
        """Divide images into the classes of a vocabulary.

        Args:
            image: one image or a list.
            vocabulary: names, a built-in list's name, a file (see `xdecoder.vocabularies.parse_vocabulary`).
                By default those of `things` and `stuff`, or the model's own.
            task: "panoptic" (every pixel once; things apart, stuff merged), "instance" (things alone, with
                scores, may overlap) or "semantic" (a class for every pixel).
            things: classes that are things, whatever the built-in lists say.
            stuff: classes that are stuff, likewise.
            object_threshold: panoptic: class probability over which a query counts.
            overlap_threshold: panoptic: share of its own mask that a segment must have won.
            score_threshold: instance: scores below are left out.

        Raises:
            ValueError: a bad image or vocabulary, or an unknown task.
        """
        if task not in get_args(SegmentationTask):
            raise ValueError(f"task must be one of {', '.join(get_args(SegmentationTask))}; got {task!r}")
        words = self._words(vocabulary, things, stuff)
        segmenter = Segmenter(model=self.model, words=words, embeddings=self.embed_vocabulary(words))
        settings = self.config.inference
        results: dict[SegmentationTask, Callable[[EncodedImage], Segmentation]] = {
            "panoptic": partial(
                segmenter.panoptic,
                object_threshold=_or(object_threshold, settings.object_threshold),
                overlap_threshold=_or(overlap_threshold, settings.overlap_threshold),
            ),
            "instance": partial(segmenter.instances, score_threshold=score_threshold),
            "semantic": segmenter.semantic,
        }
        return self._for_each(image, results[task])

    @overload
    def refer(self, image: AnyImage, phrases: Sequence[str], *, together: bool = ...) -> Grounding: ...
    @overload
    def refer(
        self, image: Sequence[AnyImage], phrases: Sequence[str], *, together: bool = ...
    ) -> list[Grounding]: ...

    @torch.inference_mode()
    def refer(
        self, image: AnyImage | Sequence[AnyImage], phrases: Sequence[str], *, together: bool = True
    ) -> Grounding | list[Grounding]:
        """Find what phrases mean, and its mask ("the left dog"): referring segmentation.

        Args:
            image: one image or a list.
            phrases: one or more phrases; each gets one mask.
            together: phrases share one pass and see one another, as the published numbers were made; False
                grounds each by itself, so that its mask does not depend on the others.

        Raises:
            ValueError: a bad image, no phrases or an empty one.
        """
        if isinstance(phrases, str):
            phrases = [phrases]
        check_texts(phrases, "phrase", self.tokenizer)
        texts, valid = encode_phrases(self.model, self.tokenizer, phrases)

        def ground(item: EncodedImage) -> Grounding:
            output = refer(self.model, item.batch.features, item.index, texts, valid, together=together)
            scale = self.model.logit_scale.exp().clamp(max=100)
            cosine = output.similarity.gather(1, output.chosen[:, None])[:, 0] / scale
            return Grounding.from_masks(
                image=item.image,
                phrases=phrases,
                masks=output.covered(item.geometry).cpu().numpy(),
                scores=cosine.float().tolist(),
            )

        return self._for_each(image, ground)

    @overload
    def locate(self, image: AnyImage, region: Prompt) -> Bool[np.ndarray, "H W"]: ...
    @overload
    def locate(self, image: Sequence[AnyImage], region: Prompt) -> list[Bool[np.ndarray, "_ _"]]: ...

    @torch.inference_mode()
    def locate(
        self, image: AnyImage | Sequence[AnyImage], region: Prompt
    ) -> Bool[np.ndarray, "H W"] | list[Bool[np.ndarray, "_ _"]]:
        """The mask of one region, to edit it for example (`xdecoder.editing`).

        Args:
            image: one image or a list.
            region: a phrase, which is grounded; or a box (left, top, right, bottom) in pixels, or a mask.

        Raises:
            ValueError: a bad image, or a region that is outside it, is empty, or was not found.
        """
        return self._for_each(image, lambda item: self._locate(item, region))

    @overload
    def caption(
        self,
        image: AnyImage,
        *,
        region: Prompt | None = ...,
        beams: int | None = ...,
        steps: int | None = ...,
    ) -> Caption: ...
    @overload
    def caption(
        self,
        image: Sequence[AnyImage],
        *,
        region: Prompt | None = ...,
        beams: int | None = ...,
        steps: int | None = ...,
    ) -> list[Caption]: ...

    @torch.inference_mode()
    def caption(
        self,
        image: AnyImage | Sequence[AnyImage],
        *,
        region: Prompt | None = None,
        beams: int | None = None,
        steps: int | None = None,
    ) -> Caption | list[Caption]:
        """Describe images in a sentence.

        Args:
            image: one image or a list.
            region: describe this part alone ("referring captioning"): a mask of the image's size, a box
                (left, top, right, bottom) in pixels, or a phrase, which is grounded first.
            beams: 1 takes the likeliest word at each step, as published; more search that many sentences; by
                default the model's own.
            steps: tokens at the most; by default the model's own.

        Raises:
            ValueError: a bad image, region, `beams` or `steps`.
        """
        most = self.config.text.context_length - 1
        length = steps if steps is not None else min(self.config.inference.caption_steps, most)
        if not 1 <= length <= most:
            raise ValueError(f"steps must be between 1 and {most}, got {length}")
        kept = self.config.inference.caption_beams if beams is None else beams
        if kept < 1:
            raise ValueError(f"beams must be at least 1, got {kept}")
        many = _is_many(image)
        images = cast("Sequence[AnyImage]", image) if many else [cast("AnyImage", image)]
        captions: list[Caption] = []
        for items in self._encoder.batches(images):
            regions = None if region is None else [self._locate(item, region) for item in items]
            captions += captioning.caption(
                self.model, self.tokenizer, items, regions, beams=kept, steps=length
            )
        return captions if many else captions[0]

    @overload
    def answer(self, image: AnyImage, questions: str, *, top_k: int = ...) -> Answer: ...
    @overload
    def answer(self, image: AnyImage, questions: Questions, *, top_k: int = ...) -> list[Answer]: ...
    @overload
    def answer(self, image: Sequence[AnyImage], questions: str, *, top_k: int = ...) -> list[Answer]: ...
    @overload
    def answer(
        self, image: Sequence[AnyImage], questions: Questions, *, top_k: int = ...
    ) -> list[list[Answer]]: ...

    @torch.inference_mode()
    def answer(
        self, image: AnyImage | Sequence[AnyImage], questions: str | Questions, *, top_k: int = 5
    ) -> Answer | list[Answer] | list[list[Answer]]:
        """Answer questions about images, out of the answers that the model was trained to give.

        Args:
            image: one image or a list.
            questions: one question or a list, asked of every image: a list gives a list for each image.
            top_k: candidates an answer has at the most.

        Raises:
            ValueError: the model was not trained to answer; a bad image, no questions or an empty one.
        """
        head = self.answer_head
        if head is None:
            raise ValueError(
                "this model was not trained to answer: take one that was, such as picturebook, or train one "
                "with `xdecoder train finetune_vqa --from MODEL`"
            )
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, got {top_k}")
        one = isinstance(questions, str)
        asked = [questions] if isinstance(questions, str) else questions
        check_texts(asked, "question", self.tokenizer, length=head.question_length)
        many = _is_many(image)
        images = cast("Sequence[AnyImage]", image) if many else [cast("AnyImage", image)]
        found: list[list[Answer]] = []
        for items in self._encoder.batches(images):
            found += answering.answer(
                self.model, head, self.tokenizer, items, asked, top_k=min(top_k, len(head.answers))
            )
        if one:
            return [answers[0] for answers in found] if many else found[0][0]
        return found if many else found[0]

    @torch.inference_mode()
    def embed_images(self, images: AnyImage | Sequence[AnyImage]) -> ImageEmbeddings:
        """Embed images in the space that they share with texts.

        Args:
            images: one image or a list.

        Returns:
            Unit vectors, one row an image: `similarity(texts)` scores them against `embed_texts`.
        """
        many = cast("Sequence[AnyImage]", images) if _is_many(images) else [cast("AnyImage", images)]
        if not many:
            raise ValueError("no images to embed; give at least one")
        rows: list[ImageEmbeddings] = []
        for items in self._encoder.batches(many):
            of_item: dict[int, ImageEmbeddings] = {}
            for batch, members in by_batch(items):
                embedded = retrieval.embed_images(self.model, batch.features, batch.latents)
                of_item |= {p: embedded.row(items[p].index) for p in members}
            rows += [of_item[p] for p in range(len(items))]
        return ImageEmbeddings(
            decoder=torch.cat([row.decoder for row in rows]),
            backbone=torch.cat([row.backbone for row in rows]),
        )

    @overload
    def embed_segments(
        self, image: AnyImage, vocabulary: VocabularySpec | None = ...
    ) -> RegionEmbeddings: ...
    @overload
    def embed_segments(
        self, image: Sequence[AnyImage], vocabulary: VocabularySpec | None = ...
    ) -> list[RegionEmbeddings]: ...

    @torch.inference_mode()
    def embed_segments(
        self, image: AnyImage | Sequence[AnyImage], vocabulary: VocabularySpec | None = None
    ) -> RegionEmbeddings | list[RegionEmbeddings]:
        """Panoptic segments, each with its embedding in the space that regions share with texts.

        Args:
            image: one image or a list.
            vocabulary: as for `segment`.

        Raises:
            ValueError: a bad image or vocabulary.
        """
        words = self._words(vocabulary)
        segmenter = Segmenter(model=self.model, words=words, embeddings=self.embed_vocabulary(words))
        settings = self.config.inference
        embed = partial(
            segmenter.embedded_panoptic,
            object_threshold=settings.object_threshold,
            overlap_threshold=settings.overlap_threshold,
        )
        return self._for_each(image, embed)

    @torch.inference_mode()
    def embed_region(self, image: AnyImage, region: Prompt) -> Float[Tensor, "1 P"]:
        """A region of an image in the space that regions share with texts, as a unit vector.

        Args:
            image: the image.
            region: as for `locate`; the latent query whose mask fits it best gives its embedding.

        Raises:
            ValueError: a bad image, or a region that is outside it, is empty, or was not found.
        """
        item = next(self._encoder.batches([image]))[0]
        return embed_region(self.model, item, self._locate(item, region))

    @torch.inference_mode()
    def embed_texts(self, texts: str | Sequence[str]) -> Float[Tensor, "N P"]:
        """Embed texts as unit vectors, one row a text."""
        texts = [texts] if isinstance(texts, str) else texts
        check_texts(texts, "text", self.tokenizer)
        return normalize(embed_texts(self.model, self.tokenizer, texts).float())

    @torch.inference_mode()
    def embed_vocabulary(
        self, vocabulary: Vocabulary, progress: Callable[[int, int], None] | None = None
    ) -> Float[Tensor, "K1 P"]:
        """Text embeddings of the classes, the background last.

        They are kept, so that a vocabulary costs once.

        Args:
            vocabulary: the classes.
            progress: called with the prompts embedded and the prompts to embed, if any are new.
        """
        names = (*vocabulary.classes, "background")
        ensemble = self.config.inference.prompt_ensemble
        texts = [prompts(name) if ensemble else (clean_name(name),) for name in names]
        return self._names.embed(texts, progress)

    def _locate(self, item: EncodedImage, region: Prompt) -> Bool[np.ndarray, "H W"]:
        if not isinstance(region, str):
            return prompt_mask(region, item.geometry.output)
        mask = self.refer(item, [region]).masks[0]
        if not mask.any():
            raise ValueError(f"nothing in the image was found for the region {region!r}; say it otherwise")
        return mask


def _is_many(image: object) -> bool:
    return isinstance(image, Sequence) and not isinstance(image, (str, bytes))


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
