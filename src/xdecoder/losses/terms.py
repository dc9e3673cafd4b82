"""The terms of the objective: pure functions, one idea each.

Masks are compared at P points (`losses/masks.py`). Everything is computed in float32 at least.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from xdecoder.jobs.gather import first_row, gather_rows, mean_over_world, world_size
from xdecoder.model import normalize
from xdecoder.networks.linear import linear

MAX_SCALE = 100.0
"""What exp(logit_scale) is clamped at in every loss that compares with texts."""


def temperature(logit_scale: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """The factor of cosine similarities: exp(logit_scale), at most 100."""
    return wide(logit_scale).exp().clamp(max=MAX_SCALE)


def full_precision(like: Tensor) -> torch.autocast:
    """Without autocast on a tensor's device: the terms choose their own precision."""
    return torch.autocast(device_type=like.device.type, enabled=False)


def wide(x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def unit(x: Float[Tensor, "*batch P"]) -> Float[Tensor, "*batch P"]:
    """`normalize`, in float32 at least."""
    return normalize(wide(x))


# Masks


def mask_bce(logits: Float[Tensor, "N P"], masks: Float[Tensor, "N P"]) -> Float[Tensor, " N"]:
    """Binary cross-entropy of each mask, averaged over the points."""
    logits = wide(logits)
    losses = F.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype), reduction="none")
    return losses.mean(dim=1)


def dice(logits: Float[Tensor, "N P"], masks: Float[Tensor, "N P"]) -> Float[Tensor, " N"]:
    """1 - (2 · overlap + 1) / (both areas + 1) of each mask."""
    shares = wide(logits).sigmoid()
    overlap = (shares * masks).sum(dim=1)
    return 1 - (2 * overlap + 1) / (shares.sum(dim=1) + masks.sum(dim=1) + 1)


def pairwise_mask_bce(logits: Float[Tensor, "Q P"], masks: Float[Tensor, "N P"]) -> Float[Tensor, "Q N"]:
    """Binary cross-entropy of every query's mask with every target, averaged over the points."""
    logits = wide(logits)
    agreement = logits @ masks.to(logits.dtype).T
    return (F.softplus(logits).sum(dim=1, keepdim=True) - agreement) / logits.shape[1]


def pairwise_dice(logits: Float[Tensor, "Q P"], masks: Float[Tensor, "N P"]) -> Float[Tensor, "Q N"]:
    """The dice loss of every query's mask with every target."""
    shares = wide(logits).sigmoid()
    masks = masks.to(shares.dtype)
    areas = shares.sum(dim=1)[:, None] + masks.sum(dim=1)
    return 1 - (2 * shares @ masks.T + 1) / (areas + 1)


# Classes and phrases


def class_cross_entropy(
    logits: Float[Tensor, "B Q K"], classes: Int[Tensor, "B Q"], *, background_weight: float
) -> Float[Tensor, ""]:
    """Cross-entropy over the vocabulary, whose last class is the background, weighted by the true class."""
    logits = wide(logits)
    losses = F.cross_entropy(logits.flatten(0, 1), classes.flatten(), reduction="none")
    background = classes.flatten() == logits.shape[-1] - 1
    weights = torch.where(background, background_weight, 1.0).to(losses.dtype)
    return (losses * weights).sum() / mean_over_world(weights.sum())


def phrase_cross_entropy(
    similarity: Float[Tensor, "N Q"],
    chosen: Float[Tensor, "N Q"],
    groups: Int[Tensor, " N"],
    images: Int[Tensor, " N"],
) -> Float[Tensor, " N"]:
    """Which query a phrase means: each phrase's cross-entropy over its image's queries.

    Args:
        similarity: scaled cosine of phrases and queries.
        chosen: 1 where a query was matched to a phrase.
        groups: phrases of one image and group share their queries equally.
        images: the image of each phrase.
    """
    similarity = wide(similarity)
    same = ((groups[:, None] == groups) & (images[:, None] == images)).to(similarity.dtype)
    shares = same / same.sum(dim=1, keepdim=True) @ chosen.to(similarity.dtype)
    return -(shares * similarity.log_softmax(dim=1)).sum(dim=1)


# Captions


def next_token_logits(
    features: Float[Tensor, "B L P"], valid: Bool[Tensor, "B L"], token_table: Float[Tensor, "V P"]
) -> Float[Tensor, "N V"]:
    """Logits of every next token of captions, of the valid places alone: most of a batch is padding.

    Args:
        features: caption features; their products with the token table are the logits.
        valid: true up to the end token.
        token_table: embeddings of all V tokens, the text encoder's own.
    """
    with full_precision(features):
        return linear(wide(features[:, :-1][valid[:, 1:]]), wide(token_table))


def caption_cross_entropy(
    logits: Float[Tensor, "N V"], token_ids: Int[Tensor, "B L"], valid: Bool[Tensor, "B L"]
) -> Float[Tensor, ""]:
    """Each token predicts the next one; the sum over valid next tokens divided by their number plus 1.

    Args:
        logits: from `next_token_logits`.
        token_ids: the captions, from the start token on.
        valid: true up to the end token.
    """
    losses = F.cross_entropy(logits, token_ids[:, 1:][valid[:, 1:]], reduction="sum")
    return losses / _next_tokens(logits)


def caption_repetition(
    logits: Float[Tensor, "N V"],
    token_ids: Int[Tensor, "B L"],
    valid: Bool[Tensor, "B L"],
    once: Bool[Tensor, "B L"],
) -> Float[Tensor, ""]:
    """Unlikelihood of repeated tokens (Welleck et al. 2020, equation 5).

    The sum of -log(1 - p) over earlier tokens that are not the next one, divided as in
    `caption_cross_entropy`, whose arguments these are, but for:

    Args:
        logits: as there.
        token_ids: as there.
        valid: as there.
        once: tokens that a caption rarely repeats; the others (articles, commas) are left alone.
    """
    logits = wide(logits)  # a bfloat16 cannot tell 1 - 1e-6 from 1
    wanted = valid[:, 1:]
    penalized = F.one_hot(token_ids[:, :-1], logits.shape[1]) * once[:, :-1, None]
    repeated = penalized.cumsum(1)[wanted] > 0
    repeated.scatter_(1, token_ids[:, 1:][wanted][:, None], False)
    losses = -torch.log1p(-logits.softmax(-1).clamp(max=1 - 1e-6)) * repeated
    return losses.sum() / _next_tokens(logits)


def self_critical(
    logits: Float[Tensor, "N V"],
    token_ids: Int[Tensor, "B L"],
    valid: Bool[Tensor, "B L"],
    rewards: Float[Tensor, "I S"],
) -> Float[Tensor, ""]:
    """REINFORCE on sampled captions, each against the others of its image (Rennie et al. 2017).

    Minus the mean over captions of their log-probability times their advantage: how much their reward exceeds
    the mean of the image's other captions (Kool et al. 2019).

    Args:
        logits: from `next_token_logits`.
        token_ids: the captions, those of an image in a row, from the start token on.
        valid: true up to the last token that was sampled.
        rewards: of the S captions of each of I images; B is I times S, and S at least 2.
    """
    others = (rewards.sum(1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    places = valid[:, 1:]
    costs = F.cross_entropy(logits, token_ids[:, 1:][places], reduction="none")
    advantages = (rewards - others).flatten()[:, None].expand(places.shape)[places]
    return (advantages * costs).sum() / len(token_ids)


def _next_tokens(logits: Float[Tensor, "N V"]) -> Float[Tensor, ""]:
    """What sums over next tokens are divided by: their number plus 1, the processes' mean."""
    return mean_over_world(logits.new_full((), len(logits))) + 1 / world_size()


def contrastive(
    images: Float[Tensor, "B P"],
    texts: Float[Tensor, "B P"],
    scale: Float[Tensor, ""],
    groups: Int[Tensor, " B"] | None = None,
) -> Float[Tensor, ""]:
    """Symmetric contrastive loss over the global batch (CLIP).

    Args:
        images: embeddings of the images, one of each pair.
        texts: the embeddings of their captions, in the same order.
        scale: from `temperature`.
        groups: images whose captions have the same number count as each other's, in equal shares.
    """
    logits = scale * unit(gather_rows(images)) @ unit(gather_rows(texts)).T
    if groups is None:
        places = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, places) + F.cross_entropy(logits.T, places)) / 2
    everyone = gather_rows(groups)
    shares = _equal_shares(everyone, everyone, logits.dtype)
    return (F.cross_entropy(logits, shares) + F.cross_entropy(logits.T, shares)) / 2


def token_contrastive(
    queries: Float[Tensor, "B Q P"],
    tokens: Float[Tensor, "B L P"],
    valid: Bool[Tensor, "B L"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Contrast images with the tokens of all captions: the published addition to the contrastive loss.

    An image's similarity to a token is the mean cosine over its object queries. Over tokens, an image's own
    caption is the target, a token's share growing with its place (1, 2, 3, ...); over images, a token's own
    image is, with that share as the weight. 0.7 of the former and 0.3 of the latter.

    Args:
        queries: semantic embeddings of the object queries.
        tokens: the text encoder's embeddings of the captions' tokens.
        valid: true from the start token to the end token.
        scale: from `temperature`.
    """
    images = gather_rows(unit(queries).mean(dim=1))
    places = (valid.cumsum(dim=1) * valid).to(images.dtype)
    shares = places / (places.sum(dim=1, keepdim=True) + 1e-7)
    rows = torch.arange(len(valid), device=valid.device) + first_row(valid)
    words = gather_rows(unit(tokens)[valid])
    shares = gather_rows(shares[valid])
    owners = gather_rows(rows[:, None].expand_as(valid)[valid])
    logits = scale * images @ words.T
    of_image = -(shares * logits.log_softmax(dim=1)[owners, torch.arange(len(words), device=words.device)])
    of_token = shares * F.cross_entropy(logits.T, owners, reduction="none")
    return 0.7 * of_image.sum() / len(images) + 0.3 * of_token.mean()


def noun_alignment(
    queries: Float[Tensor, "N P"],
    texts: Float[Tensor, "N P"],
    groups: Int[Tensor, " N"],
    scale: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Contrast queries with the texts that they were matched to, texts of one meaning counting once.

    Of each group the first text stands for all. 0.7 of the cross-entropy of queries over texts, 0.3 of that
    of texts over queries, in which all queries of the group are right, in equal shares.

    Args:
        queries: semantic embeddings of the global batch's matched queries.
        texts: the text that each was matched to.
        groups: what each text means.
        scale: from `temperature`.
    """
    logits = scale * unit(queries) @ unit(texts).T
    if not len(logits):
        return logits.sum()
    same = groups[:, None] == groups
    first = same.to(torch.uint8).argmax(dim=1)  # argmax returns the first of equals
    stands = first == torch.arange(len(first), device=first.device)
    over_texts = F.cross_entropy(logits.masked_fill(~stands, -torch.inf), first)
    shares = _equal_shares(groups, groups, logits.dtype)
    over_queries = (F.cross_entropy(logits.T, shares, reduction="none") * stands).sum() / stands.sum()
    return 0.7 * over_texts + 0.3 * over_queries


def _equal_shares(
    rows: Int[Tensor, " N"], columns: Int[Tensor, " M"], dtype: torch.dtype
) -> Float[Tensor, "N M"]:
    """1 / (columns of the row's group) where row and column are of one group, else 0."""
    same = (rows[:, None] == columns).to(dtype)
    return same / same.sum(dim=1, keepdim=True)
