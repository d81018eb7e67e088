"""The list of a server's projects: in the visitor's language and theme, as the pages behind it."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect

from labeling_app.settings import Settings
from tests.labeling_app.browser_fixtures import Server, running
from tests.labeling_app.helpers import make_manifest

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("projects")
    settings = Settings(make_manifest(folder / "data", 2), language="de", open_mode=True)
    projects = {
        name: replace(settings, db_url=f"sqlite:///{folder / name}.sqlite", root_path=f"/{name}")
        for name in ("cats", "dogs")
    }
    with running(settings, projects) as server:
        yield server


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    yield context.new_page()
    context.close()


def lightness(page: Page, selector: str) -> float:
    """How bright an element's ground is, 0..255."""
    colour = page.locator(selector).evaluate("node => getComputedStyle(node).backgroundColor")
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")) / 3


def test_the_list_speaks_the_projects_language_until_another_is_chosen(server: Server, page: Page) -> None:
    page.goto(server.url)
    expect(page).to_have_title("Projekte · Bewertungsplatz")
    expect(page.get_by_text("Wählen Sie ein Projekt")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.get_by_label("Sprache").select_option("English")
    expect(page).to_have_title("Projects · Labelling bench")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.reload()
    expect(page.get_by_text("Choose a project; each has accounts of its own.")).to_be_visible()
    page.get_by_role("link", name="dogs").click()
    expect(page).to_have_url(f"{server.url}/dogs/signin")
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()  # the choice holds behind the list, too


@pytest.mark.parametrize(("theme", "low", "high"), [(None, 0, 80), ("light", 180, 255)])
def test_the_list_has_the_theme_that_was_chosen(
    server: Server, page: Page, theme: str | None, low: int, high: int
) -> None:
    if theme is not None:
        page.add_init_script(f"localStorage.setItem('vfi.theme', '{theme}')")
    page.goto(server.url)
    expect(page.get_by_role("link", name="cats")).to_be_visible()
    for selector in ("body", "main", "main a >> nth=0"):
        assert low < lightness(page, selector) < high, selector


def test_the_names_are_there_without_scripts(server: Server, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    expect(page.get_by_role("link")).to_have_text(["cats", "dogs"])
    context.close()
