"""The annotator's day in a browser: hidden parts, history, what a reload keeps, small windows, odd browsers."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import (
    BenchPage,
    Server,
    clip_frames,
    events_of,
    eventually,
    running,
    signed_in,
    write_data_set,
)

pytestmark = pytest.mark.browser

COUNT = 5
LAPTOP = {"width": 1366, "height": 768}


@pytest.fixture(scope="module")
def settings(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Pictures larger than a laptop's window: small frames with every pixel ten by ten."""
    folder = tmp_path_factory.mktemp("annotator")
    frames = [np.kron(frame, np.ones((10, 10, 1), np.uint8)) for frame in clip_frames(demo_clips / "bikes.mp4", 7)]
    manifest = write_data_set(folder, frames, items=COUNT).path
    return Settings(manifest=manifest, open_mode=True, gold_rate=0, repeat_rate=0, overlap=20)


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Server]:
    with running(settings) as server:
        yield server


def votes_of(server: Server, name: str) -> list[dict]:
    return [vote for vote in events_of(server.settings, "vote") if vote["name"] == name]


def test_hidden_parts_are_mapped_asked_about_and_stored(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Ada", viewport=LAPTOP) as bench:
        first = bench.ready()
        seen = bench.page.get_by_test_id("map")
        expect(seen).to_be_visible()
        expect(seen).to_have_attribute("data-seen", re.compile(r"^[1-5]\d$"))
        bench.press("2")
        bench.expect_note("of the picture was on the screen at 1:1")
        assert bench.ready() == first
        second = bench.rate("2")  # asked once

        def look_on() -> str | None:
            bench.press("n")
            bench.page.wait_for_timeout(300)
            return seen.get_attribute("data-seen")

        eventually(look_on, "100")
        assert bench.rate("3") != second
        box = seen.bounding_box()
        assert box is not None
        bench.page.mouse.click(box["x"] + 2, box["y"] + 2)  # the map moves the view
        layer = bench.stage.locator("canvas.layer").last
        eventually(lambda: layer.evaluate("node => parseFloat(node.style.left)"), pytest.approx(0, abs=1))
        bench.press("z")  # fitted, all of it is on the screen, but not at 1:1
        bench.press("1")
        bench.expect_note("at 1:1")
        bench.expect_done(2)
    shares = [vote["payload"]["view"]["seen_share"] for vote in votes_of(server, "Ada")]
    assert 0.1 < shares[0] < 0.6
    assert shares[1] == 1


def rate(bench: BenchPage, key: str) -> None:
    """Rate without looking at all of it."""
    before = bench.ready()
    bench.press(key)
    bench.press(key)
    expect(bench.state).not_to_have_attribute("data-assignment-id", before)


def test_an_earlier_item_is_corrected_and_the_others_stay(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Bo", viewport=LAPTOP) as bench:
        first = bench.ready()
        bench.press("f")
        for key in "123":
            rate(bench, key)
        held = bench.ready()
        bench.press("b")
        entries = bench.page.get_by_test_id("history").get_by_role("button")
        expect(entries).to_have_count(3)
        expect(entries.last).to_contain_text("Level 1")
        expect(entries.last).to_contain_text("flagged")
        entries.last.click()
        expect(bench.state).to_have_attribute("data-assignment-id", first)
        expect(bench.page.get_by_test_id("correcting")).to_contain_text("rated level 1")
        expect(bench.page.locator("[data-id=flag-button]")).to_have_attribute("aria-pressed", "true")
        bench.press("4")
        expect(bench.state).to_have_attribute("data-assignment-id", held)
        expect(bench.page.get_by_test_id("correcting")).to_be_hidden()
        bench.expect_done(3)
        bench.press("b")
        entries.nth(1).click()
        expect(bench.page.get_by_test_id("correcting")).to_be_visible()
        bench.press("Escape")  # as it was
        expect(bench.state).to_have_attribute("data-assignment-id", held)
        eventually(lambda: [vote["level"] for vote in votes_of(server, "Bo")], [1, 2, 3, 4])
    assert [undo["level"] for undo in events_of(server.settings, "undo") if undo["name"] == "Bo"] == [1]


def test_a_reload_and_undo_keep_flag_and_comment_and_a_skip_comes_back(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Cleo", viewport=LAPTOP) as bench:
        first = bench.ready()
        bench.press("f")
        bench.press("c")
        bench.page.locator("textarea").fill("a torn hand")
        bench.page.get_by_role("button", name="Save").click()
        bench.page.reload()
        assert bench.ready() == first
        marks = [bench.page.locator(f"[data-id={name}-button]") for name in ("flag", "comment")]
        for mark in marks:
            expect(mark).to_have_attribute("aria-pressed", "true")
        rate(bench, "2")
        for mark in marks:
            expect(mark).to_have_attribute("aria-pressed", "false")
        second = bench.ready()
        bench.press("s")
        bench.page.get_by_role("button", name="A picture is broken").click()
        bench.expect_note("Skipped")
        bench.press("u")
        expect(bench.state).to_have_attribute("data-assignment-id", second)
        bench.expect_note("it was skipped")
        bench.press("u")
        expect(bench.state).to_have_attribute("data-assignment-id", first)
        for mark in marks:
            expect(mark).to_have_attribute("aria-pressed", "true")
        bench.press("c")
        expect(bench.page.locator("textarea")).to_have_value("a torn hand")


def test_the_help_opens_by_itself_once_per_account(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Newt", viewport=LAPTOP, newcomer=True) as bench:
        help_ = bench.page.get_by_test_id("dialog")
        expect(help_).to_contain_text("Examples at 1:1")
        pictures = help_.locator(".example-image img")
        expect(pictures).to_have_count(24)  # three of each level, real and made
        loaded = "all => all.every((one) => one.complete && one.naturalWidth === 200)"
        eventually(lambda: pictures.evaluate_all(loaded), True)
        bench.press("2")  # rates nothing while the help is open
        bench.escape()
        bench.ready()
        bench.expect_done(0)
        bench.page.reload()
        bench.ready()
        expect(help_).to_be_hidden()
    with signed_in(browser, server, "Newt", viewport=LAPTOP, newcomer=True) as bench:  # another browser
        bench.ready()
        expect(bench.page.get_by_test_id("dialog")).to_be_hidden()


FORBIDDEN = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })"
)
FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }"


@pytest.mark.parametrize(("name", "script"), [("Forbidden", FORBIDDEN), ("Full", FULL)], ids=["forbidden", "full"])
def test_a_browser_that_keeps_nothing(browser: Browser, server: Server, name: str, script: str) -> None:
    context = browser.new_context(viewport=LAPTOP, locale="en-GB")
    errors: list[str] = []
    try:
        context.add_init_script(script)
        page: Page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.url}/")
        page.get_by_label("Name", exact=True).fill(name)
        page.locator("button[type=submit]").click()
        expect(page.get_by_test_id("dialog")).to_be_visible()  # the help, to a newcomer
        BenchPage(page).escape()
        expect(page.get_by_test_id("unkept")).to_contain_text("This browser keeps nothing")
        for count in (1, 2):
            rate(BenchPage(page), "2")
            expect(page.get_by_test_id("done-count")).to_have_text(str(count))
    finally:
        context.close()
    assert errors == []
    assert len(votes_of(server, name)) == 2


def test_who_asks_for_little_motion_gets_none_unasked(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Moa", viewport=LAPTOP, reduced_motion="reduce") as bench:
        bench.ready()
        bench.press("m")
        expect(bench.stage).to_have_attribute("data-frame", "1")
        bench.page.wait_for_timeout(400)
        expect(bench.stage).to_have_attribute("data-frame", "1")
        bench.page.get_by_role("button", name="¼").click()
        expect(bench.stage).to_have_attribute("data-frame", "2")
        bench.press("q")
        bench.page.get_by_role("button", name="8 Hz").click()
        expect(bench.page.locator("[data-id=mode-hint]")).to_contain_text("seizures")
        rate(bench, "2")
        expect(bench.page.get_by_role("button", name="8 Hz")).to_have_attribute("aria-pressed", "false")


OUTSIDE = """(width) => [...document.querySelectorAll(".vb .bench button, .vb .bar button")]
    .filter((button) => button.checkVisibility() && button.getBoundingClientRect().right > width + 1)
    .map((button) => [button.innerText, button.closest(".toolbar, .bar") !== null])"""


@pytest.mark.parametrize(
    ("width", "height", "least"), [(844, 390, 200), (341, 192, 140), (390, 844, 300), (1366, 768, 560)]
)
def test_small_windows_show_the_picture_and_every_button(
    browser: Browser, server: Server, width: int, height: int, least: int
) -> None:
    with signed_in(browser, server, f"Win{width}", viewport={"width": width, "height": height}) as bench:
        bench.ready()
        eventually(lambda: bench.stage.evaluate("node => node.getBoundingClientRect().height") >= least, True)

        def outside() -> list[str]:
            # Low and wide, the row of tools scrolls; upright, everything wraps.
            return [name for name, is_tool in bench.page.evaluate(OUTSIDE, width) if width == 390 or not is_tool]

        eventually(outside, [])


def test_short_leases_are_renewed_in_time(browser: Browser, settings: Settings, tmp_path: Path) -> None:
    own = replace(settings, db_url=f"sqlite:///{tmp_path / 'labels.sqlite'}", lease_seconds=30.0)
    with running(own) as server, signed_in(browser, server, "Ada", viewport=LAPTOP) as bench:
        bench.ready()
        bench.page.clock.install()
        bench.page.reload()
        first = bench.ready()
        for _ in range(4):  # more than the lease lasts
            server.shift_seconds += 10
            with bench.page.expect_response("**/api/heartbeat"):
                bench.page.clock.fast_forward(10_000)
        assert bench.ready() == first
        rate(bench, "2")
        bench.expect_note("Level 2 saved")
