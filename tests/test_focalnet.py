"""Stochastic depth of FocalNet."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from builders import FOCALNET
from xdecoder.config import FocalNetConfig
from xdecoder.networks.focal_block import PlainBlock
from xdecoder.networks.focalnet import FocalNet

CONFIG = replace(FOCALNET, depths=(1, 2, 1, 1))


@pytest.mark.parametrize("block", ["plain", "depthwise"])
def test_stochastic_depth_is_off_at_inference_and_where_its_rate_is_zero(block: str) -> None:
    config = replace(CONFIG, block=block)
    net, plain = FocalNet(replace(config, drop_path_rate=0.5)), FocalNet(config)
    plain.load_state_dict(net.state_dict())
    images = torch.randn(2, 3, 64, 64)
    expected = [maps.detach() for maps in plain.train()(images)]
    assert all(torch.equal(x, y) for x, y in zip(net.eval()(images), expected, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(net.train()(images), expected, strict=True))


def test_the_rate_grows_evenly_from_the_first_block_to_the_last() -> None:
    net = FocalNet(replace(CONFIG, drop_path_rate=0.4))
    rates = [module.drop_rate for module in net.modules() if isinstance(module, PlainBlock)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


def test_whole_images_are_left_out_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    block = PlainBlock(CONFIG, 8, 0.25).train()
    dropped = block.drop_path(torch.ones(4000, 1, 2, 8))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (dropped == dropped[:, :1, :1, :1]).all()
    assert dropped.mean().item() == pytest.approx(1, abs=0.05)


def test_a_rate_must_leave_something() -> None:
    with pytest.raises(ValueError, match=r"drop_path_rate must lie in \[0, 1\), got 1.0"):
        FocalNetConfig(block="plain", widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), drop_path_rate=1.0)
