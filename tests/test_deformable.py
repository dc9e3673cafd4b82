import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from goldens import Golden, assert_close
from xdecoder.config import PixelDecoderConfig
from xdecoder.networks.deformable import DeformablePixelDecoder
from xdecoder.networks.positions import sine_positions

WIDTHS = (5, 7, 11, 13)


def tiny(heads: int = 4) -> DeformablePixelDecoder:
    torch.manual_seed(0)
    sizes = PixelDecoderConfig(
        kind="deformable", width=32, mask_width=9, layers=2, heads=heads, feedforward=17
    )
    return DeformablePixelDecoder(sizes, WIDTHS).eval()


def maps(batch: int = 2, height: int = 3, width: int = 5) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    scales = (8, 4, 2, 1)
    res2, res3, res4, res5 = (
        torch.randn(batch, c, height * s, width * s) for c, s in zip(WIDTHS, scales, strict=True)
    )
    return res2, res3, res4, res5


def test_features_are_those_of_the_published_program(golden_d: Golden) -> None:
    """From its stored res3 to res5; res2, which is not stored, matters to the mask features alone."""
    sizes = PixelDecoderConfig(
        kind="deformable", width=64, mask_width=32, layers=2, heads=4, feedforward=1024
    )
    model = DeformablePixelDecoder(sizes, (16, 32, 64, 128))
    prefix = "sem_seg_head.pixel_decoder."
    model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in golden_d.weights.items() if k.startswith(prefix)}
    )
    with torch.inference_mode():
        features = model((torch.zeros(2, 16, 24, 32), *(golden_d[f"a2/res{i}"] for i in (3, 4, 5))))
        assert features.masks.shape == (2, 32, 24, 32)
    assert_close(features.levels[0], golden_d["a2/multi_scale0"])
    assert_close(features.levels[1], golden_d["a2/multi_scale1"])


def bilinear(value: Tensor, x: float, y: float) -> Tensor:
    """A map (C, H, W) at a place in cells, zero outside."""
    C, H, W = value.shape
    result = torch.zeros(C, dtype=value.dtype)
    for i in (math.floor(y), math.floor(y) + 1):
        for j in (math.floor(x), math.floor(x) + 1):
            if 0 <= i < H and 0 <= j < W:
                result += value[:, i, j] * (1 - abs(y - i)) * (1 - abs(x - j))
    return result


def test_attention_equals_one_point_at_a_time() -> None:
    heads, levels, points = 2, 3, 4
    attention = tiny(heads=heads).transformer.encoder.layers[0].self_attn
    torch.nn.init.normal_(attention.sampling_offsets.weight)
    torch.nn.init.normal_(attention.attention_weights.weight)
    sizes = [(1, 2), (2, 3), (5, 3)]
    queries, values = torch.randn(1, 23, 32), torch.randn(1, 23, 32)
    centers = torch.rand(23, 2)
    with torch.inference_mode():
        actual = attention(queries, values, centers, sizes)
        offsets = attention.sampling_offsets(queries).view(23, heads, levels, points, 2).double()
        weights = attention.attention_weights(queries).view(23, heads, levels * points).double().softmax(-1)
        projected = attention.value_proj(values)[0].double()
        expected = torch.zeros(23, heads, 16, dtype=torch.float64)
        for q in range(23):
            for m in range(heads):
                start = 0
                for level, (h, w) in enumerate(sizes):
                    value = projected[start : start + h * w, m * 16 : (m + 1) * 16].T.reshape(16, h, w)
                    start += h * w
                    for p in range(points):
                        dx, dy = offsets[q, m, level, p].tolist()
                        place = centers[q, 0].item() * w + dx - 0.5, centers[q, 1].item() * h + dy - 0.5
                        expected[q, m] += weights[q, m, level * points + p] * bilinear(value, *place)
        expected = attention.output_proj(expected.flatten(1).float())[None]
    assert_close(actual, expected)


def test_batch_equals_single() -> None:
    model, inputs = tiny(), maps(batch=3)
    with torch.inference_mode():
        together = model(inputs)
        alone = [model(tuple(x[b : b + 1] for x in inputs)) for b in range(3)]
    assert_close(together.masks, torch.cat([f.masks for f in alone]), 1e-5)
    for level in range(3):
        assert_close(together.levels[level], torch.cat([f.levels[level] for f in alone]), 1e-5)


def test_levels_are_coarse_to_fine() -> None:
    with torch.inference_mode():
        features = tiny()(maps())
    shapes = [tuple(x.shape) for x in (*features.levels, features.masks)]
    assert shapes == [(2, 32, 3, 5), (2, 32, 6, 10), (2, 32, 12, 20), (2, 9, 24, 40)]


def test_autocast_leaves_it_in_float32() -> None:
    model, inputs = tiny(), maps()
    with torch.inference_mode():
        expected = model(inputs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            actual = model(inputs)
    assert torch.equal(actual.masks, expected.masks)
    assert torch.equal(actual.levels[0], expected.levels[0])


def test_weights_in_bfloat16_are_close() -> None:
    model, inputs = tiny(), maps()
    with torch.inference_mode():
        expected = model(inputs)
        actual = model.bfloat16()(tuple(x.bfloat16() for x in inputs))
    assert actual.masks.dtype == torch.bfloat16
    assert_close(actual.masks, expected.masks, 0.05)


def test_every_parameter_has_a_gradient() -> None:
    model = tiny()
    features = model(maps(batch=1))
    outputs = (features.masks, *features.levels)
    sum(x.sin().sum() for x in outputs).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_compiles_without_graph_breaks() -> None:
    """In a process of its own: the shape checks of this one are wrapped around the record's constructor."""
    program = """
import torch
from test_deformable import maps, tiny
model, inputs = tiny(), maps(batch=1)
with torch.inference_mode():
    actual = torch.compile(model, fullgraph=True, backend="aot_eager")(inputs)
    torch.testing.assert_close(actual.masks, model(inputs).masks, rtol=1e-4, atol=1e-4)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_sine_positions_equal_one_cell_at_a_time() -> None:
    codes = sine_positions(5, 7, 12, "cpu", torch.float64)
    for i in range(5):
        for j in range(7):
            for c in range(12):
                place = (i + 1) / (5 + 1e-6) if c < 6 else (j + 1) / (7 + 1e-6)
                angle = place * 2 * math.pi / 10000 ** (c % 6 // 2 * 2 / 6)
                expected = math.cos(angle) if c % 2 else math.sin(angle)
                assert codes[i, j, c].item() == pytest.approx(expected, abs=1e-5)


def test_sine_positions_need_a_multiple_of_4_channels() -> None:
    with pytest.raises(ValueError, match="multiple of 4 channels, got 6"):
        sine_positions(2, 3, 6, "cpu", torch.float32)


def test_width_must_suit_the_group_norm() -> None:
    with pytest.raises(ValueError, match=r"width 40 must be a multiple of 32"):
        PixelDecoderConfig(kind="deformable", width=40)
