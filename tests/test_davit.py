import pytest
import torch
import torch.nn.functional as F
from jaxtyping import config as jaxtyping_config
from torch import Tensor

from goldens import Golden, assert_close
from xdecoder.config import DaViTConfig
from xdecoder.networks.davit import DaViT

MEAN = torch.tensor((123.675, 116.28, 103.53))[:, None, None]
STD = torch.tensor((58.395, 57.12, 57.375))[:, None, None]


def tiny(**changes: object) -> DaViT:
    sizes = {"widths": (8, 12, 24, 20), "depths": (1, 1, 2, 1), "heads": (2, 3, 4, 5), "groups": (4, 2, 3, 5)}
    torch.manual_seed(0)
    return DaViT(DaViTConfig(**{**sizes, **changes})).eval()


def normalized(golden: Golden) -> Tensor:
    images = [(golden[f"a2/in/image{i}"] - MEAN) / STD for i in range(2)]
    return torch.stack([F.pad(x, (0, 128 - x.shape[-1], 0, 96 - x.shape[-2])) for x in images])


def test_maps_are_those_of_the_published_program(golden_c: Golden) -> None:
    sizes = DaViTConfig(
        widths=(16, 32, 64, 128), depths=(1, 1, 2, 1), heads=(2, 2, 4, 4), groups=(2, 4, 4, 8)
    )
    model = DaViT(sizes)
    prefix = "backbone."
    model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in golden_c.weights.items() if k.startswith(prefix)}
    )
    with torch.inference_mode():
        maps = model(normalized(golden_c))
    assert maps[0].shape == (2, 16, 24, 32)
    for name, actual in zip(("res3", "res4", "res5"), maps[1:], strict=True):
        assert_close(actual, golden_c[f"a2/{name}"])


@pytest.mark.parametrize(("merge_kernel", "window"), [(2, 7), (3, 5)])
def test_strides_are_4_to_32_and_maps_are_channels_last(merge_kernel: int, window: int) -> None:
    with torch.inference_mode():
        maps = tiny(merge_kernel=merge_kernel, window=window)(torch.randn(2, 3, 96, 160))
    assert [tuple(x.shape) for x in maps] == [(2, 8, 24, 40), (2, 12, 12, 20), (2, 24, 6, 10), (2, 20, 3, 5)]
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in maps)


def test_window_attention_equals_one_window_at_a_time() -> None:
    attention = tiny().blocks[0][0].spatial_block.window_attn.fn.double()
    side, heads = attention.window, attention.heads
    x = torch.randn(2, 11, 17, 8, dtype=torch.float64)
    padded = torch.zeros(2, 14, 21, 8, dtype=torch.float64)
    padded[:, :11, :17] = x
    expected = torch.empty_like(padded)
    for b in range(2):
        for top in range(0, 14, side):
            for left in range(0, 21, side):
                tokens = padded[b, top : top + side, left : left + side].reshape(-1, 8)
                q, k, v = F.linear(tokens, attention.qkv.weight, attention.qkv.bias).split(8, dim=-1)
                per_head = [
                    (qh @ kh.T / qh.shape[-1] ** 0.5).softmax(-1) @ vh
                    for qh, kh, vh in zip(
                        q.chunk(heads, -1), k.chunk(heads, -1), v.chunk(heads, -1), strict=True
                    )
                ]
                mixed = attention.proj(torch.cat(per_head, -1))
                expected[b, top : top + side, left : left + side] = mixed.view(side, side, 8)
    torch.testing.assert_close(attention(x), expected[:, :11, :17])


def test_channel_attention_equals_one_group_at_a_time() -> None:
    attention = tiny().blocks[2][0].channel_block.channel_attn.fn.double()
    x = torch.randn(2, 5, 7, 24, dtype=torch.float64)
    tokens = x.view(2, 35, 24)
    q, k, v = F.linear(tokens, attention.qkv.weight, attention.qkv.bias).split(24, dim=-1)
    groups = [
        ((qg.mT @ kg / 35**0.5).softmax(-1) @ vg.mT).mT
        for qg, kg, vg in zip(q.chunk(3, -1), k.chunk(3, -1), v.chunk(3, -1), strict=True)
    ]
    torch.testing.assert_close(attention(x), attention.proj(torch.cat(groups, -1)).view(2, 5, 7, 24))


def test_batch_equals_single() -> None:
    model, images = tiny(), torch.randn(3, 3, 64, 96)
    with torch.inference_mode():
        together = model(images)
        alone = [model(image[None]) for image in images]
    for level, batched in enumerate(together):
        torch.testing.assert_close(batched, torch.cat([maps[level] for maps in alone]), rtol=1e-4, atol=1e-5)


def test_every_parameter_has_a_gradient() -> None:
    model = tiny()
    sum(x.sin().sum() for x in model(torch.randn(1, 3, 32, 64))).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(dtype: torch.dtype) -> None:
    model, images = tiny(), torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        expected = model(images)
        actual = model.to(dtype)(images.to(dtype))
    for x, y in zip(actual, expected, strict=True):
        assert x.dtype == dtype
        assert_close(x, y, tolerance=0.05)


def test_compiles_without_graph_breaks() -> None:
    torch.compiler.reset()
    model, images = tiny(), torch.randn(1, 3, 64, 96)
    jaxtyping_config.update("jaxtyping_disable", True)
    try:
        with torch.inference_mode():
            actual = torch.compile(model, fullgraph=True, backend="aot_eager")(images)
            expected = model(images)
    finally:
        jaxtyping_config.update("jaxtyping_disable", False)
    for x, y in zip(actual, expected, strict=True):
        torch.testing.assert_close(x, y)


def test_sides_that_are_not_multiples_of_32_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 32, got \(1, 3, 64, 70\): zero-pad them"):
        tiny()(torch.zeros(1, 3, 64, 70))
