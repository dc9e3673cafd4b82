"""What the page says where something is wrong, and what it does about it."""

from playwright.sync_api import Route

from page_fixtures import Visit, require_chromium

require_chromium()


def test_what_cannot_be_asked_is_told_with_what_to_do(visit: Visit) -> None:
    visit.open_sample()
    visit.submit("segment", vocabulary="cat,,dog")
    trouble = visit.page.locator("#trouble")
    assert "take it out, with its comma" in trouble.inner_text()
    assert visit.page.locator("#retry").is_hidden()
    visit.submit("segment", vocabulary="cat, dog")
    assert trouble.is_hidden()


def test_a_server_that_is_gone_is_asked_again_when_told(visit: Visit) -> None:
    visit.open_sample()
    visit.page.context.set_offline(True)
    visit.submit("refer", "refer", phrases="the fish")
    assert "Look whether it still runs" in visit.page.locator("#trouble").inner_text()
    visit.page.context.set_offline(False)
    visit.page.click("#retry")
    visit.page.wait_for_selector("#legend li:has-text('the fish')")


def test_a_full_server_is_asked_again_and_a_forgotten_picture_sent_again(visit: Visit) -> None:
    visit.open_sample()
    refusals = [(429, {"Retry-After": "1"}), (404, {})]

    def refuse(route: Route) -> None:
        if refusals:
            status, headers = refusals.pop(0)
            route.fulfill(status=status, headers=headers, json={"detail": "the server is full"})
        else:
            route.continue_()

    visit.page.route("**/v1/refer", refuse)
    visit.page.click("#tab-refer")
    visit.page.fill("#phrases", "the fish")
    visit.page.click("#refer button.primary")
    visit.page.wait_for_selector("#busy-text:has-text('asking again')")
    visit.page.wait_for_selector("#legend li:has-text('the fish')")
    assert visit.asked.count(f"{visit.address}/v1/images") == 2


def test_a_request_is_stopped(visit: Visit) -> None:
    visit.open_sample()
    visit.page.route("**/v1/caption", lambda route: None)  # never answered
    visit.page.click("#tab-region")
    visit.page.click("#caption button.primary")
    visit.page.click("#cancel")
    visit.wait()
    assert visit.page.locator("#toast").inner_text() == "Stopped."


def test_the_token_is_asked_for_until_it_is_right(visit: Visit) -> None:
    visit.open_sample()

    def guard(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer secret":
            route.continue_(headers={**route.request.headers, "authorization": ""})
        else:
            route.fulfill(status=401, json={"detail": "show the token"})

    visit.page.route("**/v1/refer", guard)
    visit.page.click("#tab-refer")
    visit.page.fill("#phrases", "the fish")
    visit.page.click("#refer button.primary")
    for token in ("wrong", "secret"):
        visit.page.wait_for_selector("#token-dialog[open]")
        visit.page.fill("#token", token)
        visit.page.click("#token-dialog button")
    visit.page.wait_for_selector("#legend li:has-text('the fish')")
