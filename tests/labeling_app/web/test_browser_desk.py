"""The lead's day in a browser: set a person's votes aside, ask again, look at 1:1, decide, export."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from labeling_app.database.events import now_us
from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import Server, clip_frames, events_of, running, signed_in, write_data_set
from tests.labeling_app.helpers import PASSWORD, Client, add_user, make_state

pytestmark = pytest.mark.browser

COUNT = 6


@pytest.fixture(scope="module")
def server(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ada and Cy have rated everything 2, Bo 4; Dora has not begun."""
    folder = tmp_path_factory.mktemp("desk")
    manifest = write_data_set(folder, clip_frames(demo_clips / "bikes.mp4", COUNT + 2), items=COUNT).path
    state = make_state(manifest, clock=now_us, overlap=3)
    roles = {"Ada": "annotator", "Bo": "annotator", "Cy": "annotator", "Dora": "annotator", "Rita": "reviewer"}
    for name, role in {**roles, "Root": "admin"}.items():
        add_user(state.store, name, role=role, password=PASSWORD)
    for name, level in {"Ada": 2, "Bo": 4, "Cy": 2}.items():
        client = Client(state)
        client.sign_in(name)
        while items := client.items(5):
            for item in items:
                client.vote(item, level)
    state.close()
    with running(Settings(manifest=manifest, gold_rate=0, repeat_rate=0, overlap=3)) as server:
        yield server


def step(page: Page, name: str, *, says: str) -> None:
    """Press a button of the desk, read the preview, confirm it, and wait until it is done."""
    page.get_by_role("button", name=name, exact=True).click()
    dialog = page.get_by_test_id("dialog")
    expect(dialog).to_contain_text(says)
    dialog.get_by_role("button", name="Do it").click()
    expect(dialog).to_be_hidden()


def test_the_leads_day(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Rita", password=PASSWORD, viewport={"width": 1366, "height": 768}) as bench:
        page = bench.page
        bench.ready_or_empty()
        page.get_by_role("button", name="Desk", exact=True).click()
        total, note = page.get_by_test_id("desk-total"), page.get_by_test_id("desk-note")
        expect(total).to_have_text(f"{COUNT} items · {COUNT} disputed")
        page.get_by_label("Person").first.select_option("Bo")
        page.get_by_role("button", name="Filter").click()
        expect(total).to_contain_text("6 items")
        step(page, "Set votes aside", says="6 votes on 6 items are set aside")
        expect(note).to_have_text("Done: 6 items, 6 votes.")
        page.get_by_role("button", name="Show all").click()
        expect(total).to_have_text("6 items · 6 begun")
        step(page, "Ask others", says="6 items want one more vote")
        page.get_by_test_id("desk-table").get_by_role("link").first.click()
        inspect = page.get_by_test_id("inspect")
        expect(inspect.get_by_test_id("inspect-votes")).to_contain_text("Bo (set aside)")
        expect(bench.stage.locator("canvas.layer")).to_have_count(2)
        expect(page.get_by_test_id("zoom")).to_have_text("100 %")
        bench.press("w")  # the same bench: ways of looking, zoom, keys
        expect(bench.stage).to_have_attribute("data-mode", "wipe")
        bench.press("+")
        expect(page.get_by_test_id("zoom")).to_have_text("200 %")
        inspect.get_by_placeholder("Comment").fill("a doubled edge")
        bench.press("Escape")
        bench.stage.click()
        bench.press("3")
        expect(page.get_by_test_id("inspect-note")).to_have_text("Level 3 decided.")
        expect(inspect).to_contain_text("Verdict 3 by Rita: a doubled edge")
        bench.back("desk")
        expect(total).to_have_text("6 items · 5 begun · 1 decided")
        page.get_by_role("button", name="Statistics").click()
        expect(page.get_by_test_id("stats-excluded")).to_have_text("6")
        expect(page.get_by_test_id("stats-votes")).to_have_text("12 / 24")
        expect(page.get_by_test_id("stats-disagreeing")).to_have_text("0")
        page.get_by_role("button", name="Label", exact=True).click()
        bench.ready()  # the reviewer's own item is on the bench again
    with signed_in(browser, server, "Root", password=PASSWORD) as admin:
        admin.ready_or_empty()
        admin.page.get_by_role("button", name="Statistics").click()
        with admin.page.expect_download() as download:
            admin.page.get_by_role("link", name="Votes as CSV").click()
        rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    assert {row["annotator"] for row in rows if row["stage"] == "work"} == {"Ada", "Cy"}
    assert [(row["level"], row["comment"]) for row in rows if row["stage"] == "verdict"] == [("3", "a doubled edge")]
    assert len(events_of(server.settings, "vote")) == 3 * COUNT  # all votes are where they were


def test_gold_and_comments_many_at_once(browser: Browser, server: Server) -> None:
    def stored() -> tuple[list[tuple[int | None, str]], list[str]]:
        gold = [(event["level"], event["payload"]["purpose"]) for event in events_of(server.settings, "gold")]
        return gold, [event["payload"]["text"] for event in events_of(server.settings, "note")]

    gold, notes = stored()
    with signed_in(browser, server, "Rita", password=PASSWORD) as bench:
        bench.ready_or_empty()
        page = bench.page
        page.goto(f"{server.url}/#desk")
        ticks = page.get_by_test_id("desk-table").get_by_role("checkbox")
        for action, says in {
            "Make gold": "2 items become hidden gold items of level 3.",
            "No longer gold": "2 items are ordinary again",
            "Keep the comment": "The comment is kept with 2 items.",
        }.items():
            for number in range(2):
                ticks.nth(number).check()
            page.get_by_role("group", name="Change what is ticked").get_by_label("Level").select_option("3")
            page.get_by_placeholder("Comment").fill("a doubled edge")
            step(page, action, says=says)
            expect(page.get_by_test_id("desk-note")).to_have_text("Done: 2 items, 0 votes.")
            expect(ticks.first).not_to_be_checked()
        page.get_by_role("button", name="Tier").click()
        expect(page.get_by_role("columnheader", name="Tier")).to_have_attribute("aria-sort", "descending")
    new_gold, new_notes = stored()
    assert new_gold[len(gold) :] == [(3, "gold")] * 2 + [(None, "gold")] * 2
    assert new_notes[len(notes) :] == ["a doubled edge"] * 2


def test_a_preview_that_is_dismissed_changes_nothing(browser: Browser, server: Server) -> None:
    before = len(events_of(server.settings, "exclude"))
    with signed_in(browser, server, "Rita", password=PASSWORD) as bench:
        bench.ready_or_empty()
        bench.page.goto(f"{server.url}/#desk")
        bench.page.get_by_test_id("desk-table").get_by_role("checkbox").first.check()
        bench.page.get_by_role("button", name="Ask all again", exact=True).click()
        expect(bench.page.get_by_test_id("dialog")).to_contain_text("1 items are asked again")
        bench.page.get_by_role("button", name="Cancel").click()
        expect(bench.page.get_by_test_id("dialog")).to_be_hidden()
    assert len(events_of(server.settings, "exclude")) == before


def test_german_and_no_desk_for_annotators(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Dora", password=PASSWORD) as bench:
        bench.ready_or_empty()
        expect(bench.page.get_by_role("button", name="Desk", exact=True)).to_be_hidden()
        bench.page.goto(f"{server.url}/#item-1")
        bench.ready_or_empty()
        expect(bench.page.get_by_test_id("inspect")).to_be_hidden()
