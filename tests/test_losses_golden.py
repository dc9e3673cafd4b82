"""One training step of the published program, from its inputs: losses, matched queries and gradients."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from goldens import FOLDER, Golden
from xdecoder.losses import objective as objective_module
from xdecoder.losses.config import LossConfig, PointSampling, SupervisedLayers
from xdecoder.losses.masks import SampledPoints
from xdecoder.losses.matching import Matches
from xdecoder.losses.objective import Losses, Objective
from xdecoder.losses.predictions import chosen, predict_layers
from xdecoder.losses.targets import (
    CaptionTargets,
    NounTargets,
    ReferringTargets,
    RetrievalTargets,
    SegmentTargets,
)
from xdecoder.losses.terms import next_token_logits
from xdecoder.model import XDecoder, normalize
from xdecoder.networks.queries import QueryKind
from xdecoder.tasks.vocabulary import encode_phrases
from xdecoder.tokenizer import Tokenizer
from xdecoder.weights import published

CONFIG, SAMPLING, LAYERS = LossConfig(), PointSampling(points=112), SupervisedLayers()
PUBLISHED_NAMES = {
    "class_ce": "loss_mask_ce",
    "mask_bce": "loss_mask_bce",
    "mask_dice": "loss_mask_dice",
    "nouns": "loss_caption",
    "referring_ce": "loss_grounding_ce",
    "referring_bce": "loss_grounding_bce",
    "referring_dice": "loss_grounding_dice",
    "captioning": "loss_captioning",
    "retrieval": "loss_retrieval_decoder",
    "backbone_retrieval": "loss_retrieval_backbone",
}


class ReplayedPoints:
    """The points that the published program drew, in its order."""

    def __init__(self, golden: Golden) -> None:
        self.drawn = [golden[f"h/rand/{call:03d}"] for call in range(32)]

    def __call__(self, rows: Sequence[int], points: int) -> Tensor:
        drawn = self.drawn.pop(0)
        assert drawn.shape == (len(rows), points, 2)
        return drawn


def prepared(model: XDecoder, images: list[Tensor]) -> Tensor:
    mean = torch.tensor(model.config.pixel_mean)[:, None, None]
    std = torch.tensor(model.config.pixel_std)[:, None, None]
    return padded([(image - mean) / std for image in images])


def padded(maps: list[Tensor]) -> Tensor:
    height, width = (max(x.shape[axis] for x in maps) for axis in (-2, -1))
    return torch.stack(
        [torch.nn.functional.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])) for x in maps]
    )


def padded_masks(golden: Golden, name: str) -> list[Tensor]:
    """At the size of the first image, to which the second one is padded."""
    both = [golden[f"h/in/{name}{image}"] for image in range(2)]
    height, width = both[0].shape[-2:]
    pad = torch.nn.functional.pad
    return [pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2])).bool() for x in both]


def segmentation_losses(model: XDecoder, tokenizer: Tokenizer, golden: Golden) -> Losses:
    inputs, outputs = golden.meta["inputs"]["h_in"], golden.meta["outputs"]["h"]
    features = model.encode_images(prepared(model, [golden[f"h/in/seg_image{i}"] for i in range(2)]))

    def embed(texts: list[str]) -> Tensor:
        return encode_phrases(model, tokenizer, texts)[0].embeddings

    class_texts = normalize(embed(outputs["train_class_texts"]))
    called = iter(outputs["seg_tokenizer_calls_after_classes"])
    nouns: list[NounTargets] = []
    referring: list[ReferringTargets] = []
    phrase_tokens: list[Tensor] = []
    gmasks = padded_masks(golden, "gmasks")
    for image, target in enumerate(outputs["targets"]):
        texts = [next(called)[0] for _ in target["captions_hash"]]
        phrases, valid = encode_phrases(model, tokenizer, next(called))
        # Phrases that mean the same enter once.
        first = [target["grounding_hash"].index(group) for group in dict.fromkeys(target["grounding_hash"])]
        phrase_tokens.append(phrases.tokens[first][valid[first]])
        nouns.append(
            NounTargets(
                texts=embed(texts),
                groups=torch.tensor([int(group) for group in target["captions_hash"]]),
                label_groups=torch.tensor([int(group) for group in target["labels_hash"]]),
            )
        )
        referring.append(
            ReferringTargets(
                masks=gmasks[image],
                texts=phrases.embeddings,
                groups=torch.tensor(target["grounding_hash"]),
                weight={"text": 2.0, "class": 0.5}[target["grounding_task"]],
            )
        )
    assert inputs["gmode"] == [target["grounding_task"] for target in outputs["targets"]]
    # The published program's padding of phrases is seen by its attention in training.
    tokens = torch.nn.utils.rnn.pad_sequence(phrase_tokens, batch_first=True)
    copies = model.decoder.decode_phrases(features.memory, tokens, torch.ones(tokens.shape[:2]).bool())
    latents = model.decoder.decode_latents(features.memory).states
    layers = predict_layers(model, LAYERS, latents=latents, texts=class_texts, copies=copies)
    masks = padded_masks(golden, "seg_masks")
    sampler = ReplayedPoints(golden)
    losses = Objective(CONFIG).segmentation(
        layers,
        comparison=SampledPoints(features.mask_features, sampler, SAMPLING),
        segments=[
            SegmentTargets(labels=golden[f"h/in/seg_classes{image}"], masks=masks[image])
            for image in range(2)
        ],
        referring=referring,
        nouns=nouns,
        class_texts=class_texts,
        logit_scale=model.logit_scale,
    )
    assert not sampler.drawn
    return losses


def image_text_losses(model: XDecoder, tokenizer: Tokenizer, golden: Golden) -> Losses:
    features = model.encode_images(prepared(model, [golden[f"h/in/vlp_image{i}"] for i in range(3)]))
    token_ids = torch.cat([golden[f"h/vlp_target{i}/caption_tokenids"] for i in range(3)])
    texts = model.text_encoder(token_ids)
    latents = model.decoder.decode_latents(features.memory, keep=True)
    context = model.decoder.open_context(features.memory, latents, capacity=token_ids.shape[1])
    states = model.decoder.decode_tokens(context, texts.tokens, kind=QueryKind.CAPTION)
    valid = torch.cat([golden[f"h/vlp_target{i}/caption_mask"] for i in range(3)]).bool()
    table = model.text_encoder.token_embedding.weight
    logits = [
        next_token_logits(model.decoder.project_captions(state), valid, table)
        for state in chosen(states, LAYERS.captioning)
    ]
    objective = Objective(CONFIG)
    return objective.captioning(
        logits, CaptionTargets(token_ids=token_ids, valid=valid)
    ) + objective.retrieval(
        [model.decoder.query_outputs(state).embeddings for state in chosen(latents.states, LAYERS.retrieval)],
        backbone_embeddings=features.backbone_embeddings,
        targets=RetrievalTargets(texts=texts.embeddings, tokens=texts.tokens, valid=valid),
        logit_scale=model.logit_scale,
    )


def test_a_step_costs_what_the_published_program_says(
    golden_a: Golden, models: dict[str, XDecoder], clip_tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    matched: list[tuple[Matches, Matches | None]] = []
    for name in ("match_masks", "match_nouns"):
        original = getattr(objective_module, name)

        def remember(*args: object, original=original, **options: object) -> Matches:
            matches = original(*args, **options)
            matched.append((matches, options.get("taken")))
            return matches

        monkeypatch.setattr(objective_module, name, remember)
    model = copy.deepcopy(models["A"]).requires_grad_(True)
    segmentation = segmentation_losses(model, clip_tokenizer, golden_a)
    image_text = image_text_losses(model, clip_tokenizer, golden_a)

    expected = golden_a.meta["outputs"]["h"]
    actual = {
        f"{PUBLISHED_NAMES[name]}_{layer}": value.item()
        for name, values in (segmentation.terms | image_text.terms).items()
        for layer, value in enumerate(values)
    }
    supervised = {name for name, value in expected["losses_unweighted"].items() if value != 0}
    assert set(actual) == supervised
    for name, value in actual.items():
        assert value == pytest.approx(expected["losses_unweighted"][name], rel=1e-4), name
    total = segmentation.total + image_text.total
    assert total.item() == pytest.approx(expected["total_weighted"], rel=1e-4)

    for (matches, taken), call in zip(matched, expected["matcher_calls"], strict=True):
        for image, (queries, targets) in enumerate(matches.pairs):
            places = list(queries)
            if taken is not None:  # the published program counts the unmatched queries alone
                places = [q - sum(t < q for t in taken.pairs[image][0]) for q in queries]
            assert [places, list(targets)] == call["indices"][image]

    total.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    errors = [
        ((gradients[name].flatten()[places] - values).norm() / values.norm()).item()
        for name, places, values in sampled_gradients(gradients)
    ]
    assert len(errors) > 250
    assert max(errors) <= 2e-2
    assert sorted(errors)[len(errors) // 2] <= 1e-3


def sampled_gradients(gradients: dict[str, Tensor]) -> Iterator[tuple[str, slice, Tensor]]:
    """Of each published gradient up to 128 values, evenly spaced, stored as shares of its largest value."""
    with np.load(FOLDER / "losses" / "grads.npz", allow_pickle=False) as stored:
        values = torch.from_numpy(stored["values"]).float().split(stored["lengths"].tolist())
        scales, names = stored["scales"].tolist(), stored["names"].tolist()
    for key, part, scale in zip(names, values, scales, strict=True):
        name = published.to_ours(key)
        size = gradients[name].numel()
        step = max(1, size // 128)
        yield name, slice(0, len(part) * step, step), part * scale
