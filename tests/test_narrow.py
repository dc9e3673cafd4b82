"""Weights in fewer bits: products are those of the rounded weights, and results stay those of float32."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import xdecoder
from goldens import assert_close
from precision import IOU, compare, main
from xdecoder import Predictor
from xdecoder.networks.linear import linear
from xdecoder.networks.narrow import HalfWeight, QuantizedWeight, WeightKind, narrow, narrow_names
from xdecoder.picturebook import draw_scene
from xdecoder.predictor.model_source import ModelSource
from xdecoder.weights.folder import build_model, load_model, read_config
from xdecoder.weights.tensors import read_safetensors

KINDS = ["float16", "int8"]
BIAS = pytest.mark.parametrize("bias", [None, torch.linspace(-1, 1, 41)], ids=["plain", "bias"])


def matrix(rows: int = 41, columns: int = 96) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(rows, columns) * torch.logspace(-2, 1, rows)[:, None]


@pytest.fixture(scope="module")
def wide() -> Predictor:
    return xdecoder.load("picturebook")


# --- products ---


@BIAS
@pytest.mark.parametrize("shape", [(5, 96), (2, 3, 96), (2, 5, 7, 96), (0, 96)])
@torch.inference_mode()
def test_products_in_float16_are_those_of_the_rounded_weight(
    shape: tuple[int, ...], bias: Tensor | None
) -> None:
    weight = HalfWeight(matrix())
    assert torch.equal(weight.widen(), matrix().half().float())
    x = torch.randn(shape)
    expected = torch.nn.functional.linear(x, weight.widen(), bias)
    torch.testing.assert_close(linear(x, weight, bias), expected, rtol=0, atol=1e-3)


@BIAS
@pytest.mark.parametrize("shape", [(5, 96), (2, 9, 96), (2, 5, 7, 96), (0, 96)])
@torch.inference_mode()
def test_products_in_eight_bits_are_those_of_the_rounded_weight(
    shape: tuple[int, ...], bias: Tensor | None
) -> None:
    weight = QuantizedWeight(matrix())
    step = matrix().abs().amax(1, keepdim=True) / 127
    assert ((weight.widen() - matrix()).abs() <= 1.01 * step).all()
    x = torch.randn(shape)
    expected = torch.nn.functional.linear(x, weight.widen(), bias)
    torch.testing.assert_close(linear(x, weight, bias), expected, rtol=0, atol=1e-3)


@BIAS
@torch.inference_mode()
def test_tokens_one_by_one_are_multiplied_in_bfloat16_whoever_is_beside_them(bias: Tensor | None) -> None:
    weight = QuantizedWeight(matrix())
    x = torch.randn(40, 1, 96)
    both = linear(x, weight, bias)
    assert_close(both, torch.nn.functional.linear(x, weight.widen(), bias), 2e-2)
    assert torch.equal(both, torch.cat([linear(one, weight, bias) for one in x.split(1)]))


@torch.inference_mode()
def test_rows_of_any_length_are_multiplied() -> None:
    weight, x = QuantizedWeight(matrix(columns=53)), torch.randn(2, 1, 53)
    assert_close(linear(x, weight), x @ weight.widen().T, 1e-5)


def test_a_row_of_zeros_stays_one() -> None:
    assert not QuantizedWeight(torch.zeros(3, 32)).widen().any()


# --- models ---


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_is_that_of_the_model_it_was_made_of(kind: str, folder: Path, tmp_path: Path) -> None:
    whole, narrowed = load_model(folder)[0].state_dict(), xdecoder.load(folder, dtype=kind)
    state = narrowed.model.state_dict()
    assert set(state) == set(whole)
    for name, tensor in state.items():
        assert_close(tensor.float(), whole[name].float(), 0.02)
    narrowed.save(tmp_path)
    again = load_model(tmp_path)[0]
    assert again.logit_scale.dtype == torch.float32
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, state[name].to(tensor.dtype)), name


def test_heads_and_convolutions_stay_wide_and_the_decoder_has_sixteen_bits(folder: Path) -> None:
    model = xdecoder.load(folder, dtype="int8").model
    names = narrow_names(build_model(read_config(folder)))
    kept = {name for name, _ in model.named_parameters()}
    assert names
    assert not names & kept
    assert {"decoder.mask_mlp.0.weight", "decoder.class_projection", "text_encoder.projection"} <= kept
    assert {p.dtype for n, p in model.named_parameters() if "token_embedding" not in n} == {torch.float32}
    assert isinstance(model.decoder.layers[0].feedforward.linear1.weight, HalfWeight)
    assert isinstance(model.text_encoder.resblocks[0].mlp.c_fc.weight, QuantizedWeight)


def test_numbers_that_float16_does_not_reach_are_named(folder: Path) -> None:
    model = build_model(read_config(folder))
    name = "decoder.layers.0.feedforward.linear1.weight"
    weight = torch.zeros(model.get_parameter(name).shape)
    weight[1, 2] = -1e5
    for kind in WeightKind:
        with pytest.raises(ValueError, match=f"{name} holds numbers that float16 does not reach: load the"):
            narrow(model, name, weight, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_loads_the_same_model(kind: str, folder: Path) -> None:
    predictor = xdecoder.load(folder, dtype=kind)
    assert predictor.model.dtype == kind
    source = ModelSource.of(str(folder), predictor)
    assert source.dtype == kind
    assert source.load().model.dtype == kind
    assert predictor.digest() != xdecoder.load(folder).digest()


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_answers(kind: str, folder: Path) -> None:
    narrowed, wide = xdecoder.load(folder, dtype=kind), xdecoder.load(folder)
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    one, other = (p.encode(image, short_side=64) for p in (narrowed, wide))
    semantic = [p.segment(i, ["dog", "sky"], task="semantic") for p, i in ((narrowed, one), (wide, other))]
    assert (semantic[0].categories == semantic[1].categories).mean() > 0.95
    assert narrowed.segment(one, ["dog", "sky"], task="instance").size == (64, 96)
    assert narrowed.refer(one, ["a dog"]).masks.shape == (1, 64, 96)
    assert len(narrowed.caption(one, steps=3, beams=2, region=(0, 0, 50, 50)).token_ids) <= 3
    cosine = (narrowed.embed_images(one).decoder * wide.embed_images(other).decoder).sum().item()
    assert cosine > 0.98  # of a model without training, in which nothing is redundant


@pytest.mark.parametrize(("kind", "share"), [("float16", 1.0), ("int8", 0.95)])
def test_results_on_drawn_scenes_are_those_of_float32(kind: str, share: float, wide: Predictor) -> None:
    """A hundred scenes, by which a kind of numbers is accepted, are in benchmarks/README.md."""
    assert IOU == 0.99
    narrowed, kept = xdecoder.load("picturebook", dtype=kind), Counter[str]()
    for seed in range(3):
        compare(wide, narrowed, draw_scene(seed, split="val", size=160), kept)
    for name in ("segments", "phrases", "captions", "answers", "embeddings"):
        assert kept[name] >= share * kept[f"all {name}"] > 0, (name, kept)


# --- loading ---


def test_what_is_stored_as_asked_for_is_mapped_not_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is needed it takes no memory then."""
    mapped: list[int] = []

    def read(path: Path, *, device: object, names: list[str]) -> dict[str, Tensor]:
        mapped.append(len(names))
        return read_safetensors(path, names=names)

    monkeypatch.setattr("xdecoder.weights.folder.read_safetensors", read)
    for dtype in (None, torch.float32, torch.bfloat16):
        model, _ = load_model(folder, dtype=dtype)
        assert not any(p.is_meta for p in model.parameters())
    assert mapped[0] == mapped[1] == len(model.state_dict()) > 100
    assert mapped[2] == 0


def test_the_benchmark_compares_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--count", "1", "--dtypes", "float16"])
    main(["--speed", "--quick", "--rounds", "1", "--dtypes", "int8"])
    said = capsys.readouterr().out.splitlines()
    times = ["| dtype", "|---|---|---|---|---|---|", "| float32", "| int8"]
    assert [line.split(" | ")[0] for line in said if line] == [
        *("| dtype", "|---|---|---|---|---|---|", "| float16"),
        *(f"Seconds by the clock, {torch.get_num_threads()} threads:", *times),
        *(f"Seconds of the CPU, {torch.get_num_threads()} threads:", *times),
    ]
