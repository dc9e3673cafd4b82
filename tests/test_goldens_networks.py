"""Every stage of the network against the published program."""

import pytest
import torch
from torch import Tensor

from goldens import Golden, assert_close, encode_images, prepare_images
from xdecoder.model import XDecoder, normalize
from xdecoder.networks.queries import QueryKind


def test_images_are_normalized_then_padded(golden_a: Golden, models: dict[str, XDecoder]) -> None:
    images = prepare_images(models["A"], golden_a["a2/in/image0"], golden_a["a2/in/image1"])
    assert_close(images, golden_a["a2/normalized_padded"])


def test_backbone_and_pixel_decoder(golden: Golden, model: XDecoder) -> None:
    maps = model.backbone(prepare_images(model, golden["a2/in/image0"], golden["a2/in/image1"]))
    features = model.pixel_decoder(maps)
    for key, actual in {
        **{f"res{i}": maps[i - 2] for i in (2, 3, 4, 5)},
        **{f"multi_scale{i}": features.levels[i] for i in range(3)},
        "mask_features": features.masks,
    }.items():
        if f"a2/{key}" in golden.io:
            assert_close(actual, golden[f"a2/{key}"])


def test_transformer_encoder_of_the_pixel_decoder(golden_a: Golden, models: dict[str, XDecoder]) -> None:
    model = models["A"]
    seen: list[Tensor] = []
    hook = model.pixel_decoder.transformer["encoder"].register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    model.pixel_decoder(model.backbone(golden_a["a2/normalized_padded"]))
    hook.remove()
    assert_close(seen[0], golden_a["a2/transformer_encoder_features"])


def test_text_encoder(golden: Golden, model: XDecoder) -> None:
    text = model.text_encoder(golden["b/ids"])
    assert_close(text.tokens, golden["b/token_emb"])
    rows = torch.arange(len(golden["b/ids"]))
    expected = golden["b/token_emb"][rows, golden["b/ids"].argmax(1)]
    assert_close(text.embeddings, expected)


def test_predictions_of_every_layer(golden: Golden, model: XDecoder) -> None:
    images = golden["a/in/images"]
    features = encode_images(model, *images)
    states = model.decoder.decode_latents(features.memory).states
    assert len(states) == model.config.decoder.layers + 1
    compared = 0
    for i, state in enumerate(states):
        prefix = "c" if i + 1 == len(states) else f"c/aux{i}"
        heads = model.decoder.query_outputs(state)
        predictions = {
            "pred_logits": model.class_logits(heads.embeddings, golden["vocab/text_embeddings"]),
            "pred_masks": features.mask_logits(heads.masks),
            "pred_captions": heads.embeddings,
        }
        for key, actual in predictions.items():
            if f"{prefix}/{key}" in golden.io:
                assert_close(actual, golden[f"{prefix}/{key}"])
                compared += 1
    assert compared >= 6


def test_attention_masks_of_every_layer(
    golden: Golden, model: XDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = encode_images(model, *golden["a/in/images"])
    used: list[Tensor] = []
    for layer in model.decoder.layers:
        look = layer.cross_attend

        def record(x, positions, keys, values, visible, look=look):
            used.append(visible[:, 0])
            return look(x, positions, keys, values, visible)

        monkeypatch.setattr(layer, "cross_attend", record)
    model.decoder.decode_latents(features.memory)
    for i, visible in enumerate(used):
        assert torch.equal(~visible, golden[f"c/layer{i}/attn_mask_head0"])


def test_phrases_pick_the_published_queries(golden: Golden, model: XDecoder) -> None:
    for group in ("e1", "e2", "e3"):
        if f"{group}/ids" not in golden.io:
            continue
        features = encode_images(model, golden[f"{group}/in/image0"])
        ids = golden[f"{group}/ids"]
        text = model.text_encoder(ids)
        lengths = (ids == model.config.text.end_id).int().argmax(1) + 1
        valid = torch.arange(ids.shape[1]) < lengths[:, None]
        tokens = text.tokens[valid][None]
        if f"{group}/grounding_tokens" in golden.io:
            assert_close(tokens[0], golden[f"{group}/grounding_tokens"])
        states = model.decoder.decode_phrases(
            features.memory, tokens, torch.ones(1, tokens.shape[1], dtype=torch.bool)
        )
        heads = model.decoder.query_outputs(states[-1])
        if f"{group}/pred_gtexts" in golden.io:
            assert_close(heads.embeddings[0], golden[f"{group}/pred_gtexts"])
        scale = model.logit_scale.exp().clamp(max=100)
        similarity = scale * normalize(heads.embeddings[0]) @ normalize(text.embeddings).T
        assert_close(similarity, golden[f"{group}/similarity"])
        assert torch.equal(similarity.argmax(0), golden[f"{group}/matched_id"])


def test_caption_tokens_leave_the_latent_queries_alone(golden_a: Golden, models: dict[str, XDecoder]) -> None:
    """The published program decodes latent queries and caption tokens together."""
    model = models["A"]
    features = encode_images(model, golden_a["f2/in/image0"])
    latents = model.decoder.decode_latents(features.memory)
    expected = model.decoder.norm(golden_a["f2/step0_layer3/output"].transpose(0, 1))
    objects = model.config.decoder.queries - 1
    assert_close(latents.states[-1][:, :objects], expected[:, :objects])


def test_reading_tokens_one_by_one_equals_all_at_once(golden: Golden, model: XDecoder) -> None:
    features = encode_images(model, *golden["f1/in/images"])
    ids = golden["f1/captioning_token"][:, :7]
    tokens = model.text_encoder.continue_texts(ids, None)
    latents = model.decoder.decode_latents(features.memory, keep=True)
    at_once = model.decoder.open_context(features.memory, latents, capacity=7)
    expected = model.decoder.decode_tokens(at_once, tokens, kind=QueryKind.CAPTION)
    stepwise = model.decoder.open_context(features.memory, latents, capacity=7)
    steps = [
        model.decoder.decode_tokens(stepwise, tokens[:, i : i + 1], kind=QueryKind.CAPTION) for i in range(7)
    ]
    for layer, states in enumerate(expected):
        assert_close(torch.cat([step[layer] for step in steps], dim=1), states, 1e-5)
