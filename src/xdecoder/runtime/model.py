"""Images and words in, results out, by an exported model: `xdecoder.predictor.predictor` without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, overload

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8
from PIL import Image

from xdecoder.config import ModelConfig
from xdecoder.images import ImageSource, read_image
from xdecoder.predictor.options import (
    AnswerOptions,
    CaptionOptions,
    EncodeOptions,
    ReferOptions,
    SegmentationTask,
    SegmentOptions,
)
from xdecoder.predictor.prompts import Prompt, check_texts, prompt_mask
from xdecoder.runtime import captioning, segmentation
from xdecoder.runtime.graphs import Array, Graphs
from xdecoder.runtime.manifest import Manifest
from xdecoder.runtime.texts import Texts, normalize
from xdecoder.structures import (
    Answer,
    Candidate,
    Caption,
    Grounding,
    Instance,
    InstanceSegmentation,
    PanopticSegmentation,
    SemanticSegmentation,
    mask_box,
)
from xdecoder.tasks.sizes import ImageSizes
from xdecoder.tokenizer import Tokenizer
from xdecoder.vocabularies import Vocabulary, VocabularySpec, model_vocabulary, parse_vocabulary

_STRIDES = (32, 16, 8)
"""Of the levels that queries attend to."""


@dataclass(frozen=True, kw_only=True)
class ImageEmbeddings:
    """Images in the space that they share with texts, each row of unit length.

    Attributes:
        decoder: from the decoder's global token, (N, P).
        backbone: from the backbone's pooled last map, (N, P); the decoder's where the backbone has none.
    """

    decoder: Float32[np.ndarray, "N P"]
    backbone: Float32[np.ndarray, "N P"]

    def similarity(self, texts: Float[np.ndarray, "M P"]) -> Float[np.ndarray, "N M"]:
        """The mean of the two cosines with each text embedding, the published ensemble."""
        return (self.decoder @ texts.T + self.backbone @ texts.T) / 2


class EncodedImage:
    """An image that was encoded once and can be given to every verb in its stead.

    Args:
        image: the picture, (H, W, 3).
        sizes: the sizes it went through.
        features: what the image graph gave.
        graphs: decode the latent queries when they are asked for.
    """

    def __init__(
        self,
        image: UInt8[np.ndarray, "H W 3"],
        sizes: ImageSizes,
        features: Mapping[str, Array],
        graphs: Graphs,
    ) -> None:
        self.image = image
        self.sizes = sizes
        self.features = features
        self._graphs = graphs

    @cached_property
    def queries(self) -> dict[str, Array]:
        """The latent queries' outputs, decoded when first asked for."""
        if "context" in self.__dict__:  # which holds them
            return self.context
        names = ["embeddings", "mask_embeddings"]
        return dict(zip(names, self._graphs.run("latents", self.features, names), strict=True))

    @cached_property
    def context(self) -> dict[str, Array]:
        """The latent queries' outputs and what texts read, decoded when first asked for."""
        names = self._graphs.outputs("latents")
        found = dict(zip(names, self._graphs.run("latents", self.features, names), strict=True))
        cells = [self.sizes.padded[0] // s * (self.sizes.padded[1] // s) for s in _STRIDES]
        return found | {f"visible_{i}": np.ones((1, n), np.bool_) for i, n in enumerate(cells)}


AnyImage = ImageSource | EncodedImage


class ExportedModel:
    """An exported model, its tokenizer and every task whose graphs it has.

    Every verb takes one image: a path, a file's bytes, a PIL image, an array (see
    `xdecoder.images.read_image`) or what `encode` returned. Options and results are the predictor's.

    Args:
        graphs: of the model.
        manifest: its description.
        tokenizer: the one that the model was trained with.
        vocabulary: text embeddings of the model's own classes, the background last.
    """

    def __init__(
        self,
        graphs: Graphs,
        manifest: Manifest,
        tokenizer: Tokenizer,
        vocabulary: Float32[np.ndarray, "K1 P"],
    ) -> None:
        self._graphs = graphs
        self.manifest = manifest
        self.tokenizer = tokenizer
        self._texts = Texts(graphs, tokenizer)
        self._texts.know(self._prompts(self.default_vocabulary), vocabulary)

    @property
    def config(self) -> ModelConfig:
        """What the model is made of; `config.inference` holds the defaults of the verbs."""
        return self.manifest.config

    @property
    def default_vocabulary(self) -> Vocabulary:
        """The classes that images are divided into unless told otherwise."""
        return model_vocabulary(self.config.inference.vocabulary)

    def encode(
        self, image: AnyImage, *, short_side: int | None = None, long_side: int | None = None
    ) -> EncodedImage:
        """Encode an image once, for several verbs.

        Args:
            image: one image.
            short_side: pixels that the shorter side is resized to; by default the model's own.
            long_side: pixels that the longer side has at the most; by default the model's own limit, grown
                with a larger short side.

        Raises:
            ValueError: a bad image; or a size is asked for, and the model was exported for another.
        """
        if isinstance(image, EncodedImage):
            return image
        options = EncodeOptions(short_side=short_side, long_side=long_side)
        pixels = read_image(image)
        if self.manifest.size is None:
            short, long = options.resolve(self.config.inference)
            sizes = ImageSizes.of(_size(pixels), short_side=short, long_side=long)
        elif options != EncodeOptions():
            raise ValueError(
                f"this model was exported for images of {_shown(self.manifest.size)}: export it with "
                "--size free to choose their size"
            )
        else:
            sizes = ImageSizes.within(_size(pixels), self.manifest.size)
        names = self._graphs.outputs("image")
        found = self._graphs.run("image", {"pixels": self._pixels(pixels, sizes)}, names)
        return EncodedImage(pixels, sizes, dict(zip(names, found, strict=True)), self._graphs)

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

    def segment(
        self,
        image: AnyImage,
        vocabulary: VocabularySpec | None = None,
        *,
        task: SegmentationTask = "panoptic",
        things: str | Sequence[str] | None = None,
        stuff: str | Sequence[str] | None = None,
        object_threshold: float | None = None,
        overlap_threshold: float | None = None,
        score_threshold: float | None = None,
        detections: int | None = None,
    ) -> PanopticSegmentation | InstanceSegmentation | SemanticSegmentation:
        """Divide an image into the classes of a vocabulary; as `Predictor.segment`."""
        options = SegmentOptions(
            task=task,
            object_threshold=object_threshold,
            overlap_threshold=overlap_threshold,
            score_threshold=score_threshold,
            detections=detections,
        )
        self._graphs.require("image", "latents")
        words = self.default_vocabulary
        if not (vocabulary is None and things is None and stuff is None):
            words = parse_vocabulary(vocabulary, things=things, stuff=stuff)
        item = self.encode(image)
        masks = self._query_masks(item, words)
        match options.task:
            case "panoptic":
                return self._panoptic(item, masks, words, options)
            case "instance":
                return self._instances(item, masks, words, options)
            case "semantic":
                categories = segmentation.semantic(
                    masks, resize_probabilities=self.config.inference.resize_probabilities
                )
                return SemanticSegmentation(image=item.image, categories=categories, vocabulary=words.classes)

    def refer(self, image: AnyImage, phrases: str | Sequence[str], *, together: bool = True) -> Grounding:
        """Find what phrases mean, and its mask; as `Predictor.refer`."""
        phrases = [phrases] if isinstance(phrases, str) else phrases
        check_texts(phrases, "phrase", self.tokenizer)
        options = ReferOptions(together=together)
        self._graphs.require("image", "text", "phrases")
        item = self.encode(image)
        tokens, valid, texts = self._texts.encode_phrases(phrases)
        if options.together:
            tokens = tokens[valid][None]
            valid = np.ones(tokens.shape[:2], np.bool_)
        embeddings, masks = self._graphs.run(
            "phrases",
            {**item.features, "tokens": tokens, "valid": valid},
            ["embeddings", "mask_embeddings"],
        )
        cosine = (texts[:, None] * normalize(embeddings)).sum(-1)
        chosen = cosine.argmax(-1)
        places = np.arange(len(phrases))
        wanted = np.broadcast_to(masks, (len(phrases), *masks.shape[1:]))[places, chosen]
        logits = segmentation.mask_logits(wanted, item.features["mask_features"][0])
        return Grounding.from_masks(
            image=item.image,
            phrases=phrases,
            masks=segmentation.covered(logits, item.sizes),
            scores=cosine[places, chosen].tolist(),
        )

    def locate(self, image: AnyImage, region: Prompt) -> Bool[np.ndarray, "H W"]:
        """The mask of one region; as `Predictor.locate`."""
        item = self.encode(image)
        if not isinstance(region, str):
            return prompt_mask(region, item.sizes.output)
        mask = self.refer(item, region).masks[0]
        if not mask.any():
            raise ValueError(f"nothing in the image was found for the region {region!r}; say it otherwise")
        return mask

    def caption(
        self,
        image: AnyImage,
        *,
        region: Prompt | None = None,
        beams: int | None = None,
        steps: int | None = None,
    ) -> Caption:
        """Describe an image, or a region of it, in a sentence; as `Predictor.caption`."""
        self._graphs.require("image", "latents", "caption")
        kept, length = CaptionOptions(beams=beams, steps=steps).resolve(self.config)
        item = self.encode(image)
        context = item.context
        if region is not None:
            levels = captioning.region_at_levels(self.locate(item, region), item.sizes, _STRIDES)
            context = context | {f"visible_{i}": cells.reshape(1, -1) for i, cells in enumerate(levels)}
        step = _CaptionTexts(self._graphs, self.config, context).step
        start, end = self.tokenizer.start_id, self.tokenizer.end_id
        if kept == 1:
            found = captioning.caption_greedily(step, start=start, end=end, steps=length)
        else:
            found = captioning.caption_by_beam(step, start=start, end=end, steps=length, beams=kept)
        return Caption(
            text=self.tokenizer.decode_caption(found.ids),
            score=found.log_probability / min(len(found.ids) + 1, length),  # the end token counts
            token_ids=found.ids,
        )

    @overload
    def answer(self, image: AnyImage, questions: str, *, top_k: int = ...) -> Answer: ...
    @overload
    def answer(
        self, image: AnyImage, questions: list[str] | tuple[str, ...], *, top_k: int = ...
    ) -> list[Answer]: ...

    def answer(
        self, image: AnyImage, questions: str | list[str] | tuple[str, ...], *, top_k: int = 5
    ) -> Answer | list[Answer]:
        """Answer questions about an image; as `Predictor.answer`."""
        self._graphs.require("image", "latents", "answer")
        options, length = AnswerOptions(top_k=top_k), self.manifest.question_length
        asked = [questions] if isinstance(questions, str) else list(questions)
        check_texts(asked, "question", self.tokenizer, length=length)
        item = self.encode(image)
        ids = np.array(self.tokenizer.encode_batch(asked, length), np.int64)
        context = {**item.context, "ids": ids}
        for name in ("keys", "values"):
            context[name] = np.repeat(context[name], len(asked), axis=1)
        [logits] = self._graphs.run("answer", context, ["logits"])
        answers = [
            Answer(
                question=question,
                candidates=tuple(
                    Candidate(text=self.manifest.answers[k], score=float(row[k]))
                    for k in np.argsort(-row, kind="stable")[: options.top_k]
                ),
            )
            for question, row in zip(asked, segmentation.softmax(logits), strict=True)
        ]
        return answers[0] if isinstance(questions, str) else answers

    def embed_images(self, images: AnyImage | list[AnyImage]) -> ImageEmbeddings:
        """Embed images in the space that they share with texts; as `Predictor.embed_images`.

        Args:
            images: one image, or a list of several.
        """
        self._graphs.require("image", "latents")
        listed = images if isinstance(images, list) else [images]
        if not listed:
            raise ValueError("no images to embed; give at least one")
        items = [self.encode(image) for image in listed]
        decoder = np.concatenate([item.queries["embeddings"][:, -1] for item in items])
        backbone = decoder
        if self.config.backbone_retrieval:
            backbone = np.concatenate([item.features["backbone_embeddings"] for item in items])
        return ImageEmbeddings(decoder=normalize(decoder), backbone=normalize(backbone))

    def embed_texts(self, texts: str | Sequence[str]) -> Float32[np.ndarray, "N P"]:
        """Embed texts as unit vectors, one row a text; as `Predictor.embed_texts`."""
        texts = [texts] if isinstance(texts, str) else texts
        check_texts(texts, "text", self.tokenizer)
        self._graphs.require("text")
        return self._texts.embed(texts)

    def embed_vocabulary(self, vocabulary: Vocabulary) -> Float32[np.ndarray, "K1 P"]:
        """Text embeddings of the classes, the background last; as `Predictor.embed_vocabulary`."""
        return self._texts.embed_names(self._prompts(vocabulary))

    def _prompts(self, vocabulary: Vocabulary) -> list[tuple[str, ...]]:
        return [self.manifest.prompts_of(name) for name in (*vocabulary.classes, "background")]

    def _pixels(
        self, image: UInt8[np.ndarray, "H W 3"], sizes: ImageSizes
    ) -> Float32[np.ndarray, "1 3 H2 W2"]:
        """The image resized, normalized and then padded with zeros."""
        height, width = sizes.resized
        picture = Image.fromarray(image)
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        mean, std = (np.array(x, np.float32) for x in (self.config.pixel_mean, self.config.pixel_std))
        pixels = np.zeros((1, 3, *sizes.padded), np.float32)
        pixels[0, :, :height, :width] = ((np.asarray(picture, np.float32) - mean) / std).transpose(2, 0, 1)
        return pixels

    def _query_masks(self, item: EncodedImage, words: Vocabulary) -> segmentation.QueryMasks:
        embeddings = item.queries["embeddings"][0]
        cosines = normalize(embeddings) @ normalize(self.embed_vocabulary(words)).T
        return segmentation.QueryMasks(
            classes=segmentation.softmax(np.float32(self.manifest.logit_scale) * cosines),
            embeddings=item.queries["mask_embeddings"][0],
            features=item.features["mask_features"][0],
            sizes=item.sizes,
        )

    def _panoptic(
        self,
        item: EncodedImage,
        masks: segmentation.QueryMasks,
        words: Vocabulary,
        options: SegmentOptions,
    ) -> PanopticSegmentation:
        object_threshold, overlap_threshold = options.thresholds(self.config.inference)
        ids, chosen = segmentation.panoptic(
            masks,
            things=words.things,
            object_threshold=object_threshold,
            overlap_threshold=overlap_threshold,
        )
        return PanopticSegmentation.from_ids(
            image=item.image,
            ids=ids,
            categories=chosen.categories,
            scores=chosen.scores,
            vocabulary=words,
        )

    def _instances(
        self,
        item: EncodedImage,
        masks: segmentation.QueryMasks,
        words: Vocabulary,
        options: SegmentOptions,
    ) -> InstanceSegmentation:
        score_threshold = options.score_threshold or 0.0
        found = segmentation.instances(
            masks, detections=options.detections or self.config.inference.detections, things=words.things
        )
        boxes = [mask_box(mask) for mask in found.query_masks]
        return InstanceSegmentation(
            image=item.image,
            instances=tuple(
                Instance(
                    label=words.classes[category],
                    category=category,
                    score=score,
                    mask=found.query_masks[row],
                    box=boxes[row],
                )
                for category, score, row in zip(found.categories, found.scores, found.rows, strict=True)
                if score >= score_threshold
            ),
            vocabulary=words.classes,
            height=item.sizes.output[0],
            width=item.sizes.output[1],
        )


class _CaptionTexts:
    """The caption graph and the keys and values that it reads and lengthens."""

    def __init__(self, graphs: Graphs, config: ModelConfig, context: Mapping[str, Array]) -> None:
        self._graphs = graphs
        self._context = context
        text = config.text
        empty = np.zeros((text.layers, 1, text.heads, 0, text.width // text.heads), np.float32)
        self._past = {
            "token_keys": empty,
            "token_values": empty,
            "keys": context["keys"],
            "values": context["values"],
        }

    def step(self, ids: Int[np.ndarray, " R"], rows: Int[np.ndarray, " R"]) -> Float32[np.ndarray, "R V"]:
        """See `captioning.CaptionStep`."""
        past = {name: tensor[:, rows] for name, tensor in self._past.items()}
        names = list(past)
        log_probabilities, *grown = self._graphs.run(
            "caption",
            {**self._context, **past, "ids": ids[:, None]},
            ["log_probabilities", *(f"{name}_grown" for name in names)],
        )
        self._past = dict(zip(names, grown, strict=True))
        return log_probabilities


def _size(image: UInt8[np.ndarray, "H W 3"]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
