"""The page, clicked through in a browser."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from matplotlib.path import Path as Outline
from PIL import Image
from pycocotools import mask as coco_mask

from page_fixtures import SIDE, Visit, center, require_chromium, scene
from xdecoder.html.frame import asset
from xdecoder.picturebook import draw_scene
from xdecoder.structures import decode_rle, encode_rle
from xdecoder.structures.png import png_bytes

require_chromium()


def far(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) > 24


def scene_pixel(x: float, y: float, seed: int = 1) -> tuple[int, int, int]:
    r, g, b = scene(seed)[int(y), int(x)].tolist()
    return r, g, b


def segment_of(result: Any, label: str) -> Any:
    return next(row for row in result["segments"] if row["label"] == label)


# Pictures come in


def test_the_page_says_which_model_answers_and_what_it_cannot_read(visit: Visit) -> None:
    said = visit.page.locator("#model").inner_text()
    assert "picturebook" in said
    assert "does not read photographs" in said


@pytest.mark.parametrize("way", ["choose", "drop", "paste"])
def test_a_picture_comes_in_by_every_way(visit: Visit, way: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.png"
    file.write_bytes(png_bytes(draw_scene(3, split="val", size=96).image))
    if way == "choose":
        visit.page.set_input_files("#file", file)
    else:
        visit.page.evaluate(
            """([bytes, way]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], "mine.png", { type: "image/png" }));
                const event = way === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
                    : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
                document.body.dispatchEvent(event);
            }""",
            [list(file.read_bytes()), way],
        )
    visit.page.wait_for_selector("#legend li")
    label = visit.page.locator("#canvas").get_attribute("aria-label") or ""
    assert label.startswith("mine.png, 96 by 96 pixels. Masks: ")


def test_what_is_no_picture_is_told(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    visit.page.set_input_files("#file", tmp_path / "broken.png")
    visit.page.wait_for_selector("#trouble:not([hidden])")
    assert "save it as PNG or JPEG" in visit.page.locator("#trouble").inner_text()
    visit.page.click("#dismiss")
    assert visit.page.locator("#start").is_visible()


# Masks


def test_a_sample_is_segmented_and_its_masks_are_listed_toggled_and_lit(visit: Visit) -> None:
    visit.open_sample()
    told = visit.ask("segment")
    assert visit.legend() == [row["label"] for row in told["segments"]]
    x, y = center(segment_of(told, "cat"))
    assert far(visit.pixel(x, y), scene_pixel(x, y))
    visit.page.uncheck("#legend li:has-text('cat') input")
    visit.page.uncheck("#legend li:has-text('floor') input")
    visit.page.mouse.move(0, 0)
    assert not far(visit.pixel(x, y), scene_pixel(x, y))
    sky = center(segment_of(told, "wall"))
    painted = visit.pixel(*sky)
    visit.page.hover("#legend li:has-text('fish')")
    assert far(visit.pixel(*sky), painted)
    visit.page.click("#toggle-all")
    visit.page.mouse.move(0, 0)
    assert not far(visit.pixel(*sky), scene_pixel(*sky))


def test_a_vocabulary_of_one_s_own_and_options_are_asked(visit: Visit) -> None:
    visit.open_sample()
    visit.page.click("#segment .options summary")
    visit.page.select_option("#segment-task", "instance")
    visit.page.fill("#segment-score_threshold", "0.3")
    visit.submit("segment", "segment", vocabulary="cat, fish")
    told = visit.ask("segment", vocabulary="cat, fish", task="instance", score_threshold=0.3)
    assert visit.legend() == [row["label"] for row in told["instances"]]


def test_phrases_are_grounded_each_with_a_mask(visit: Visit) -> None:
    visit.open_sample()
    phrases = ["the fish", "the brown dog"]
    visit.submit("refer", "refer", phrases="\n".join(phrases))
    assert visit.legend() == phrases
    told = visit.ask("refer", phrases=phrases)["groundings"]
    x, y = center(told[0])
    assert far(visit.pixel(x, y), scene_pixel(x, y))


def test_masks_are_read_written_and_outlined_to_the_pixel(visit: Visit) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((7, w)) < share for w in (1, 5, 11) for share in (0.1, 0.5, 0.9, 1.0)]
    visit.page.goto("about:blank")
    read = visit.page.evaluate(
        asset("masks.js", package="xdecoder.server.page")
        + """
        codes => codes.map((code) => {
            const mask = decodeMask(code);
            return [encodeMask(mask, code.size).counts, traceRings(mask)];
        })""",
        [encode_rle(mask) for mask in masks],
    )
    for mask, (counts, rings) in zip(masks, read, strict=True):
        assert np.array_equal(decode_rle({"size": list(mask.shape), "counts": counts}), mask)
        ys, xs = np.indices(mask.shape) + 0.5
        inside = sum(Outline(ring).contains_points(np.stack([xs, ys], -1).reshape(-1, 2)) for ring in rings)
        assert np.array_equal(np.reshape(inside, mask.shape) % 2 == 1, mask)


def test_a_copied_polygon_is_the_mask(visit: Visit) -> None:
    visit.open_sample()
    told = segment_of(visit.ask("segment"), "balloon")
    visit.page.click("#legend li:has-text('balloon') button:has-text('Copy')")
    codes = coco_mask.frPyObjects(visit.clipboard(), SIDE, SIDE)
    drawn, mask = coco_mask.decode(coco_mask.merge(codes)) > 0, decode_rle(told["segmentation"])
    assert np.count_nonzero(drawn & mask) > 0.96 * np.count_nonzero(drawn | mask)


# Regions


def test_a_clicked_segment_becomes_the_region_and_is_described(visit: Visit) -> None:
    visit.open_sample()
    cat = segment_of(visit.ask("segment"), "cat")
    visit.page.mouse.click(*visit.at(*center(cat)))
    assert visit.page.locator("#region-name").inner_text() == "cat"
    visit.submit("caption")
    told = visit.ask("caption", region=cat["segmentation"])["text"]
    assert visit.page.locator("#region-notes p").first.inner_text().lower() == told.lower()
    visit.page.keyboard.press("Escape")
    assert visit.page.locator("#region-name").inner_text() == "the whole picture"


def test_a_box_is_drawn_or_given_by_numbers_and_compared_with_words(visit: Visit) -> None:
    visit.open_sample()
    visit.drag("box", (50, 10), (300, 240))
    first = visit.page.locator("#region-name").inner_text()
    left, top, right, bottom = map(int, first.removeprefix("box ").replace(" to", ",").split(", "))
    assert np.allclose([left, top, right, bottom], [50, 10, 300, 240], atol=2)
    visit.page.click("#box-details summary")
    for name, value in {"left": 40, "top": 5, "right": 200, "bottom": 230}.items():
        visit.page.fill(f"#box [name={name}]", str(value))
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("#region-name").inner_text() == "box 40, 5 to 200, 230"
    visit.submit("embed", texts="a balloon\na tree")
    told = visit.ask("embed", region=[40, 5, 200, 230], texts=["a balloon", "a tree"])
    likeness = {row["text"]: f"{row['similarity']:.3f}" for row in told["texts"]}
    names = visit.page.locator("#region-notes .bars li span:first-child").all_inner_texts()
    values = visit.page.locator("#region-notes .number").all_inner_texts()
    assert dict(zip(names, values, strict=True)) == likeness
    visit.page.click("#region-notes button:has-text('Copy vector')")
    assert visit.clipboard() == pytest.approx(told["decoder"], abs=1e-5)


def test_a_lasso_is_filled(visit: Visit) -> None:
    visit.open_sample()
    ring = [(100, 60), (260, 60), (260, 220), (100, 220), (100, 62)]
    visit.drag("lasso", *ring)
    assert visit.page.locator("#region-name").inner_text() == "lasso"
    visit.page.click("#copy-region")
    area = coco_mask.area(coco_mask.merge(coco_mask.frPyObjects(visit.clipboard(), SIDE, SIDE)))
    assert area == pytest.approx(160 * 160, rel=0.04)


def test_a_region_is_changed_and_the_change_is_taken_back(visit: Visit) -> None:
    visit.open_sample()
    cat = segment_of(visit.ask("segment"), "cat")
    x, y = center(cat)
    visit.page.click("#tab-region")
    assert visit.page.locator("#edit-button").is_disabled()
    visit.page.click("#legend li:has-text('cat') button:has-text('Choose')")
    visit.page.click("#edit > .options summary")
    visit.page.fill("#edit-feather", "2")
    visit.submit("edit", color="#c02080")
    told = visit.ask("edit", region=cat["segmentation"], change="recolor", color="#c02080", feather=2)
    edited = np.asarray(Image.open(io.BytesIO(base64.b64decode(told["png"]))))
    assert not far(visit.pixel(x, y), tuple(edited[int(y), int(x)].tolist()))
    assert visit.page.locator("#legend li").count() == 0
    visit.page.locator("#canvas").hover()
    visit.page.keyboard.press("Control+z")
    assert "cat" in visit.legend()
    visit.page.keyboard.press("Control+z")
    assert visit.page.locator("#region-name").inner_text() == "the whole picture"
    for _ in range(2):
        visit.page.click("#redo")
    assert visit.page.locator("#legend li").count() == 0


@pytest.mark.parametrize("change", ["blur", "remove"])
def test_a_box_is_blurred_or_filled(visit: Visit, change: str) -> None:
    visit.open_sample()
    visit.drag("box", (320, 60), (345, 85))  # the eye of the fish, and some wall
    visit.page.check(f"[name=change][value={change}]", force=True)
    if change == "blur":
        visit.page.click("#edit [data-change=blur] summary")
        visit.page.fill("#edit-radius", "9")
    visit.submit("edit")
    assert "Changed" in visit.page.locator("#toast").inner_text()
    visit.page.click("#clear-region")
    seen = [visit.pixel(x, y) for x, y in ((332, 72), (300, 300))]
    assert not far(seen[1], scene_pixel(300, 300))


# Questions


def test_questions_are_answered_with_candidates(visit: Visit) -> None:
    visit.open_sample()
    visit.page.click("#tab-answer")
    question = visit.page.locator("#panel-answer .chip").first.inner_text()
    visit.page.locator("#panel-answer .chip").first.click()
    visit.submit("answer")
    (told,) = visit.ask("answer", questions=[question])["answers"]
    note = visit.page.locator("#answer-notes > li").first
    assert note.locator("h3").inner_text() == question
    assert note.locator("p").inner_text().lower() == told["text"].lower()
    names = note.locator(".bars li span:first-child").all_inner_texts()
    assert names == [row["text"] for row in told["candidates"]]


# The index


def test_the_index_is_searched_before_any_picture_is_there(visit: Visit) -> None:
    visit.page.fill("#collect-query", "a red car")
    visit.page.click("#collect button")
    visit.wait()
    names = visit.page.locator("#collect-hits .name").all_inner_texts()
    assert names == visit.ask_index(query="a red car")
    visit.page.click("#collect-hits li:first-child button")
    visit.page.wait_for_selector("#legend li")
    assert "scene-53.png" in (visit.page.locator("#canvas").get_attribute("aria-label") or "")


def test_a_picture_too_large_for_the_server_is_shrunk_and_this_is_said(visit: Visit) -> None:
    facts = httpx.get(f"{visit.address}/v1/models").json()
    facts["limits"]["pixels"] = 240 * 240
    visit.page.route("**/v1/models", lambda route: route.fulfill(json=facts))
    visit.open().open_sample()
    assert "a JPEG of 240 x 240 pixels" in visit.page.locator("#picture-note").inner_text()
    assert "240 by 240 pixels" in (visit.page.locator("#canvas").get_attribute("aria-label") or "")


def test_the_index_is_searched_by_words_by_the_picture_and_by_the_region(visit: Visit) -> None:
    visit.open_sample()
    visit.submit("search", "search", query="a red car")
    told = visit.ask_index(query="a red car")
    hits = visit.page.locator("#hits li")
    assert hits.locator(".name").all_inner_texts() == told == ["scene-53.png", *told[1:]]
    visit.page.check("[name=by][value=picture]", force=True)
    visit.submit("search")
    assert hits.count() == 3
    visit.page.click("#legend li:has-text('cat') button:has-text('Choose')")
    visit.page.click("#tab-search")
    visit.page.check("[name=by][value=region]", force=True)
    visit.submit("search")
    assert hits.count() > 0
    assert "marked" in (hits.first.locator("canvas").get_attribute("aria-label") or "")
    hits.first.locator("button").click()
    visit.page.wait_for_selector("#panel-segment:not([hidden])")
    visit.wait()
    assert "160 by 160 pixels" in (visit.page.locator("#canvas").get_attribute("aria-label") or "")


# Results go out


def saved(visit: Visit, kind: str, count: int = 1) -> dict[str, bytes]:
    found: list[Any] = []
    visit.page.on("download", lambda download: found.append(download))
    visit.page.click("#download summary")
    visit.page.click(f"[data-download={kind}]")
    for _ in range(1500):
        if len(found) == count:
            break
        visit.page.wait_for_timeout(20)
    assert len(found) == count
    return {download.suggested_filename: Path(download.path()).read_bytes() for download in found}


def test_results_are_saved_as_a_picture_and_for_other_programs(visit: Visit) -> None:
    visit.open_sample()
    told = visit.ask("segment")
    picture = np.asarray(Image.open(io.BytesIO(saved(visit, "png")["scene-1.masks.png"])))
    assert picture.shape[:2] == (SIDE, SIDE)
    x, y = center(segment_of(told, "cat"))
    assert far(tuple(picture[int(y), int(x), :3].tolist()), scene_pixel(x, y))
    coco = json.loads(saved(visit, "coco")["scene-1.coco.json"])
    assert coco["images"][0]["file_name"] == "scene-1.png"
    assert len(coco["annotations"][0]["segments_info"]) == len(told["segments"])


def test_results_are_saved_for_yolo_and_label_studio(visit: Visit) -> None:
    visit.open_sample()
    count = len(visit.ask("segment")["segments"])
    files = saved(visit, "yolo", 2)
    assert len(files["scene-1.txt"].splitlines()) >= count
    assert b"cat" in files["classes.txt"].splitlines()
    files = saved(visit, "labelstudio", 2)
    (task,) = json.loads(files["scene-1.labelstudio.json"])
    assert task["data"]["image"].startswith("data:image/png;base64,")
    assert task["predictions"][0]["result"]
    assert b"<View>" in files["scene-1.labelstudio.xml"]
