"""Every task's result against the published program."""

import pytest
import torch
from torch import Tensor

from goldens import Golden, assert_close, encode_images
from xdecoder.model import XDecoder, normalize
from xdecoder.predictor.name_cache import NameCache
from xdecoder.tasks.captioning import CaptionDecoder, caption_greedily, region_at_levels
from xdecoder.tasks.geometry import Geometry
from xdecoder.tasks.referring import refer
from xdecoder.tasks.retrieval import ImageEmbeddings, embed_images
from xdecoder.tasks.segmentation import (
    SegmentationLogits,
    instances,
    panoptic,
    segmentation_logits,
    semantic,
    semantic_tiles,
)
from xdecoder.tasks.vocabulary import embed_names, embed_texts, encode_phrases
from xdecoder.tokenizer import Tokenizer
from xdecoder.vocabularies import prompts

THINGS = frozenset({0, 1, 2})


def geometry(image: Tensor, output: list[int]) -> Geometry:
    height, width = image.shape[-2:]
    return Geometry(
        output=(output[0], output[1]),
        resized=(height, width),
        padded=(-(-height // 32) * 32, -(-width // 32) * 32),
    )


def logits(model: XDecoder, golden: Golden, *images: Tensor) -> list[SegmentationLogits]:
    features = encode_images(model, *images)
    latents = model.decoder.decode_latents(features.memory)
    vocabulary = golden["vocab/text_embeddings"]
    return [segmentation_logits(model, features, latents, vocabulary, i) for i in range(len(images))]


def assert_same_pixels(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual == expected).float().mean() >= 0.9995


def segmentation_cases(golden: Golden) -> list[tuple[str, int, Tensor, list[int]]]:
    """Group, image number, image, output size."""
    cases: list[tuple[str, int, Tensor, list[int]]] = []
    for group in ("d1", "d2", "d4", "d5"):
        for i in range(2):
            image = golden.io.get(f"{group}/in/image{i}")
            if image is not None:
                sizes = golden.meta["inputs"][group].get("hw")
                cases.append((group, i, image, sizes[i] if sizes else list(image.shape[-2:])))
    return cases


def test_panoptic_segments(golden: Golden, model: XDecoder) -> None:
    compared = 0
    for group, i, image, size in segmentation_cases(golden):
        if f"{group}/out{i}/panoptic_seg" not in golden.io:
            continue
        result = panoptic(
            logits(model, golden, image)[0],
            geometry(image, size),
            things=THINGS,
            object_threshold=0.3,
            overlap_threshold=0.2,
        )
        expected = golden.meta["outputs"][group][f"segments_info{i}"]
        assert [
            {"id": n, "isthing": category in THINGS, "category_id": category}
            for n, category in enumerate(result.categories, start=1)
        ] == expected
        assert_same_pixels(result.ids, golden[f"{group}/out{i}/panoptic_seg"])
        compared += 1
    assert compared


def test_instances(golden: Golden, model: XDecoder) -> None:
    compared = 0
    for group, i, image, size in segmentation_cases(golden):
        if f"{group}/out{i}/inst_masks" not in golden.io:
            continue
        result = instances(
            logits(model, golden, image)[0],
            geometry(image, size),
            detections=20,
            things=None if group == "d4" else THINGS,
        )
        order = golden[f"{group}/out{i}/inst_scores"].argsort(descending=True)
        assert_close(result.scores, golden[f"{group}/out{i}/inst_scores"][order])
        assert torch.equal(result.categories, golden[f"{group}/out{i}/inst_classes"][order])
        assert_same_pixels(result.masks, golden[f"{group}/out{i}/inst_masks"][order].bool())
        compared += 1
    assert compared


@pytest.mark.parametrize("group", ["d1", "d3"])
def test_semantic_scores(group: str, golden_a: Golden, models: dict[str, XDecoder]) -> None:
    golden, model = golden_a, models["A"]
    key = f"{group}/out0/sem_seg"
    image = golden[f"{group}/in/image0"]
    sizes = geometry(image, golden.meta["inputs"][group]["hw"][0])
    expected = golden[key]
    scores = torch.full_like(expected, torch.nan)
    predictions = logits(model, golden, image)[0]
    for tile in semantic_tiles(predictions, sizes, resize_probabilities=group == "d3"):
        scores[:, tile.rows, tile.columns] = tile.values
    assert_close(scores, expected)
    labels = semantic(predictions, sizes, resize_probabilities=group == "d3")
    assert_same_pixels(labels, expected.argmax(0).int())


def test_padding_another_image_into_the_batch_changes_no_published_result(
    golden: Golden, model: XDecoder
) -> None:
    """Golden d1 holds two sizes in one batch; each has the same padded size alone."""
    images = [golden["d1/in/image0"], golden["d1/in/image1"]]
    together = logits(model, golden, *images)
    for i, image in enumerate(images):
        alone = logits(model, golden, image)[0]
        assert_close(together[i].classes, alone.classes, 1e-4)
        assert_close(together[i].masks(), alone.masks(), 1e-4)


@pytest.mark.parametrize(("name", "group"), [("A", "e1"), ("A", "e2"), ("A", "e3"), ("B", "e1"), ("B", "e2")])
def test_referring_masks(
    name: str, group: str, goldens: dict[str, Golden], models: dict[str, XDecoder], clip_tokenizer: Tokenizer
) -> None:
    golden, model = goldens[name], models[name]
    image = golden[f"{group}/in/image0"]
    texts = [text for texts in golden.meta["inputs"][group]["texts"] for text in texts]
    phrases, valid = encode_phrases(model, clip_tokenizer, texts)
    result = refer(model, encode_images(model, image), 0, phrases, valid, together=True)
    assert_close(result.similarity, golden[f"{group}/similarity"].T)
    assert torch.equal(result.chosen, golden[f"{group}/matched_id"])
    if f"{group}/pred_gmasks_matched" in golden.io:
        assert_close(result.masks, golden[f"{group}/pred_gmasks_matched"])
    covered = result.covered(geometry(image, golden.meta["inputs"][group]["hw"][0]))
    if f"{group}/grounding_mask" in golden.io:
        assert_same_pixels(covered, golden[f"{group}/grounding_mask"] > 0)
    elif f"{group}/grounding_mask_positive" in golden.io:
        assert_same_pixels(covered, golden[f"{group}/grounding_mask_positive"])


def test_phrases_one_by_one_equal_each_alone(
    golden: Golden, model: XDecoder, clip_tokenizer: Tokenizer
) -> None:
    features = encode_images(model, golden["e1/in/image0"])
    texts = [text for texts in golden.meta["inputs"]["e1"]["texts"] for text in texts]
    phrases, valid = encode_phrases(model, clip_tokenizer, texts)
    separately = refer(model, features, 0, phrases, valid, together=False)
    for i, text in enumerate(texts):
        alone = refer(model, features, 0, *encode_phrases(model, clip_tokenizer, [text]), together=True)
        assert_close(separately.similarity[i], alone.similarity[0])
        assert_close(separately.masks[i], alone.masks[0])


@pytest.mark.parametrize(("name", "group"), [("A", "f1"), ("A", "f2"), ("A", "f3"), ("B", "f1"), ("B", "f2")])
def test_captions(
    name: str, group: str, goldens: dict[str, Golden], models: dict[str, XDecoder], clip_tokenizer: Tokenizer
) -> None:
    golden, model = goldens[name], models[name]
    keys = [k for k in (f"{group}/in/images", f"{group}/in/image0", "d2/in/image0") if k in golden.io]
    images = golden[keys[0]] if group == "f1" else golden[keys[0]][None]
    features = encode_images(model, *images)
    latents = model.decoder.decode_latents(features.memory, keep=True)
    sizes = geometry(images[0], list(images.shape[-2:]))
    regions = None
    if group == "f2":
        regions = region_at_levels(~golden["f2/in/captioning_mask"][0], sizes, features.memory.sizes)
    expected = golden[f"{group}/captioning_token"]
    decoder = CaptionDecoder(model, features.memory, latents, steps=10, regions=regions)
    for step, top_ids in enumerate(golden[f"{group}/step_top5_ids"]):
        scores = decoder.step(expected[:, step]).gather(1, top_ids)
        stored = golden[f"{group}/step_top5_logits"][step]
        assert_close(scores - scores[:, :1] + stored[:, :1], stored)
    if golden.name != "A":
        return  # only A stores the whole token table
    captions = caption_greedily(model, features.memory, latents, steps=10, regions=regions)
    assert [c.ids for c in captions] == [tuple(ids[1:11]) for ids in expected.tolist()]
    texts = [clip_tokenizer.decode_caption(c.ids) for c in captions]
    assert texts == golden.meta["outputs"][group]["captioning_text"]


def test_retrieval_embeddings(golden: Golden, model: XDecoder, clip_tokenizer: Tokenizer) -> None:
    features = encode_images(
        model, golden["g/in/image0"], golden["g/in/image1"]
    )  # padded together, as published
    both_images = embed_images(model, features, model.decoder.decode_latents(features.memory))
    for i, captions in enumerate(golden.meta["inputs"]["g"]["captions"]):
        embeddings = ImageEmbeddings(
            decoder=both_images.decoder[i : i + 1], backbone=both_images.backbone[i : i + 1]
        )
        for name, actual in (("decoder", embeddings.decoder), ("backbone", embeddings.backbone)):
            assert_close(actual, normalize(golden[f"g/image_embed_{name}{i}"]))
        texts = normalize(embed_texts(model, clip_tokenizer, captions))
        assert_close(texts, normalize(golden[f"g/text_embeds{i}"]))
        both = (golden[f"g/image_embed_decoder{i}"], golden[f"g/image_embed_backbone{i}"])
        expected = sum(normalize(e) @ normalize(golden[f"g/text_embeds{i}"]).T for e in both) / 2
        assert_close(embeddings.similarity(texts), expected)


def test_prompt_ensemble(golden: Golden, model: XDecoder, clip_tokenizer: Tokenizer) -> None:
    names = golden.meta["inputs"]["b"]["class_names"]
    embedded = embed_names(model, clip_tokenizer, [prompts(name) for name in names])
    assert_close(embedded, golden["b/text_embeddings_eval"])
    plain = [(text,) for text in [*names, "A background in coco."]]
    assert_close(embed_names(model, clip_tokenizer, plain), golden["b/text_embeddings_eval_noprompt_addbgd"])


def test_shared_beginnings_change_no_embedding(
    golden: Golden, model: XDecoder, clip_tokenizer: Tokenizer
) -> None:
    texts = ["a photo of a dog.", "a photo of a traffic light.", "a photo of a", "a photo of a dog."]
    alone = torch.cat([embed_texts(model, clip_tokenizer, [text]) for text in texts])
    assert_close(embed_texts(model, clip_tokenizer, texts), alone, 1e-5)
    assert_close(
        embed_texts(model, clip_tokenizer, texts),
        model.text_encoder(torch.tensor(clip_tokenizer.encode_batch(texts, 77))).embeddings,
        1e-5,
    )
    assert embed_texts(model, clip_tokenizer, []).shape == (0, model.config.embed_width)


def test_beginnings_that_some_texts_share_change_no_embedding(
    model: XDecoder, clip_tokenizer: Tokenizer
) -> None:
    texts = [text for name in ("dog", "traffic light", "dog house", "a") for text in prompts(name)]
    texts += ["a photo of a dog", "dog", "dog"]
    told: list[tuple[int, int]] = []
    embedded = embed_texts(model, clip_tokenizer, texts, lambda done, total: told.append((done, total)))
    ids = torch.tensor(clip_tokenizer.encode_batch(texts, 77))
    assert_close(embedded, model.text_encoder(ids).embeddings, 1e-5)
    assert told[-1] == (len(texts), len(texts))


def test_name_cache_survives_damage_and_tells_models_apart(
    golden_a: Golden, models: dict[str, XDecoder], clip_tokenizer: Tokenizer, tmp_path
) -> None:
    texts = [prompts("dog")[:3], prompts("sky-other-merged")[:3]]
    first = NameCache(models["A"], clip_tokenizer, tmp_path).embed(texts)
    files = sorted(tmp_path.rglob("*.npy"))
    assert len(files) == 2
    assert torch.equal(NameCache(models["A"], clip_tokenizer, tmp_path).embed(texts), first)
    files[0].write_bytes(files[0].read_bytes()[:20])
    assert_close(NameCache(models["A"], clip_tokenizer, tmp_path).embed(texts), first, 1e-6)
    NameCache(models["B"], clip_tokenizer, tmp_path).embed(texts)
    assert len(list(tmp_path.rglob("*.npy"))) == 4


def test_the_names_asked_for_least_recently_leave_the_memory_first(
    models: dict[str, XDecoder], clip_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedded: list[list[tuple[str, ...]]] = []

    def spy(model: XDecoder, tokenizer: Tokenizer, texts: list[tuple[str, ...]], _: object) -> torch.Tensor:
        embedded.append(texts)
        return embed_names(model, tokenizer, texts)

    monkeypatch.setattr("xdecoder.predictor.name_cache.embed_names", spy)
    dog, cat, sky = ((f"a photo of a {name}.",) for name in ("dog", "cat", "sky"))
    model = models["A"]
    cache = NameCache(model, clip_tokenizer, None, most_bytes=2 * 4 * model.config.embed_width)
    every = cache.embed([dog, cat, sky, dog])  # more than it keeps: cat and sky stay
    assert_close(every, embed_names(model, clip_tokenizer, [dog, cat, sky, dog]), 1e-6)
    cache.embed([cat])
    cache.embed([dog])  # takes the place of sky
    cache.embed([cat])
    cache.embed([sky])
    assert embedded == [[dog, cat, sky], [dog], [sky]]


def test_a_region_too_small_for_a_level_keeps_one_cell(golden_a: Golden, models: dict[str, XDecoder]) -> None:
    image = golden_a["e1/in/image0"]
    features = encode_images(models["A"], image)
    region = torch.zeros(image.shape[-2:], dtype=torch.bool)
    region[37, 70] = True
    levels = region_at_levels(region, geometry(image, list(image.shape[-2:])), features.memory.sizes)
    for cells, stride in zip(levels, (32, 16, 8), strict=True):
        assert cells.nonzero().tolist() == [[0, 37 // stride, 70 // stride]]
