"""Paired comparison as a person sees it: two predictions side by side, the truth in both places, three answers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from dataset_tools.frames import pixels_sha256, write_image
from dataset_tools.manifest import from_rows, read_manifest
from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import (
    Server,
    clip_frames,
    events_of,
    running,
    shown_pixels_sha256,
    signed_in,
    write_data_set,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("pairs")
    frames = clip_frames(demo_clips / "bikes.mp4", 6)
    manifest = write_data_set(folder / "data", frames, items=4)
    rows = []
    for index, row in enumerate(manifest.rows()):
        write_image(folder / "other" / f"{index}.png", frames[row["img0_index"]])  # the frame before, again
        rows.append({**row, "pred": f"{index}.png", "pred_sha256": pixels_sha256(frames[row["img0_index"]])})
    from_rows(folder / "other" / "data_manifest.parquet", rows).write()
    options = {"open_mode": True, "gold_rate": 0, "repeat_rate": 0, "overlap": 20}
    against = folder / "other" / "data_manifest.parquet"
    with running(Settings(manifest=manifest.path, against=against, **options)) as server:
        yield server


def test_two_predictions_side_by_side_are_judged_by_three_keys(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Ada") as state:
        state.ready()
        expect(state.page.get_by_text("Which one is worse?")).to_be_visible()
        expect(state.page.locator("[data-level]")).to_have_count(3)
        expect(state.page.locator("[data-mode=side]")).to_be_hidden()
        expect(state.stage).to_have_attribute("data-arrange", "side")
        expect(state.stage).to_have_attribute("data-shown", "both")
        left, right = (shown_pixels_sha256(state, pane) for pane in ("pane-a", "pane-b"))
        rows = _hashes(server)
        pair = next(one for one in rows if {left, right} == {one["pred"], one["rival"]})

        state.page.keyboard.down(" ")  # the truth stands in both places
        expect(state.stage).to_have_attribute("data-shown", "truth")
        assert {shown_pixels_sha256(state, pane) for pane in ("pane-a", "pane-b")} == {pair["gt"]}
        expect(state.page.locator(".stage .tag:visible")).to_have_text(["Real", "Real"])
        state.page.keyboard.up(" ")
        expect(state.stage).to_have_attribute("data-shown", "both")
        expect(state.page.locator(".stage .tag:visible")).to_have_text(["Left", "Right"])

        for mode, arrange in {"w": "stack", "d": "side", "m": "side", "e": "side"}.items():
            state.press(mode)
            expect(state.stage).to_have_attribute("data-arrange", arrange)
        before = state.ready()
        state.press("?")
        keys = state.page.get_by_test_id("dialog").locator(".key-row")
        expect(keys.nth(2)).to_have_text("3Right is worse")
        expect(keys.filter(has_text=re.compile("Level|Side"))).to_have_count(0)
        state.escape()
        state.press("4")  # no answer
        state.rate("1")
        state.expect_note("Saved: Left is worse.")
        state.press("u")
        state.expect_note("Taken back: Left is worse.")
        expect(state.state).to_have_attribute("data-assignment-id", before)
        for key in "3231":
            state.rate(key)
        expect(state.page.get_by_test_id("nothing-left")).to_be_visible()
        state.press("b")
        expect(state.page.get_by_test_id("history").locator("b")).to_have_text(
            ["Left is worse", "Right is worse", "Same", "Right is worse"]
        )
    votes = [vote for vote in events_of(server.settings, "vote") if vote["name"] == "Ada"][-5:]
    assert [vote["payload"]["worse"] for vote in votes] == ["left", "right", "same", "right", "left"]
    first = {"pred": 1, "rival": 3}["pred" if left == pair["pred"] else "rival"]
    assert votes[0]["level"] == first


def test_leads_are_told_of_three_answers(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Lea") as state:
        state.ready()
        state.rate("2")
        page = state.page
        page.get_by_role("button", name="Statistics").click()
        bars = page.get_by_role("img", name=re.compile("^Answers: "))
        expect(bars.locator("rect")).to_have_count(3)
        expect(bars).to_have_attribute(
            "aria-label", re.compile(r"First one worse \d+, Same [1-9]\d*, Second one worse \d+$")
        )
        expect(page.get_by_test_id("annotators")).to_contain_text("First · same · second")
        page.get_by_role("button", name="Review").click()
        expect(page.get_by_test_id("review")).not_to_contain_text("level")
        page.get_by_role("button", name="Desk", exact=True).click()
        page.get_by_test_id("desk-table").get_by_role("checkbox").first.check()
        page.get_by_role("button", name="Decide", exact=True).click()
        expect(page.get_by_test_id("dialog")).to_contain_text("1 items get the answer: First one worse.")
        state.escape()


def _hashes(server: Server) -> list[dict[str, str]]:
    assert server.settings.against is not None
    rivals = {row["triplet_id"]: row["pred_sha256"] for row in read_manifest(server.settings.against).rows()}
    rows = read_manifest(server.settings.manifest).rows()
    return [{"pred": r["pred_sha256"], "rival": rivals[r["triplet_id"]], "gt": r["gt_sha256"]} for r in rows]
