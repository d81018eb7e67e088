"""The bench by touch, with keyboards of other layouts, wheels and touchpads: one page on which tests only look."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from labeling_app.settings import Settings
from labeling_app.web.page import viewer_base
from tests.labeling_app.browser_fixtures import (
    BenchPage,
    clip_frames,
    eventually,
    running,
    settled,
    signed_in,
    write_data_set,
)

pytestmark = pytest.mark.browser

LAYER = "[data-testid=stage] canvas.layer"


@pytest.fixture(scope="module")
def tablet(browser: Browser, demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BenchPage]:
    """A page on a touch screen."""
    frames = clip_frames(demo_clips / "bikes.mp4", 4, width=640, height=352)
    manifest = write_data_set(tmp_path_factory.mktemp("touch"), frames, items=2)
    screen = {"has_touch": True, "viewport": {"width": 820, "height": 1180}}
    with (
        running(Settings(manifest=manifest.path, open_mode=True, gold_rate=0, repeat_rate=0)) as server,
        signed_in(browser, server, "Tess", **screen) as state,
    ):
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


@pytest.mark.parametrize("zoom", [300, 600])
def test_one_finger_moves_the_picture_and_two_move_it_too(tablet: BenchPage, zoom: int) -> None:
    """Two fingers in either order: the page hears of each by itself, and may be at the smallest zoom in between."""
    tablet.press("q")
    for step in range(200, zoom + 1, 100):
        if step != 500:  # no step is there
            tablet.press("+")
            expect(tablet.page.get_by_test_id("zoom")).to_have_text(f"{step} %")
    expect(tablet.page.get_by_test_id("map")).to_be_visible()  # it comes below the picture, and takes height from it
    settled(lambda: place(tablet))
    x, y = middle(tablet)
    start = place(tablet)

    def moved() -> tuple[float, float]:
        now = place(tablet)
        return now["x"] - start["x"], now["y"] - start["y"]

    begin, end = [(x, y), (x + 80, y)], [(x + 60, y + 40), (x + 140, y + 40)]
    for between in ([], [[end[0], begin[1]]], [[begin[0], end[1]]]):
        touch(tablet.page, [(x, y)], [(x - 30, y - 20)], [(x - 60, y - 40)])
        eventually(moved, pytest.approx((-60, -40), abs=1))
        touch(tablet.page, begin, *between, end)
        eventually(moved, pytest.approx((0, 0), abs=1))
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
