"""The page of the HTML reports: what is filled in stays text, odd names are shown, both themes are readable."""

import re
from pathlib import Path

import jinja2
import pytest

from dataset_tools.common import pages
from dataset_tools.common.pages import render_page
from tests.contrast import contrast

NASTY = "</title><script>alert(1)</script> & \"so\" 'too' {{ 7 * 7 }} \udcff.mp4"
SHOWN = "&lt;/title&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;so&#34; &#39;too&#39; {{ 7 * 7 }} ?.mp4"
STYLE = (Path(pages.__file__).parent / "templates" / "page.css").read_text(encoding="utf-8")


def test_whatever_is_filled_in_stays_text():
    routes = [{"heading": NASTY, "pairs": 1, "samples": [{"caption": NASTY, "pictures": [NASTY] * 3}]}]
    page = render_page("vfidpa_model.interpolation", "preview.html.jinja", title=NASTY, summary=NASTY, routes=routes)
    assert "<script" not in page
    assert page.count(SHOWN) == 2 + 1 + 1 + 1 + 3
    assert page.startswith("<!doctype html>")


def test_a_value_that_is_not_given_is_no_empty_page():
    with pytest.raises(jinja2.UndefinedError, match="'routes' is undefined"):
        render_page("vfidpa_model.interpolation", "preview.html.jinja", title="t", summary="s")


@pytest.mark.parametrize("ink", ["ink", "muted"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_meet_contrast_aa(theme, ink):
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark if theme == "dark" else light))
    assert contrast(colours["ground"], colours[ink]) >= 4.5
