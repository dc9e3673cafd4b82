"""The page is for everybody: by keyboard, by ear, on a phone, in the light and in the dark."""

from dataclasses import fields
from typing import Any

from playwright.sync_api import Page

from page_fixtures import Visit, require_chromium
from xdecoder.editing import EditOptions
from xdecoder.predictor.options import (
    AnswerOptions,
    CaptionOptions,
    ReferOptions,
    SearchOptions,
    SegmentOptions,
)

require_chromium()

TABS = ("segment", "refer", "region", "answer", "search")
NAMED = {
    "button", "checkbox", "radio", "textbox", "spinbutton", "combobox", "link", "tab", "meter", "image",
    "progressbar", "dialog", "ColorWell", "list", "tabpanel", "DisclosureTriangle",
}  # fmt: skip
"""Roles whose parts say nothing without a name."""

FAINT = """() => {
    const parse = (text) => {
        const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
        return text.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
    };
    const over = ([r, g, b, a], [x, y, z]) => [r * a + x * (1 - a), g * a + y * (1 - a), b * a + z * (1 - a), 1];
    const light = (color) => {
        const [r, g, b] = color.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        const layers = [];
        for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
        return layers.reverse().reduce((under, color) => over(color, under), [255, 255, 255, 1]);
    };
    const faint = [];
    for (const element of document.querySelectorAll("body *")) {
        const said = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        if (!said || !element.checkVisibility({ opacityProperty: true }) || element.closest(":disabled, .unseen, option")) continue;
        const style = getComputedStyle(element), under = ground(element);
        const [a, b] = [light(over(parse(style.color), under)), light(under)].sort((x, y) => y - x);
        const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        const contrast = (a + 0.05) / (b + 0.05);
        if (contrast < (large ? 3 : 4.5)) faint.push(`${element.textContent.trim().slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return faint;
}"""  # noqa: E501

SMALL = """() => [...document.querySelectorAll("button, summary, select, input, textarea, a")]
    .filter((element) => element.checkVisibility() && !element.closest(".unseen, p"))
    .map((element) => [element, (element.matches("[type=checkbox]") ? element.closest("label, .check") : element).getBoundingClientRect()])
    .filter(([, box]) => box.width < 24 || box.height < 24)
    .map(([element, box]) => `${element.outerHTML.slice(0, 80)} ${box.width} x ${box.height}`)"""  # noqa: E501

OUTSIDE = """() => {
    const edge = document.querySelector(".side").getBoundingClientRect().right;
    return [...document.querySelectorAll(".side *")]
        .filter((element) => element.checkVisibility() && element.getBoundingClientRect().right > edge)
        .map((element) => element.outerHTML.slice(0, 80));
}"""


def nameless(page: Page) -> list[str]:
    """What the browser tells screen readers without a name."""
    session = page.context.new_cdp_session(page)
    nodes: list[Any] = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    shown = [node for node in nodes if not node.get("ignored") and node.get("role", {}).get("value") in NAMED]
    assert len(shown) > 5
    return [node["role"]["value"] for node in shown if not node.get("name", {}).get("value", "").strip()]


def fill_panels(visit: Visit) -> None:
    """Answers in every panel."""
    visit.open_sample()
    visit.submit("caption", "region")
    visit.submit("embed", texts="a cat\na tree")
    visit.submit("answer", "answer", question="what color is the dog?")
    visit.submit("search", "search", query="a red car")


def faint(page: Page) -> list[str]:
    """Texts that are hard to read, in the light or in the dark."""
    found: list[str] = []
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        found += [f"{scheme}: {text}" for text in page.evaluate(FAINT)]
    return found


def test_everything_is_named_large_enough_and_easy_to_read(visit: Visit) -> None:
    assert nameless(visit.page) == []
    assert faint(visit.page) == []
    fill_panels(visit)
    for tab in TABS:
        visit.page.click(f"#tab-{tab}")
        for folded in visit.page.locator(f"#panel-{tab} summary:visible").all():
            folded.click()
        assert nameless(visit.page) == [], tab
        assert faint(visit.page) == [], tab
        assert visit.page.evaluate(SMALL) == [], tab
    visit.page.click("#download summary")
    visit.submit("segment", "segment", vocabulary=",")
    visit.page.wait_for_selector("#trouble:not([hidden])")
    assert faint(visit.page) == []


def test_nothing_is_cut_off_on_a_phone(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 360, "height": 740})
    try:
        fill_panels(visit)
        for tab in TABS:
            visit.page.click(f"#tab-{tab}")
            for folded in visit.page.locator(f"#panel-{tab} summary:visible").all():
                folded.click()
            assert visit.page.evaluate("document.documentElement.scrollWidth") == 360, tab
            assert visit.page.evaluate(OUTSIDE) == [], tab
            assert visit.page.evaluate(SMALL) == [], tab
    finally:
        visit.page.set_viewport_size({"width": 1000, "height": 760})


def test_a_picture_is_asked_about_by_keyboard_alone(visit: Visit) -> None:
    page, keys = visit.page, visit.page.keyboard
    page.locator("#samples button").first.focus()
    keys.press("Enter")
    page.wait_for_selector("#legend li")
    visit.wait()
    page.locator("#tab-segment").focus()
    keys.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-refer"
    keys.press("Tab")
    keys.type("the hat")
    keys.press("Tab")
    seen = set[str]()
    while "Find" not in seen:
        seen.add(page.evaluate("document.activeElement.textContent"))
        if "Find" not in seen:
            keys.press("Tab")
    keys.press("Enter")
    page.wait_for_selector("#legend li:has-text('the hat')")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    row = page.locator("#legend li").first
    row.locator("button").last.focus()
    keys.press("Enter")
    assert page.locator("#region-name").inner_text() == "the hat"
    assert page.locator("#toast").get_attribute("role") == "status"
    assert page.locator("#trouble").get_attribute("role") == "alert"


def test_the_options_are_those_of_the_verbs_records(visit: Visit) -> None:
    records = {
        "segment": SegmentOptions,
        "refer": ReferOptions,
        "caption": CaptionOptions,
        "answer": AnswerOptions,
        "search": SearchOptions,
        "edit": EditOptions,
    }
    for form, record in records.items():
        shown = visit.page.locator(f"#{form} > .options [name]").evaluate_all(
            "(found) => found.map((x) => x.name)"
        )
        assert shown == [field.name for field in fields(record)]
    choices = visit.page.locator("#segment-task option").all_inner_texts()
    assert choices == ["panoptic", "instance", "semantic"]
    assert visit.page.input_value("#answer-top_k") == "5"
