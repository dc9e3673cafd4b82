"""Every fast path against the plain formulation of the same thing."""

import copy
import functools
import inspect
import pickle

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from goldens import assert_close
from xdecoder.networks.attention import mix_values
from xdecoder.networks.convolution import Conv3x3, GroupNormConv2d, depthwise_in_quarters, keep_kernels
from xdecoder.networks.linear import batched_linear, linear
from xdecoder.networks.queries import QueryKind, visibility
from xdecoder.networks.resampling import Axis, resize, resized_tiles
from xdecoder.networks.winograd import conv3x3
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.segmentation import first_largest

# From 2: PyTorch 2.13 resizes a map to one column as if all its rows were the first.
lengths = st.integers(2, 90)


@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 509)])
def test_a_product_is_pytorchs_with_its_way_back(bias: torch.Tensor | None) -> None:
    leaves = torch.randn(41, 7, 67), torch.randn(67, 509)
    found: list[tuple[torch.Tensor, ...]] = []
    for product in (linear, F.linear):
        x, weight = (t.clone().requires_grad_() for t in leaves)
        own = None if bias is None else bias.clone().requires_grad_()
        y = product(x.transpose(0, 1), weight.T, own)
        with torch.no_grad():
            assert_close(product(x.transpose(0, 1), weight.T, own), y, 1e-6)
        learned = (x, weight) if own is None else (x, weight, own)
        found.append((y.detach(), *torch.autograd.grad((y * y.detach().sin()).sum(), learned)))
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected, 1e-5)


def test_products_are_by_onednn_where_that_has_wider_registers() -> None:
    x, weight = torch.randn(64, 64), torch.randn(64, 64)
    with torch.profiler.profile() as profile:
        linear(x, weight)
        linear(x.double(), weight.double())
        linear(x[:2], weight)
    fast = [event for event in profile.events() if event.name == "mkldnn::_linear_pointwise"]
    assert len(fast) == (torch.backends.cpu.get_cpu_capability() == "AVX512")


@pytest.mark.parametrize("weights", [1, 3])
def test_products_of_a_batch_are_those_of_its_rows(weights: int) -> None:
    x, weight = torch.randn(3, 101, 37), torch.randn(weights, 37, 89).transpose(1, 2)
    assert_close(batched_linear(x, weight), x @ weight.transpose(1, 2), 1e-5)


@pytest.mark.parametrize("values", [torch.randn(23, 5, 7), torch.randint(0, 3, (11, 13, 3)).double()])
def test_the_first_of_the_largest_is_found(values: torch.Tensor) -> None:
    best = values == values.amax(0)
    first = torch.tensor(
        [[best[:, i, j].tolist().index(True) for j in range(best.shape[2])] for i in range(best.shape[1])]
    )
    assert torch.equal(first_largest(values), first)


@pytest.mark.parametrize(("height", "width"), [(48, 68), (68, 64), (24, 132)])
def test_winograd_is_the_convolution(height: int, width: int) -> None:
    x = torch.randn(2, 67, height, width)
    weight, bias = torch.randn(71, 67, 3, 3), torch.randn(71)
    expected = F.conv2d(x, weight, bias, padding=1)
    with torch.no_grad():
        assert_close(conv3x3(x, weight, bias), expected, 1e-5)
        assert not torch.equal(conv3x3(x, weight, bias), expected)  # the fast path did run


def test_kept_kernels_change_no_map_and_serve_smaller_ones() -> None:
    torch.manual_seed(0)
    convolutions = nn.Sequential(Conv3x3(67, 64), GroupNormConv2d(64, 96, 3), GroupNormConv2d(96, 64, 1))
    kept = copy.deepcopy(convolutions)
    keep_kernels(kept)
    for size in ((28, 36), (56, 60)):
        x = torch.randn(2, 67, *size)
        with torch.no_grad():
            expected, actual = convolutions(x), kept(x)
            for _ in range(10):  # by prepacked kernels in the end
                assert torch.equal(kept(x), actual)
        assert_close(actual, expected, 1e-5)
        assert torch.equal(actual, expected) == (size == (56, 60))  # the same way, or now by the fast one
    assert kept.state_dict().keys() == convolutions.state_dict().keys()


def test_kept_kernels_are_made_again_when_the_weight_changes() -> None:
    x, convolution = torch.randn(1, 64, 56, 60), Conv3x3(64, 64)
    keep_kernels(convolution)
    weights = (convolution.weight.detach().clone(), torch.randn(64, 64, 3, 3), torch.randn(64, 64, 3, 3))
    with torch.no_grad():
        for change in (convolution.weight.copy_, lambda w: setattr(convolution.weight, "data", w)):
            for weight in weights:
                change(weight)
                for _ in range(6):
                    expected = F.conv2d(x, weight, convolution.bias, padding=1)
                    assert_close(convolution(x), expected, 1e-5)
    copied = pickle.loads(pickle.dumps(copy.deepcopy(convolution)))
    with torch.no_grad():
        assert torch.equal(copied(x), convolution(x))


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_a_norm_in_place_is_the_norm(kernel: int, relu: bool) -> None:
    torch.manual_seed(0)
    module = GroupNormConv2d(67, 96, kernel, relu=relu)
    nn.init.normal_(module.norm.weight)
    nn.init.normal_(module.norm.bias)
    for x in (torch.randn(2, 67, 92, 124), 50 + torch.randn(2, 67, 92, 124), torch.zeros(1, 67, 92, 124)):
        # in float64: PyTorch's own norm in float32 is worse where the mean is large
        expected = copy.deepcopy(module).double()(x.double())
        with torch.no_grad(), torch.profiler.profile() as profile:
            assert_close(module(x.contiguous(memory_format=torch.channels_last)), expected, 1e-5)
        assert not any(event.name == "aten::native_group_norm" for event in profile.events())


def test_winograd_leaves_compiled_graphs_whole() -> None:
    x, weight = torch.randn(1, 64, 48, 64), torch.randn(64, 64, 3, 3)
    with torch.no_grad():
        plain = inspect.unwrap(conv3x3)  # without the type checks, which cannot be compiled
        actual = torch.compile(plain, fullgraph=True, backend="eager")(x, weight)
    assert torch.equal(actual, F.conv2d(x, weight, padding=1))


@pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 71)])
def test_winograd_finds_the_way_back(bias: torch.Tensor | None) -> None:
    x, weight, gradient = torch.randn(2, 67, 48, 64), torch.randn(71, 67, 3, 3), torch.randn(2, 71, 48, 64)
    found: list[tuple[torch.Tensor, ...]] = []
    for convolve in (conv3x3, functools.partial(F.conv2d, padding=1)):
        leaves = [t.clone().requires_grad_() for t in (x, weight, *([] if bias is None else [bias]))]
        y = convolve(*leaves)
        found.append((y.detach(), *torch.autograd.grad(y, leaves, gradient)))
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected, 1e-5)
    assert not torch.equal(found[0][1], found[1][1])  # the fast way did run


@pytest.mark.parametrize("side", [3, 9])
def test_a_depthwise_convolution_is_the_sum_of_its_quarters(side: int) -> None:
    x = torch.randn(2, 3, 11, 7, dtype=torch.float64)
    weight = torch.randn(3, 1, side, side, dtype=torch.float64)
    expected = F.conv2d(x, weight, padding=side // 2, groups=3)
    assert_close(depthwise_in_quarters(x, weight), expected, 1e-12)


def test_one_query_attends_as_many_do() -> None:
    queries, keys, values = (torch.randn(2, 4, length, 8) for length in (1, 37, 37))
    with torch.no_grad():
        one = mix_values(queries, keys, values)
        many = mix_values(queries.expand(-1, -1, 3, -1), keys, values)
    assert_close(one, many[:, :, :1], 1e-6)


@given(st.tuples(lengths, lengths), st.tuples(lengths, lengths))
def test_maps_are_resized_as_pytorch_does(size: tuple[int, int], new: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    expected = F.interpolate(x, size=new, mode="bicubic", align_corners=False, antialias=True)
    assert_close(resize(x, new), expected, 1e-5)


@settings(max_examples=30, deadline=None)
@given(lengths, lengths, lengths, lengths)
def test_tiles_are_the_resized_map(height: int, width: int, new_height: int, new_width: int) -> None:
    x = torch.randn(3, height, width)
    rows, columns = Axis.of(height, new_height), Axis.of(width, new_width)
    result = torch.full((3, new_height, new_width), torch.nan)
    for tile in resized_tiles(x, rows, columns, side=32):
        result[:, tile.rows, tile.columns] = tile.values
    assert_close(result, resize(x[None].double(), (new_height, new_width))[0], 1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 300), st.integers(2, 300), st.sampled_from([64, 96, 160]))
def test_one_resampling_equals_pad_crop_and_resize(height: int, width: int, short_side: int) -> None:
    geometry = Geometry.of((height, width), short_side=short_side, long_side=4 * short_side)
    masks = torch.randn(2, geometry.padded[0] // 4, geometry.padded[1] // 4)
    whole = resize(masks[None].double(), geometry.padded)
    cropped = whole[..., : geometry.resized[0], : geometry.resized[1]]
    expected = resize(cropped, geometry.output)[0]
    result = torch.full((2, height, width), torch.nan)
    for tile in geometry.tiles(masks):
        result[:, tile.rows, tile.columns] = tile.values
    assert_close(result, expected, 1e-5)


def test_who_sees_whom() -> None:
    kinds = {QueryKind.OBJECT: 2, QueryKind.GLOBAL: 1, QueryKind.CAPTION: 3}
    assert visibility(kinds, kinds, "cpu").int().tolist() == [
        [1, 1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1],
    ]
    later = visibility({QueryKind.CAPTION: 2}, {QueryKind.OBJECT: 1, QueryKind.CAPTION: 4}, "cpu")
    assert later.int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    referring = {QueryKind.COPY: 2, QueryKind.PHRASE: 2}
    assert visibility(referring, referring, "cpu").all()
    assert not visibility({QueryKind.OBJECT: 1, QueryKind.GLOBAL: 1}, referring, "cpu").any()
    assert visibility({QueryKind.QUESTION: 2}, {QueryKind.GLOBAL: 1, QueryKind.QUESTION: 2}, "cpu").all()


def test_attention_of_bfloat16_is_learned_through_in_float32_on_the_cpu() -> None:
    wide = [torch.randn(2, 3, length, 8, requires_grad=True) for length in (5, 7, 7)]
    narrow = [x.detach().bfloat16().requires_grad_() for x in wide]
    visible = torch.rand(2, 1, 5, 7) < 0.7
    visible[..., 0] = True
    expected = mix_values(*wide, visible)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = mix_values(*narrow, visible)
    assert actual.dtype == torch.bfloat16
    assert_close(actual.float(), expected, 0.02)
    for x, y in ((expected, wide), (actual, narrow)):
        x.float().square().sum().backward()
        assert all(z.grad is not None for z in y)
    for x, y in zip(narrow, wide, strict=True):
        assert_close(x.grad.float(), y.grad, 0.03)  # pyright: ignore
