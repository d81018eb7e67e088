"""The studio as a person meets it: the command, a browser, a small real clip, and a file to take home."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import av
import pytest
from playwright.sync_api import Browser, Page, expect

from dataset_tools.frames.area import resize_area
from tests.dataset_tools.replicas import read_frames, write_video

pytestmark = pytest.mark.browser

WAIT_MS = 60_000
FIRST, COUNT, CUT_AT = 20, 20, 10  # frames of the demo clip, which is cut at frame 30
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\?key=\S+")


@dataclass
class Studio:
    """A running command."""

    address: str
    folder: Path
    process: "subprocess.Popen[str]"

    @property
    def base(self) -> str:
        return self.address.partition("/?")[0]

    @property
    def cookie(self) -> str:
        return f"vfi_studio_{self.base.rpartition(':')[2]}={self.address.rpartition('=')[2]}"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    process = subprocess.Popen(
        [sys.executable, "-m", "vfidpa_model.studio", "--port", "0", "--device", "cpu"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    try:
        assert process.stdout is not None
        found = _ADDRESS.search(process.stdout.readline())
        assert found is not None
        yield Studio(found[0], folder, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    left = [path.name for path in folder.iterdir() if not path.name.startswith("torchinductor")]
    assert left == [], "what was made must be removed"


@pytest.fixture
def clip(tmp_path: Path, demo_clips: Path) -> Path:
    path = tmp_path / "bikes & <b>more ${1+1}.mp4"
    frames = read_frames(demo_clips / "bikes.mp4", start=FIRST, count=COUNT)
    write_video(path, [resize_area(frame, width=160, height=96) for frame in frames])
    return path


@pytest.fixture
def page(browser: Browser, studio: Studio) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="en-GB")
    errors: list[str] = []
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(studio.address)
    yield opened
    context.close()
    assert errors == []


def decoded(path: Path) -> int:
    with av.open(str(path)) as opened:
        return sum(1 for _ in opened.decode(video=0))


def test_a_person_looks_tries_and_takes_the_file_home(page: Page, clip: Path, tmp_path: Path) -> None:
    expect(page.get_by_role("button", name="Interpolate it all")).to_be_disabled(timeout=WAIT_MS)
    page.get_by_label("its path on this machine").fill(str(tmp_path / "none.mp4"))
    page.get_by_role("button", name="Look at it").click()
    expect(page.get_by_role("alert")).to_have_text(re.compile("none.mp4: there is no such file"), timeout=WAIT_MS)

    page.get_by_label("its path on this machine").fill(str(clip))
    page.get_by_role("button", name="Look at it").click()
    facts = page.get_by_test_id("clip").get_by_role("table")
    expect(facts).to_contain_text(clip.name, timeout=WAIT_MS)  # as text: nothing in a name is run
    for name, words in {
        "Picture": "160 x 96, h264",
        "Length": f"0:00.80, {COUNT} frames",
        "Cuts": f"1, at 0:00.{CUT_AT * 4}",
    }.items():
        expect(facts.get_by_role("row", name=name)).to_contain_text(words)
    plot = page.get_by_test_id("plot")
    expect(plot).to_have_js_property("complete", True)
    assert plot.evaluate("image => image.naturalWidth") > 1000
    refined = page.get_by_test_id("refined")
    expect(refined).to_have_count(4, timeout=WAIT_MS)
    expect(refined.first).to_have_js_property("naturalWidth", 160)

    page.get_by_role("button", name="Try 5 seconds").click()
    for name, count in {"before": COUNT, "after": 2 * COUNT}.items():
        video = page.get_by_test_id(name)
        expect(video).to_have_js_property("videoWidth", 160, timeout=WAIT_MS)
        answer = page.request.get(video.evaluate("video => video.src"))
        (tmp_path / f"{name}.mp4").write_bytes(answer.body())
        assert decoded(tmp_path / f"{name}.mp4") == count
    page.get_by_test_id("after").evaluate("video => video.play()")
    expect(page.get_by_test_id("before")).to_have_js_property("paused", False)

    page.get_by_label("Factor", exact=True).click()
    page.get_by_role("option", name="3", exact=True).click()
    page.get_by_role("button", name="Interpolate it all").click()
    link = page.get_by_test_id("download")
    expect(link).to_be_visible(timeout=WAIT_MS)
    with page.expect_download() as download:
        link.click()
    assert download.value.suggested_filename == re.sub("[<>]", "_", clip.name)  # Chromium's own rule
    download.value.save_as(tmp_path / "got.mp4")
    assert decoded(tmp_path / "got.mp4") == 3 * COUNT

    page.reload()  # nothing is lost
    expect(page.get_by_test_id("download")).to_be_visible(timeout=WAIT_MS)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.get_by_test_id("plot")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def status(address: str, **headers: str) -> int:
    try:
        with urlopen(Request(address, headers={name.title(): value for name, value in headers.items()})) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_nobody_else_is_let_in_and_no_file_can_be_asked_for(studio: Studio) -> None:
    base, cookie = studio.base, studio.cookie
    assert status(base) == 403  # no key
    assert status(f"{base}/?key=wrong") == 403
    assert status(base, cookie=cookie) == 200
    assert status(base, cookie=cookie, host="evil.example") == 403
    assert status(base, cookie=cookie, origin="http://evil.example") == 403
    for path in ("/media/x", "/download/x", "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://x", "/docs"):
        assert status(base + path, cookie=cookie) == 404
    with pytest.raises(OSError, match="refused"):
        urlopen(studio.base.replace("127.0.0.1", "127.0.0.2"))
