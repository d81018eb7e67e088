"""The data card: one file, every name escaped, examples from easy to hard, and a page a browser can show."""

import re
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from dataset_tools import report
from dataset_tools.rejected import Rejected, write_rejected
from dataset_tools.report import choose_examples, report_html

NASTY = "<script>alert(1)</script> & 'so'.mp4"


class Page(HTMLParser):
    """Collects the tags, the texts and what they point to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.links = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_command_writes_one_file_without_links_outside(predicted, capsys):
    assert report.main([str(predicted.path)]) == 0
    path = predicted.root / "report.html"
    assert capsys.readouterr().out == f"{path}\n"
    page = Page(path.read_text())
    assert page.links
    assert all(link.startswith(("data:image/jpeg;base64,", "data:image/svg+xml;base64,")) for link in page.links)
    assert page.tags.count("img") == 1 + 4 * 5
    words = " ".join(page.texts)
    assert "5 triplets of 2 clips, 0 labelled by people, predicted by rife-3.9" in words
    assert "Nothing was turned down." in words
    assert re.search(r"bikes\.mp4/20-24-28@256p: LPIPS 0\.5\d\d, PSNR 11\.\d dB", words)


def test_names_are_escaped(predicted):
    write_rejected(predicted.root / "rejected.parquet", [Rejected("videos", NASTY, NASTY, NASTY)] * 2)
    ids = [f"videos/{NASTY}/{number}" for number in range(5)]
    manifest = predicted.with_columns({"source": [NASTY] * 5, "clip": [NASTY] * 5, "triplet_id": ids})
    page = Page(report_html(manifest))
    assert "script" not in page.tags
    assert sum(NASTY in text for text in page.texts) >= 4


def test_a_data_set_without_predictions_or_files(unpredicted):
    words = " ".join(Page(report_html(unpredicted)).texts)
    assert "predicted by nothing yet" in words
    assert "none yet" in words


def test_values_that_are_missing_are_left_out(predicted):
    some = {"interval": [None, 2, 2, 2, 2], "pred_ssim": [None] * 5, "motion": [None, 1.0, 1.0, 1.0, float("inf")]}
    words = " ".join(Page(report_html(predicted.with_columns(some))).texts)
    assert "SSIM" not in words.partition("Examples")[2]
    assert words.count("motion") < words.count("LPIPS 0.")


def test_missing_and_damaged_pictures_are_named(predicted):
    rows = predicted.rows()
    predicted.file(rows[0], "gt").unlink()
    predicted.file(rows[1], "pred").write_bytes(b"no picture")
    words = " ".join(Page(report_html(predicted)).texts)
    assert words.count("cannot read") == 2


@pytest.mark.parametrize(
    ("number", "expected"), [(2, ["a", "f"]), (3, ["a", "c", "f"]), (9, ["a", "b", "c", "d", "e", "f"])]
)
def test_examples_go_from_easy_to_hard(number, expected):
    lpips = {"a": 0.0, "b": 0.1, "c": 0.2, "d": 0.25, "e": 0.3, "f": 0.4, "g": None}
    names = list(reversed(lpips))
    places = choose_examples(pa.chunked_array([[lpips[name] for name in names]]), number=number)
    assert [names[place] for place in places] == expected


@pytest.mark.browser
@pytest.mark.parametrize(("theme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 24, 31)")])
def test_a_browser_shows_it(predicted, browser, theme, ground):
    report.write_report(predicted, predicted.root / "report.html")
    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=theme)
    try:
        page.goto((predicted.root / "report.html").as_uri())
        assert page.title() == "Data set predicted"
        broken = "() => [...document.images].filter(image => !image.complete || !image.naturalWidth).length"
        assert page.evaluate(broken) == 0
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 1280
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == ground
    finally:
        page.close()
