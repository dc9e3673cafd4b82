"""Points at which masks are compared, instead of all their pixels (PointRend, Kirillov et al. 2020).

A point is (x, y) in [0, 1], shares of the padded image's sides.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, final, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor


@runtime_checkable
class PointSampler(Protocol):
    """Draws points, uniformly."""

    def __call__(self, rows: Sequence[int], points: int) -> Float[Tensor, "N P 2"]:
        """Draw `points` for each row; `rows` says which image of the batch each row belongs to.

        The order of calls is the published program's: for each layer from the last to the first, one call an
        image with one row (segment matching), two calls with a row a matched pair (3x the points, then the
        quarter that is not chosen by uncertainty), and the same for referring where it is supervised.
        """
        ...


@final
class RandomPoints:
    """Points from one generator.

    Args:
        device: where they are wanted.
        generator: on that device; the default one where None.
    """

    def __init__(self, device: torch.device | str, generator: torch.Generator | None = None) -> None:
        self._device = torch.device(device)
        self._generator = generator

    def __call__(self, rows: Sequence[int], points: int) -> Float[Tensor, "N P 2"]:
        """Draw `points` for each row."""
        return torch.rand(len(rows), points, 2, device=self._device, generator=self._generator)


def sample_maps(maps: Float[Tensor, "N H W"], points: Float[Tensor, "N P 2"]) -> Float[Tensor, "N P"]:
    """Each map at its own points: bilinear between pixel centers, zero outside."""
    return sample_features(maps[:, None], points)[:, 0]


def sample_features(
    features: Float[Tensor, "B C H W"], points: Float[Tensor, "B P 2"]
) -> Float[Tensor, "B C P"]:
    """All channels at the image's points: bilinear between pixel centers, zero outside; float32 at least."""
    features = features if features.dtype == torch.float64 else features.float()
    grid = (2 * points - 1).to(features.dtype)[:, :, None]
    return F.grid_sample(features, grid, mode="bilinear", align_corners=False)[..., 0]


def sample_masks(
    masks: Shaped[Tensor, "N H W"], points: Float[Tensor, "M P 2"], rows: Int[Tensor, " M"]
) -> Float[Tensor, "M P"]:
    """Some of the masks at points of their own, as `sample_maps`.

    Masks are read at the points' neighbors alone: they are neither copied nor turned into floating point.

    Args:
        masks: bool or 0-1.
        points: of each row.
        rows: the mask of each row.
    """
    flat, (H, W) = masks.reshape(-1), masks.shape[1:]
    first = (rows * (H * W))[:, None]
    result = points.new_zeros(points.shape[:2])
    for index, share in _neighbors(points, H, W):
        result += flat[first + index] * share
    return result


def sample_masks_together(
    masks: Shaped[Tensor, "N H W"], points: Float[Tensor, "P 2"]
) -> Float[Tensor, "N P"]:
    """All masks at the same points, as `sample_masks`."""
    flat = masks.flatten(1)
    result = points.new_zeros(len(masks), len(points))
    for index, share in _neighbors(points, *masks.shape[1:]):
        result += flat[:, index] * share
    return result


def _neighbors(
    points: Float[Tensor, "*rows 2"], height: int, width: int
) -> Iterator[tuple[Int[Tensor, "*rows"], Float[Tensor, "*rows"]]]:
    """The four pixels around each point, as places in a flat map, and their shares; outside it none."""
    x, y = points[..., 0] * width - 0.5, points[..., 1] * height - 0.5
    left, top = x.floor(), y.floor()
    right_share, lower_share = x - left, y - top
    left, top = left.long(), top.long()
    for dx, share_x in ((0, 1 - right_share), (1, right_share)):
        for dy, share_y in ((0, 1 - lower_share), (1, lower_share)):
            column, row = left + dx, top + dy
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            yield row.clamp(0, height - 1) * width + column.clamp(0, width - 1), share_x * share_y * inside


@torch.no_grad()
def uncertain_points(
    mask_logits: Float[Tensor, "N H W"],
    candidates: Float[Tensor, "N C 2"],
    anywhere: Float[Tensor, "N R 2"],
    *,
    important: int,
) -> Float[Tensor, "N P 2"]:
    """Points where a mask is undecided, and some anywhere (PointRend, Kirillov et al. 2020, section 3.2).

    Args:
        mask_logits: one predicted mask a row.
        candidates: of each row, the points to choose from.
        anywhere: of each row, points that are taken as they are.
        important: points that are taken from the candidates by uncertainty.
    """
    certainty = sample_maps(mask_logits, candidates).abs()
    chosen = certainty.topk(important, dim=1, largest=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    return torch.cat((uncertain, anywhere), dim=1)
