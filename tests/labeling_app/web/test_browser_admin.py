"""Statistics, review and people, as an administrator sees them; what others must not see."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from labeling_app.database.events import now_us
from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import Server, clip_frames, events_of, running, signed_in, write_data_set
from tests.labeling_app.helpers import PASSWORD, Client, add_user, make_state

pytestmark = pytest.mark.browser

COUNT = 6
HOSTILE = "<b onclick=alert(1)>${alert(2)}</b>"


@pytest.fixture(scope="module")
def server(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two annotators have rated everything, one triplet three levels apart, with a hostile comment."""
    folder = tmp_path_factory.mktemp("admin")
    manifest = write_data_set(folder, clip_frames(demo_clips / "bikes.mp4", COUNT + 2), items=COUNT).path
    settings = Settings(manifest=manifest, gold_rate=0, repeat_rate=0, overlap=2)
    state = make_state(manifest, clock=now_us, overlap=2)
    for name, role in {"Ada": "annotator", "Bo": "annotator", "Rex": "reviewer", "Root": "admin"}.items():
        add_user(state.store, name, role=role, password=PASSWORD)
    first = f"/img/{min(info.media['gt'] for info in state.catalogue.by_id.values())}"
    for name in ("Ada", "Bo"):
        client = Client(state)
        client.sign_in(name)
        while items := sorted(client.items(5), key=lambda item: item["images"]["gt"]):
            for item in items:
                odd = item["images"]["gt"] == first
                client.vote(item, {"Ada": 1, "Bo": 4}[name] if odd else 2, comment=HOSTILE if odd else None)
    state.close()
    with running(settings) as server:
        yield server


def test_statistics_review_and_verdict(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Rex", password=PASSWORD) as state:
        page = state.page
        state.ready_or_empty()
        page.get_by_role("button", name="Statistics").click()
        expect(page.get_by_test_id("stats-votes")).to_have_text("12 / 12")
        expect(page.get_by_test_id("annotators")).to_contain_text("Ada")
        expect(page.locator("svg.chart")).to_have_count(4)
        expect(page.get_by_role("button", name="People")).to_be_hidden()
        page.get_by_role("button", name="Review").click()
        card = page.get_by_test_id("review-item")
        expect(card).to_have_count(1)
        expect(card.get_by_test_id("review-votes")).to_contain_text(HOSTILE)
        assert card.locator("b[onclick]").count() == 0
        page.route("**/img/**", lambda _: None)  # pictures that do not come in time
        card.get_by_role("link", name="Judge on the bench").click()
        page.get_by_label("Use as a known item").select_option("training")
        page.locator("[data-verdict='3']").click()
        expect(page.get_by_test_id("inspect-note")).to_have_text("Level 3 decided.")
        page.get_by_role("button", name="Back to the list").click()
        expect(page.get_by_test_id("review-total")).to_have_text("0 waiting")
        for view in (r"item-\d+", "review", "stats"):
            state.back(view)  # the views are places in the browser's history
        expect(page.get_by_test_id("stats-votes")).to_be_visible()
    (verdict,) = events_of(server.settings, "verdict")
    assert (verdict["name"], verdict["level"]) == ("Rex", 3)
    (gold,) = events_of(server.settings, "gold")
    assert (gold["level"], gold["payload"]["purpose"]) == (3, "training")


def test_people_are_added_changed_and_shut_out(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Root", password=PASSWORD) as state:
        page = state.page
        state.ready_or_empty()
        page.get_by_role("button", name="People").click()
        form = page.get_by_test_id("add-user")
        form.get_by_label("Name").fill("Cleo")
        form.get_by_label("Password").fill(PASSWORD)
        form.get_by_role("button").click()
        note, table = page.get_by_test_id("users-note"), page.get_by_test_id("users-table")
        expect(note).to_have_text("Saved: Cleo")
        table.get_by_label("Role: Cleo").select_option("reviewer")
        expect(table.get_by_label("Role: Cleo")).to_have_value("reviewer")
        form.get_by_label("Name").fill(HOSTILE)
        form.get_by_label("Password").fill(PASSWORD)
        form.get_by_role("button").click()
        expect(note).to_contain_text("A name has 1 to 64")
        assert page.locator("b[onclick]").count() == 0
        expect(table.get_by_label("Role: Root")).to_be_disabled()
        table.get_by_label("Active: Ada").uncheck()
        expect(note).to_have_text("Saved: Ada")
        with page.expect_download() as download:
            page.get_by_role("button", name="Statistics").click()
            page.get_by_role("link", name="Votes as CSV").click()
        assert "Ada" in Path(download.value.path()).read_text(encoding="utf-8")
    with signed_in(browser, server, "Ada", password=PASSWORD) as shut_out:
        expect(shut_out.page.get_by_test_id("signin-error")).to_have_text("Name and password do not fit.")


def test_an_annotator_sees_the_bench_alone(browser: Browser, server: Server) -> None:
    with signed_in(browser, server, "Bo", password=PASSWORD) as state:
        state.ready_or_empty()
        for name in ("Statistics", "Review", "People"):
            expect(state.page.get_by_role("button", name=name)).to_be_hidden()
        state.page.goto(f"{server.url}/#users")
        expect(state.state).to_be_visible()
        expect(state.page.get_by_test_id("users")).to_be_hidden()
        for path, status in {"/api/stats": 403, "/api/users": 403, "/api/review": 403}.items():
            assert state.page.request.get(f"{server.url}{path}").status == status


def test_api_reference_needs_no_network(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    try:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{server.url}/docs")
        page.get_by_text("POST /api/votes").click()
        expect(page.locator("details[open] pre").first).to_contain_text('"assignment_id"')
        assert all(url.startswith((server.url, "data:")) for url in asked)
    finally:
        page.close()
