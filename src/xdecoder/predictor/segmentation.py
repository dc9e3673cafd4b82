"""Encoded images to segmentation records."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from xdecoder.model import XDecoder, normalize
from xdecoder.predictor.embedding import RegionEmbeddings
from xdecoder.predictor.encoding import EncodedImage
from xdecoder.predictor.options import SegmentOptions
from xdecoder.structures import (
    Instance,
    InstanceSegmentation,
    PanopticSegmentation,
    SemanticSegmentation,
    mask_box,
)
from xdecoder.tasks import segmentation
from xdecoder.vocabularies import Vocabulary

Segmentation = PanopticSegmentation | InstanceSegmentation | SemanticSegmentation


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmenter:
    """A model and the classes that it is asked for.

    Attributes:
        model: decodes the images' queries and compares them with the classes.
        words: the K classes, in the order of the results' categories.
        embeddings: of unit length, one a class, the background's last; (K + 1, P).
    """

    model: XDecoder
    words: Vocabulary
    embeddings: Float[Tensor, "K1 P"]

    def segment(self, item: EncodedImage, options: SegmentOptions) -> Segmentation:
        """The result of the task that is asked for."""
        match options.task:
            case "panoptic":
                return self.panoptic(item, options).segmentation
            case "instance":
                return self.instances(item, options)
            case "semantic":
                return self.semantic(item)

    def panoptic(self, item: EncodedImage, options: SegmentOptions) -> RegionEmbeddings:
        """Every pixel once, things apart, stuff merged; and what each segment's class was read from."""
        object_threshold, overlap_threshold = options.thresholds(self.model.config.inference)
        logits = self._logits(item)
        output = segmentation.panoptic(
            logits,
            item.geometry,
            things=self.words.things,
            object_threshold=object_threshold,
            overlap_threshold=overlap_threshold,
        )
        return RegionEmbeddings(
            segmentation=PanopticSegmentation.from_ids(
                image=item.image,
                ids=output.ids.cpu().numpy(),
                categories=output.categories,
                scores=output.scores,
                vocabulary=self.words,
            ),
            vectors=normalize(logits.embeddings[list(output.queries)].float()),
        )

    def instances(self, item: EncodedImage, options: SegmentOptions) -> InstanceSegmentation:
        """Things alone, with scores; they may overlap."""
        score_threshold = options.score_threshold or 0.0
        output = segmentation.instances(
            self._logits(item),
            item.geometry,
            detections=options.detections or self.model.config.inference.detections,
            things=self.words.things,
        )
        masks = list(output.query_masks.cpu().numpy())  # shared by the instances of a query, not copied
        boxes = [mask_box(mask) for mask in masks]
        found = zip(output.categories.tolist(), output.scores.tolist(), output.rows.tolist(), strict=True)
        return InstanceSegmentation(
            image=item.image,
            instances=tuple(
                Instance(
                    label=self.words.classes[category],
                    category=category,
                    score=score,
                    mask=masks[row],
                    box=boxes[row],
                )
                for category, score, row in found
                if score >= score_threshold
            ),
            vocabulary=self.words.classes,
            height=item.geometry.output[0],
            width=item.geometry.output[1],
        )

    def semantic(self, item: EncodedImage) -> SemanticSegmentation:
        """A class for every pixel."""
        labels = segmentation.semantic(
            self._logits(item),
            item.geometry,
            resize_probabilities=self.model.config.inference.resize_probabilities,
        )
        return SemanticSegmentation(
            image=item.image, categories=labels.cpu().numpy(), vocabulary=self.words.classes
        )

    def _logits(self, item: EncodedImage) -> segmentation.SegmentationLogits:
        batch = item.batch
        return segmentation.segmentation_logits(
            self.model, batch.features, batch.latents, self.embeddings, item.index
        )
