"""The labelling bench in Firefox and in WebKit, Safari's engine: a round through the page in each, as a table.

    python -m benchmarks.other_browsers
    python -m benchmarks.other_browsers --pictures FOLDER    # keeps a screenshot of each mode, to be looked at

A real server, real keys and a real pointer; a picture counts as shown when a screenshot of the window has it.
"""

import argparse
import base64
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import cv2
import numpy as np
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.keys import Keys

from benchmarks.browser_drivers import BROWSERS, NEEDED, WAIT_SECONDS, Driver, process
from benchmarks.labeling_speed import make_items
from dataset_tools.frames import pixels_sha256
from dataset_tools.manifest import read_manifest

BENCH, STAGE, LAYER = "[data-testid=bench]", "[data-testid=stage]", "[data-testid=stage] canvas.layer"
STALE_PIXELS = 3.0  # a stage whose grey levels spread by less shows no picture

READ_CANVAS = """(({ width, height, data }) => {
    let text = "";
    for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i], data[i + 1], data[i + 2]);
    return [width, height, btoa(text)];
})((canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height))(
    document.querySelector("PANE")))"""


class Server:
    """The bench in a process of its own, which can go away and come back."""

    def __init__(self, manifest: Path) -> None:
        self.manifest, self.port = manifest, 0

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve on the port of the first time; yields the address."""
        command = [sys.executable, "-m", "labeling_app", "--manifest", str(self.manifest), "--open"]
        options = ["--gold-rate", "0", "--repeat-rate", "0", "--port", str(self.port)]
        with process([*command, *options], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            url = child.stdout.readline().split(" on ")[1].split()[0].rstrip("/")
            self.port = int(url.rpartition(":")[2])
            yield url


class Round:
    """What an annotator does, one method after the other; each raises when the page does not follow."""

    def __init__(self, browser: Driver, server: Server, pictures: Path | None) -> None:
        self.browser, self.server, self.pictures = browser, server, pictures

    def steps(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield (what is done, how); the server runs until the step before the last."""
        with self.server.running() as url:
            yield "sign in, the page paints", lambda: self.sign_in(url)
            for key, mode in zip("wedmq", ("wipe", "side", "difference", "motion", "flicker"), strict=True):
                yield f"{mode} by key", lambda key=key, mode=mode: self.look(key, mode)
            yield "pictures bit for bit", self.exact
            yield "flicker: hold, and 8 Hz", self.flicker
            yield "wipe by mouse", self.wipe
            yield "zoom, pan, fit", self.zoom
            yield "loupe", self.loupe
            yield "another view and back", self.view
            yield "keys 1 to 4", self.rate
            yield "undo twice", self.undo
            yield "skip, flag, comment", self.remarks
            yield "help, and a key given anew", self.remap
            yield "a second tab takes over", lambda: self.second_tab(url)
            self.browser.wait(f"document.querySelector('{BENCH}').dataset.ready === '5'")
        yield "offline: votes are kept", self.offline
        with self.server.running():
            yield "back: they go out", self.back

    def says(self, test_id: str, part: str) -> None:
        self.browser.wait(f"document.querySelector('[data-testid={test_id}]')?.textContent.includes('{part}')")

    def item(self, *, after: str = "") -> str:
        """Wait for an item other than ``after`` and return its id."""
        find = f"document.querySelector('{BENCH}')?.dataset.assignmentId"
        return str(self.browser.wait(f"(id => id && id !== '{after}' && id)({find})"))

    def shown(self, name: str = "", *, fits: Callable[[np.ndarray], bool] = lambda _: True) -> np.ndarray:
        """Return the middle of the window, once it shows a picture that ``fits``; fails when that never comes."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            time.sleep(0.5)  # a screenshot may be older than the last change
            data = self.browser.screenshot()
            if name and self.pictures:
                (self.pictures / f"{name}.png").write_bytes(data)
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            assert decoded is not None
            part = decoded[300:550, 350:750].astype(np.int16)
            if part.std() >= STALE_PIXELS and fits(part):
                return part
        raise RuntimeError("no picture on the stage, or not the one that is due")

    def sign_in(self, url: str) -> None:
        self.browser.go(url)
        self.browser.wait("document.querySelector('button[type=submit]')?.textContent")
        self.browser.drag("input[name=name]")
        for letter in "Ada":
            self.browser.press(letter)
        self.browser.press(Keys.ENTER)
        self.browser.wait("document.querySelector('[data-testid=dialog]')?.open")  # the help, to a newcomer
        self.browser.press(Keys.ENTER)
        self.item()
        self.shown("first")

    def look(self, key: str, mode: str) -> None:
        self.browser.press(key)
        self.browser.wait(f"document.querySelector('{STAGE}').dataset.mode === '{mode}'")
        self.shown(mode)

    def exact(self) -> None:
        stored = {
            row[f"{role}_sha256"] for row in read_manifest(self.server.manifest).rows() for role in ("gt", "pred")
        }
        for pane in "ab":
            width, height, data = self.browser.js(READ_CANVAS.replace("PANE", f"[data-id=pane-{pane}] canvas"))
            pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 3)
            if pixels_sha256(pixels) not in stored:
                raise RuntimeError(f"pane {pane} holds other pixels than the file")

    def flicker(self) -> None:
        made = self.shown()
        with self.browser.holding(" "):
            self.shown(fits=lambda real: (real != made).any())
        self.shown(fits=lambda again: (again == made).all())
        self.browser.drag("[data-hz='8']")
        for pane in "aba":
            self.browser.wait(f"document.querySelector('{STAGE}').dataset.shown === '{pane}'")
        self.browser.drag("[data-hz='8']")

    def wipe(self) -> None:
        self.browser.press("w")
        self.browser.drag(STAGE, dx=-100)
        self.browser.wait("document.querySelector('[data-testid=wipe]').getAttribute('aria-valuenow') < 45")
        self.browser.press("q")

    def zoom(self) -> None:
        for _ in range(3):
            self.browser.press("+")
        self.says("scale-note", "400")
        for act in (lambda: self.browser.press(Keys.RIGHT), lambda: self.browser.drag(STAGE, dx=-60)):
            left = self.browser.js(f"document.querySelector('{LAYER}').style.left")
            act()
            self.browser.wait(f"document.querySelector('{LAYER}').style.left !== '{left}'")
        self.browser.press("z")
        self.browser.press("z")
        self.says("zoom", "100 %")

    def loupe(self) -> None:
        self.browser.press("l")
        self.browser.drag(STAGE, dx=5)
        self.browser.wait("!document.querySelector('[data-testid=loupe]').hidden")
        self.browser.press("l")

    def view(self) -> None:
        self.browser.drag("[data-view=stats]")
        self.browser.wait("document.querySelector('[data-testid=stats] .figure')")
        self.browser.drag("[data-view=bench]")
        self.shown()

    def rate(self) -> None:
        for key in "1234":
            before = self.item()
            self.browser.press(key)
            self.item(after=before)
            self.shown()
        self.says("done-count", "4")

    def undo(self) -> None:
        for key, level in (("u", 4), (Keys.BACKSPACE, 3)):
            self.browser.press(key)
            self.says("last-action", f"it was level {level}")
            self.shown()

    def remarks(self) -> None:
        before = self.item()
        self.browser.press("s")
        self.browser.wait("document.querySelector('[data-testid=dialog]').open")
        self.browser.press("2")
        before = self.item(after=before)
        self.browser.press("f")
        self.says("last-action", "Flagged")
        self.browser.press("c")
        self.browser.wait("document.activeElement.tagName === 'TEXTAREA'")
        self.browser.press("1")
        self.browser.press(Keys.CONTROL, Keys.ENTER)
        self.says("last-action", "Comment kept")
        self.browser.press("3")
        self.item(after=before)

    def remap(self) -> None:
        self.browser.press("?")
        self.browser.wait("document.querySelector('[data-testid=dialog]').open")
        self.browser.press(Keys.ESCAPE)
        self.browser.wait("!document.querySelector('[data-testid=dialog]').open")
        self.browser.drag("[data-id=open-settings]")
        self.browser.wait("document.querySelector('[data-remap=rate1]')")
        self.browser.drag("[data-remap=rate1]")
        self.browser.press("h")
        self.browser.wait("document.querySelector('[data-remap=rate1]').textContent === 'H'")
        self.browser.drag("[data-answer=save]")
        self.browser.wait("document.querySelector('.level kbd')?.textContent === 'H'")
        before = self.item()
        self.browser.press("h")
        self.item(after=before)

    def second_tab(self, url: str) -> None:
        first, second = self.browser.tab(), self.browser.tab(new=True)
        self.browser.go(url)
        self.item()
        self.browser.tab(first)
        self.browser.wait("document.querySelector('[data-testid=elsewhere]').open")
        self.browser.tab(second)

    def offline(self) -> None:
        for key in "234":
            before = self.item()
            self.browser.press(key)
            self.item(after=before)
        self.says("unsent", "3 not sent")

    def back(self) -> None:
        self.browser.wait("document.querySelector('[data-testid=unsent]').hidden")
        self.says("done-count", "7")


def go_round(
    open_browser: Callable[[Path], AbstractContextManager[Driver]], pictures: Path | None
) -> tuple[str, dict[str, str]]:
    """Return the browser's version, and how each step went: "ok", or why not."""
    went: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "profile").mkdir()
        server = Server(make_items(folder, count=14, height=540))
        with open_browser(folder / "profile") as browser:
            for step, act in Round(browser, server, pictures).steps():
                try:
                    act()
                    went[step] = "ok"
                except (RuntimeError, WebDriverException) as error:
                    went[step] = f"failed: {str(error).splitlines()[0]}"
            return browser.version, went


def main() -> int:
    """Go round in both browsers and print the table; 1 when anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, help="folder for screenshots of every mode")
    args = parser.parse_args()
    if missing := [package for program, package in NEEDED.items() if shutil.which(program) is None]:
        print(f"browsers are missing: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    rounds = {}
    for name, open_browser in BROWSERS.items():
        pictures = args.pictures and args.pictures / name
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
        version, went = go_round(open_browser, pictures)
        rounds[f"{name} {version}"] = went
    print(f"| what is done | {' | '.join(rounds)} |\n| --- |{' --- |' * len(rounds)}")
    for step in next(iter(rounds.values())):
        print(f"| {step} | {' | '.join(went[step] for went in rounds.values())} |")
    return int(any(word != "ok" for went in rounds.values() for word in went.values()))


if __name__ == "__main__":
    sys.exit(main())
