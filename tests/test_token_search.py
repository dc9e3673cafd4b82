"""The search in eight bits finds what the whole table gives, at every step."""

import pytest
import torch

from goldens import assert_close
from xdecoder.tasks import token_search
from xdecoder.tasks.token_search import RoundedTable, TokenSearch, token_logits

wide_registers = torch.backends.cpu.get_cpu_capability() == "AVX512"


def table_of(kind: str) -> torch.Tensor:
    torch.manual_seed(0)
    table = torch.randn(9001, 64)
    match kind:
        case "uneven rows":
            return table * torch.logspace(-3, 3, len(table))[:, None]
        case "near twins":
            return table[:3].repeat(3001, 1)[:9001] + 1e-6 * table
        case "zeros":
            return table * (torch.arange(len(table)) % 2)[:, None]
        case _:
            return table


@pytest.mark.parametrize("kind", ["normal", "uneven rows", "near twins", "zeros"])
@torch.inference_mode()
def test_the_best_row_is_among_the_candidates(kind: str) -> None:
    table = table_of(kind)
    rounded = RoundedTable.of(table)
    assert_close(rounded.numbers * rounded.scales.float()[:, None], table, 0.01)
    for state in torch.randn(20, 64) * torch.logspace(-2, 2, 20)[:, None]:
        products = table @ state
        candidates = rounded.may_be_best(state)
        assert candidates[products.argmax()]
        if kind == "normal":
            assert candidates.sum() < 100


@torch.inference_mode()
def test_the_search_finds_what_the_table_gives() -> None:
    table = table_of("normal")
    search = TokenSearch(table)
    with torch.profiler.profile() as profile:
        for count in (1, 2, 3):
            states = torch.randn(count, 64)
            assert torch.equal(search.likeliest(states), (states @ table.T).argmax(-1))
    fast = [event for event in profile.events() if event.name == "aten::_weight_int8pack_mm"]
    assert len(fast) == (3 if wide_registers else 0)


@torch.inference_mode()
def test_a_table_in_float16_is_searched_and_multiplied_in_float32() -> None:
    table = table_of("normal").half()
    for count in (1, 3):
        states = torch.randn(count, 64)
        logits = token_logits(states, table)
        assert_close(logits, states @ table.float().T, 1e-6)
        assert torch.equal(TokenSearch(table).likeliest(states), logits.argmax(-1))


def test_captions_are_those_of_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu import TINY
    from xdecoder.model import XDecoder
    from xdecoder.tasks.captioning import caption_greedily

    torch.manual_seed(0)
    model = XDecoder(TINY).eval()
    monkeypatch.setattr(token_search, "_FEWEST_TOKENS", 1)
    search = TokenSearch(model.text_encoder.token_embedding.weight)
    with torch.inference_mode():
        features = model.encode_images(torch.randn(2, 3, 64, 64))
        latents = model.decoder.decode_latents(features.memory, keep=True)
        plain, fast = (
            caption_greedily(model, features.memory, latents, steps=12, search=s) for s in (None, search)
        )
    assert fast == plain
