"""Points at which masks are compared (PointRend, section 3.1), instead of all their pixels.

A point is (x, y) in [0, 1], shares of the padded image's sides.
"""

from collections.abc import Sequence
from typing import Protocol, final, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
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


def sample_maps(maps: Shaped[Tensor, "N H W"], points: Float[Tensor, "N P 2"]) -> Float[Tensor, "N P"]:
    """Each map at its own points: bilinear between pixel centers, zero outside.

    Maps that are not floating point (masks) are read at the points' neighbors alone, so that they need not
    be turned into floating point as a whole.
    """
    if maps.is_floating_point():
        return sample_features(maps[:, None], points)[:, 0]
    N, H, W = maps.shape
    dtype = points.dtype
    place = torch.stack((points[..., 0] * W, points[..., 1] * H), dim=-1) - 0.5
    low = place.floor()
    fraction = place - low
    low = low.long()
    flat = maps.reshape(N, H * W)
    result = torch.zeros(points.shape[:2], dtype=dtype, device=points.device)
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = low[..., 0] + dx, low[..., 1] + dy
        share_x = fraction[..., 0] if dx else 1 - fraction[..., 0]
        share_y = fraction[..., 1] if dy else 1 - fraction[..., 1]
        inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
        index = y.clamp(0, H - 1) * W + x.clamp(0, W - 1)
        result += flat.gather(1, index).to(dtype) * share_x * share_y * inside
    return result


def sample_features(
    features: Float[Tensor, "B C H W"], points: Float[Tensor, "B P 2"]
) -> Float[Tensor, "B C P"]:
    """All channels at the image's points: bilinear between pixel centers, zero outside; float32 at least."""
    features = features if features.dtype == torch.float64 else features.float()
    grid = (2 * points - 1).to(features.dtype)[:, :, None]
    return F.grid_sample(features, grid, mode="bilinear", align_corners=False)[..., 0]


@torch.no_grad()
def uncertain_points(
    mask_logits: Float[Tensor, "N H W"],
    images: Sequence[int],
    sampler: PointSampler,
    *,
    points: int,
    oversampling: float,
    important_share: float,
) -> Float[Tensor, "N P 2"]:
    """Points where a mask is undecided, and some anywhere (PointRend, section 3.2).

    Args:
        mask_logits: one predicted mask a row.
        images: which image of the batch each row belongs to.
        sampler: draws the candidates, then the points anywhere.
        points: how many are wanted, P.
        oversampling: candidates for each wanted point.
        important_share: of the P points, those that are taken from the candidates by uncertainty.
    """
    important = int(important_share * points)
    candidates = sampler(images, int(points * oversampling))
    certainty = sample_maps(mask_logits, candidates).abs()
    chosen = certainty.topk(important, dim=1, largest=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    if important == points:
        return uncertain
    return torch.cat((uncertain, sampler(images, points - important)), dim=1)
