"""Matching, supervision and the global batch."""

import itertools
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from xdecoder.losses.config import LossConfig, MatchCosts, PointSampling
from xdecoder.losses.masks import MatchedLayer, SampledPoints, WholeMasks
from xdecoder.losses.matching import assign, match_masks, match_nouns
from xdecoder.losses.objective import Losses, Objective
from xdecoder.losses.points import RandomPoints
from xdecoder.losses.predictions import LayerPredictions, chosen
from xdecoder.losses.targets import (
    CaptionTargets,
    NounTargets,
    ReferringTargets,
    RetrievalTargets,
    SegmentTargets,
)
from xdecoder.losses.terms import next_token_logits
from xdecoder.networks.decoder_states import QueryOutputs

Q, M, P, K, H, W = 7, 5, 3, 4, 9, 13
CONFIG = LossConfig()
SAMPLING = PointSampling(points=16)


class SeededPoints:
    """Points that depend on the image alone: not on the batch it is in, nor on the process that holds it."""

    def __init__(self, seeds: list[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, rows: Sequence[int], points: int) -> Float[Tensor, "N P 2"]:
        drawn = [torch.rand(points, 2, generator=self.generators[image]) for image in rows]
        return torch.stack(drawn) if drawn else torch.empty(0, points, 2)


def points(features: Tensor, number: int) -> SampledPoints:
    return SampledPoints(features, RandomPoints("cpu"), PointSampling(points=number))


def test_the_cheapest_assignment_is_found() -> None:
    costs = [torch.randn(5, 3), torch.randn(5, 2), torch.randn(5, 0)]
    matches = assign(costs)
    for cost, (queries, targets) in zip(costs, matches.pairs, strict=True):
        N = cost.shape[1]
        best = min(
            sum(cost[q, n].item() for n, q in enumerate(chosen))
            for chosen in itertools.permutations(range(5), N)
        )
        assert cost[queries, targets].sum().item() == pytest.approx(best)
        assert sorted(targets) == list(range(N))
    assert matches.images.tolist() == [0, 0, 0, 1, 1] == matches.rows
    queries, targets = matches.of(1)
    assert queries.tolist() == matches.pairs[1][0].tolist()
    assert targets.tolist() == matches.pairs[1][1].tolist()
    assert sorted(matches.targets.tolist()) == [0, 1, 2, 3, 4]


def test_more_targets_than_queries_leave_some_unmatched() -> None:
    matches = assign([torch.randn(2, 5)])
    assert len(matches.queries) == 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_still_get_an_assignment(bad: float) -> None:
    masks = [torch.rand(2, H, W) > 0.5]
    embeddings, features, affinity = torch.randn(1, Q, M), torch.randn(1, M, H, W), torch.rand(Q, 2)
    for spoil in ("some", "all"):
        rows = slice(0, 3) if spoil == "some" else slice(None)
        embeddings[0, rows], affinity[rows] = bad, bad
        matches = match_masks([affinity], points(features, 11).pairwise(embeddings, masks), MatchCosts())
        assert sorted(matches.targets.tolist()) == [0, 1]
        if spoil == "some":
            assert min(matches.queries.tolist()) >= 3


def test_masks_match_by_overlap() -> None:
    masks = torch.zeros(2, H, W, dtype=torch.bool)
    masks[0, :4], masks[1, 5:] = True, True
    features = torch.cat((masks.float() * 20 - 10, torch.zeros(M - 2, H, W)))[None]
    embeddings = torch.zeros(1, Q, M)
    embeddings[0, 5, 0] = embeddings[0, 2, 1] = 1
    matches = match_masks(
        [torch.zeros(Q, 2)], points(features, 64).pairwise(embeddings, [masks]), MatchCosts()
    )
    assert dict(zip(matches.queries.tolist(), matches.targets.tolist(), strict=True)) == {5: 0, 2: 1}


def test_nouns_take_free_queries_by_probability_among_other_meanings() -> None:
    embeddings, texts = torch.randn(2, Q, P), [torch.randn(2, P), torch.randn(1, P)]
    groups = [torch.tensor([1, 2]), torch.tensor([1])]
    taken = assign([torch.randn(Q, 3), torch.randn(Q, 3)])
    scale = torch.tensor(4.0)
    matches = match_nouns(embeddings, texts, groups, torch.cat(texts), torch.cat(groups), scale, taken=taken)
    unit = torch.nn.functional.normalize
    # Image 1's text means what text 0 does: it is no negative of image 0; text 1 is one of image 1.
    candidates = [texts[0], torch.stack((texts[1][0], texts[0][1]))]
    for image, (queries, targets) in enumerate(matches.pairs):
        free = [q for q in range(Q) if q not in taken.pairs[image][0]]
        logits = scale * unit(embeddings[image], dim=-1) @ unit(candidates[image], dim=-1).T
        probability = logits.softmax(-1)[:, : len(texts[image])]
        best = max(
            sum(probability[q, n].item() for n, q in enumerate(chosen))
            for chosen in itertools.permutations(free, len(texts[image]))
        )
        assert set(queries) <= set(free)
        assert probability[queries, targets].sum().item() == pytest.approx(best, rel=1e-5)


# The objective


class Step:
    """Random predictions of two layers on three images, the last of which has nothing to be found in it."""

    def __init__(self, images: slice = slice(0, 3)) -> None:
        generator = torch.Generator().manual_seed(7)

        def draw(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        self.leaves = {
            name: draw(2, 3, Q, width)
            for name, width in {
                "embeddings": P,
                "masks": M,
                "logits": K,
                "copy_embeddings": P,
                "copy_masks": M,
            }.items()
        } | {"features": draw(3, M, H, W), "class_texts": draw(K, P), "logit_scale": torch.tensor(1.5)}
        for leaf in self.leaves.values():
            leaf.requires_grad_(True)
        counts = (2, 3, 0)
        self.images = range(3)[images]
        self.segments = [
            SegmentTargets(
                labels=torch.randint(0, K - 1, (n,), generator=generator), masks=draw(n, 4 * H, 4 * W) > 0
            )
            for n in counts
        ]
        self.referring = [
            ReferringTargets(
                masks=draw(n, 4 * H, 4 * W) > 0, texts=draw(n, P), groups=torch.arange(n), weight=0.5 + n
            )
            for n in counts
        ]
        self.nouns = [
            NounTargets(
                texts=draw(n, P),
                groups=torch.randint(0, 3, (n,), generator=generator),
                label_groups=s.labels,
            )
            for n, s in zip((1, 2, 1), self.segments, strict=True)
        ]

    def losses(
        self,
        config: LossConfig = CONFIG,
        *,
        segmented: tuple[int, ...] = (0, 1),
        aligned: tuple[int, ...] = (0, 1),
        referred: tuple[int, ...] = (0, 1),
    ) -> Losses:
        x, part = self.leaves, slice(self.images.start, self.images.stop)

        def layer(i: int) -> LayerPredictions:
            objects = QueryOutputs(embeddings=x["embeddings"][i, part], masks=x["masks"][i, part])
            copies = QueryOutputs(embeddings=x["copy_embeddings"][i, part], masks=x["copy_masks"][i, part])
            return LayerPredictions(
                objects=objects if i in segmented else None,
                logits=x["logits"][i, part] if i in segmented else None,
                copies=copies if i in referred else None,
                aligned=i in aligned,
            )

        return Objective(config).segmentation(
            [layer(0), layer(1)],
            comparison=SampledPoints(
                x["features"][part], SeededPoints([100 + image for image in self.images]), SAMPLING
            ),
            segments=self.segments[part],
            referring=self.referring[part],
            nouns=self.nouns[part],
            class_texts=x["class_texts"],
            logit_scale=x["logit_scale"],
        )


class CaptionStep:
    """Random predictions of one layer on three captioned images."""

    def __init__(self, images: slice = slice(0, 3)) -> None:
        generator = torch.Generator().manual_seed(8)
        B, L, V = 3, 6, 11
        shapes = {"embeddings": (B, Q, P), "captions": (B, L, P), "backbone": (B, P), "texts": (B, P)}
        shapes |= {"tokens": (B, L, P), "table": (V, P)}
        self.leaves = {name: torch.randn(*shape, generator=generator) for name, shape in shapes.items()}
        self.leaves["logit_scale"] = torch.tensor(1.5)
        for leaf in self.leaves.values():
            leaf.requires_grad_(True)
        self.part = images
        self.token_ids = torch.randint(0, V, (B, L), generator=generator)
        self.valid = torch.arange(L) < torch.tensor([3, 6, 4])[:, None]

    def losses(self, config: LossConfig = CONFIG) -> Losses:
        x, part = self.leaves, self.part
        objective = Objective(config)
        token_ids, valid = self.token_ids[part], self.valid[part]
        logits = next_token_logits(x["captions"][part], valid, x["table"])
        return objective.captioning(
            [logits], CaptionTargets(token_ids=token_ids, valid=valid)
        ) + objective.retrieval(
            [x["embeddings"][part]],
            backbone_embeddings=x["backbone"][part],
            targets=RetrievalTargets(
                texts=x["texts"][part],
                tokens=x["tokens"][part],
                valid=valid,
                groups=torch.tensor([4, 5, 4])[part],
            ),
            logit_scale=x["logit_scale"],
        )


def test_every_prediction_learns() -> None:
    for step in (Step(), CaptionStep()):
        step.losses().total.backward()
        for name, leaf in step.leaves.items():
            assert leaf.grad is not None, name
            assert leaf.grad.abs().sum() > 0, name


def test_total_is_the_weighted_sum_of_the_terms() -> None:
    losses = Step().losses()
    weights = {
        "class_ce": 2, "mask_bce": 5, "mask_dice": 5, "nouns": 1,
        "referring_bce": 1, "referring_dice": 1, "referring_ce": 0.4,
    }  # fmt: skip
    assert set(losses.terms) == set(weights)
    expected = sum(weights[name] * sum(values).item() for name, values in losses.terms.items())
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)
    losses = CaptionStep().losses()
    expected = sum(
        {"captioning": 2, "retrieval": 2, "backbone_retrieval": 8}[name] * sum(values).item()
        for name, values in losses.terms.items()
    )
    assert losses.total.item() == pytest.approx(expected, rel=1e-5)


def test_only_the_chosen_layers_are_supervised() -> None:
    step = Step()
    losses = step.losses(aligned=(), referred=(1,))
    assert {name: len(values) for name, values in losses.terms.items()} == {
        "class_ce": 2, "mask_bce": 2, "mask_dice": 2,
        "referring_bce": 1, "referring_dice": 1, "referring_ce": 1,
    }  # fmt: skip
    losses.total.backward()
    touched = step.leaves["copy_masks"].grad.abs().sum(dim=(1, 2, 3))
    assert touched[0] == 0
    assert touched[1] > 0


def test_layers_are_counted_from_either_end_and_missing_ones_passed_over() -> None:
    states = [torch.tensor(float(i)) for i in range(4)]
    for layers, expected in ((None, [0, 1, 2, 3]), ((-1, 0), [0, 3]), ((3, -1, 7, -9), [3]), ((), [])):
        assert [int(state) for state in chosen(states, layers)] == expected


def test_whole_masks_are_compared_at_every_cell_and_matched_at_half_the_resolution() -> None:
    features, embeddings = torch.randn(2, M, 4, 6), torch.randn(2, Q, M)
    masks = [torch.rand(2, 4, 6), torch.rand(1, 4, 6)]
    comparison = WholeMasks(features)
    logits = torch.einsum("bqm,bmhw->bqhw", embeddings, features)
    halved = torch.nn.functional.avg_pool2d
    for image, (predicted, true) in enumerate(comparison.pairwise(embeddings, masks)):
        torch.testing.assert_close(predicted, halved(logits[image], 2).flatten(1))
        torch.testing.assert_close(true, halved(masks[image], 2).flatten(1))
    layers = [
        MatchedLayer(
            mask_embeddings=torch.randn(2, Q, M),
            matches=assign([torch.randn(Q, 2), torch.randn(Q, 1)]),
            drawn=None,
        )
        for _ in range(2)
    ]
    compared = comparison.matched(layers, masks)
    assert compared.layers.tolist() == [0, 0, 1, 1, 0, 1]
    for number, layer in enumerate(layers):
        own = compared.layers == number
        logits = torch.einsum("bqm,bmhw->bqhw", layer.mask_embeddings, features).flatten(2)
        matches = layer.matches
        torch.testing.assert_close(compared.predicted[own], logits[matches.images, matches.queries])
        assert torch.equal(compared.true[own], torch.cat(masks).flatten(1)[matches.targets])


def test_nouns_teach_unmatched_queries_only_where_asked() -> None:
    for noun_gradient, learning in ((False, 5), (True, 9)):
        step = Step()
        config = replace(CONFIG, noun_gradient=noun_gradient)
        step.losses(config, segmented=(1,), referred=()).total.backward()
        assert (step.leaves["embeddings"].grad[1].abs().sum(-1) > 0).sum() == learning
    assert Step().losses(replace(CONFIG, noun_gradient=True)).total == Step().losses().total


def test_autocast_changes_no_loss() -> None:
    expected = Step().losses().total, CaptionStep().losses().total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (Step().losses().total, CaptionStep().losses().total) == expected


def test_bfloat16_predictions_cost_nearly_the_same() -> None:
    for kind in (Step, CaptionStep):
        expected, step = kind().losses().terms, kind()
        step.leaves = {name: leaf.detach().bfloat16() for name, leaf in step.leaves.items()}
        actual = step.losses().terms
        for name in ("class_ce", "captioning", "retrieval", "backbone_retrieval"):
            for x, y in zip(actual.get(name, ()), expected.get(name, ()), strict=True):
                assert x.dtype == torch.float32
                assert x.item() == pytest.approx(y.item(), rel=0.03)


def test_an_image_less_batch_of_segments_costs_its_background() -> None:
    losses = Step(images=slice(2, 3)).losses()
    assert losses.total.isfinite()
    for name in ("mask_bce", "mask_dice", "referring_ce", "referring_bce", "referring_dice"):
        assert [value.item() for value in losses.terms[name]] == [0, 0]


def test_targets_and_images_must_go_together() -> None:
    step = Step()
    step.nouns = step.nouns[:2]
    with pytest.raises(
        ValueError, match="one record an image is needed, got 3 segments, 3 referring, 2 nouns"
    ):
        step.losses()


def test_sampling_options_are_checked() -> None:
    with pytest.raises(ValueError, match=r"important_share in \[0, 1\], got 12544, 3.0 and 1.5"):
        PointSampling(important_share=1.5)


def test_two_processes_share_one_batch_exactly(tmp_path: Path) -> None:
    """Losses and the mean of both processes' gradients are those of one process with the whole batch."""
    program = """
import sys
import torch
import torch.distributed as dist
from test_losses_objective import CaptionStep, Step
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
part = (slice(0, 1), slice(1, 3))[rank]
for kind in (Step, CaptionStep):
    step = kind(images=part)
    losses = step.losses()
    losses.total.backward()
    gradients = {}
    for name, leaf in step.leaves.items():
        gradients[name] = leaf.grad
        dist.all_reduce(gradients[name])
    total = losses.total.detach()
    dist.all_reduce(total)
    if rank == 0:
        torch.save((total / 2, {n: g / 2 for n, g in gradients.items()}), f"{folder}/{kind.__name__}.pt")
dist.destroy_process_group()
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(rank), str(tmp_path)],
            cwd=Path(__file__).parent,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    for kind in (Step, CaptionStep):
        total, gradients = torch.load(tmp_path / f"{kind.__name__}.pt")
        step = kind()
        expected = step.losses().total
        expected.backward()
        assert total.item() == pytest.approx(expected.item(), rel=1e-5)
        for name, leaf in step.leaves.items():
            torch.testing.assert_close(gradients[name], leaf.grad, rtol=1e-4, atol=1e-6)


def test_matches_live_on_the_host_and_on_the_device() -> None:
    matches = assign([torch.randn(3, 2), torch.randn(3, 1)])
    on_host = np.concatenate([queries for queries, _ in matches.pairs])
    assert matches.queries.tolist() == on_host.tolist()
    assert matches.starts == (0, 2)
