"""Which query answers for which target: the cheapest assignment (DETR, Carion et al. 2020, section 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from torch import Tensor

from xdecoder.losses.config import MatchCosts
from xdecoder.losses.terms import pairwise_dice, pairwise_mask_bce, unit

try:
    from scipy.optimize import linear_sum_assignment
except ImportError as error:
    raise ImportError("training needs scipy: pip install 'xdecoder[train]'") from error

_FORBIDDEN = 1e6
"""The cost of what is not finite."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """The matched pairs of a batch of images, those of image 0 first, by query within an image.

    Attributes:
        pairs: per image: queries and targets, on the host.
        starts: per image: how many targets the images before it have.
        images: of each pair, on the device.
        queries: of each pair.
        targets: of each pair, counted over all images' targets in a row.
    """

    pairs: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    starts: tuple[int, ...]
    images: Int[Tensor, " N"]
    queries: Int[Tensor, " N"]
    targets: Int[Tensor, " N"]

    def of(self, image: int) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
        """Queries and targets of one image, on the device, targets counted within the image."""
        before = sum(len(queries) for queries, _ in self.pairs[:image])
        part = slice(before, before + len(self.pairs[image][0]))
        return self.queries[part], self.targets[part] - self.starts[image]

    @property
    def rows(self) -> list[int]:
        """The image of each pair, on the host."""
        return [image for image, (queries, _) in enumerate(self.pairs) for _ in queries]


def assign(
    costs: Sequence[Float[Tensor, "Q _N"]], *, excluded: Sequence[NDArray[np.int64]] | None = None
) -> Matches:
    """The cheapest assignment of each image's targets to its queries.

    The costs of all images go to the host together: one synchronization. What is not finite becomes a large
    finite cost, so that a batch with such logits still gets an assignment.

    Args:
        costs: per image, the cost of each query for each target.
        excluded: per image, queries that are not to be matched.
    """
    device = costs[0].device
    flat = torch.cat([cost.detach().float().flatten() for cost in costs])
    flat = flat.nan_to_num(nan=_FORBIDDEN, posinf=_FORBIDDEN, neginf=-_FORBIDDEN)
    on_host = flat.clamp(-_FORBIDDEN, _FORBIDDEN).cpu().numpy()
    pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    place = 0
    for image, cost in enumerate(costs):
        matrix = on_host[place : place + cost.numel()].reshape(cost.shape)
        place += cost.numel()
        free = np.arange(matrix.shape[0])
        if excluded is not None:
            free = np.setdiff1d(free, excluded[image])
        queries, targets = linear_sum_assignment(matrix[free])
        pairs.append((free[queries], np.asarray(targets, dtype=np.int64)))
    starts = np.cumsum([0, *(cost.shape[1] for cost in costs)])
    images = [np.full(len(queries), image) for image, (queries, _) in enumerate(pairs)]
    targets = [start + found for start, (_, found) in zip(starts, pairs, strict=False)]
    table = np.stack([np.concatenate(x) for x in (images, [queries for queries, _ in pairs], targets)])
    on_device = torch.from_numpy(table.astype(np.int64)).to(device, non_blocking=True)
    return Matches(
        pairs=tuple(pairs),
        starts=tuple(int(start) for start in starts[:-1]),
        images=on_device[0],
        queries=on_device[1],
        targets=on_device[2],
    )


@torch.no_grad()
def match_masks(
    affinity: Sequence[Float[Tensor, "Q _N"]],
    compared: Sequence[tuple[Float[Tensor, "Q _P"], Float[Tensor, "_N _P"]]],
    costs: MatchCosts,
) -> Matches:
    """Match queries to targets by class and mask.

    Args:
        affinity: per image, each query's probability of each target's class or phrase.
        compared: per image, the queries' mask logits and the targets' masks at the same points
            (`MaskComparison.pairwise`).
        costs: how much class, cross-entropy and dice each count.
    """
    return assign(
        [
            costs.mask_bce * pairwise_mask_bce(predicted, true)
            + costs.mask_dice * pairwise_dice(predicted, true)
            - costs.classes * own
            for own, (predicted, true) in zip(affinity, compared, strict=True)
        ]
    )


@torch.no_grad()
def match_nouns(
    embeddings: Float[Tensor, "B Q P"],
    texts: Sequence[Float[Tensor, "_N P"]],
    groups: Sequence[Int[Tensor, " _N"]],
    others: Float[Tensor, "T P"],
    other_groups: Int[Tensor, " T"],
    scale: Float[Tensor, ""],
    *,
    taken: Matches,
) -> Matches:
    """Match queries that answer for no segment to the texts of their image's caption, by meaning alone.

    A query's probability of a text is taken over the image's own texts and those of the whole batch that mean
    something else.

    Args:
        embeddings: semantic embeddings of the queries.
        texts: per image, its texts.
        groups: per image, what its texts mean.
        others: all texts of the global batch.
        other_groups: what they mean.
        scale: from `temperature`.
        taken: the matches of segments, whose queries are left out.
    """
    queries, other_texts = unit(embeddings), unit(others)
    costs: list[Tensor] = []
    for image, (own, own_groups) in enumerate(zip(texts, groups, strict=True)):
        positive = scale * queries[image] @ unit(own).T
        negative = scale * queries[image] @ other_texts.T
        same: Bool[Tensor, " T"] = torch.isin(other_groups, own_groups)
        logits = torch.cat((positive, negative.masked_fill(same, -torch.inf)), dim=1)
        costs.append(-logits.softmax(dim=1)[:, : len(own)])
    return assign(costs, excluded=[found for found, _ in taken.pairs])
