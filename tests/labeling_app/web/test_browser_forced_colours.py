"""Forced colours (high contrast): what is seen of buttons, of what is chosen, of the focus and of the pictures."""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from labeling_app.settings import Settings
from tests.contrast import contrast
from tests.labeling_app.browser_fixtures import (
    BenchPage,
    Server,
    clip_frames,
    eventually,
    running,
    settled,
    signed_in,
    write_data_set,
)

pytestmark = pytest.mark.browser

Pixels = npt.NDArray[np.uint8]
SEEN = 3.0  # WCAG 2.2, 1.4.11: contrast of what tells a control or its state


@pytest.fixture(scope="module")
def server(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Pictures larger than the window, so that there is a map."""
    folder = tmp_path_factory.mktemp("forced")
    frames = clip_frames(demo_clips / "bikes.mp4", 5, width=1920, height=1080)
    manifest = write_data_set(folder, frames, items=3).path
    with running(Settings(manifest=manifest, open_mode=True, gold_rate=0, repeat_rate=0, overlap=20)) as server:
        yield server


@pytest.fixture(params=["light", "dark"])
def bench(browser: Browser, server: Server, request: pytest.FixtureRequest) -> Iterator[BenchPage]:
    """The bench under the system's light or dark high contrast."""
    size = {"width": 1366, "height": 768}
    with signed_in(browser, server, "Ada", viewport=size, forced_colors="active", color_scheme=request.param) as bench:
        bench.ready()
        expect(bench.page.get_by_test_id("map")).to_be_visible()
        yield bench


def picture(of: Page | Locator) -> Pixels:
    """What is on the screen, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(of.screenshot(animations="disabled"))).convert("RGB"))


def hex_colour(pixel: npt.ArrayLike) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in np.asarray(pixel))


def system_colour(page: Page, name: str) -> Pixels:
    """A colour of the system's palette, as the browser draws it."""
    drawn = page.evaluate(
        """name => {
            const node = document.body.appendChild(document.createElement("i"));
            node.style.color = name;
            const found = getComputedStyle(node).color;
            node.remove();
            return found.match(/\\d+/g).slice(0, 3).map(Number);
        }""",
        name,
    )
    return np.array(drawn, dtype=np.uint8)


def test_the_palette_is_the_systems(bench: BenchPage) -> None:
    ground = picture(bench.page)[60, 1366 - 20]  # of the panel, beside its heading
    assert hex_colour(ground) == hex_colour(system_colour(bench.page, "Canvas"))


def test_every_button_has_an_edge(bench: BenchPage) -> None:
    screen, faint = picture(bench.page), []
    for button in bench.page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        left, middle = round(box["x"]), round(box["y"] + box["height"] / 2)
        edge = screen[middle, left : left + 3]
        outside = screen[middle, left - 3]
        if max(contrast(hex_colour(pixel), hex_colour(outside)) for pixel in edge) < SEEN:
            faint.append(button.inner_text())
    assert faint == []


def test_buttons_that_work_do_not_look_as_if_they_did_not(bench: BenchPage) -> None:
    text, grey = (hex_colour(system_colour(bench.page, name)) for name in ("ButtonText", "GrayText"))
    assert text != grey
    colour = "node => getComputedStyle(node).color.match(/\\d+/g).slice(0, 3).map(Number)"
    for name in ("[data-level='3']", "[data-level='3'] b", ".actions [data-action=flag]"):
        assert hex_colour(bench.page.locator(name).evaluate(colour)) == text, name
    bench.page.locator("[data-level='3']").evaluate("node => { node.disabled = true; }")
    assert hex_colour(bench.page.locator("[data-level='3']").evaluate(colour)) == grey


def test_what_is_chosen_stands_out(bench: BenchPage) -> None:
    wipe, flag = (bench.page.locator(f"button[data-action={name}]") for name in ("wipe", "flag"))
    desk = bench.page.locator("[data-id=tabs] [data-view=desk]")
    for button, choose in ((wipe, wipe.click), (flag, flag.click), (desk, desk.click)):
        before = area_of(bench.page, button)
        choose()
        expect(button).to_have_attribute(
            "aria-pressed" if button is not desk else "aria-current", re.compile("true|page")
        )
        bench.page.mouse.move(600, 400)  # off the button: what is left is its own look
        assert is_framed(bench.page, button, before)


@pytest.mark.parametrize("target", ["[data-level='3']", "[data-action=undo]", "[data-view=desk]", "[data-id=stage]"])
def test_the_focus_is_seen(bench: BenchPage, target: str) -> None:
    bench.page.keyboard.press("Tab")  # from now on the keyboard leads
    node = bench.page.locator(target)
    before = area_of(bench.page, node)
    node.focus()
    assert is_framed(bench.page, node, before)


def area_of(page: Page, node: Locator) -> Pixels:
    """What is on the screen where a node is, and a little around it."""
    box = node.bounding_box()
    assert box is not None
    left, top = max(0, round(box["x"]) - 5), max(0, round(box["y"]) - 5)
    return picture(page)[top : top + round(box["height"]) + 10, left : left + round(box["width"]) + 10]


def is_framed(page: Page, node: Locator, before: Pixels) -> bool:
    """Whether a node looks strongly different by now, in as many pixels as a frame around it has."""
    after = area_of(page, node)
    return num_strong(before, after) > before.shape[0] + before.shape[1]  # half of a ring of one pixel, at least


def num_strong(before: Pixels, after: Pixels) -> int:
    """How many pixels look strongly different."""
    changed = (before != after).any(axis=-1)
    pairs, counts = np.unique(np.hstack([before[changed], after[changed]]), axis=0, return_counts=True)
    strong = [contrast(hex_colour(pair[:3]), hex_colour(pair[3:])) >= SEEN for pair in pairs]
    return int(counts[np.array(strong, dtype=bool)].sum())


def test_pictures_map_and_its_rectangle_are_as_without(bench: BenchPage) -> None:
    the_map = bench.page.get_by_test_id("map")
    settled(lambda: picture(the_map).tobytes())
    shown: dict[str, list[Pixels]] = {}
    modes: list[Literal["active", "none"]] = ["active", "none"]
    for mode in modes:
        bench.page.emulate_media(forced_colors=mode)
        # Below what says which picture it is, and within the map's round corners.
        shown[mode] = [picture(bench.stage)[50:-10], picture(the_map)[4:-4, 4:-4]]
    for one, other in zip(shown["active"], shown["none"], strict=True):
        assert (one != other).sum() == 0
    bench.page.emulate_media(forced_colors="active")
    settled(lambda: picture(the_map).tobytes())
    before = area_of(bench.page, the_map)
    for _ in range(4):
        bench.press("ArrowRight")
    # The rectangle goes with the view: its two upright sides are strongly seen where they were not before.
    eventually(lambda: num_strong(before, area_of(bench.page, the_map)) > before.shape[0], True)


def test_the_loupe_is_seen_with_its_edge(bench: BenchPage) -> None:
    bench.press("l")
    bench.stage.hover()
    loupe = bench.page.get_by_test_id("loupe")
    expect(loupe).to_be_visible()
    edge = picture(loupe)[0, 10:-10]  # without the round corners
    assert (edge == 255).all()
