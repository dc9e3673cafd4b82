"""Where predicted masks are compared with true ones: at sampled points, or whole.

The objective is the same for both: it compares rows of P points, and does not know how they were chosen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from xdecoder.losses.config import PointSampling
from xdecoder.losses.matching import Matches
from xdecoder.losses.points import (
    PointSampler,
    sample_features,
    sample_maps,
    sample_masks,
    sample_masks_together,
    uncertain_points,
)
from xdecoder.networks.linear import linear


@dataclass(frozen=True, kw_only=True)
class DrawnPoints:
    """The random points of a layer's matched pairs.

    Attributes:
        candidates: of which those are compared where the prediction is undecided.
        anywhere: compared in any case.
    """

    candidates: Float[Tensor, "N C 2"]
    anywhere: Float[Tensor, "N R 2"]


@dataclass(frozen=True, kw_only=True)
class MatchedLayer:
    """A layer's queries, and what they were matched to.

    Attributes:
        mask_embeddings: of all queries of the layer.
        matches: which query answers for which target.
        drawn: from `MaskComparison.draw`.
    """

    mask_embeddings: Float[Tensor, "B Q M"]
    matches: Matches
    drawn: DrawnPoints | None


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The matched pairs of several layers.

    Attributes:
        predicted: mask logits.
        true: the masks that they should be.
        layers: the layer of each pair.
    """

    predicted: Float[Tensor, "N P"]
    true: Float[Tensor, "N P"]
    layers: Int[Tensor, " N"]


class MaskComparison(ABC):
    """The mask features of a batch, and at which of their points masks are compared."""

    @abstractmethod
    def pairwise(
        self, mask_embeddings: Float[Tensor, "B Q M"], masks: Sequence[Shaped[Tensor, "_N H W"]]
    ) -> list[tuple[Float[Tensor, "Q P"], Float[Tensor, "_N P"]]]:
        """Per image, the mask logits of all queries and its targets' masks, to match them; no gradient.

        Args:
            mask_embeddings: of all queries of the layer.
            masks: per image, its targets' masks.
        """

    @abstractmethod
    def draw(self, matches: Matches) -> DrawnPoints | None:
        """The random points that `matched` will need of a layer, drawn when the layer's turn comes."""

    @abstractmethod
    def matched(self, layers: Sequence[MatchedLayer], masks: Sequence[Shaped[Tensor, "_N H W"]]) -> Compared:
        """The matched pairs of all layers, whose mask logits are made in one product an image.

        Args:
            layers: what was matched.
            masks: per image, its targets' masks.
        """


@final
class SampledPoints(MaskComparison):
    """Comparison at random points, as published (Mask2Former); masks may be of any size.

    In matching, all masks of an image share their points. A matched pair has points of its own, most of them
    where the prediction is undecided.

    Args:
        mask_features: of every image of the batch, from the pixel decoder.
        sampler: draws the points; `PointSampler` says in which order.
        sampling: how many.
    """

    def __init__(
        self, mask_features: Float[Tensor, "B M h w"], sampler: PointSampler, sampling: PointSampling
    ) -> None:
        self._features = mask_features
        self._sampler = sampler
        self._sampling = sampling

    @torch.no_grad()
    def pairwise(
        self, mask_embeddings: Float[Tensor, "B Q M"], masks: Sequence[Shaped[Tensor, "_N H W"]]
    ) -> list[tuple[Float[Tensor, "Q P"], Float[Tensor, "_N P"]]]:
        """At points that an image's masks share."""
        found: list[tuple[Tensor, Tensor]] = []
        for image, own in enumerate(masks):
            points = self._sampler([image], self._sampling.points)
            features = self._features[image]
            logits = linear(mask_embeddings[image].to(features.dtype), features.flatten(1).T)
            predicted = sample_features(logits.unflatten(1, features.shape[1:])[None], points)[0]
            found.append((predicted, sample_masks_together(own, points[0])))
        return found

    def draw(self, matches: Matches) -> DrawnPoints:
        """Candidates for each pair, then what is not chosen by uncertainty."""
        rows, sampling = matches.rows, self._sampling
        candidates = self._sampler(rows, int(sampling.points * sampling.oversampling))
        if sampling.important == sampling.points:
            return DrawnPoints(candidates=candidates, anywhere=candidates[:, :0])
        return DrawnPoints(
            candidates=candidates, anywhere=self._sampler(rows, sampling.points - sampling.important)
        )

    def matched(self, layers: Sequence[MatchedLayer], masks: Sequence[Shaped[Tensor, "_N H W"]]) -> Compared:
        """At each pair's own points."""
        pairs = _Pairs(layers, self._features.dtype)
        logits = torch.cat(
            [
                linear(rows, features.flatten(1).T).unflatten(1, features.shape[1:])
                for rows, features in zip(pairs.by_image, self._features, strict=True)
            ]
        )
        drawn = [layer.drawn for layer in layers if layer.drawn is not None]
        points = uncertain_points(
            logits,
            torch.cat([d.candidates for d in drawn])[pairs.order],
            torch.cat([d.anywhere for d in drawn])[pairs.order],
            important=self._sampling.important,
        )
        true = sample_masks(torch.cat(list(masks)), points, pairs.targets)
        return Compared(predicted=sample_maps(logits, points), true=true, layers=pairs.layers)


@final
class WholeMasks(MaskComparison):
    """Comparison at every cell, for small pictures; masks are shares of the mask features' own cells, 0 to 1.

    They are matched at half that resolution.

    Args:
        mask_features: of every image of the batch, from the pixel decoder.
    """

    def __init__(self, mask_features: Float[Tensor, "B M h w"]) -> None:
        self._features = mask_features.flatten(2).unbind()
        self._halved = _halve(mask_features.detach())

    @torch.no_grad()
    def pairwise(
        self, mask_embeddings: Float[Tensor, "B Q M"], masks: Sequence[Shaped[Tensor, "_N H W"]]
    ) -> list[tuple[Float[Tensor, "Q P"], Float[Tensor, "_N P"]]]:
        """At cells of twice the size."""
        predicted = mask_embeddings.to(self._halved.dtype) @ self._halved
        return [(own, _halve(true[:, None])[:, 0]) for own, true in zip(predicted, masks, strict=True)]

    def draw(self, matches: Matches) -> None:
        """Nothing is random."""

    def matched(self, layers: Sequence[MatchedLayer], masks: Sequence[Shaped[Tensor, "_N H W"]]) -> Compared:
        """At all cells."""
        pairs = _Pairs(layers, self._halved.dtype)
        logits = [rows @ own for rows, own in zip(pairs.by_image, self._features, strict=True)]
        true = torch.cat(list(masks)).flatten(1)[pairs.targets]
        return Compared(predicted=torch.cat(logits), true=true, layers=pairs.layers)


class _Pairs:
    """The matched pairs of several layers, those of image 0 first, by layer within an image.

    Args:
        layers: what was matched.
        dtype: what the mask features are in.

    Attributes:
        order: where each pair stands among those of all layers in a row.
        by_image: per image, the mask embeddings of the matched queries.
        targets: of each pair, counted over all images' targets in a row.
        layers: the layer of each pair.
    """

    def __init__(self, layers: Sequence[MatchedLayer], dtype: torch.dtype) -> None:
        device = layers[0].mask_embeddings.device
        images = np.array([row for layer in layers for row in layer.matches.rows], dtype=np.int64)
        owners = np.repeat(np.arange(len(layers)), [len(layer.matches.rows) for layer in layers])
        order = images.argsort(kind="stable")
        self.order, self.layers = (
            torch.from_numpy(x).to(device, non_blocking=True) for x in (order, owners[order])
        )
        matches = [layer.matches for layer in layers]
        self.targets = torch.cat([m.targets for m in matches])[self.order]
        rows = torch.cat(
            [layer.mask_embeddings[m.images, m.queries] for layer, m in zip(layers, matches, strict=True)]
        )
        counts = np.bincount(images, minlength=len(layers[0].mask_embeddings))
        self.by_image = rows[self.order].to(dtype).split(counts.tolist())


def _halve(maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C P"]:
    """Means of two by two cells, in a row."""
    return F.avg_pool2d(maps, 2).flatten(2)
