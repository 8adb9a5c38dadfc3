"""What goes wrong, in a real Chromium: every error is told in the visitor's words, and what passes is tried again."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.support.browsing import choose, choose_several, expect_caption, give, thumbnails, words

MakePhoto = Callable[..., bytes]
OpenPage = Callable[..., Page]

pytestmark = pytest.mark.browser

KINDS = {
    403: ("forbidden", "did not let you in", "Ask its operator"),
    413: ("image-too-large", "That photo is too large", "up to 1.0 MiB"),
    415: ("unsupported-image", "no photo that can be read", "JPEG, PNG, WebP, GIF or BMP"),
    422: ("invalid-image", "cannot be read", "damaged or cut off"),
    429: ("rate-limited", "a lot at once", "limits how many photos"),
    500: ("unexpected", "That did not work", "went wrong in the service"),
    503: ("busy", "The service is busy", "Yours stays here"),
    504: ("late", "took too long", "gave up"),
}


def problem(route: Route, status: int, kind: str, retry_after: str | None = None) -> None:
    route.fulfill(
        status=status,
        content_type="application/problem+json",
        headers={"Retry-After": retry_after} if retry_after else {},
        json={"type": f"urn:captioner:problem:{kind}", "detail": "the <b>reason</b>"},
    )


def alert(page: Page) -> Locator:
    return page.locator("#notice > [role=alert]")


@pytest.mark.parametrize("status", KINDS)
def test_every_refusal_is_explained(open_page: OpenPage, photo: MakePhoto, status: int) -> None:
    kind, title, advice = KINDS[status]
    page = open_page(refused=str(status))
    page.route("**/v1/captions", lambda route: problem(route, status, kind, "30"))
    choose(page, photo())
    expect(alert(page)).to_contain_text(title)
    expect(alert(page)).to_contain_text(advice)
    expect(page.locator("#notice q")).to_have_text("The <b>reason</b>.")
    passes = status in (429, 503, 504)
    expect(page.get_by_role("timer")).to_be_visible(visible=passes)
    expect(page.get_by_role("button", name="Try again")).to_be_visible(visible=status in (403, 500))
    page.unroute("**/v1/captions")
    choose(page, photo(5))
    expect_caption(page, 5)
    expect(alert(page)).to_be_hidden()


@pytest.mark.parametrize(("status", "kind"), [(503, "busy"), (429, "rate-limited")])
def test_a_busy_service_is_asked_again_when_it_says(
    open_page: OpenPage, photo: MakePhoto, status: int, kind: str
) -> None:
    page = open_page(refused=str(status))
    page.clock.install()
    page.route("**/v1/captions", lambda route: problem(route, status, kind, "3"))
    choose(page, photo(6))
    expect(page.get_by_role("timer")).to_have_text("Trying again in 3 s")
    page.clock.run_for(1000)
    expect(page.get_by_role("timer")).to_have_text("Trying again in 2 s")
    page.unroute("**/v1/captions")
    page.clock.run_for(2000)
    expect_caption(page, 6)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_countdown_is_cut_short_or_cancelled(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="503")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    page.route("**/v1/captions", lambda route: problem(route, 503, "busy", "600"))
    choose(page, photo(6))
    expect(page.get_by_role("timer")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(alert(page)).to_contain_text("Cancelled")
    expect(page.get_by_role("timer")).to_be_hidden()
    expect(thumbnails(page)).to_have_accessible_name("Photo 1, cancelled")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("timer")).to_contain_text("Trying again in")
    page.unroute("**/v1/captions")
    page.get_by_role("button", name="Try now").click()
    expect_caption(page, 6)
    assert asked.count("POST") == 3


def test_a_sentence_waits_for_a_busy_service(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="503")
    choose(page, photo(6))
    expect_caption(page, 6)
    page.clock.install()
    page.route("**/v1/scores", lambda route: problem(route, 503, "busy", "2"))
    page.get_by_label("Score your own sentence").fill("two dogs")
    page.keyboard.press("Enter")
    expect(page.get_by_text("The service is busy. Trying again in a moment.")).to_be_visible()
    page.unroute("**/v1/scores")
    page.clock.run_for(2000)
    expect(page.locator("#comparison")).to_contain_text("−23.1")  # noqa: RUF001 - the page's own minus sign
    expect(page.locator("#sentence-problem")).to_be_hidden()


def test_offline_waits_for_the_connection(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(failed="ERR_INTERNET_DISCONNECTED")
    page.context.set_offline(True)
    choose(page, photo(6))
    expect(alert(page)).to_contain_text("You are offline")
    expect(page.get_by_role("timer")).to_contain_text("as soon as the connection is back")
    page.context.set_offline(False)
    expect_caption(page, 6)
    expect(page.locator("#notice")).to_be_hidden()


def test_a_service_that_is_gone_is_said(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(failed="ERR_FAILED")
    page.route("**/v1/captions", lambda route: route.abort())
    choose(page, photo(6))
    expect(alert(page)).to_contain_text("could not be reached")
    page.unroute("**/v1/captions")
    page.get_by_role("button", name="Try again").click()
    expect_caption(page, 6)


def test_a_text_file_is_refused_with_the_service_s_words(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="415")
    choose(page, b"Dear diary", "diary.txt")
    expect(alert(page)).to_contain_text("no photo that can be read")
    expect(page.locator("#notice q")).to_contain_text("JPEG")
    expect(page.locator("#picture")).to_be_hidden()
    expect(page.locator("#tools")).to_be_hidden()
    choose(page, photo(5))
    expect_caption(page, 5)
    expect(page.locator("#picture")).to_be_visible()


def test_a_large_file_is_not_even_sent(open_page: OpenPage) -> None:
    page = open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    choose(page, bytes(2**20 + 2**18))
    expect(alert(page)).to_contain_text("It has 1.3 MiB; this service takes up to 1.0 MiB.")
    assert "POST" not in sent


def test_a_bad_photo_hurts_only_itself(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page(refused="415")
    choose_several(page, {"a.png": photo(1), "b.txt": b"Dear diary", "c.png": photo(3)})
    names = ["Photo 1, captioned: a photo of red 1", "Photo 2, failed", "Photo 3, captioned: a photo of red 3"]
    for index, name in enumerate(names):
        expect(thumbnails(page).nth(index)).to_have_accessible_name(name)
    expect_caption(page, 1)
    expect(page.locator("#notice")).to_be_hidden()
    thumbnails(page).nth(1).click()
    expect(alert(page)).to_contain_text("no photo that can be read")
    thumbnails(page).nth(2).click()
    expect_caption(page, 3)
    expect(page.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize(
    ("kind", "told"), [("paste", "no photo in the clipboard"), ("drop", "Only files can be dropped")]
)
def test_nothing_to_show_is_said(open_page: OpenPage, photo: MakePhoto, kind: str, told: str) -> None:
    page = open_page()
    give(page, kind, "", b"")
    expect(alert(page)).to_contain_text(told)
    choose(page, photo(5))
    expect_caption(page, 5)
    give(page, kind, "", b"")
    expect(alert(page)).to_contain_text(told)
    expect_caption(page, 5)


def test_a_late_answer_does_not_replace_a_newer_one(open_page: OpenPage, photo: MakePhoto) -> None:
    page = open_page()
    page.evaluate(
        """() => {
            const send = window.fetch;
            window.fetch = (url, options) => {
                window.fetch = send;
                window.aborted = false;
                options.signal.addEventListener("abort", () => { window.aborted = true; });
                const late = new Promise((resolve) => { window.release = resolve; });
                return late.then(() => send(url, { ...options, signal: null }));  // as if the abort came too late
            };
        }"""
    )
    choose(page, photo(1))
    page.get_by_role("button", name="Cancel").click()
    assert page.evaluate("() => window.aborted")
    page.get_by_role("button", name="Try again").click()
    expect_caption(page, 1)
    words(page).nth(2).focus()
    with page.expect_response("**/v1/captions"):
        page.evaluate("() => window.release()")
    expect(words(page).nth(2)).to_be_focused()
    expect_caption(page, 1)
