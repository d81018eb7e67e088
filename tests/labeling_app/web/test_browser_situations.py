"""The bench where people really use it: several tabs and machines, the back button, browsers that change pixels."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

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
        kept = "Object.keys(localStorage).filter((key) => key.includes('outbox'))"
        eventually(lambda: new.page.evaluate(kept), [])
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
        expect(other.get_by_test_id("dialog")).to_be_visible()  # the help, to a newcomer
        dee.escape()
        dee.ready()
        cy.press("4")  # the cookie is Dee's by now
        expect(cy.page.get_by_text("Your session has ended")).to_be_visible()
        dee.rate("1")
        dee.expect_done(1)
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
        state.back("bench")
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
