"""The page's constant files: texts complete in every language, no user text near a template, nothing from elsewhere."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import uniform_filter

from labeling_app.web.page import TEXTS, VIEWER, build_page, page_head, viewer_base, viewer_files
from tests.contrast import contrast

SCRIPTS = sorted(VIEWER.glob("*.js"))
PAGES = [VIEWER / name for name in ("viewer.html", "signin.html", "projects.html", "reference.html")]
SOURCES = [*SCRIPTS, *PAGES, VIEWER.parent / "web" / "files.py"]


def texts(language: str) -> dict[str, str]:
    return json.loads((TEXTS / f"{language}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("ground", ["ground", "panel", "raised", "pressed"])
@pytest.mark.parametrize("ink", ["text", "soft", "mark", "warn", "bad"])
def test_colours_meet_contrast_aa(ground: str, ink: str, theme: str) -> None:
    style = (VIEWER / "viewer.css").read_text(encoding="utf-8")
    rules = style[style.index('[data-theme="light"]') :] if theme == "light" else style
    colours = dict(reversed(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", rules)))  # the first of each name
    assert contrast(colours[ground], colours[ink]) >= 4.5


def test_languages_have_the_same_keys_and_placeholders() -> None:
    english, german = texts("en"), texts("de")
    assert list(english) == list(german)
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", german[key])), key


def test_every_text_that_is_asked_for_exists_and_is_used() -> None:
    english = texts("en")
    source = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES)
    asked = re.findall(r'\b(?:t|told|enter)\("([a-z_.]+[\w.]*)"', source)
    asked += re.findall(r'data-(?:text|label)="([^"]+)"', source)
    assert sorted(set(asked) - set(english)) == []
    families = {match.rstrip(".") for match in re.findall(r"`([a-z]+(?:\.[a-z]+)*)\.\$\{", source)}
    families |= set(re.findall(r'choice\("(\w+)"', source))
    unused = [
        key
        for key in english
        if f'"{key}"' not in source and not any(key.startswith(f"{family}.") for family in families)
    ]
    assert unused == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_markup_holds_nothing_that_gradio_would_run(path) -> None:
    markup = path.read_text(encoding="utf-8")
    assert "${" not in markup
    constants = set() if path.name == "viewer.html" else {"base", "open", "language", "projects"}
    assert set(re.findall(r"{{(\w+)}}", markup)) <= constants
    assert not re.search(r"""\son\w+=|https?://""", markup)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_write_text_only(path) -> None:
    script = path.read_text(encoding="utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
    for name in re.findall(r'from "\./([\w.]+)"', script):
        assert name in viewer_files()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_examples_of_a_higher_level_are_further_off(number: int) -> None:
    """By the largest mean difference over 9x9 pixels, 0..255, in the part of a cut that the help shows."""
    furthest = []
    for level in (1, 2, 3, 4):
        kinds = (VIEWER / "examples" / f"level-{level}-{number}-{kind}.webp" for kind in ("real", "made"))
        real, made = (np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) for path in kinds)
        assert real.shape == made.shape == (150, 200, 3)
        furthest.append(float(uniform_filter(np.abs(real - made).mean(axis=2), size=9)[5:-5, 17:-17].max()))
    assert furthest == sorted(furthest)
    assert furthest[0] < 15
    assert furthest[1] > 20


def test_addresses_change_with_the_files_and_the_page_uses_no_events() -> None:
    assert re.fullmatch(r"/viewer/[0-9a-f]{16}", viewer_base())
    assert f"{viewer_base()}/main.js" in page_head()
    page = build_page()
    assert page.fns == {}
