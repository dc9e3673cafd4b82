"""The predictor: no result depends on what an image is worked through with, or on how it is asked for."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import xdecoder
from builders import tiny_config
from xdecoder.model import XDecoder
from xdecoder.networks.queries import QueryKind
from xdecoder.predictor.predictor import Predictor
from xdecoder.predictor.progress import progress_bar
from xdecoder.structures import Caption, Grounding, InstanceSegmentation, PanopticSegmentation
from xdecoder.tasks.captioning import CaptionDecoder, caption_by_beam, caption_greedily, sample_captions
from xdecoder.tasks.retrieval import joint_texts
from xdecoder.tokenizer import Tokenizer, build_word_tokenizer
from xdecoder.weights.folder import load_model

Picture = NDArray[np.uint8]

NAMES = ["dog", "cat", "grass", "sky-other-merged", "person"]
PHRASES = ["the left dog", "a big red watermelon on the table"]
SHORT = 64

# height, width; the second and third have one padded size, the last are long and narrow
SIZES = [(64, 96), (61, 93), (64, 90), (150, 100), (64, 96), (33, 330), (7, 3), (1, 1)]


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return Predictor(*load_model(folder), batch_size=3)


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [picture(*size, seed) for seed, size in enumerate(SIZES)]


def picture(height: int, width: int, seed: int) -> Picture:
    """Colored patches and some noise."""
    generator = np.random.default_rng(seed)
    patches = generator.integers(0, 255, (4, 5, 3)).astype(np.uint8)
    rows, columns = np.arange(height) * 4 // height, np.arange(width) * 5 // width
    noise = generator.integers(0, 40, (height, width, 3))
    return np.clip(patches[rows][:, columns].astype(int) + noise, 0, 255).astype(np.uint8)


def assert_same_panoptic(actual: PanopticSegmentation, expected: PanopticSegmentation) -> None:
    assert [(s.label, s.is_thing) for s in actual.segments] == [
        (s.label, s.is_thing) for s in expected.segments
    ]
    assert [s.score for s in actual.segments] == pytest.approx([s.score for s in expected.segments], abs=1e-5)
    assert (actual.ids == expected.ids).mean() >= 0.9995


def assert_same_instances(actual: InstanceSegmentation, expected: InstanceSegmentation) -> None:
    assert [i.label for i in actual.instances] == [i.label for i in expected.instances]
    for one, other in zip(actual.instances, expected.instances, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-5)
        assert (one.mask == other.mask).mean() >= 0.9995


def assert_same_grounding(actual: Grounding, expected: Grounding) -> None:
    assert actual.phrases == expected.phrases
    assert actual.scores == pytest.approx(expected.scores, abs=1e-5)
    assert (actual.masks == expected.masks).mean() >= 0.9995


def assert_same_caption(actual: Caption, expected: Caption) -> None:
    assert (actual.text, actual.token_ids) == (expected.text, expected.token_ids)
    assert actual.score == pytest.approx(expected.score, abs=1e-4)


# --- batches ---


def test_batch_equals_single_for_every_verb(predictor: Predictor, pictures: list[Picture]) -> None:
    together = predictor.encode(pictures, short_side=SHORT)
    assert len({id(item.batch) for item in together}) > 2
    assert any(item.batch.features.memory.sizes and item.index for item in together)  # two share a batch
    panoptic = predictor.segment(together, NAMES, object_threshold=0.0)
    instance = predictor.segment(together, NAMES, task="instance")
    semantic = predictor.segment(together, NAMES, task="semantic")
    grounded = predictor.refer(together, PHRASES)
    captions = predictor.caption(together, steps=5)
    embedded = predictor.embed_images(together)
    for i, image in enumerate(pictures):
        alone = predictor.encode(image, short_side=SHORT)
        assert_same_panoptic(panoptic[i], predictor.segment(alone, NAMES, object_threshold=0.0))
        assert_same_instances(instance[i], predictor.segment(alone, NAMES, task="instance"))
        assert (semantic[i].categories == predictor.segment(alone, NAMES, task="semantic").categories).all()
        assert_same_grounding(grounded[i], predictor.refer(alone, PHRASES))
        assert_same_caption(captions[i], predictor.caption(alone, steps=5))
        single = predictor.embed_images(alone)
        torch.testing.assert_close(embedded.row(i).decoder, single.decoder, atol=1e-5, rtol=0)
        torch.testing.assert_close(embedded.row(i).backbone, single.backbone, atol=1e-5, rtol=0)


@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=2, max_size=3))
def test_batch_equals_single_for_any_sizes(predictor: Predictor, sizes: list[tuple[int, int]]) -> None:
    images = [picture(*size, seed) for seed, size in enumerate(sizes)]
    together = predictor.segment(
        predictor.encode(images, short_side=32), NAMES, task="panoptic", object_threshold=0.0
    )
    for image, result in zip(images, together, strict=True):
        alone = predictor.encode(image, short_side=32)
        assert_same_panoptic(result, predictor.segment(alone, NAMES, object_threshold=0.0))
        assert result.image is not None
        assert (result.image == image).all()


def test_a_list_gives_a_list_and_one_image_one_result(predictor: Predictor, pictures: list[Picture]) -> None:
    image = predictor.encode(pictures[0], short_side=SHORT)
    assert isinstance(predictor.segment(image, NAMES), PanopticSegmentation)
    assert [type(r) for r in predictor.segment([image], NAMES)] == [PanopticSegmentation]
    assert [type(r) for r in predictor.refer((image, image), PHRASES)] == [Grounding, Grounding]
    assert isinstance(predictor.caption(image, steps=1), Caption)
    assert predictor.caption([], steps=1) == []
    assert predictor.segment([], NAMES) == []
    assert predictor.embed_images(image).decoder.shape[0] == 1
    assert_same_panoptic(predictor.segment([image], NAMES)[0], predictor.segment(image, NAMES))


def test_a_generator_is_asked_for_a_batch_at_a_time(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = predictor.model.encode_images

    def count(pixels: torch.Tensor) -> Any:
        encoded.append(len(pixels))
        return encode(pixels)

    def make() -> Iterator[Picture]:
        for place in range(5):
            assert sum(encoded) == place // 3 * 3  # three images make a batch
            yield picture(7, 3 + place, place)

    monkeypatch.setattr(predictor.model, "encode_images", count)
    images = predictor.encode(make(), short_side=SHORT)
    assert [item.image.shape for item in images] == [(7, 3 + place, 3) for place in range(5)]
    assert predictor.caption(iter([])) == []


def test_a_bar_shows_how_many_of_several_images_are_done(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[int | None, bool, list[int]]] = []

    @contextmanager
    def record(total: int | None, *, shown: bool) -> Iterator[Callable[[int], None]]:
        done: list[int] = []
        counted.append((total, shown, done))
        yield done.append

    monkeypatch.setattr("xdecoder.predictor.predictor.progress_bar", record)
    told = Predictor(predictor.model, predictor.tokenizer, batch_size=3, progress=True)
    few = [picture(5, 7, seed) for seed in range(4)]
    told.encode(few, short_side=SHORT)
    told.encode((item for item in few), short_side=SHORT)
    told.encode(few[0], short_side=SHORT)
    predictor.encode(few, short_side=SHORT)
    assert counted == [(4, True, [3, 1]), (None, True, [3, 1]), (1, False, [1]), (4, False, [3, 1])]


def test_no_bar_is_written_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(7, shown=False) as advance:
        advance(7)
    assert capsys.readouterr().err == ""


def test_results_have_the_size_of_their_image(predictor: Predictor, pictures: list[Picture]) -> None:
    encoded = predictor.encode(pictures, short_side=SHORT)
    for result, size in zip(predictor.segment(encoded, NAMES), SIZES, strict=True):
        assert result.size == size
    for result, size in zip(predictor.refer(encoded, PHRASES), SIZES, strict=True):
        assert result.masks.shape == (2, *size)


# --- one encoding ---


def test_an_image_is_encoded_once_for_all_verbs(
    predictor: Predictor, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, ...]] = []
    encode = predictor.model.encode_images

    def counted(images: torch.Tensor) -> object:
        calls.append(tuple(images.shape))
        return encode(images)

    monkeypatch.setattr(predictor.model, "encode_images", counted)
    decoded: list[object] = []
    decode = predictor.model.decoder.decode_latents
    monkeypatch.setattr(
        predictor.model.decoder, "decode_latents", lambda *a, **k: decoded.append(1) or decode(*a, **k)
    )
    image = predictor.encode(pictures[3], short_side=SHORT)
    results = [
        predictor.segment(image, NAMES, object_threshold=0.0),
        predictor.segment(image, NAMES, task="instance"),
        predictor.refer(image, PHRASES),
        predictor.caption(image, steps=4),
        predictor.embed_images(image),
        predictor.caption(image, region=(2.0, 1.0, 9.0, 8.0), beams=2, steps=4),
        predictor.locate(image, PHRASES[0]),
    ]
    assert (len(calls), len(decoded)) == (1, 1)
    fresh = predictor.encode(pictures[3], short_side=SHORT)
    assert predictor.caption(fresh, steps=4) == results[3]
    assert torch.equal(predictor.embed_images(fresh).decoder, results[4].decoder)
    assert_same_grounding(predictor.refer(fresh, PHRASES), results[2])
    assert_same_instances(predictor.segment(fresh, NAMES, task="instance"), results[1])
    assert_same_panoptic(predictor.segment(fresh, NAMES, object_threshold=0.0), results[0])


def test_encoded_and_raw_images_may_be_mixed(predictor: Predictor, pictures: list[Picture]) -> None:
    small = [predictor.encode(p, short_side=SHORT) for p in pictures[:2]]
    tiny = picture(5, 6, 9)
    mixed = predictor.embed_images([small[1], tiny, small[0]])
    apart = [predictor.embed_images(image) for image in (small[1], tiny, small[0])]
    torch.testing.assert_close(mixed.decoder, torch.cat([a.decoder for a in apart]), atol=1e-5, rtol=0)


# --- words ---


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(len(NAMES))))
def test_permuting_the_vocabulary_permutes_the_result(predictor: Predictor, order: list[int]) -> None:
    image = predictor.encode(picture(70, 90, 1), short_side=SHORT)
    permuted = [NAMES[i] for i in order]
    expected = predictor.segment(image, NAMES, object_threshold=0.0)
    actual = predictor.segment(image, permuted, object_threshold=0.0)
    assert_same_panoptic(actual, expected)
    assert [permuted[s.category] for s in actual.segments] == [NAMES[s.category] for s in expected.segments]
    before = predictor.segment(image, NAMES, task="semantic").categories
    after = predictor.segment(image, permuted, task="semantic").categories
    assert (np.array(order)[after] == before).mean() >= 0.9995


def test_the_default_vocabulary_is_coco(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[xdecoder.Vocabulary] = []

    def embed(words: xdecoder.Vocabulary) -> torch.Tensor:
        asked.append(words)
        return torch.randn(len(words) + 1, predictor.config.embed_width)

    monkeypatch.setattr(predictor, "embed_vocabulary", embed)
    result = predictor.segment(predictor.encode(picture(9, 9, 0), short_side=32))
    assert (asked[0].name, len(result.vocabulary)) == ("coco", 133)


def test_things_and_stuff_are_the_users_to_say(predictor: Predictor) -> None:
    image = predictor.encode(picture(70, 90, 1), short_side=SHORT)
    merged = predictor.segment(image, NAMES, stuff=NAMES, object_threshold=0.0, overlap_threshold=0.0)
    labels = [s.label for s in merged.segments]
    assert len(labels) == len(set(labels))
    assert not any(s.is_thing for s in merged.segments)
    apart = predictor.segment(image, NAMES, things=NAMES, object_threshold=0.0, overlap_threshold=0.0)
    assert len(apart.segments) > len(labels)
    assert all(s.is_thing for s in apart.segments)
    assert predictor.segment(image, NAMES, stuff=NAMES, task="instance").instances == ()
    assert predictor.segment(image, None, things="dog", stuff="sky").vocabulary == ("dog", "sky")


def test_thresholds_leave_out_what_is_below(predictor: Predictor) -> None:
    image = predictor.encode(picture(70, 90, 1), short_side=SHORT)
    everything = predictor.segment(image, NAMES, object_threshold=0.0, overlap_threshold=0.0)
    scores = sorted(s.score for s in everything.segments)
    middle = scores[len(scores) // 2]
    kept = predictor.segment(image, NAMES, object_threshold=middle, overlap_threshold=0.0)
    assert 0 < len(kept.segments) < len(everything.segments)
    assert all(s.score > middle for s in kept.segments)
    assert predictor.segment(image, NAMES, object_threshold=1.0).segments == ()
    found = predictor.segment(image, NAMES, task="instance").instances
    limit = found[len(found) // 2].score
    over = predictor.segment(image, NAMES, task="instance", score_threshold=limit).instances
    assert [i.score for i in over] == [i.score for i in found if i.score >= limit]


def test_one_by_one_equals_each_phrase_alone(predictor: Predictor) -> None:
    image = predictor.encode(picture(70, 90, 1), short_side=SHORT)
    separately = predictor.refer(image, PHRASES, together=False)
    for i, phrase in enumerate(PHRASES):
        alone = predictor.refer(image, [phrase])
        assert separately.scores[i] == pytest.approx(alone.scores[0], abs=1e-5)
        assert (separately.masks[i] == alone.masks[0]).mean() >= 0.9995
    together = predictor.refer(image, PHRASES)
    assert together.scores != pytest.approx(separately.scores, abs=1e-5)
    assert together.phrases == separately.phrases == tuple(PHRASES)
    assert_same_grounding(predictor.refer(image, PHRASES[0]), predictor.refer(image, [PHRASES[0]]))


def test_image_and_text_embeddings_have_unit_length(predictor: Predictor, pictures: list[Picture]) -> None:
    images = predictor.embed_images(predictor.encode(pictures[:2], short_side=SHORT))
    texts = predictor.embed_texts([*PHRASES, "dog"])
    for rows in (images.decoder, images.backbone, images.joint, texts):
        torch.testing.assert_close(rows.norm(dim=-1), torch.ones(len(rows)))
    similarity = images.similarity(texts)
    torch.testing.assert_close(images.joint @ joint_texts(texts).T, similarity)
    assert similarity.shape == (2, 3)
    assert torch.equal(predictor.embed_texts("dog"), predictor.embed_texts(["dog"]))
    expected = (images.decoder[1] @ texts[2] + images.backbone[1] @ texts[2]) / 2
    assert similarity[1, 2].item() == pytest.approx(expected.item(), abs=1e-6)


# --- captions ---


def test_a_region_is_a_box_a_mask_or_a_phrase(predictor: Predictor) -> None:
    image = predictor.encode(picture(128, 192, 1), short_side=128)
    mask = np.zeros((128, 192), np.bool_)
    mask[10:70, 20:100] = True
    of_mask = predictor.caption(image, region=mask, steps=4)
    assert_same_caption(predictor.caption(image, region=(20, 10, 100, 70), steps=4), of_mask)
    assert_same_caption(predictor.caption(image, region=(20.2, 10.9, 99.3, 69.1), steps=4), of_mask)
    elsewhere = predictor.caption(image, region=~mask, steps=4)
    assert elsewhere.score != pytest.approx(of_mask.score, abs=1e-4)
    found = predictor.refer(image, [PHRASES[0]]).masks[0]
    assert_same_caption(
        predictor.caption(image, region=PHRASES[0], steps=4), predictor.caption(image, region=found, steps=4)
    )
    everywhere = predictor.caption(image, region=np.ones((128, 192), np.bool_), steps=4)
    assert_same_caption(everywhere, predictor.caption(image, steps=4))


def test_regions_of_a_batch_equal_those_of_each_image(predictor: Predictor) -> None:
    images = predictor.encode([picture(64, 96, i) for i in (1, 2)], short_side=64)
    together = predictor.caption(images, region=(5, 6, 60, 50), steps=4, beams=2)
    for i, result in enumerate(together):
        alone = predictor.encode(picture(64, 96, i + 1), short_side=64)
        assert_same_caption(result, predictor.caption(alone, region=(5, 6, 60, 50), steps=4, beams=2))


def test_a_caption_scores_the_mean_of_its_tokens(predictor: Predictor) -> None:
    image = predictor.encode(picture(64, 96, 1), short_side=64)
    batch = image.batch
    result = predictor.caption(image, steps=3)
    previous = [predictor.config.text.start_id, *result.token_ids]
    with torch.inference_mode():
        decoder = CaptionDecoder(predictor.model, batch.features.memory, batch.latents, steps=3, regions=None)
        steps = [decoder.step(torch.tensor([a]))[0, b].item() for a, b in pairwise(previous)]
    assert len(steps) == 3
    assert result.score == pytest.approx(sum(steps) / 3, abs=1e-5)


@pytest.fixture(scope="module")
def small() -> tuple[XDecoder, Tokenizer]:
    tokenizer = build_word_tokenizer(["a red blue circle left of"], context_length=9)
    torch.manual_seed(3)
    return XDecoder(
        tiny_config(tokenizer.vocabulary_size, context_length=9, heads=4, queries=7)
    ).eval().requires_grad_(False), tokenizer


@torch.inference_mode()
def test_one_beam_is_greedy(predictor: Predictor, pictures: list[Picture]) -> None:
    batch = predictor.encode([pictures[0], pictures[4]], short_side=SHORT)[0].batch
    memory, latents = batch.features.memory, batch.latents
    greedy = caption_greedily(predictor.model, memory, latents, steps=6)
    assert len(greedy) == 2
    for one, other in zip(
        caption_by_beam(predictor.model, memory, latents, steps=6, beams=1), greedy, strict=True
    ):
        assert one.ids == other.ids
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)


@torch.inference_mode()
def test_a_beam_as_wide_as_the_vocabulary_finds_the_best_two_tokens(
    small: tuple[XDecoder, Tokenizer],
) -> None:
    model, tokenizer = small
    V, end = tokenizer.vocabulary_size, model.config.text.end_id
    batch = Predictor(model, tokenizer).encode([picture(32, 32, i) for i in (1, 2)], short_side=32)[0].batch
    found = caption_by_beam(model, batch.features.memory, batch.latents, steps=2, beams=V)
    greedy = caption_greedily(model, batch.features.memory, batch.latents, steps=2)
    decoder = CaptionDecoder(model, batch.features.memory, batch.latents, steps=2, regions=None)
    first = decoder.step(torch.full((2,), model.config.text.start_id))
    decoder.fork(V)
    second = decoder.step(torch.arange(V).repeat(2)).view(2, V, V)
    pairs = (first[:, :, None] + second) / 2
    pairs[:, end] = first[:, end, None]  # the text has ended
    for i in range(2):
        best = pairs[i].max().item()
        length = min(len(found[i].ids) + 1, 2)
        assert found[i].log_probability / length == pytest.approx(best, abs=1e-5)
        assert best >= greedy[i].log_probability / min(len(greedy[i].ids) + 1, 2) - 1e-5


@pytest.mark.parametrize("regions", [False, True])
@torch.inference_mode()
def test_texts_that_share_an_image_read_it_as_each_alone_would(
    small: tuple[XDecoder, Tokenizer], regions: bool
) -> None:
    model, tokenizer = small
    batch = Predictor(model, tokenizer).encode([picture(64, 96, i) for i in (1, 2)], short_side=64)[0].batch
    memory, texts, length = batch.features.memory, 3, 5
    tokens = torch.randn(2 * texts, length, model.config.decoder.width)
    looks = tuple(torch.rand(2 * texts, *size) < 0.6 for size in memory.sizes)
    states: list[tuple[torch.Tensor, ...]] = []
    for together in (True, False):
        context = model.decoder.open_context(memory, batch.latents, capacity=length)
        rows = torch.arange(2).repeat_interleave(texts)
        context = context.fork(texts) if together else context.pick(rows)
        assert (context.cross_keys[0].shape[0] == 2) == together
        context = context.restrict(looks) if regions else context
        states.append(model.decoder.decode_tokens(context, tokens, kind=QueryKind.CAPTION))
    for shared, alone in zip(*states, strict=True):
        torch.testing.assert_close(shared, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(states[0][-1][0], states[0][-1][1])


@torch.inference_mode()
def test_sampled_captions_come_as_often_as_the_model_thinks(small: tuple[XDecoder, Tokenizer]) -> None:
    model, tokenizer = small
    batch = Predictor(model, tokenizer).encode([picture(32, 32, i) for i in (1, 2)], short_side=32)[0].batch
    memory, latents, start = batch.features.memory, batch.latents, model.config.text.start_id
    generator = torch.Generator().manual_seed(0)
    ids, drawn = sample_captions(model, memory, latents, steps=3, samples=4000, generator=generator)
    assert ids.shape == drawn.shape == (8000, 4)
    assert (ids[:, 0] == start).all()
    decoder = CaptionDecoder(model, memory, latents, steps=1, regions=None)
    expected = decoder.step(torch.full((2,), start)).exp()
    for own, shares in zip(ids.view(2, 4000, 4), expected, strict=True):
        found = own[:, 1].bincount(minlength=len(shares)) / 4000
        torch.testing.assert_close(found, shares, rtol=0, atol=0.03)
    ended = (ids[:, :-1] == model.config.text.end_id).cumsum(1) > 0
    assert torch.equal(drawn[:, 1:], ~ended)


# --- weights, kinds of numbers, compilation ---


def test_save_and_load_are_exact(predictor: Predictor, tmp_path: Path) -> None:
    predictor.save(tmp_path / "again")
    again = xdecoder.load(tmp_path / "again")
    image = picture(40, 60, 1)
    one, other = (p.embed_images(p.encode(image, short_side=SHORT)) for p in (predictor, again))
    assert torch.equal(one.decoder, other.decoder)
    assert torch.equal(one.backbone, other.backbone)
    assert torch.equal(predictor.embed_texts(PHRASES), again.embed_texts(PHRASES))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_every_verb(predictor: Predictor, folder: Path, dtype: torch.dtype) -> None:
    half = Predictor(*load_model(folder, dtype=dtype))
    assert half.model.logit_scale.dtype == dtype
    one, other = (p.encode(picture(64, 96, 1), short_side=SHORT) for p in (half, predictor))
    assert half.segment(one, NAMES).size == (64, 96)
    assert half.segment(one, NAMES, task="instance").size == (64, 96)
    same = (
        half.segment(one, NAMES, task="semantic").categories
        == predictor.segment(other, NAMES, task="semantic").categories
    )
    assert same.mean() > 0.8
    assert half.refer(one, PHRASES).masks.shape == (2, 64, 96)
    assert len(half.caption(one, steps=3).token_ids) <= 3
    assert len(half.caption(one, steps=3, beams=2, region=(0, 0, 50, 50)).token_ids) <= 3
    cosine = (half.embed_images(one).decoder * predictor.embed_images(other).decoder).sum().item()
    assert cosine > 0.98
    assert (half.embed_texts(PHRASES) * predictor.embed_texts(PHRASES)).sum(-1).min().item() > 0.98


def test_a_model_stored_in_float16_runs_in_float32_on_a_cpu(folder: Path, tmp_path: Path) -> None:
    Predictor(*load_model(folder, dtype=torch.float16)).save(tmp_path / "half")
    assert xdecoder.load(tmp_path / "half").model.logit_scale.dtype == torch.float32
    assert xdecoder.load(tmp_path / "half", dtype=torch.float16).model.dtype == "float16"


COMPILE = """
import torch
from builders import tiny_config
from xdecoder.config import *
from xdecoder.model import XDecoder

widths, depths = (16, 32, 48, 64), (1, 1, 1, 1)
heads = (2, 2, 3, 4)
backbones = {
    "plain": FocalNetConfig(block="plain", widths=widths, depths=depths),
    "depthwise": FocalNetConfig(block="depthwise", widths=widths, depths=depths),
    "davit 2": DaViTConfig(widths=widths, depths=depths, heads=heads, groups=heads, merge_kernel=2),
    "davit 3": DaViTConfig(widths=widths, depths=depths, heads=heads, groups=heads, merge_kernel=3),
    "hybrid": HybridConfig(widths=widths, depths=depths),
}
for name, backbone in backbones.items():
    for kind in ("fpn", "deformable") if name == "hybrid" else ("fpn",):
        sizes = PixelDecoderConfig(kind=kind, width=32, mask_width=28, layers=1, heads=4, feedforward=16)
        torch.manual_seed(0)
        model = XDecoder(tiny_config(backbone=backbone, pixel_decoder=sizes)).eval()
        def features(images):
            return model.pixel_decoder(model.backbone(images))
        torch.compiler.reset()
        compiled = torch.compile(features, fullgraph=True, backend="eager")
        with torch.no_grad():
            images = torch.randn(2, 3, 32, 64)
            expected, actual = features(images), compiled(images)
        torch.testing.assert_close(actual.masks, expected.masks)
        torch.testing.assert_close(actual.levels, expected.levels)
        print(name, kind)
"""


def test_backbone_and_pixel_decoder_compile_without_graph_breaks() -> None:
    """In a process of its own: the shape checks of the tests are not part of the product."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.splitlines()) == 6
