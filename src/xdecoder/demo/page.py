"""Results to one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

import numpy as np
from jaxtyping import UInt8

from xdecoder.demo.facts import ModelFacts
from xdecoder.demo.held_out import (
    SIDE,
    CaptionSearch,
    CheckedAnswer,
    CheckedCaption,
    HeldOut,
    SceneResult,
    true_panoptic,
)
from xdecoder.demo.own_images import LONGEST_SIDE, ImageResult
from xdecoder.drawing.regions import Region, draw_regions
from xdecoder.html.frame import anchor, asset, frame
from xdecoder.html.panels import lit, painted, regions_of
from xdecoder.html.parts import chip, figure, names, overlaid, picture
from xdecoder.jobs.isolation import FailedImage
from xdecoder.picturebook import Scene
from xdecoder.structures import Grounding

_SCORE_NAMES = {
    "pq": "panoptic quality",
    "pq_things": "panoptic quality, things",
    "pq_stuff": "panoptic quality, stuff",
    "miou": "mean IoU",
    "referring": "referring, mean IoU",
    "captions": "captions wholly true",
    "retrieval": "retrieval, R@1",
    "answers": "questions answered rightly",
}
_SETTINGS = {
    "meadow": "a meadow",
    "lake": "a lake",
    "sea": "the sea",
    "desert": "a desert",
    "street": "a street",
    "winter": "snow",
    "room": "a room",
}
_HITS = 5
_SEARCHES = 8
_THUMBNAIL = 176
_GOOD_IOU = 0.5


@dataclass(frozen=True, kw_only=True)
class Demo:
    """All that the page shows.

    Attributes:
        facts: of the model.
        held_out: drawn scenes.
        images: the user's own.
        failures: those of them that could not be read.
        seconds: that the model took for everything.
    """

    facts: ModelFacts
    held_out: HeldOut
    images: tuple[ImageResult, ...] = ()
    failures: tuple[FailedImage, ...] = ()
    seconds: float


def write_page(demo: Demo) -> str:
    """The page, as the text of an HTML file."""
    sections = {
        "Your images": _own_images(demo),
        "Scores": _scores(demo),
        "Segment": _segment(demo.held_out),
        "Refer": _refer(demo.held_out),
        "Describe": _describe(demo.held_out),
        "Ask": _ask(demo.held_out),
        "Find": _find(demo.held_out),
    }
    shown = {name: body for name, body in sections.items() if body}
    hero = (
        '<section class="hero"><h1>One model.<br>Segment, refer, describe, answer, find.</h1>'
        f'<p class="lead">{_lead(demo)}</p>{_hero(demo.held_out.results[0])}'
        f'<dl class="facts">{_facts(demo)}</dl></section>'
    )
    tasks = (f'<section class="task" id="{anchor(name)}">{body}</section>' for name, body in shown.items())
    return frame(
        title="X-Decoder: one model, every task",
        main="\n".join((hero, *tasks)),
        footer=_footer(demo),
        sections=list(shown),
        style=asset("demo.css", package="xdecoder.demo"),
    )


# Sections


def _lead(demo: Demo) -> str:
    scenes = len(demo.held_out.results)
    return (
        f"Below, the model <b>{escape(demo.facts.name)}</b> reads the first {scenes} pictures of a drawn "
        "world that were kept from its training. Nothing is picked out: each answer stands beside the "
        "truth, right or wrong."
    )


def _hero(result: SceneResult) -> str:
    scene = result.scene
    plain = f'<div class="panel">{picture(scene.image, side=SIDE, alt="A drawn scene")}</div>'
    tiles = [
        figure(plain, "The picture, never seen in training"),
        figure(_panoptic_panel(result), "Every pixel named: panoptic segmentation"),
    ]
    for phrase in result.phrases[:1]:
        found = overlaid(scene.image, lit(scene.image, phrase.found), side=SIDE)
        tiles.append(figure(found, f"“{escape(phrase.text)}”"))
    caption = f'<div class="said"><q>{escape(result.caption.text)}</q>{_verdict(result.caption)}</div>'
    tiles.append(figure(caption, "In its own words, and whether they are true"))
    return f'<div class="quad">{"".join(tiles)}</div>'


def _facts(demo: Demo) -> str:
    facts = demo.facts
    rows = {
        "model": escape(facts.name),
        "parameters": f"{facts.parameters / 1e6:.1f} million",
        "backbone": escape(facts.backbone),
        "latent queries": str(facts.queries),
        "reads pictures at": f"{facts.short_side} pixels",
        "for this page, model time": f"{demo.seconds:.1f} s on {escape(facts.device)}",
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows.items())


def _scores(demo: Demo) -> str:
    held_out, known = demo.held_out, demo.facts.scores
    scenes, pool = len(held_out.results), len(held_out.pool)
    here = {
        "panoptic quality": held_out.quality,
        "referring, mean IoU": held_out.referring,
        "captions wholly true": held_out.true_captions / scenes,
        "retrieval, R@1": held_out.recall,
    }
    if held_out.answers:
        here["questions answered rightly"] = float(np.mean([answer.right for answer in held_out.answers]))
    of_page = (
        f"panoptic quality {_percent(held_out.quality)}, phrases' mean IoU {_percent(held_out.referring)}, "
        f"{held_out.true_captions} of {scenes} captions true, R@1 among {pool} scenes "
        f"{_percent(held_out.recall)}"
    )
    if known is None:
        head = (
            "<h2>What it reaches here</h2><p>No scores over many held-out scenes come with this model. "
            f"These are of this page alone, {scenes} scenes ({pool} for retrieval): too few to be precise, "
            "in percent.</p>"
        )
        return head + _tiles(here)
    head = (
        f"<h2>What it reaches</h2><p>In percent, on {known.scenes:,} held-out scenes. On this page's "
        f"{scenes}: {of_page}.</p>"
    )
    return head + _tiles({_SCORE_NAMES[n]: v for n, v in known.values.items() if n in _SCORE_NAMES})


def _tiles(scores: dict[str, float]) -> str:
    tiles = (
        f'<div class="score" style="--share:{100 * min(max(value, 0), 1):.1f}%">'
        f"<b>{_percent(value)}</b><span>{escape(name)}</span><i></i></div>"
        for name, value in scores.items()
    )
    return f'<div class="scores">{"".join(tiles)}</div>'


def _segment(held_out: HeldOut) -> str:
    cards: list[str] = []
    for number, result in enumerate(held_out.results, start=1):
        total = len(result.scene.segments)
        chips = [chip(f"{result.found} of {total} segments", "good" if result.found == total else "")]
        chips += [chip(f"never seen together: {pair}", "new") for pair in result.unseen]
        truth = true_panoptic(result.scene)
        tags = names(regions_of(truth))
        true_panel = overlaid(result.scene.image, painted(truth), tags, side=SIDE, alt="True segments")
        panels = figure(_panoptic_panel(result), "model") + figure(true_panel, "truth")
        cards.append(
            f'<article class="card"><header><strong>{number}. {_place(result.scene)}</strong>'
            f'<span class="chips">{"".join(chips)}</span></header><div class="pair">{panels}</div></article>'
        )
    return (
        "<h2>Every pixel named</h2><p>Panoptic segmentation with the words of this world: things each by "
        "themselves, stuff as a whole. A segment counts as found where its class is right and its IoU with "
        "the true one is above one half. Point at a picture, or tap it, to see it plain.</p>"
        f'<div class="cards">{"".join(cards)}</div>'
    )


def _refer(held_out: HeldOut) -> str:
    cards: list[str] = []
    for result in held_out.results:
        image = result.scene.image
        for phrase in result.phrases:
            found = overlaid(image, lit(image, phrase.found), side=SIDE, alt="The model's mask")
            true = overlaid(image, lit(image, phrase.truth), side=SIDE, alt="The true mask")
            kind = "good" if phrase.iou > _GOOD_IOU else "bad"
            cards.append(
                f'<article class="card"><header><q>{escape(phrase.text)}</q>'
                f"{chip(f'IoU {phrase.iou:.2f}', kind)}</header>"
                f'<div class="pair">{figure(found, "model")}{figure(true, "truth")}</div></article>'
            )
    if not cards:
        return ""
    return (
        "<h2>The thing you mean</h2><p>Referring segmentation: a phrase that fits one thing alone, by its "
        "color, size, place or neighbors, and the mask of that thing.</p>"
        f'<div class="cards small">{"".join(cards)}</div>'
    )


def _describe(held_out: HeldOut) -> str:
    cards = "".join(
        f'<article class="card"><div class="tell">{picture(result.scene.image, side=_THUMBNAIL * 2)}'
        f"<div><q>{escape(result.caption.text) or '&nbsp;'}</q>{_verdict(result.caption)}"
        f"<small>One that is true: {escape(result.caption.reference)}</small></div></div></article>"
        for result in held_out.results
    )
    return (
        "<h2>In its own words</h2><p>Captions, each taken apart into its statements (what is there, how "
        "many, where, by day or night) and held against what the scene is known to contain. One wrong "
        f'statement makes a caption false.</p><div class="cards">{cards}</div>'
    )


def _ask(held_out: HeldOut) -> str:
    if not held_out.answers:
        return ""
    cards = "".join(
        f'<article class="card"><div class="tell">{picture(result.scene.image, side=_THUMBNAIL * 2)}'
        f'<dl class="answers">{"".join(map(_question, result.answers))}</dl></div></article>'
        for result in held_out.results
        if result.answers
    )
    right = sum(answer.right for answer in held_out.answers)
    return (
        "<h2>Asked a question</h2><p>Questions about a scene, each with the model's likeliest answer, "
        "its probability, and the true answer where that is another: here "
        f"{right} of {len(held_out.answers)} are right.</p>"
        f'<div class="cards">{cards}</div>'
    )


def _question(checked: CheckedAnswer) -> str:
    answer = checked.answer
    truth = "" if checked.right else f"<small>Truth: {escape(checked.truth)}</small>"
    return (
        f"<div><dt>{escape(answer.question)}</dt><dd>"
        f"{chip(f'{answer.text}, {answer.score:.2f}', 'good' if checked.right else 'bad')}{truth}</dd></div>"
    )


def _find(held_out: HeldOut) -> str:
    rows = "".join(_search_row(search, held_out.pool) for search in held_out.searches[:_SEARCHES])
    return (
        "<h2>Found by a sentence</h2><p>Retrieval: a caption looks for its scene among "
        f"{len(held_out.pool)}. Ringed: the scene that it was written for; faintly ringed: others of which "
        "it happens to be true.</p>"
        f"{rows}"
    )


def _search_row(search: CaptionSearch, pool: Sequence[Scene]) -> str:
    rank = search.ranking.index(search.own) + 1
    hits: list[str] = []
    for place, index in enumerate(search.ranking[:_HITS], start=1):
        kind = "own" if index == search.own else "fits" if index in search.fitting else ""
        hits.append(
            f'<li class="{kind}">{picture(pool[index].image, side=_THUMBNAIL)}<span>{place}</span></li>'
        )
    said = "its own scene first" if rank == 1 else f"its own scene came {_ordinal(rank)}"
    verdict = chip(said, "good" if rank == 1 else "" if rank <= _HITS else "bad")
    return (
        f'<div class="search"><div><q>{escape(search.text)}</q>{verdict}</div>'
        f'<ol class="hits">{"".join(hits)}</ol></div>'
    )


def _own_images(demo: Demo) -> str:
    if not demo.images and not demo.failures:
        return ""
    parts = ["<h2>Your images</h2>"]
    if demo.facts.is_drawn_world:
        parts.append(
            "<p>The model was trained on drawn scenes with some forty kinds of things: expect little of it "
            "on photographs. For photographs take a published model: "
            "<code>xdecoder demo IMAGES --weights xdecoder_focalt_last</code>.</p>"
        )
    else:
        parts.append("<p>What the model makes of the images that you passed.</p>")
    cards: list[str] = []
    for result in demo.images:
        image = _image_of(result)
        regions = regions_of(result.panoptic)
        panels = [
            figure(overlaid(image, painted(result.panoptic), names(regions), side=LONGEST_SIDE), "segments")
        ]
        if result.grounding is not None:
            panels.append(figure(_grounding_panel(image, result.grounding), "phrases"))
        cards.append(
            f'<article class="card wide"><header><strong>{escape(result.name)}</strong>'
            f"<q>{escape(result.caption)}</q></header>"
            f'<div class="{"pair" if len(panels) > 1 else "single"}">{"".join(panels)}</div></article>'
        )
    parts.append(f'<div class="cards fit">{"".join(cards)}</div>')
    parts += [
        f'<p class="note">{escape(failure.path.name)} could not be read: {escape(str(failure.error))}</p>'
        for failure in demo.failures
    ]
    return "".join(parts)


def _footer(demo: Demo) -> str:
    world = (
        "<p>The scenes are drawn by the program itself (<code>xdecoder.picturebook</code>); training drew "
        "others, and never showed about a tenth of all pairs of a color and a kind of thing: where one of "
        "those is in a scene here, it is marked.</p>"
    )
    return (
        f"{world}<p>Made by <code>xdecoder demo</code>. X-Decoder: Zou et al., “Generalized Decoding for "
        "Pixel, Image, and Language”, CVPR 2023.</p>"
    )


# Parts


def _panoptic_panel(result: SceneResult) -> str:
    tags = names(regions_of(result.panoptic))
    return overlaid(result.scene.image, painted(result.panoptic), tags, side=SIDE, alt="The model's segments")


def _grounding_panel(image: UInt8[np.ndarray, "H W 3"], grounding: Grounding) -> str:
    regions = [
        Region(mask=mask, label=phrase)
        for phrase, mask in zip(grounding.phrases, grounding.masks, strict=True)
    ]
    bare = [replace(region, text="") for region in regions]
    return overlaid(image, draw_regions(image, bare, opacity=0.6), names(regions), side=LONGEST_SIDE)


def _verdict(caption: CheckedCaption) -> str:
    match caption.verdict:
        case "true":
            return chip("true" if caption.all == 1 else f"true, all {caption.all} statements", "good")
        case "false":
            return chip(f"false: {caption.right} of {caption.all} statements hold", "bad")
        case "unclear":
            return chip("no sentence that can be checked", "bad")


def _place(scene: Scene) -> str:
    words = _SETTINGS[scene.setting]
    if scene.time in ("sunset", "night"):
        words += " at sunset" if scene.time == "sunset" else " at night"
    return escape(words[0].upper() + words[1:])


def _image_of(result: ImageResult) -> UInt8[np.ndarray, "H W 3"]:
    image = result.panoptic.image
    assert image is not None  # results of a model have their picture
    return image


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"
