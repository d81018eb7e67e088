"""The bench where people really use it: touch, other keyboards, several tabs, odd pictures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from labeling_app.settings import Settings
from labeling_app.web.page import viewer_base
from tests.labeling_app.browser_fixtures import (
    BenchPage,
    Server,
    clip_frames,
    events_of,
    running,
    signed_in,
    write_data_set,
)

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-situations")]

COUNT = 9
LAYER = "[data-testid=stage] canvas.layer"


@pytest.fixture(scope="module")
def settings(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("situations")
    frames = clip_frames(demo_clips / "bikes.mp4", COUNT + 2, width=640, height=352)
    manifest = write_data_set(folder, frames, items=COUNT)
    return Settings(manifest=manifest.path, open_mode=True, gold_rate=0, repeat_rate=0, overlap=20)


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[Server]:
    with running(settings) as server:
        yield server


@pytest.fixture(scope="module")
def tablet(browser: Browser, server: Server) -> Iterator[BenchPage]:
    """One page on a touch screen, for tests that only look."""
    with signed_in(browser, server, "Tess", has_touch=True, viewport={"width": 820, "height": 1180}) as state:
        state.ready()
        yield state


def touch(page: Page, *steps: list[tuple[float, float]]) -> None:
    """Put fingers down as the first step says, move them through the others, lift them."""
    session = page.context.new_cdp_session(page)
    for index, step in enumerate([*steps, []]):
        kind = "touchEnd" if not step else "touchMove" if index else "touchStart"
        points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(step)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.detach()


def place(state: BenchPage) -> dict[str, float]:
    """Return where the picture lies on the screen."""
    return state.page.locator(LAYER).last.evaluate("node => node.getBoundingClientRect().toJSON()")


def middle(state: BenchPage) -> tuple[float, float]:
    box = state.stage.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def reset(state: BenchPage) -> None:
    """Back to 1:1 and flicker."""
    for key in "qzz":
        state.press(key)
    expect(state.page.get_by_test_id("zoom")).to_have_text("100 %")


@pytest.mark.parametrize("mode", ["q", "w", "e"])
def test_two_fingers_zoom_about_the_point_between_them(tablet: BenchPage, mode: str) -> None:
    tablet.press(mode)
    x, y = middle(tablet)
    x -= 200 if mode == "e" else 0
    before = place(tablet)
    touch(tablet.page, [(x - 50, y), (x + 50, y)], [(x - 100, y), (x + 50, y)], [(x - 100, y), (x + 100, y)])
    expect(tablet.page.get_by_test_id("zoom")).to_have_text("200 %")
    after = place(tablet)
    assert after["width"] == pytest.approx(2 * before["width"])
    if mode != "e":  # the image point between the fingers is where it was
        assert after["x"] - x == pytest.approx(2 * (before["x"] - x), abs=2)
    expect(tablet.page.get_by_test_id("scale-note")).to_contain_text("200")
    assert tablet.page.evaluate("visualViewport.scale") == 1  # the picture was zoomed, not the page
    reset(tablet)


def test_one_finger_moves_the_picture_and_two_move_it_too(tablet: BenchPage) -> None:
    tablet.press("q")
    for _ in range(2):
        tablet.press("+")
    x, y = middle(tablet)
    start = place(tablet)
    touch(tablet.page, [(x, y)], [(x - 30, y - 20)], [(x - 60, y - 40)])
    moved = place(tablet)
    assert (moved["x"] - start["x"], moved["y"] - start["y"]) == pytest.approx((-60, -40), abs=1)
    touch(tablet.page, [(x, y), (x + 80, y)], [(x + 60, y + 40), (x + 140, y + 40)])
    back = place(tablet)
    assert (back["x"], back["y"]) == pytest.approx((start["x"], start["y"]), abs=1)
    reset(tablet)


def test_one_finger_moves_the_line_of_the_wipe(tablet: BenchPage) -> None:
    tablet.press("w")
    box = tablet.stage.bounding_box()
    assert box is not None
    x, y = middle(tablet)
    touch(tablet.page, [(x, y)], [(box["x"] + box["width"] * 0.2, y)])
    expect(tablet.page.get_by_test_id("wipe")).to_have_attribute("aria-valuenow", "20")
    tablet.press("q")


def test_a_finger_holds_the_flicker_button(tablet: BenchPage) -> None:
    box = tablet.page.get_by_test_id("hold").bounding_box()
    assert box is not None
    session = tablet.page.context.new_cdp_session(tablet.page)
    point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    expect(tablet.stage).to_have_attribute("data-shown", "a")
    wander = {"x": point["x"] + 8, "y": point["y"] + 12}
    session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [wander]})
    expect(tablet.stage).to_have_attribute("data-shown", "a")  # a finger is never quite still
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(tablet.stage).to_have_attribute("data-shown", "b")


@pytest.mark.parametrize(
    ("key", "code", "shift", "action"),
    [
        ("1", "Digit1", False, "rate1"),
        ("!", "Digit1", True, None),
        ("4", "Numpad4", False, "rate4"),
        ("ArrowLeft", "Numpad4", False, "panLeft"),  # NumLock off: not a level
        ("End", "Numpad1", False, None),
        ("&", "Digit1", False, "rate1"),  # French: digits need Shift
        ("1", "Digit1", True, "rate1"),
        ("é", "Digit2", False, "rate2"),
        ("-", "Digit6", False, "zoomOut"),
        ("+", "Digit1", False, "rate1"),  # Czech
        ("?", "KeyM", True, "help"),  # French
        ("a", "KeyQ", False, None),
        ("q", "KeyA", False, "flicker"),
        ("U", "KeyU", False, "undo"),  # CapsLock
        ("г", "KeyU", False, "undo"),  # Russian
        ("Г", "KeyU", True, "undo"),
        ("ς", "KeyW", False, "wipe"),  # Greek
        ("Dead", "BracketLeft", False, None),
    ],
)
def test_keys_of_other_layouts(tablet: BenchPage, key: str, code: str, shift: bool, action: str | None) -> None:
    found = tablet.page.evaluate(
        """async ([base, event]) => {
            const { Keys, keyNames } = await import(`${base}/keys.js`);
            return new Keys().actionOf(...keyNames(event));
        }""",
        [viewer_base(), {"key": key, "code": code, "shiftKey": shift}],
    )
    assert found == action


def test_a_key_that_stays_down_pans_and_never_scrolls_the_page(tablet: BenchPage) -> None:
    for _ in range(3):
        tablet.press("+")
    left = place(tablet)["x"]
    scrolled = tablet.page.evaluate(
        """() => ["ArrowRight", " ", "1"].map((key) => {
            const event = new KeyboardEvent("keydown", { key, repeat: true, bubbles: true, cancelable: true });
            document.querySelector("[data-testid=stage]").dispatchEvent(event);
            return !event.defaultPrevented;
        })"""
    )
    assert scrolled == [False, False, False]
    assert place(tablet)["x"] == left - 64
    tablet.expect_done(0)
    reset(tablet)


@pytest.mark.parametrize(
    ("width", "height", "pane", "fitted"), [(4096, 256, 600, 600 / 4096), (64, 64, 800, 12.5), (1920, 1080, 960, 0.5)]
)
def test_zoom_goes_the_way_it_is_asked(tablet: BenchPage, width: int, height: int, pane: int, fitted: float) -> None:
    zooms = tablet.page.evaluate(
        """async ([base, width, height, pane]) => {
            const { Viewport } = await import(`${base}/view.js`);
            return [-1, 0, 1].map((direction) => {
                const view = new Viewport();
                view.reset(width, height);
                view.fit(pane, pane);
                if (direction) view.zoomTo(view.step(direction));
                return view.zoom;
            });
        }""",
        [viewer_base(), width, height, pane],
    )
    assert zooms == sorted(zooms)
    assert zooms[1] == pytest.approx(fitted)


@pytest.mark.parametrize(
    ("turns", "zoom"),
    [
        ([(0, -120, 0)] * 2, "300 %"),  # two notches of a wheel
        ([(0, -3, 1)], "200 %"),  # Firefox: lines
        ([(0, -4, 0)], "200 %"),  # a slow wheel on a Mac
        ([(0, -6, 0)] * 12, "300 %"),  # a swipe over a touchpad: not to the end at once
        ([(80, 0, 0)] * 3, "100 %"),  # sideways
    ],
)
def test_wheels_and_touchpads(tablet: BenchPage, turns: list[Any], zoom: str) -> None:
    tablet.page.evaluate(
        """async (turns) => {
            await new Promise((resolve) => setTimeout(resolve, 200)); // as after a pause
            const stage = document.querySelector("[data-testid=stage]");
            for (const [deltaX, deltaY, deltaMode] of turns) {
                stage.dispatchEvent(new WheelEvent("wheel", { deltaX, deltaY, deltaMode, cancelable: true }));
            }
        }""",
        turns,
    )
    expect(tablet.page.get_by_test_id("zoom")).to_have_text(zoom)
    reset(tablet)


def test_zoom_of_a_browser_that_does_not_tell_is_measured_by_the_mouse(tablet: BenchPage) -> None:
    zooms = tablet.page.evaluate(
        """async (base) => {
            const { watchPageZoom } = await import(`${base}/zoom.js`);
            Object.defineProperty(navigator, "vendor", { value: "Apple Computer, Inc.", configurable: true });
            const found = [];
            watchPageZoom((zoom) => found.push(zoom));
            for (const zoom of [1, 1.25, 1.25, 1]) {
                dispatchEvent(new Event("resize"));
                for (let x = 0; x <= 400; x += 40) {
                    const place = { clientX: x, screenX: 70 + Math.round(x * zoom), pointerType: "mouse" };
                    dispatchEvent(new PointerEvent("pointermove", place));
                }
            }
            return found;
        }""",
        viewer_base(),
    )
    assert zooms == pytest.approx([1.25, 1], abs=0.01)


def test_the_newer_of_two_tabs_has_the_bench(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Ada") as old:
        first = old.ready()
        new = BenchPage(old.page.context.new_page())
        new.page.goto(f"{server.url}/#stats")
        expect(new.page.get_by_test_id("stats")).to_be_visible()
        expect(old.page.get_by_test_id("elsewhere")).to_be_hidden()  # statistics take the bench from nobody
        new.page.goto(f"{server.url}/#bench")
        assert new.ready() == first
        expect(old.page.get_by_test_id("elsewhere")).to_contain_text("Open in another tab")
        expect(old.page.locator(LAYER)).to_have_count(0)
        second = new.rate("3")
        for key in ("Escape", "Escape", "2"):
            old.press(key)
        expect(old.page.get_by_test_id("elsewhere")).to_be_visible()
        old.page.get_by_role("button", name="Go on here").click()
        assert old.ready() == second
        expect(new.page.get_by_test_id("elsewhere")).to_be_visible()
        old.rate("4")
        old.expect_done(2)
    assert [vote["level"] for vote in events_of(server.settings, "vote") if vote["name"] == "Ada"] == [3, 4]


def test_a_second_tab_sends_what_the_first_kept_once_and_in_order(
    browser: Browser, settings: Settings, tmp_path: Path
) -> None:
    own = replace(settings, db_url=f"sqlite:///{tmp_path / 'labels.sqlite'}")
    with running(own) as server, signed_in(browser, server, "Ada") as old:
        old.ready()
        old.prefetched(5)
        server.stop()
        for key in "123":
            old.rate(key)
        old.press("u")
        expect(old.page.get_by_test_id("unsent")).to_have_text("4 not sent")
        old.rate("4")
        server.start()
        new = BenchPage(old.page.context.new_page())
        new.page.goto(f"{server.url}/")
        new.expect_done(3)
        for state in (old, new):
            expect(state.page.get_by_test_id("unsent")).to_be_hidden()
        new.rate("1")
        new.expect_done(4)
        assert new.page.evaluate("Object.keys(localStorage).filter((key) => key.includes('outbox'))") == []
    assert [event["level"] for event in events_of(own, "vote")] == [1, 2, 3, 4, 1]
    assert len(events_of(own, "undo")) == 1


def test_votes_of_one_name_never_go_out_under_another(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Cy") as cy:
        cy.ready()
        other = cy.page.context.new_page()
        other.goto(f"{server.url}/signin")
        other.get_by_label("Name", exact=True).fill("Cy.Dee")  # begins like the other name
        other.locator("button[type=submit]").click()
        dee = BenchPage(other)
        dee.ready()
        cy.press("4")  # the cookie is Dee's by now
        expect(cy.page.get_by_text("Your session has ended")).to_be_visible()
        dee.rate("1")
        cy.page.get_by_label("Name", exact=True).fill("Cy")
        cy.page.locator("button[type=submit]").click()
        cy.expect_done(1)
    votes = [(vote["name"], vote["level"]) for vote in events_of(server.settings, "vote")]
    assert sorted(vote for vote in votes if vote[0].startswith("Cy")) == [("Cy", 4), ("Cy.Dee", 1)]


def test_a_second_vote_from_another_machine_is_said_not_to_count(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Eve") as desk, signed_in(browser, server, "Eve") as laptop:
        desk.prefetched(5)
        laptop.prefetched(5)
        assert desk.ready() == laptop.ready()
        third = [desk.rate("2"), desk.rate("2")][-1]
        laptop.press("4")
        laptop.expect_note("does not count")
        expect(laptop.state).to_have_attribute("data-assignment-id", third)  # not the one rated at the desk
        laptop.expect_note("does not count")
        laptop.rate("3")
        laptop.expect_done(3)
        laptop.press("u")
        laptop.expect_note("it was level 3")
        laptop.expect_done(2)


def test_the_back_button_and_a_reload_keep_the_place(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Fay") as state:
        first = state.ready()
        second = state.rate("2")
        state.page.get_by_role("button", name="Statistics").click()
        expect(state.page.get_by_test_id("stats")).to_be_visible()
        state.page.go_back()
        assert state.ready() == second
        state.page.reload()
        assert state.ready() == second
        state.press("u")
        expect(state.state).to_have_attribute("data-assignment-id", first)
        state.page.evaluate(
            "window.old = true; dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))"
        )
        state.page.wait_for_function("!window.old")  # what comes out of the browser's memory is loaded anew
        state.ready()
        state.page.go_back()  # to the sign-in page
        state.page.go_forward()
        assert state.ready() == first
        state.rate("3")
        state.expect_done(1)


def test_a_browser_that_changes_what_is_read_is_told_of(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Gil") as state:
        state.ready()
        state.page.add_init_script(
            """const read = CanvasRenderingContext2D.prototype.getImageData;
            CanvasRenderingContext2D.prototype.getImageData = function (...box) {
                const image = read.apply(this, box);
                image.data[40] ^= 1;
                return image;
            };"""
        )
        expect(state.page.get_by_test_id("scale-note")).to_be_hidden()
        state.page.reload()
        state.ready()
        expect(state.page.get_by_test_id("scale-note")).to_contain_text("changes pixels")


def test_a_laptop_that_slept_for_weeks_loses_no_vote(browser: Browser, settings: Settings, tmp_path: Path) -> None:
    own = replace(settings, db_url=f"sqlite:///{tmp_path / 'labels.sqlite'}")
    with running(own) as server, signed_in(browser, server, "Hal") as state:
        state.ready()
        state.page.clock.install()
        state.page.reload()
        state.prefetched(5)
        held = state.ready()
        server.shift_seconds = 12 * 24 * 3600
        state.page.clock.fast_forward(12 * 24 * 3600 * 1000)
        assert state.rate("2") not in (held, "")
        state.expect_note("Level 2 saved")
        state.expect_done(1)
    assert [(vote["level"], str(vote["assignment_id"])) for vote in events_of(own, "vote")] == [(2, held)]
