import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import xdecoder
from builders import save_tiny_model
from xdecoder.cli.app import app
from xdecoder.config import ClassList, InferenceConfig
from xdecoder.demo import held_out
from xdecoder.demo.build import build_demo
from xdecoder.demo.facts import read_scores
from xdecoder.demo.held_out import run_held_out, true_panoptic
from xdecoder.demo.page import Demo, write_page
from xdecoder.demo.poster import draw_poster
from xdecoder.drawing.regions import Region
from xdecoder.html.tags import HEIGHT, LETTER, place_tags
from xdecoder.picturebook import VOCABULARY, draw_scene
from xdecoder.predictor.predictor import Predictor
from xdecoder.structures import Caption

SCENES = 2
POOL = 5
VOID = {"meta", "link", "img", "br", "path", "circle"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny", answers=("<b>yes</b>", "no"))


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDECODER_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(held_out, "SIDE", 96)
        patch.setattr(held_out, "_SMALL_SIDE", 64)
        yield


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return xdecoder.load(folder)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "a<b>&c.png"
    Image.fromarray(draw_scene(40, split="val", size=96).image).crop((0, 0, 96, 80)).save(path)
    return path


@pytest.fixture(scope="module")
def demo(predictor: Predictor, folder: Path, photo: Path) -> Demo:
    return build_demo(
        predictor, str(folder), images=[photo], phrases=["the <i>dog</i>"], scenes=SCENES, pool=POOL
    )


@pytest.fixture(scope="module")
def page(demo: Demo) -> str:
    return write_page(demo)


class Reader(HTMLParser):
    """Checks that tags are closed in order, and gathers addresses and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "action", "poster"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_images_are_divided_into_the_model_s_own_classes(predictor: Predictor) -> None:
    image = draw_scene(0, split="val", size=64).image
    assert predictor.segment(image).vocabulary == VOCABULARY.classes
    assert predictor.segment(image, stuff=["sky"]).vocabulary == ("sky",)


def test_page_needs_nothing_beside_it(page: str) -> None:
    read = Reader(page)
    assert read.open == []
    assert read.addresses
    assert all(a.startswith(("data:image/", "#")) for a in read.addresses)
    assert {a[1:] for a in read.addresses if a.startswith("#")} <= set(read.ids)
    assert "<script" not in page
    assert not re.search(r"https?://|@import|url\(", page)
    assert "$" not in re.sub(r"data:image/webp;base64,[\w+/=]+", "", page)


def test_page_follows_the_system_in_light_and_dark(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page


def test_every_answer_stands_beside_the_truth(page: str, demo: Demo) -> None:
    phrases = sum(len(result.phrases) for result in demo.held_out.results)
    assert phrases
    assert page.count("<figcaption>truth</figcaption>") == SCENES + phrases
    assert page.count("<figcaption>model</figcaption>") == SCENES + phrases
    assert page.count("One that is true:") == SCENES
    assert page.count('<ol class="hits">') == SCENES


def test_two_questions_a_scene_are_answered_beside_the_truth(page: str, demo: Demo) -> None:
    answers = demo.held_out.answers
    assert len(answers) == 2 * SCENES
    assert page.count("<small>Truth: ") == sum(not one.right for one in answers) > 0
    for one in answers:
        assert one.right == (one.answer.text == one.truth)
        assert f"<dt>{one.answer.question}</dt>" in page
    assert "<b>yes</b>" not in page
    assert "questions answered rightly" in page


def test_a_model_that_cannot_answer_is_not_asked(predictor: Predictor) -> None:
    mute = Predictor(predictor.model, predictor.tokenizer)
    assert run_held_out(mute, count=1, pool=1).answers == ()


def test_what_the_user_gives_is_escaped(page: str) -> None:
    assert "a&lt;b&gt;&amp;c.png" in page
    assert "a<b>" not in page
    assert "<i>dog" not in page


def test_a_model_of_the_drawn_world_and_no_other_is_said_to_know_no_photographs(
    demo: Demo, page: str
) -> None:
    assert "The model was trained on drawn scenes" in page
    facts = dataclasses.replace(demo.facts, is_drawn_world=False)
    assert "trained on drawn scenes" not in write_page(dataclasses.replace(demo, facts=facts))
    words = ClassList(classes=("rusty nut",), things=(0,))
    assert not InferenceConfig(vocabulary=words).is_drawn_world


def test_scores_of_the_page_are_said_to_be_of_the_page_where_no_others_are_known(page: str) -> None:
    assert "No scores over many held-out scenes come with this model" in page


def test_known_scores_are_shown_with_their_number_of_scenes(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps({"scenes": 1000, "scores": {"pq": 0.734}}))
    facts = dataclasses.replace(demo.facts, scores=read_scores(tmp_path))
    page = write_page(dataclasses.replace(demo, facts=facts))
    assert "on 1,000 held-out scenes" in page
    assert "<b>73.4</b><span>panoptic quality</span>" in page


def test_malformed_scores_are_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text('{"scores": [1]}')
    with pytest.raises(ValueError, match=r'scores\.json: expected \{"scenes": number'):
        read_scores(tmp_path)


def test_truth_given_back_counts_as_found(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = {draw_scene(seed, split="val", size=96).image.tobytes(): seed for seed in range(SCENES)}

    def segment(image: xdecoder.EncodedImage, _: object) -> xdecoder.PanopticSegmentation:
        return true_panoptic(draw_scene(scenes[image.image.tobytes()], split="val", size=96))

    monkeypatch.setattr(predictor, "segment", segment)
    read = run_held_out(predictor, count=SCENES, pool=SCENES)
    assert read.quality == 1
    assert [r.found for r in read.results] == [len(r.scene.segments) for r in read.results]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("{reference}", "true"), ("eight rockets", "false"), ("by by by", "unclear"), ("", "unclear")],
)
def test_captions_are_held_against_the_scene_graph(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, text: str, verdict: str, demo: Demo
) -> None:
    reference = demo.held_out.results[0].caption.reference

    def caption(_: object) -> Caption:
        return Caption(text=text.format(reference=reference), score=0.0, token_ids=())

    monkeypatch.setattr(predictor, "caption", caption)
    caption = run_held_out(predictor, count=1, pool=1).results[0].caption
    assert caption.verdict == verdict
    assert (caption.right == caption.all > 0) == (verdict == "true")


def test_retrieval_finds_each_caption_among_the_pool(demo: Demo) -> None:
    for place, search in enumerate(demo.held_out.searches):
        assert search.own == place
        assert sorted(search.ranking) == list(range(POOL))
        assert place in search.fitting


def test_scenes_and_pool_must_go_together(predictor: Predictor) -> None:
    with pytest.raises(ValueError, match="count must lie between 1 and pool, got 3 and 2"):
        run_held_out(predictor, count=3, pool=2)


def test_names_of_regions_do_not_overlap() -> None:
    rng = np.random.default_rng(5)
    ids = np.kron(rng.integers(0, 23, (6, 9)), np.ones((13, 11), int))
    regions = [Region(mask=ids == i, label=str(i), text="name" * (i % 4 + 1)) for i in range(23)]
    tags = place_tags(regions)
    assert 4 < len(tags) <= len(regions)
    tall = HEIGHT * ids.shape[1] / ids.shape[0]
    for i, a in enumerate(tags):
        assert 0 <= a.x <= 1
        assert tall / 2 <= a.y <= 1 - tall / 2
        for b in tags[:i]:
            apart = abs(a.x - b.x) >= LETTER * (len(a.text) + len(b.text)) / 2
            assert apart or abs(a.y - b.y) >= tall - 1e-9


def test_the_poster_is_a_small_png(demo: Demo) -> None:
    data = draw_poster(demo.held_out.results)
    assert len(data) < 600_000
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
    with pytest.raises(ValueError, match="at least one scene"):
        draw_poster([])


# The command


def _run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["demo", *arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*arguments: object, **options: object) -> Demo:
        return build_demo(*arguments, **options, scenes=1, pool=1)  # pyright: ignore

    monkeypatch.setattr("xdecoder.demo.build.build_demo", build)


@pytest.mark.usefixtures("small")
def test_without_a_display_the_command_says_where_the_page_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("webbrowser.open", pytest.fail)
    out, picture = tmp_path / "new" / "page.html", tmp_path / "new" / "p.png"
    code, said = _run("--weights", str(folder), "--out", str(out), "--picture", str(picture))
    assert code == 0
    assert f"open {out.as_uri()}" in said
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert picture.is_file()


@pytest.mark.usefixtures("small")
def test_with_a_display_the_page_is_opened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    out = tmp_path / "page.html"
    assert _run("--weights", str(folder), "--out", str(out))[0] == 0
    assert opened == [out.as_uri()]
    assert _run("--weights", str(folder), "--out", str(out), "--no-open")[0] == 0
    assert len(opened) == 1


@pytest.mark.usefixtures("small")
def test_one_bad_image_is_told_and_the_others_are_shown(folder: Path, tmp_path: Path, photo: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    out = tmp_path / "page.html"
    code, said = _run(
        *(str(photo), str(bad), "--weights", str(folder), "--out", str(out), "--no-open"),
        *("--vocabulary", "sky, cat", "--phrase", "the cat"),
    )
    assert code == 1
    assert "bad.png is not an image that can be read" in said
    page = out.read_text(encoding="utf-8")
    assert "bad.png could not be read" in page
    assert "a&lt;b&gt;&amp;c.png" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "page.txt"], "--out page.txt: expected a name ending in .html"),
        (["--picture", "page.jpg"], "--picture page.jpg: expected a name ending in .png"),
        (["--phrase", "the dog"], "--phrase and --vocabulary are about images of your own: name some"),
        (["missing.jpg"], "no such file or folder: missing.jpg"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], message: str) -> None:
    code, said = _run(*arguments)
    assert code == 2
    assert message in said


def test_an_empty_phrase_is_refused(predictor: Predictor, folder: Path, photo: Path) -> None:
    with pytest.raises(ValueError, match="an empty phrase means nothing"):
        build_demo(predictor, str(folder), images=[photo], phrases=[" "], scenes=1, pool=1)
