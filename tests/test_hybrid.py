from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from builders import tiny_config
from xdecoder.config import (
    HybridConfig,
    ModelConfig,
    PixelDecoderConfig,
)
from xdecoder.model import XDecoder
from xdecoder.networks.hybrid import Hybrid
from xdecoder.networks.pixel_decoder import FPNPixelDecoder

WIDTHS = (6, 10, 14, 18)


@pytest.mark.parametrize("convolutional_stages", [1, 2, 3, 4])
def test_maps_have_their_strides_and_widths(convolutional_stages: int) -> None:
    config = HybridConfig(widths=WIDTHS, depths=(1, 2, 1, 2), convolutional_stages=convolutional_stages)
    maps = Hybrid(config)(torch.randn(2, 3, 64, 96))
    shapes = [tuple(m.shape) for m in maps]
    assert shapes == [(2, 6, 16, 24), (2, 10, 8, 12), (2, 14, 4, 6), (2, 18, 2, 3)]


def test_places_tell_the_maps_where_their_cells_are() -> None:
    torch.manual_seed(0)
    plain = Hybrid(HybridConfig(widths=WIDTHS, depths=(1, 1, 1, 1)))
    placed = Hybrid(HybridConfig(widths=WIDTHS, depths=(1, 1, 1, 1), place_channels=8))
    placed.load_state_dict(plain.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        for before, after in zip(plain.eval()(images), placed.eval()(images), strict=True):
            assert torch.equal(before, after)  # nothing at first
        for places in placed.places:
            torch.nn.init.normal_(places.projection.weight)
        for before, after in zip(plain(images), placed(images), strict=True):
            offset = after - before
            torch.testing.assert_close(offset[0], offset[1])  # of the place, not of the picture
            assert (offset[0].std((1, 2)) > 0.01).all()


def test_a_batch_equals_single_images_when_evaluated() -> None:
    backbone = Hybrid(HybridConfig(widths=WIDTHS, depths=(1, 1, 1, 1)))
    images = torch.randn(3, 3, 64, 32)
    backbone(images)  # moves the batch statistics
    backbone.eval()
    together = backbone(images)
    alone = backbone(images[1:2])
    for whole, single in zip(together, alone, strict=True):
        torch.testing.assert_close(whole[1:2], single, rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    backbone = Hybrid(HybridConfig(widths=WIDTHS, depths=(1, 1, 2, 1), place_channels=8))
    sum(m.square().mean() for m in backbone(torch.randn(2, 3, 64, 64))).backward()
    assert [n for n, p in backbone.named_parameters() if p.grad is None] == []


def test_a_model_is_built_from_its_written_configuration() -> None:
    config = tiny_config(backbone=HybridConfig(widths=WIDTHS, depths=(1, 1, 1, 1)))
    assert ModelConfig.from_dict(config.to_dict()) == config
    assert isinstance(XDecoder(config).backbone, Hybrid)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="convolutional_stages must be 1 to 4, got 5"):
        HybridConfig(widths=WIDTHS, depths=(1, 1, 1, 1), convolutional_stages=5)
    with pytest.raises(ValueError, match="place_channels must be a multiple of 4, got 6"):
        HybridConfig(widths=WIDTHS, depths=(1, 1, 1, 1), place_channels=6)
    with pytest.raises(ValueError, match="must be even, got 7"):
        HybridConfig(widths=(7, 10, 14, 18), depths=(1, 1, 1, 1))


def test_finer_masks_go_on_from_coarser_ones() -> None:
    torch.manual_seed(0)
    config = PixelDecoderConfig(width=32, mask_width=16, layers=1, heads=2, feedforward=24)
    coarse = FPNPixelDecoder(config, WIDTHS)
    fine = FPNPixelDecoder(replace(config, mask_stride=2), WIDTHS)
    fine.load_state_dict(coarse.state_dict(), strict=False)
    res2, res3, res4, res5 = (torch.randn(2, WIDTHS[k], 16 >> k, 24 >> k) for k in range(4))
    maps = (res2, res3, res4, res5)
    with torch.no_grad():
        before, after = coarse(maps).masks, fine(maps).masks
        assert before.shape == (2, 16, 16, 24)
        assert after.shape == (2, 16, 32, 48)
        torch.testing.assert_close(after, F.interpolate(before, scale_factor=2, mode="bilinear"))
        assert fine.mask_details is not None
        torch.nn.init.normal_(fine.mask_details.quarters.weight)
        assert not torch.allclose(fine(maps).masks, after)
    with pytest.raises(ValueError, match="mask_stride must be 4, or 2 with kind 'fpn', got 2"):
        PixelDecoderConfig(kind="deformable", mask_stride=2)
