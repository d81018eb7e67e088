"""The bench in a real browser: ways of looking, keys, undo, skip, flag, comment."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from dataset_tools.frames import pixels_sha256
from dataset_tools.manifest import read_manifest
from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import (
    HEIGHT,
    WIDTH,
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

HOSTILE = "<img src=x onerror=alert(1)> ${alert(2)} {{alert}} '; DROP TABLE events; --"

READ_CANVAS = """canvas => {
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return btoa(String.fromCharCode(...data.filter((_, index) => index % 4 < 3)));
}"""


@pytest.fixture(scope="module")
def server(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("bench")
    manifest = write_data_set(folder, clip_frames(demo_clips / "bikes.mp4", 14), items=12)
    with running(Settings(manifest=manifest.path, open_mode=True, gold_rate=0, repeat_rate=0, overlap=20)) as server:
        yield server


def canvas_hash(state: BenchPage, pane: str) -> str:
    data = state.stage.locator(f"[data-id={pane}] canvas").first.evaluate(READ_CANVAS)
    pixels = np.frombuffer(base64.b64decode(data), np.uint8)
    return pixels_sha256(pixels.reshape(HEIGHT, WIDTH, 3))


def test_number_keys_rate_and_go_on_to_the_end(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Ada") as state:
        for index in range(12):
            state.rate(str(index % 4 + 1))
        expect(state.page.get_by_test_id("nothing-left")).to_be_visible()
        state.expect_done(12)
    votes = [vote for vote in events_of(server.settings, "vote") if vote["name"] == "Ada"]
    assert [vote["level"] for vote in votes] == [1, 2, 3, 4] * 3
    assert len({vote["item_id"] for vote in votes}) == 12
    view = votes[0]["payload"]["view"]
    assert (view["mode"], view["zoom"], view["device_pixel_ratio"]) == ("flicker", 1, 1)
    assert view["dwell_seconds"]["flicker"] > 0


@pytest.mark.parametrize(
    ("key", "mode", "arrange"),
    [
        ("w", "wipe", "stack"),
        ("e", "side", "side"),
        ("d", "difference", "stack"),
        ("m", "motion", "side"),
        ("q", "flicker", "stack"),
    ],
)
def test_each_mode_by_key_and_by_button(looking: BenchPage, key: str, mode: str, arrange: str) -> None:
    for act in (lambda: looking.press(key), looking.page.locator(f"button[data-mode={mode}]").click):
        looking.press("q" if mode != "flicker" else "w")
        act()
        expect(looking.stage).to_have_attribute("data-mode", mode)
        expect(looking.stage).to_have_attribute("data-arrange", arrange)
        expect(looking.page.locator(f"button[data-mode={mode}]")).to_have_attribute("aria-pressed", "true")
    expect(looking.stage.locator("canvas.layer")).to_have_count(6 if mode == "motion" else 2)


@pytest.fixture(scope="module")
def looking(browser: Browser, server: Server) -> Iterator[BenchPage]:
    """One page on its first item, for tests that only look."""
    with signed_in(browser, server, "Lena") as state:
        state.ready()
        yield state


def test_flicker_while_space_is_held_and_by_itself(looking: BenchPage) -> None:
    stage, page = looking.stage, looking.page
    looking.press("q")
    expect(stage).to_have_attribute("data-shown", "b")
    page.keyboard.down("Space")
    expect(stage).to_have_attribute("data-shown", "a")
    page.keyboard.up("Space")
    expect(stage).to_have_attribute("data-shown", "b")
    page.get_by_test_id("hold").dispatch_event("pointerdown")
    expect(stage).to_have_attribute("data-shown", "a")
    page.get_by_test_id("hold").dispatch_event("pointerup")
    for hz in ("2 Hz", "4 Hz", "8 Hz"):
        page.get_by_role("button", name=hz).click()
        for shown in ("a", "b", "a"):
            expect(stage).to_have_attribute("data-shown", shown)
    page.get_by_role("button", name="8 Hz").click()
    expect(page.get_by_role("button", name="8 Hz")).to_have_attribute("aria-pressed", "false")


def test_wipe_by_mouse_and_by_keyboard(looking: BenchPage) -> None:
    looking.press("w")
    line = looking.page.get_by_test_id("wipe")
    box = looking.stage.bounding_box()
    assert box is not None
    looking.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + 20)
    expect(line).to_have_attribute("aria-valuenow", "25")
    line.focus()
    looking.press("ArrowRight")
    expect(line).to_have_attribute("aria-valuenow", "27")
    expect(looking.stage.locator("[data-id=pane-b]")).to_have_attribute("style", re.compile(r"clip-path: inset\(.*27"))


def test_motion_plays_three_frames_at_three_speeds(looking: BenchPage) -> None:
    looking.press("m")
    for speed in ("Real speed", "½", "¼"):
        looking.page.get_by_role("button", name=speed).click()
        expect(looking.page.get_by_role("button", name=speed)).to_have_attribute("aria-pressed", "true")
        for frame in ("0", "1", "2"):
            expect(looking.stage).to_have_attribute("data-frame", frame)


def test_pictures_are_bit_exact_and_difference_is_their_difference(looking: BenchPage, server: Server) -> None:
    rows = read_manifest(server.settings.manifest).rows()
    looking.press("e")
    stored = [(row["gt_sha256"], row["pred_sha256"]) for row in rows]
    eventually(lambda: (canvas_hash(looking, "pane-a"), canvas_hash(looking, "pane-b")) in stored, True)
    pair = (canvas_hash(looking, "pane-a"), canvas_hash(looking, "pane-b"))
    looking.press("d")
    looking.page.get_by_role("button", name="×16").click()
    eventually(lambda: canvas_hash(looking, "pane-b") in pair, False)  # the heat map is drawn when asked for


def test_zoom_and_pan_move_both_panes_and_say_when_not_1_to_1(looking: BenchPage) -> None:
    page, stage = looking.page, looking.stage
    note = page.get_by_test_id("scale-note")
    looking.press("e")
    expect(note).to_be_hidden()
    expect(page.get_by_test_id("zoom")).to_have_text("100 %")
    for _ in range(4):
        looking.press("+")
    expect(page.get_by_test_id("zoom")).to_have_text("600 %")
    expect(note).to_contain_text("600")
    for act in (lambda: looking.press("ArrowRight"), lambda: page.mouse.wheel(0, 100)):
        stage.hover()
        act()
        places = stage.locator("canvas.layer").evaluate_all("nodes => nodes.map(n => n.style.left + n.style.top)")
        assert places[0] == places[1]
    looking.press("z")
    expect(page.locator("[data-id=fit-button]")).to_have_attribute("aria-pressed", "true")
    looking.press("z")
    expect(note).to_be_hidden()


def test_scaled_screen_is_said(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Scaled", device_scale_factor=1.25) as state:
        state.ready()
        expect(state.page.get_by_test_id("scale-note")).to_contain_text("1.25")
        layer = state.stage.locator("canvas.layer").first
        eventually(lambda: 1.25 * layer.evaluate("node => node.getBoundingClientRect().width"), pytest.approx(WIDTH))


def test_loupe_and_help(looking: BenchPage) -> None:
    looking.press("q")
    looking.press("l")
    looking.stage.hover()
    expect(looking.page.get_by_test_id("loupe")).to_be_visible()
    looking.press("l")
    expect(looking.page.get_by_test_id("loupe")).to_be_hidden()
    looking.press("?")
    expect(looking.page.get_by_test_id("dialog")).to_be_visible()
    before = looking.ready()
    looking.press("1")  # behind a dialog no key rates
    looking.escape()
    assert looking.ready() == before
    looking.expect_done(0)


READ_HALF = """(loupe, half) => {
    const { data } = loupe.getContext("2d").getImageData(half * 208, 0, 200, 172); // above the name
    const rgb = [];
    for (let y = 2; y < 172; y += 5) {
        for (let x = 2; x < 200; x += 5) rgb.push(...data.slice((y * 200 + x) * 4, (y * 200 + x) * 4 + 3));
    }
    return btoa(String.fromCharCode(...rgb));
}"""  # each pixel of the picture once
NAMED = """(loupe, [half, name]) => {
    const [width, height] = [200, 22];
    const written = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d");
    written.fillRect(0, 0, width, height);
    written.fillStyle = "#fff";
    written.font = "600 13px system-ui, sans-serif";
    written.fillText(name, 7, 15);
    const white = (context, x, y) => [...context.getImageData(x, y, width, height).data].map((value) => value > 230);
    const wanted = white(written, 0, 0);
    const seen = white(loupe.getContext("2d"), half * 208, 178);
    const letters = [...wanted.keys()].filter((at) => at % 4 === 0 && wanted[at]);
    return letters.filter((at) => seen[at] && seen[at + 1] && seen[at + 2]).length / letters.length;
}"""


def test_the_loupe_names_its_halves_and_shows_what_it_names(looking: BenchPage) -> None:
    looking.press("q")
    looking.press("l")
    looking.stage.hover()
    loupe = looking.page.get_by_test_id("loupe")
    expect(loupe).to_be_visible()
    for half, (pane, name, other) in enumerate([("pane-a", "Real", "Made"), ("pane-b", "Made", "Real")]):
        magnified = np.frombuffer(base64.b64decode(loupe.evaluate(READ_HALF, half)), np.uint8).reshape(34, 40, 3)
        canvas = looking.stage.locator(f"[data-id={pane}] canvas").first
        picture = np.frombuffer(base64.b64decode(canvas.evaluate(READ_CANVAS)), np.uint8).reshape(HEIGHT, WIDTH, 3)
        windows = np.lib.stride_tricks.sliding_window_view(picture, magnified.shape)
        assert (windows == magnified).all(axis=(-3, -2, -1)).any(), name
        assert loupe.evaluate(NAMED, [half, name]) == 1
        assert loupe.evaluate(NAMED, [half, other]) < 0.9
    looking.press("l")
    expect(loupe).to_be_hidden()


def test_keys_that_must_not_rate(looking: BenchPage) -> None:
    before = looking.ready()
    for chord in ("Control+1", "Alt+2", "Meta+3"):
        looking.press(chord)
    looking.stage.dispatch_event("keydown", {"key": "1", "code": "Digit1", "repeat": True, "bubbles": True})
    looking.stage.dispatch_event("keydown", {"key": "1", "code": "Digit1", "isComposing": True, "bubbles": True})
    looking.press("c")
    looking.page.locator("textarea").press_sequentially("1 2 3 4")
    looking.escape()
    assert looking.ready() == before
    looking.expect_done(0)
    looking.page.locator("button[data-mode=side]").click()
    looking.press("Space")  # a click on a button must not swallow the keys after it
    expect(looking.stage).to_have_attribute("data-mode", "flicker")


def test_a_second_start_over_the_same_page_changes_nothing(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Twice") as state:
        first = state.ready()
        state.page.evaluate(  # as Gradio does when it shows a component again
            """async () => {
                const style = document.querySelector("link[href$='viewer.css']").getAttribute("href");
                const base = style.replace("/viewer.css", "");
                const { start } = await import(`${base}/main.js`);
                await start(document.querySelector("[data-id=app]").parentElement, base);
            }"""
        )
        state.press("+")
        expect(state.page.get_by_test_id("zoom")).to_have_text("200 %")
        second = state.rate("1")
        state.expect_done(1)
        assert second not in (first, "")


def test_undo_any_number_of_votes_back(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Bo") as state:
        first = state.ready()
        second = state.rate("1")
        third = state.rate("2")
        state.expect_done(2)
        state.press("u")
        expect(state.state).to_have_attribute("data-assignment-id", second)
        state.expect_note("it was level 2")
        state.press("Backspace")
        expect(state.state).to_have_attribute("data-assignment-id", first)
        state.expect_done(0)
        state.press("u")
        state.expect_note("Nothing to take back")
        assert state.rate("3") == second
        assert state.rate("4") == third
        state.expect_done(2)
    votes = [vote["level"] for vote in events_of(server.settings, "vote") if vote["name"] == "Bo"]
    assert votes == [1, 2, 3, 4]  # nothing is deleted
    assert len([undo for undo in events_of(server.settings, "undo") if undo["name"] == "Bo"]) == 2


def test_what_a_vote_changed_is_written_before_what_is_done_next(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Quick") as state:
        state.ready()
        state.page.evaluate(  # keep what is put off until the next picture is painted from coming
            """() => {
                const held = (window.held = []);
                window.later = window.requestAnimationFrame;
                window.requestAnimationFrame = (act) => held.push(act);
            }"""
        )
        state.rate("1")
        state.press("f")
        state.expect_done(1)
        state.expect_note("Flagged")
        state.page.evaluate("window.requestAnimationFrame = window.later; window.held.forEach((act) => act(0))")
        state.prefetched(5)
        state.expect_note("Flagged")


def test_skip_flag_and_comment(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Cleo") as state:
        skipped = state.ready()
        state.press("s")
        state.page.get_by_role("button", name="A cut or a fade").click()
        expect(state.state).not_to_have_attribute("data-assignment-id", skipped)
        state.expect_note("Skipped")
        state.press("f")
        expect(state.page.locator("[data-id=flag-button]")).to_have_attribute("aria-pressed", "true")
        for _ in range(2):  # the second time it shows what was written: as text
            state.press("c")
            area = state.page.locator("textarea")
            area.fill(HOSTILE)
            state.page.get_by_role("button", name="Save").click()
        state.press("c")
        expect(state.page.locator("textarea")).to_have_value(HOSTILE)
        state.escape()
        state.rate("3")
        state.expect_done(1)
        expect(state.page.locator("[data-id=flag-button]")).to_have_attribute("aria-pressed", "false")
    vote = next(vote for vote in events_of(server.settings, "vote") if vote["name"] == "Cleo")
    assert (vote["flagged"], vote["payload"]["comment"]) == (1, HOSTILE)
    skip = next(skip for skip in events_of(server.settings, "skip") if skip["name"] == "Cleo")
    assert (str(skip["assignment_id"]), skip["payload"]["reason"]) == (skipped, "scene_cut")


def test_remapped_keys_and_language_follow_the_annotator(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Dora") as state:
        first = state.ready()
        state.page.get_by_role("button", name="Settings").click()
        state.page.locator("[data-remap=rate1]").click()
        state.press("h")
        expect(state.page.locator("[data-remap=rate1]")).to_have_text("H")
        state.page.locator("[data-remap=skip]").click()
        state.press("2")  # taken: the two change places
        expect(state.page.locator("[data-remap=rate2]")).to_have_text("S")
        state.page.get_by_label("Language").select_option("de")
        state.page.get_by_role("button", name="Save").click()
        expect(state.page.locator(".level kbd").first).to_have_text("H")
        expect(state.page.locator("h1")).to_have_text("Bewertungsplatz")
        expect(state.page.locator("html")).to_have_attribute("lang", "de")
    with signed_in(browser, server, "Dora") as state:  # another machine: same items, same keys, same language
        assert state.ready() == first
        expect(state.page.get_by_role("button", name="Rückgängig")).to_be_visible()
        state.press("1")
        state.rate("h")
        state.rate("s")
        state.expect_done(2)


def test_by_touch(browser: Browser, server: Server) -> None:
    tablet = {"has_touch": True, "viewport": {"width": 820, "height": 1180}}
    with signed_in(browser, server, "Eve", **tablet) as state:
        first = state.ready()
        state.page.locator("button[data-mode=wipe]").tap()
        expect(state.stage).to_have_attribute("data-mode", "wipe")
        state.page.locator("button[data-level='2']").tap()
        expect(state.state).not_to_have_attribute("data-assignment-id", first)
        state.expect_done(1)


def test_by_keyboard_alone(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Flo") as state:
        state.ready()
        names = []
        for _ in range(34):
            state.press("Tab")
            names.append(state.page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel"))
        order = [
            next(i for i, name in enumerate(names) if part in (name or "")) for part in ("Flicker", "Easy", "Undo")
        ]
        assert order == sorted(order)
        state.page.locator("button[data-mode=side]").focus()
        state.press("Space")  # on a focused button Space presses it
        expect(state.stage).to_have_attribute("data-mode", "side")
