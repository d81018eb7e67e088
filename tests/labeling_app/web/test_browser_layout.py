"""The page on common screens, in both themes and languages: no room is idle, nothing cut off, no word misleads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import (
    Server,
    clip_frames,
    eventually,
    running,
    settled,
    signed_in,
    write_data_set,
)

pytestmark = pytest.mark.browser

BOXES = """(names) => Object.fromEntries(names.map((name) => {
    const { left, top, right, bottom } = document.querySelector(`.vb ${name}`).getBoundingClientRect();
    return [name, [left, top, right, bottom].map(Math.round)];
}))"""
PARTS = [".bar", ".toolbar", ".stage", ".strip", ".panel.labelling"]


@pytest.fixture(scope="module")
def server(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("layout")
    frames = clip_frames(demo_clips / "bikes.mp4", 5, width=1920, height=1080)
    manifest = write_data_set(folder, frames, items=3).path
    with running(Settings(manifest=manifest, open_mode=True, gold_rate=0, repeat_rate=0, overlap=20)) as server:
        yield server


@pytest.mark.parametrize(
    ("width", "height", "theme", "language"),
    [
        (1366, 768, "dark", "en"), (1366, 768, "light", "de"),
        (1920, 1080, "dark", "de"), (1920, 1080, "light", "en"),
        (2560, 1440, "dark", "en"), (2560, 1440, "light", "de"),
    ],
)  # fmt: skip
def test_the_picture_has_all_the_room_and_the_panel_shows_all(
    browser: Browser, server: Server, width: int, height: int, theme: str, language: str
) -> None:
    name = f"{theme}{language}{width}"
    with signed_in(browser, server, name, viewport={"width": width, "height": height}) as bench:
        bench.ready()
        page = bench.page
        page.get_by_role("button", name="Settings").click()
        page.locator("[data-id=theme]").select_option(theme)
        page.locator("[data-id=dialog] [data-id=language]").select_option(language)
        with page.expect_event("load"):  # a new language is a new page
            page.locator("[data-answer=save]").click()
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
        undo, flag = {"en": ("Undo", "Flag"), "de": ("Rückgängig", "Markieren")}[language]
        expect(page.locator("[data-action=undo]")).to_contain_text(undo)
        expect(page.locator(".actions [data-action=flag]")).to_contain_text(flag)
        bench.ready()
        ground = page.locator(".vb").evaluate("node => getComputedStyle(node).backgroundColor")
        assert ground == {"dark": "rgb(29, 29, 29)", "light": "rgb(220, 220, 220)"}[theme]
        settled(lambda: page.evaluate(BOXES, PARTS))
        bar, tools, stage, strip, panel = page.evaluate(BOXES, PARTS).values()
        assert [bar[3], tools[3], stage[3], strip[3]] == [tools[1], stage[1], strip[1], height]  # without a gap
        assert (stage[0], stage[2], panel[2]) == (0, panel[0], width)
        assert (stage[3] - stage[1]) / height > 0.8
        hidden = "node => node.scrollHeight - node.clientHeight"
        assert page.locator(".panel.labelling").evaluate(hidden) <= 1
        if width == 2560:  # a 1080p picture is there whole, at 1:1, in the middle
            left, top, right, bottom = page.evaluate(BOXES, [".layer"])[".layer"]
            assert (right - left, bottom - top) == (1920, 1080)
            assert (left - stage[0], top - stage[1]) == pytest.approx((stage[2] - right, stage[3] - bottom), abs=1)
    with signed_in(browser, server, name) as again:  # the choice follows the name
        again.ready()
        expect(again.page.locator("html")).to_have_attribute("data-theme", theme)
        expect(again.page.locator("html")).to_have_attribute("lang", language)


@pytest.mark.parametrize("view", ["stats", "desk", "review", "users"])
def test_on_a_phone_no_button_of_the_leads_pages_is_off_the_screen(browser: Browser, server: Server, view: str) -> None:
    outside = """() => [...document.querySelectorAll(".vb .page button, .vb .page a.button, .vb .page select")]
        .filter((node) => node.checkVisibility() && !node.closest(".table-box"))
        .filter((node) => node.getBoundingClientRect().right > innerWidth)
        .map((node) => node.innerText)"""
    with signed_in(browser, server, "Phone", viewport={"width": 390, "height": 844}) as bench:
        bench.ready()
        bench.page.goto(f"{server.url}/#{view}")
        expect(bench.page.locator(f"[data-id={view}] h2").first).to_be_visible()
        settled(lambda: bench.page.locator(f"[data-id={view}]").inner_html())
        assert bench.page.evaluate(outside) == []


def test_the_help_shows_examples_of_two_clips_in_turns(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Eva") as bench:
        bench.ready()
        bench.press("?")
        examples = bench.page.get_by_test_id("dialog").locator(".example-image")
        expect(examples).to_have_count(12)
        expect(bench.page.get_by_test_id("dialog")).to_contain_text(
            "Blender Foundation, CC BY 3.0; a city at night, CC0"
        )
        for kind in ("real", "made"):
            loaded = f"nodes => nodes.map(node => node.querySelector('.{kind}').naturalWidth)"
            eventually(lambda loaded=loaded: examples.evaluate_all(loaded), [200] * 12)
        turns = "node => getComputedStyle(node).animationName"
        assert examples.first.locator(".made").evaluate(turns) == "vb-turns"
