"""The page and its server in trouble and in company: offline and back, leases, two annotators, training, blind mode."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import (
    BenchPage,
    clip_frames,
    events_of,
    eventually,
    running,
    signed_in,
    write_data_set,
)

pytestmark = pytest.mark.browser

COUNT = 8


@pytest.fixture(scope="module")
def data_set(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("server")
    return write_data_set(folder, clip_frames(demo_clips / "bikes.mp4", COUNT + 2), items=COUNT).path


@pytest.fixture
def settings(data_set: Path, tmp_path: Path) -> Settings:
    """A database of its own for every test, over one data set."""
    database = f"sqlite:///{tmp_path / 'labels.sqlite'}"
    return Settings(manifest=data_set, db_url=database, open_mode=True, gold_rate=0, repeat_rate=0, overlap=1)


def test_offline_and_back_keeps_every_vote_in_order(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as state:
        page = state.page
        state.rate("1")
        state.expect_done(1)
        state.prefetched(5)
        server.stop()
        for key in "234":
            state.rate(key)
        expect(page.get_by_test_id("offline")).to_be_visible()
        expect(page.get_by_test_id("unsent")).to_have_text("3 not sent")
        state.expect_note("kept")
        state.expect_done(1)  # not counted before the server has them
        with page.expect_event("dialog") as warning:
            page.evaluate("setTimeout(() => location.reload())")
        assert warning.value.type == "beforeunload"
        warning.value.dismiss()
        server.start()
        expect(page.get_by_test_id("offline")).to_be_hidden()
        expect(page.get_by_test_id("unsent")).to_be_hidden()
        state.expect_done(4)
    assert [vote["level"] for vote in events_of(settings, "vote")] == [1, 2, 3, 4]


def test_votes_kept_by_a_closed_page_go_out_from_the_next(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as state:
        first = state.ready()
        state.prefetched(5)
        server.stop()
        state.rate("4")
        again = state.page.context.new_page()
        state.page.close(run_before_unload=False)
        server.start()
        again.goto(f"{server.url}/")
        BenchPage(again).expect_done(1)
        expect(again.get_by_test_id("bench")).not_to_have_attribute("data-assignment-id", first)
    assert [vote["level"] for vote in events_of(settings, "vote")] == [4]


def test_votes_outlive_a_session_that_ended(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as state:
        page = state.page
        state.ready()
        page.context.clear_cookies()
        state.press("3")
        expect(page.get_by_text("Your session has ended")).to_be_visible()
        page.get_by_label("Name", exact=True).fill("Ada")
        page.locator("button[type=submit]").click()
        state.expect_done(1)
    assert [vote["level"] for vote in events_of(settings, "vote")] == [3]


def test_an_answer_lost_on_the_way_is_not_a_second_vote(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as state:
        state.ready()
        lost = []

        def lose(route):
            lost.append(route.fetch())  # the server has it, the page never hears of it
            route.abort()

        state.page.route("**/api/votes", lose, times=1)
        state.rate("2")
        expect(state.page.get_by_test_id("unsent")).to_be_hidden()
        state.expect_done(1)
        assert len(lost) == 1
    assert len(events_of(settings, "vote")) == 1


def test_two_annotators_never_hold_the_same_item(browser: Browser, settings: Settings) -> None:
    with (
        running(settings) as server,
        signed_in(browser, server, "Ada") as ada,
        signed_in(browser, server, "Bo") as bo,
    ):
        for person in [ada, bo] * COUNT:
            person.ready_or_empty()
            if person.page.get_by_test_id("nothing-left").is_hidden():
                person.rate("2")
        for person in (ada, bo):
            expect(person.page.get_by_test_id("nothing-left")).to_be_visible()
        eventually(lambda: len(events_of(settings, "vote")), COUNT)
    votes = events_of(settings, "vote")
    assert len({vote["item_id"] for vote in votes}) == len(votes) == COUNT
    assert {vote["name"] for vote in votes} == {"Ada", "Bo"}


def test_items_of_a_silent_annotator_go_to_others(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as ada:
        held = ada.ready()
        ada.prefetched(5)
        server.shift_seconds = settings.lease_seconds + 1
        with signed_in(browser, server, "Bo") as bo:
            for _ in range(COUNT):
                bo.rate("2")
            bo.expect_done(COUNT)
        assert ada.state.get_attribute("data-assignment-id") == held
        ada.rate("4")  # too late to count, and kept all the same
        ada.expect_note("Level 4 stored, but it does not count")
    levels = [(vote["name"], vote["level"]) for vote in events_of(settings, "vote")]
    assert levels == [("Bo", 2)] * COUNT + [("Ada", 4)]


def test_a_hold_that_ran_out_is_said(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as ada:
        ada.ready()
        ada.page.clock.install()
        ada.page.reload()
        ada.prefetched(5)
        server.shift_seconds = settings.lease_seconds + 1
        with signed_in(browser, server, "Bo") as bo:
            bo.prefetched(5)
        ada.page.clock.fast_forward("01:01")  # the page asks every minute whether it still holds its items
        ada.expect_note("The hold on the item ran out")


def test_sign_out_releases_and_signs_in_again(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as ada:
        ada.ready()
        ada.page.get_by_role("button", name="Sign out").click()
        expect(ada.page.get_by_test_id("signin")).to_be_visible()
        ada.page.goto(f"{server.url}/")
        expect(ada.page).to_have_url(f"{server.url}/signin")
        ada.page.get_by_label("Name", exact=True).fill("<b>${alert(1)}</b>")
        ada.page.locator("button[type=submit]").click()
        expect(ada.page.get_by_test_id("signin-error")).to_contain_text("A name has 1 to 64")
        ada.page.get_by_label("Language").select_option("de")
        expect(ada.page.get_by_test_id("signin").locator("button")).to_have_text("Anmelden")
        expect(ada.page.get_by_test_id("signin-error")).to_contain_text("Ein Name hat 1 bis 64")
        with signed_in(browser, server, "Bo") as bo:
            bo.ready()


def test_training_round_with_feedback(browser: Browser, settings: Settings) -> None:
    with running(settings) as server:
        with signed_in(browser, server, "Boss") as boss:
            boss.ready()
            boss.page.evaluate(
                """async () => {
                    const { csrf } = await (await fetch("/api/session")).json();
                    const headers = { "Content-Type": "application/json", "X-CSRF-Token": csrf };
                    for (const [item_id, level] of [[1, 4], [2, 1]]) {
                        const body = { gold_id: `gold-item-${item_id}`, item_id, level, purpose: "training", note: "" };
                        await fetch("/api/gold", { method: "POST", headers, body: JSON.stringify(body) });
                    }
                }"""
            )
        with signed_in(browser, server, "Ada") as ada:
            page = ada.page
            ada.ready()
            expect(page.get_by_test_id("stage-note")).to_contain_text("Training")
            ada.press("4")
            expect(page.get_by_test_id("feedback")).to_contain_text("Right: level 4. Something is broken")
            ada.press("2")  # the answer has been given: a level means nothing now
            page.get_by_role("button", name="Next").click()
            expect(page.get_by_test_id("feedback")).to_be_hidden()
            ada.press("3")
            expect(page.get_by_test_id("feedback")).to_contain_text("You gave 3, expected is 1. No difference")
            ada.press("Enter")
            expect(page.get_by_test_id("stage-note")).to_be_hidden()
            ada.rate("2")
            eventually(lambda: [vote["level"] for vote in events_of(settings, "vote")], [4, 3, 2])


def test_blind_mode_asks_which_is_real(browser: Browser, settings: Settings) -> None:
    with running(replace(settings, blind=True)) as server, signed_in(browser, server, "Ada") as state:
        state.ready()
        expect(state.stage.locator("[data-id=tag-b]")).to_have_text("B")
        state.press("3")
        state.expect_note("First choose which one is real")
        state.press("j")
        expect(state.page.locator("[data-real=a]")).to_have_attribute("aria-pressed", "true")
        state.rate("3")
        state.page.locator("[data-real=b]").click()
        state.rate("2")
        state.rate("1")  # no difference visible: then there is nothing to choose by
        state.expect_done(3)
    choices = [vote["payload"].get("blind_choice") for vote in events_of(settings, "vote")]
    assert choices == ["a", "b", None]


def test_break_is_suggested_after_25_minutes(browser: Browser, settings: Settings) -> None:
    with running(settings) as server, signed_in(browser, server, "Ada") as state:
        state.ready()
        note = state.page.get_by_test_id("break")
        expect(note).to_be_hidden()
        state.page.clock.install()
        state.page.reload()
        state.ready()
        state.page.clock.fast_forward("25:10")
        expect(note).to_be_visible()
        state.page.get_by_role("button", name="Rested, go on").click()
        expect(note).to_be_hidden()


def test_two_projects_on_one_server_keep_apart(browser: Browser, settings: Settings, tmp_path: Path) -> None:
    """What is not sent to one project stays for it, while the same person works for the other."""
    projects = {
        name: replace(settings, db_url=f"sqlite:///{tmp_path / name}.sqlite", root_path=f"/{name}")
        for name in ("cats", "dogs")
    }
    with (
        running(settings, projects) as server,
        signed_in(browser, server, "Ada", project="cats", newcomer=True) as cats,
    ):
        expect(cats.page.get_by_test_id("dialog")).to_be_visible()
        cats.escape()
        expect(cats.page.get_by_test_id("project")).to_have_text("cats")
        cats.ready()
        cats.page.route("**/cats/api/votes", lambda route: route.abort())
        cats.press("1")
        expect(cats.page.get_by_test_id("unsent")).to_have_text("1 not sent")
        dogs = BenchPage(cats.page.context.new_page())
        dogs.page.goto(server.url)
        dogs.page.get_by_role("link", name="dogs").click()
        expect(dogs.page.get_by_test_id("project")).to_have_text("dogs")
        dogs.page.get_by_label("Name", exact=True).fill("Ada")
        dogs.page.locator("button[type=submit]").click()
        expect(dogs.page.get_by_test_id("dialog")).to_be_visible()  # the help, to a newcomer to this project
        dogs.escape()
        dogs.rate("2")
        dogs.expect_done(1)
        expect(dogs.page.get_by_test_id("unsent")).to_be_hidden()
        cats.page.unroute("**/cats/api/votes")
        expect(cats.page.get_by_test_id("unsent")).to_be_hidden()
        cats.expect_done(1)
    assert [event["level"] for one in projects.values() for event in events_of(one, "vote")] == [1, 2]
