"""Images and words in, results out: the door that most users come in by."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence, Set, Sized
from pathlib import Path
from typing import Literal, TypeVar, cast, overload

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from xdecoder.config import ModelConfig
from xdecoder.images import ImageSource
from xdecoder.jobs.progress import ProgressCallback
from xdecoder.model import XDecoder, normalize
from xdecoder.networks.answer_head import AnswerHead
from xdecoder.networks.convolution import keep_kernels
from xdecoder.networks.decoder import NO_CAPTIONS
from xdecoder.predictor import answering, captioning, embedding, referring
from xdecoder.predictor.embedding import RegionEmbeddings
from xdecoder.predictor.encoding import AnyImage, EncodedImage, ImageEncoder
from xdecoder.predictor.name_cache import NameCache
from xdecoder.predictor.options import (
    AnswerOptions,
    CaptionOptions,
    EncodeOptions,
    ReferOptions,
    SegmentationTask,
    SegmentOptions,
)
from xdecoder.predictor.progress import progress_bar
from xdecoder.predictor.prompts import Prompt, check_texts
from xdecoder.predictor.segmentation import Segmentation, Segmenter
from xdecoder.structures import (
    Answer,
    Caption,
    Grounding,
    InstanceSegmentation,
    PanopticSegmentation,
    SemanticSegmentation,
)
from xdecoder.tasks.retrieval import ImageEmbeddings
from xdecoder.tasks.token_search import TokenSearch
from xdecoder.tasks.vocabulary import embed_texts
from xdecoder.tokenizer import Tokenizer
from xdecoder.vocabularies import (
    Vocabulary,
    VocabularySpec,
    clean_name,
    model_vocabulary,
    parse_vocabulary,
    prompts,
)
from xdecoder.weights.digest import digest_model
from xdecoder.weights.folder import save_model

Questions = list[str] | tuple[str, ...]
"""Several questions; each is asked of every image."""

_R = TypeVar("_R")


class Predictor:
    """A model, its tokenizer and every task.

    Every verb takes one image or several, as a list or whatever gives one after the other, and gives one
    result or a list. Images are a path, a file's bytes, a PIL image, an array, a tensor (see
    `xdecoder.images.read_image`) or what `encode` returned. Several are worked through in batches of images
    of one padded size, so that no image's result depends on the others; a generator is asked for a batch at
    a time.

    Args:
        model: the network, in evaluation mode.
        tokenizer: the one that the model was trained with.
        answer_head: its classifier of answers, which `answer` needs.
        cache: folder in which embeddings of class names are kept; None keeps them in memory alone.
        batch_size: images encoded together at the most.
        progress: show a bar on stderr while several images are worked through.
        keep_transforms: on a CPU, keep the transformed kernels of the pixel decoder's convolutions once they
            are needed, at most 189 MB in a published model. Otherwise they are made for each batch of images,
            which takes a quarter more time for an image of 224 pixels and next to none for a large one.
    """

    def __init__(
        self,
        model: XDecoder,
        tokenizer: Tokenizer,
        *,
        answer_head: AnswerHead | None = None,
        cache: Path | None = None,
        batch_size: int = 8,
        progress: bool = False,
        keep_transforms: bool = True,
    ) -> None:
        self.model = model.eval()
        self.model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.tokenizer = tokenizer
        self.answer_head = None if answer_head is None else answer_head.to(model.logit_scale).eval()
        if keep_transforms:
            keep_kernels(model)
        self._encoder = ImageEncoder(model, batch_size)
        self._names = NameCache(model, tokenizer, cache)
        self._tokens = TokenSearch(model.text_encoder.token_embedding.weight)
        self._progress = progress

    @property
    def config(self) -> ModelConfig:
        """What the model is made of; `config.inference` holds the defaults of the verbs."""
        return self.model.config

    @property
    def default_vocabulary(self) -> Vocabulary:
        """The classes that images are divided into unless told otherwise."""
        return model_vocabulary(self.config.inference.vocabulary)

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
        self, image: Iterable[ImageSource], *, short_side: int | None = None, long_side: int | None = None
    ) -> list[EncodedImage]: ...

    @torch.inference_mode()
    def encode(
        self,
        image: ImageSource | Iterable[ImageSource],
        *,
        short_side: int | None = None,
        long_side: int | None = None,
    ) -> EncodedImage | list[EncodedImage]:
        """Encode images once, for several verbs.

        Args:
            image: one image or several.
            short_side: pixels that the shorter side is resized to; by default the model's own.
            long_side: pixels that the longer side has at the most; by default the model's own limit, grown
                with a larger short side.
        """
        options = EncodeOptions(short_side=short_side, long_side=long_side)
        return self._run(image, lambda items: items, options)

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
        score_threshold: float | None = ...,
        detections: int | None = ...,
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
        image: AnyImage | Iterable[AnyImage],
        vocabulary: VocabularySpec | None = ...,
        *,
        task: SegmentationTask = ...,
        things: str | Sequence[str] | None = ...,
        stuff: str | Sequence[str] | None = ...,
        object_threshold: float | None = ...,
        overlap_threshold: float | None = ...,
        score_threshold: float | None = ...,
        detections: int | None = ...,
    ) -> Segmentation | list[Segmentation]: ...

    @torch.inference_mode()
    def segment(
        self,
        image: AnyImage | Iterable[AnyImage],
        vocabulary: VocabularySpec | None = None,
        *,
        task: SegmentationTask = "panoptic",
        things: str | Sequence[str] | None = None,
        stuff: str | Sequence[str] | None = None,
        object_threshold: float | None = None,
        overlap_threshold: float | None = None,
        score_threshold: float | None = None,
        detections: int | None = None,
    ) -> Segmentation | list[Segmentation]:
        """Divide images into the classes of a vocabulary.

        Args:
            image: one image or several.
            vocabulary: names, a built-in list's name, a file (see `xdecoder.vocabularies.parse_vocabulary`).
                By default those of `things` and `stuff`, or the model's own.
            task: "panoptic" (every pixel once; things apart, stuff merged), "instance" (things alone, with
                scores, may overlap) or "semantic" (a class for every pixel).
            things: classes that are things, whatever the built-in lists say.
            stuff: classes that are stuff, likewise.
            object_threshold: panoptic: class probability over which a query counts.
            overlap_threshold: panoptic: share of its own mask that a segment must have won.
            score_threshold: instance: scores below are left out.
            detections: instance: the best (query, class) pairs that are kept, before those of stuff are
                dropped; by default the model's own number.

        Raises:
            ValueError: a bad image, vocabulary or threshold, an unknown task, or a threshold of another task.
        """
        options = SegmentOptions(
            task=task,
            object_threshold=object_threshold,
            overlap_threshold=overlap_threshold,
            score_threshold=score_threshold,
            detections=detections,
        )
        segmenter = self._segmenter(vocabulary, things, stuff)
        return self._run(image, lambda items: [segmenter.segment(item, options) for item in items])

    @overload
    def refer(self, image: AnyImage, phrases: Sequence[str], *, together: bool = ...) -> Grounding: ...
    @overload
    def refer(
        self, image: Iterable[AnyImage], phrases: Sequence[str], *, together: bool = ...
    ) -> list[Grounding]: ...

    @torch.inference_mode()
    def refer(
        self, image: AnyImage | Iterable[AnyImage], phrases: Sequence[str], *, together: bool = True
    ) -> Grounding | list[Grounding]:
        """Find what phrases mean, and its mask ("the left dog"): referring segmentation.

        Args:
            image: one image or several.
            phrases: one or more phrases; each gets one mask.
            together: phrases share one pass and see one another, as the published numbers were made; False
                grounds each by itself, so that its mask does not depend on the others.

        Raises:
            ValueError: a bad image, no phrases or an empty one.
        """
        if isinstance(phrases, str):
            phrases = [phrases]
        check_texts(phrases, "phrase", self.tokenizer)
        options = ReferOptions(together=together)
        return self._run(
            image, lambda items: referring.refer(self.model, self.tokenizer, items, phrases, options)
        )

    @overload
    def locate(self, image: AnyImage, region: Prompt) -> Bool[np.ndarray, "H W"]: ...
    @overload
    def locate(self, image: Iterable[AnyImage], region: Prompt) -> list[Bool[np.ndarray, "_ _"]]: ...

    @torch.inference_mode()
    def locate(
        self, image: AnyImage | Iterable[AnyImage], region: Prompt
    ) -> Bool[np.ndarray, "H W"] | list[Bool[np.ndarray, "_ _"]]:
        """The mask of one region, to edit it for example (`xdecoder.editing`).

        Args:
            image: one image or several.
            region: a phrase, which is grounded; or a box (left, top, right, bottom) in pixels, or a mask.

        Raises:
            ValueError: a bad image, or a region that is outside it, is empty, or was not found.
        """
        return self._run(image, lambda items: self._locate(items, region))

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
        image: Iterable[AnyImage],
        *,
        region: Prompt | None = ...,
        beams: int | None = ...,
        steps: int | None = ...,
    ) -> list[Caption]: ...

    @torch.inference_mode()
    def caption(
        self,
        image: AnyImage | Iterable[AnyImage],
        *,
        region: Prompt | None = None,
        beams: int | None = None,
        steps: int | None = None,
    ) -> Caption | list[Caption]:
        """Describe images in a sentence.

        Args:
            image: one image or several.
            region: describe this part alone ("referring captioning"): a mask of the image's size, a box
                (left, top, right, bottom) in pixels, or a phrase, which is grounded first.
            beams: 1 takes the likeliest word at each step, as published; more search that many sentences; by
                default the model's own.
            steps: tokens at the most; by default the model's own.

        Raises:
            ValueError: a bad image, region, `beams` or `steps`; or the model has no captions.
        """
        if not self.config.decoder.captions:
            raise ValueError(NO_CAPTIONS)
        kept, length = CaptionOptions(beams=beams, steps=steps).resolve(self.config)

        def describe(items: list[EncodedImage]) -> list[Caption]:
            regions = None if region is None else self._locate(items, region)
            return captioning.caption(
                self.model,
                self.tokenizer,
                items,
                regions,
                beams=kept,
                steps=length,
                search=self._tokens,
            )

        return self._run(image, describe)

    @overload
    def answer(self, image: AnyImage, questions: str, *, top_k: int = ...) -> Answer: ...
    @overload
    def answer(self, image: AnyImage, questions: Questions, *, top_k: int = ...) -> list[Answer]: ...
    @overload
    def answer(self, image: Iterable[AnyImage], questions: str, *, top_k: int = ...) -> list[Answer]: ...
    @overload
    def answer(
        self, image: Iterable[AnyImage], questions: Questions, *, top_k: int = ...
    ) -> list[list[Answer]]: ...

    @torch.inference_mode()
    def answer(
        self, image: AnyImage | Iterable[AnyImage], questions: str | Questions, *, top_k: int = 5
    ) -> Answer | list[Answer] | list[list[Answer]]:
        """Answer questions about images, out of the answers that the model was trained to give.

        Args:
            image: one image or several.
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
        options = AnswerOptions(top_k=top_k)
        asked = [questions] if isinstance(questions, str) else list(questions)
        check_texts(asked, "question", self.tokenizer, length=head.question_length)

        def reply(items: list[EncodedImage]) -> list[list[Answer]]:
            return answering.answer(self.model, head, self.tokenizer, items, asked, options)

        if isinstance(questions, str):
            return self._run(image, lambda items: [answers[0] for answers in reply(items)])
        return self._run(image, reply)

    @torch.inference_mode()
    def embed_images(self, images: AnyImage | Iterable[AnyImage]) -> ImageEmbeddings:
        """Embed images in the space that they share with texts.

        Args:
            images: one image or several.

        Returns:
            Unit vectors, one row an image: `similarity(texts)` scores them against `embed_texts`.

        Raises:
            ValueError: no images, a bad one, or weights that give no numbers.
        """
        rows = self._run(images, lambda items: embedding.embed_images(self.model, items))
        if isinstance(rows, ImageEmbeddings):
            return rows
        if not rows:
            raise ValueError("no images to embed; give at least one")
        return ImageEmbeddings.concatenate(rows)

    @overload
    def embed_segments(
        self, image: AnyImage, vocabulary: VocabularySpec | None = ...
    ) -> RegionEmbeddings: ...
    @overload
    def embed_segments(
        self, image: Iterable[AnyImage], vocabulary: VocabularySpec | None = ...
    ) -> list[RegionEmbeddings]: ...

    @torch.inference_mode()
    def embed_segments(
        self, image: AnyImage | Iterable[AnyImage], vocabulary: VocabularySpec | None = None
    ) -> RegionEmbeddings | list[RegionEmbeddings]:
        """Panoptic segments, each with its embedding in the space that regions share with texts.

        Args:
            image: one image or several.
            vocabulary: as for `segment`.

        Raises:
            ValueError: a bad image or vocabulary.
        """
        segmenter, options = self._segmenter(vocabulary), SegmentOptions()
        return self._run(image, lambda items: [segmenter.panoptic(item, options) for item in items])

    @torch.inference_mode()
    def embed_region(self, image: AnyImage, region: Prompt) -> Float[Tensor, "1 P"]:
        """A region of an image in the space that regions share with texts, as a unit vector.

        Args:
            image: one image, or what `encode` returned.
            region: as for `locate`; the latent query whose mask fits it best gives its embedding.

        Raises:
            ValueError: a bad image, or a region that is outside it, is empty, or was not found.
        """
        return cast(
            "Float[Tensor, '1 P']",
            self._run(
                image,
                lambda items: [
                    embedding.embed_region(self.model, item, mask)
                    for item, mask in zip(items, self._locate(items, region), strict=True)
                ],
            ),
        )

    @torch.inference_mode()
    def embed_texts(self, texts: str | Sequence[str]) -> Float[Tensor, "N P"]:
        """Embed texts as unit vectors, one row a text.

        Raises:
            ValueError: no texts, an empty one, or weights that give no numbers.
        """
        texts = [texts] if isinstance(texts, str) else texts
        check_texts(texts, "text", self.tokenizer)
        rows = normalize(embed_texts(self.model, self.tokenizer, texts).float())
        embedding.check_finite(rows)
        return rows

    @torch.inference_mode()
    def embed_vocabulary(
        self, vocabulary: Vocabulary, progress: ProgressCallback | None = None
    ) -> Float[Tensor, "K1 P"]:
        """Text embeddings of the classes, the background last.

        They are kept, so that a vocabulary costs once.

        Args:
            vocabulary: the classes whose names are embedded, each by its prompts.
            progress: called with the prompts embedded and the prompts to embed, if any are new.
        """
        names = (*vocabulary.classes, "background")
        ensemble = self.config.inference.prompt_ensemble
        texts = [prompts(name) if ensemble else (clean_name(name),) for name in names]
        return self._names.embed(texts, progress)

    # How every verb runs

    def _run(
        self,
        image: object,
        verb: Callable[[list[EncodedImage]], Sequence[_R]],
        options: EncodeOptions = EncodeOptions(),  # noqa: B008 (frozen)
    ) -> _R | list[_R]:
        """A verb's result of one image, or its results of each of several, a batch at a time."""
        many = _is_several(image)
        images = cast("Iterable[AnyImage]", image if many else [image])
        total = len(images) if isinstance(images, Sized) else None
        results: list[_R] = []
        with progress_bar(total, shown=self._progress and many) as advance:
            for items in self._encoder.batches(images, options):
                results += verb(items)
                advance(len(items))
        return results if many else results[0]

    def _segmenter(
        self,
        vocabulary: VocabularySpec | None,
        things: str | Sequence[str] | None = None,
        stuff: str | Sequence[str] | None = None,
    ) -> Segmenter:
        words = self.default_vocabulary
        if not (vocabulary is None and things is None and stuff is None):
            words = parse_vocabulary(vocabulary, things=things, stuff=stuff)
        return Segmenter(model=self.model, words=words, embeddings=self.embed_vocabulary(words))

    def _locate(self, items: list[EncodedImage], region: Prompt) -> list[Bool[np.ndarray, "_ _"]]:
        return referring.locate(self.model, self.tokenizer, items, region)


def _is_several(image: object) -> bool:
    """Whether these are images: what gives one after the other, in its order, and is none itself."""
    one = (str, bytes, np.ndarray, Tensor, Mapping, Set)
    return isinstance(image, Iterable) and not isinstance(image, one)
