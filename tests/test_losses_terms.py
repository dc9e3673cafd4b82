"""Every term against the same thing written with loops, in float64."""

import math

import pytest
import torch
from torch import Tensor

from xdecoder.losses import terms
from xdecoder.losses.points import (
    RandomPoints,
    sample_features,
    sample_maps,
    sample_masks,
    sample_masks_together,
    uncertain_points,
)

SCALE = torch.tensor(3.5, dtype=torch.float64)


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> float:
    return (a @ b / ((a.norm() + 1e-7) * (b.norm() + 1e-7))).item()


def log_share(scores: list[float], index: int) -> float:
    return scores[index] - math.log(sum(math.exp(score) for score in scores))


def naive_bce(logits: Tensor, mask: Tensor) -> float:
    total = 0.0
    for x, t in zip(logits.tolist(), mask.tolist(), strict=True):
        p = 1 / (1 + math.exp(-x))
        total -= t * math.log(p) + (1 - t) * math.log(1 - p)
    return total / len(logits)


def naive_dice(logits: Tensor, mask: Tensor) -> float:
    shares = [1 / (1 + math.exp(-x)) for x in logits.tolist()]
    overlap = sum(p * t for p, t in zip(shares, mask.tolist(), strict=True))
    return 1 - (2 * overlap + 1) / (sum(shares) + mask.sum().item() + 1)


def test_mask_terms() -> None:
    logits, masks = draw(3, 7), torch.rand(3, 7, dtype=torch.float64)
    pairs = list(zip(logits, masks, strict=True))
    assert terms.mask_bce(logits, masks).tolist() == pytest.approx([naive_bce(*p) for p in pairs])
    assert terms.dice(logits, masks).tolist() == pytest.approx([naive_dice(*p) for p in pairs])


def test_pairwise_mask_terms() -> None:
    logits, masks = draw(5, 7), torch.rand(3, 7, dtype=torch.float64)
    bce, dice = terms.pairwise_mask_bce(logits, masks), terms.pairwise_dice(logits, masks)
    assert bce.shape == dice.shape == (5, 3)
    for q in range(5):
        for n in range(3):
            assert bce[q, n].item() == pytest.approx(naive_bce(logits[q], masks[n]))
            assert dice[q, n].item() == pytest.approx(naive_dice(logits[q], masks[n]))


def test_class_cross_entropy_weighs_the_background() -> None:
    logits, classes = draw(2, 5, 4), torch.tensor([[0, 3, 3, 1, 3], [3, 2, 3, 3, 0]])
    total = weight_sum = 0.0
    for b in range(2):
        for q in range(5):
            weight = 0.25 if classes[b, q] == 3 else 1.0
            total -= weight * log_share(logits[b, q].tolist(), int(classes[b, q]))
            weight_sum += weight
    actual = terms.class_cross_entropy(logits, classes, background_weight=0.25)
    assert actual.item() == pytest.approx(total / weight_sum)


def test_phrases_of_one_meaning_share_their_queries() -> None:
    similarity, groups = draw(4, 5), torch.tensor([4, 9, 4, 4])
    chosen = torch.zeros(4, 5)
    chosen[0, 2] = chosen[1, 0] = chosen[2, 3] = chosen[3, 2] = 1
    images = torch.tensor([0, 0, 0, 1])
    expected = [
        -sum(share * log_share(scores, query) for query, share in answers.items())
        for scores, answers in zip(
            similarity.tolist(), ({2: 0.5, 3: 0.5}, {0: 1.0}, {2: 0.5, 3: 0.5}, {2: 1.0}), strict=True
        )
    ]
    assert terms.phrase_cross_entropy(similarity, chosen, groups, images).tolist() == pytest.approx(expected)


def test_caption_cross_entropy_predicts_the_next_token() -> None:
    features, table = draw(2, 7, 3), draw(11, 3)
    token_ids = torch.randint(0, 11, (2, 7))
    lengths = (4, 6)
    valid = torch.arange(7) < torch.tensor(lengths)[:, None]
    total, count = 0.0, 0
    for b, length in enumerate(lengths):
        for place in range(length - 1):
            scores = (table @ features[b, place]).tolist()
            total -= log_share(scores, int(token_ids[b, place + 1]))
            count += 1
    actual = terms.caption_cross_entropy(terms.next_token_logits(features, valid, table), token_ids, valid)
    assert actual.item() == pytest.approx(total / (count + 1))


def test_caption_repetition_is_the_unlikelihood_of_names_said_before() -> None:
    features, table = draw(2, 7, 3), draw(6, 3)
    token_ids = torch.tensor([[0, 1, 2, 1, 3, 5, 5], [0, 2, 4, 2, 3, 4, 5]])
    once = (token_ids == 1) | (token_ids == 2) | (token_ids == 4)
    lengths = (6, 7)
    valid = torch.arange(7) < torch.tensor(lengths)[:, None]
    total, count = 0.0, 0
    for b, length in enumerate(lengths):
        for place in range(length - 1):
            scores = (table @ features[b, place]).tolist()
            said = {int(t) for t in token_ids[b, : place + 1]} & {1, 2, 4}
            for token in said - {int(token_ids[b, place + 1])}:
                total -= math.log(1 - math.exp(log_share(scores, token)))
            count += 1
    actual = terms.caption_repetition(terms.next_token_logits(features, valid, table), token_ids, valid, once)
    assert total > 0
    assert actual.item() == pytest.approx(total / (count + 1), rel=1e-5)


def test_a_bfloat16_that_repeats_a_name_for_sure_has_a_finite_loss() -> None:
    token_ids = torch.tensor([[0, 1, 2]])
    logits = torch.tensor([[0.0, 0.0, 0.0], [0.0, 50.0, 0.0]]).bfloat16()
    valid = torch.ones(1, 3, dtype=torch.bool)
    loss = terms.caption_repetition(logits, token_ids, valid, token_ids == 1)
    assert loss.item() == pytest.approx(-math.log(1e-6) / 3, rel=0.01)


def test_sampled_captions_are_weighed_against_the_others_of_their_image() -> None:
    features, table = draw(4, 5, 3), draw(6, 3)
    token_ids = torch.tensor([[0, 1, 2, 5, 5], [0, 2, 4, 2, 3], [0, 5, 5, 5, 5], [0, 3, 1, 4, 5]])
    lengths = (4, 5, 2, 5)
    valid = torch.arange(5) < torch.tensor(lengths)[:, None]
    rewards = [[0.9, 0.2], [0.0, 1.0]]
    expected = 0.0
    for b, length in enumerate(lengths):
        own, other = rewards[b // 2][b % 2], rewards[b // 2][1 - b % 2]
        for place in range(length - 1):
            scores = (table @ features[b, place]).tolist()
            expected -= (own - other) * log_share(scores, int(token_ids[b, place + 1])) / 4
    logits = terms.next_token_logits(features, valid, table)
    assert terms.self_critical(logits, token_ids, valid, torch.tensor(rewards)).item() == pytest.approx(
        expected
    )


def test_contrastive_is_symmetric_over_images_and_texts() -> None:
    images, texts = draw(3, 5), draw(3, 5)
    scores = [[SCALE.item() * cosine(image, text) for text in texts] for image in images]
    columns = [list(column) for column in zip(*scores, strict=True)]
    expected = -sum(log_share(scores[i], i) + log_share(columns[i], i) for i in range(3)) / 6
    assert terms.contrastive(images, texts, SCALE).item() == pytest.approx(expected)
    distinct = terms.contrastive(images, texts, SCALE, torch.tensor([7, 2, 5]))
    assert distinct.item() == pytest.approx(expected)


def test_equal_captions_are_no_negatives() -> None:
    images, texts = draw(3, 5), draw(3, 5)
    texts[2] = texts[0]
    scores = [[SCALE.item() * cosine(image, text) for text in texts] for image in images]
    columns = [list(column) for column in zip(*scores, strict=True)]
    answers = ([0, 2], [1], [0, 2])
    expected = 0.0
    for table in (scores, columns):
        for i, right in enumerate(answers):
            expected -= sum(log_share(table[i], j) for j in right) / len(right) / 6
    actual = terms.contrastive(images, texts, SCALE, torch.tensor([1, 8, 1]))
    assert actual.item() == pytest.approx(expected)


def test_token_contrastive() -> None:
    queries, tokens, lengths = draw(2, 3, 5), draw(2, 7, 5), (2, 4)
    valid = torch.arange(7) < torch.tensor(lengths)[:, None]
    owners = [(b, place) for b, length in enumerate(lengths) for place in range(length)]
    scores = [
        [SCALE.item() * sum(cosine(q, tokens[owner]) for q in image) / 3 for owner in owners]
        for image in queries
    ]
    share = {(b, place): (place + 1) / sum(range(1, lengths[b] + 1)) for b, place in owners}
    of_images = -sum(share[o] * log_share(scores[o[0]], i) for i, o in enumerate(owners)) / 2
    of_tokens = -sum(
        share[o] * log_share([scores[0][i], scores[1][i]], o[0]) for i, o in enumerate(owners)
    ) / len(owners)
    actual = terms.token_contrastive(queries, tokens, valid, SCALE)
    assert actual.item() == pytest.approx(0.7 * of_images + 0.3 * of_tokens)


def test_noun_alignment_counts_one_meaning_once() -> None:
    queries, texts, meanings = draw(5, 3), draw(5, 3), [6, 2, 6, 1, 2]
    kept = [0, 1, 3]
    scores = [[SCALE.item() * cosine(q, texts[k]) for k in kept] for q in queries]
    place = {6: 0, 2: 1, 1: 2}
    over_texts = -sum(log_share(scores[n], place[meanings[n]]) for n in range(5)) / 5
    over_queries = 0.0
    for k in range(3):
        column = [row[k] for row in scores]
        right = [n for n in range(5) if place[meanings[n]] == k]
        over_queries -= sum(log_share(column, n) for n in right) / len(right) / 3
    actual = terms.noun_alignment(queries, texts, torch.tensor(meanings), SCALE)
    assert actual.item() == pytest.approx(0.7 * over_texts + 0.3 * over_queries)


def test_nothing_to_align_costs_nothing() -> None:
    queries = draw(0, 3).requires_grad_(True)
    loss = terms.noun_alignment(queries, draw(0, 3), torch.zeros(0, dtype=torch.int64), SCALE)
    loss.backward()
    assert loss.item() == 0


def test_temperature_stops_at_100() -> None:
    assert terms.temperature(torch.tensor(9.0)).item() == 100
    assert terms.temperature(torch.tensor(2.0)).item() == pytest.approx(math.exp(2))


def test_terms_of_bfloat16_are_float32() -> None:
    logits, masks = draw(3, 7).bfloat16(), torch.ones(3, 7)
    assert terms.mask_bce(logits, masks).dtype == torch.float32
    assert terms.contrastive(logits, logits, SCALE.bfloat16().float()).dtype == torch.float32


# Points


def naive_sample(image: Tensor, x: float, y: float) -> float:
    H, W = image.shape
    column, row = x * W - 0.5, y * H - 0.5
    total = 0.0
    for i in range(H):
        for j in range(W):
            total += max(0, 1 - abs(row - i)) * max(0, 1 - abs(column - j)) * float(image[i, j])
    return total


@pytest.mark.parametrize("kind", [torch.float64, torch.bool, torch.uint8])
def test_sampling_is_bilinear_and_zero_outside(kind: torch.dtype) -> None:
    maps = draw(3, 5, 7) if kind == torch.float64 else (torch.rand(3, 5, 7) > 0.5).to(kind)
    rows = torch.tensor([0, 1, 2] if kind == torch.float64 else [2, 0, 0])
    points = torch.rand(3, 11, 2, dtype=torch.float64)
    points[:, 0], points[:, 1] = 0.0, 1.0
    floating = kind == torch.float64
    actual = sample_maps(maps, points) if floating else sample_masks(maps, points, rows)
    together = None if floating else sample_masks_together(maps, points[1])
    for n, row in enumerate(rows):
        for p in range(11):
            assert actual[n, p].item() == pytest.approx(naive_sample(maps[row], *points[n, p].tolist()))
            if together is not None:
                assert together[n, p].item() == pytest.approx(naive_sample(maps[n], *points[1, p].tolist()))


def test_sampling_commutes_with_the_product_of_embeddings_and_features() -> None:
    embeddings, features, points = draw(3, 5), draw(1, 5, 7, 11), torch.rand(1, 13, 2, dtype=torch.float64)
    masks = torch.einsum("qm,mhw->qhw", embeddings, features[0])
    expected = sample_maps(masks, points.expand(3, -1, -1))
    torch.testing.assert_close(embeddings @ sample_features(features, points)[0], expected)


def test_points_are_the_least_certain_and_some_anywhere() -> None:
    logits = draw(2, 5, 7)
    candidates, anywhere = (torch.rand(2, number, 2, dtype=torch.float64) for number in (24, 2))
    points = uncertain_points(logits, candidates, anywhere, important=6)
    assert torch.equal(points[:, 6:], anywhere)
    certainty = sample_maps(logits, candidates).abs()
    chosen = sample_maps(logits, points[:, :6]).abs()
    torch.testing.assert_close(chosen, certainty.sort(dim=1).values[:, :6])


def test_no_masks_have_no_points() -> None:
    draw_points = RandomPoints("cpu")
    points = uncertain_points(torch.zeros(0, 5, 7), draw_points([], 24), draw_points([], 2), important=6)
    assert points.shape == (0, 8, 2)
    assert sample_maps(torch.zeros(0, 5, 7), points).shape == (0, 8)


def test_a_generator_repeats_its_points() -> None:
    first, second = (RandomPoints("cpu", torch.Generator().manual_seed(3))([0, 1], 5) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (2, 5, 2)
    assert first.min() >= 0
    assert first.max() <= 1
