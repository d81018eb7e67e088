"""Finds the Chromium that browser tests drive; ``python -m tests.browser`` gets one where none is installed."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Error, sync_playwright

# Without these, Chromium asks its maker's hosts at every start; a test machine has no way out.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE_SECONDS = 30.0


@contextmanager
def open_browser(*, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[Browser]:
    """Yield a headless Chromium; in the end, one that does not answer for so long is killed.

    Playwright waits for its answer without a limit: at the end of a run, where this is done, everything would wait.
    """
    others = set(psutil.Process().children(recursive=True))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_browser(), args=ARGUMENTS)
        started = set(psutil.Process().children(recursive=True)) - others
        watch = threading.Timer(patience_seconds, _kill, [started])
        try:
            yield chromium
        finally:
            watch.start()
            with suppress(Error):  # it has ended by itself, or is killed now
                chromium.close()
    watch.cancel()


def _kill(processes: Iterable[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            for each in [*process.children(recursive=True), process]:
                with suppress(psutil.NoSuchProcess):
                    each.kill()


def find_browser() -> str | None:
    """Return the path of an installed Chromium or Chrome, else of Playwright's own; ``None`` when there is neither."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def main() -> int:
    """Install Playwright's Chromium when no browser is there; 1 with one line when that cannot be done."""
    if find_browser():
        return 0
    install = [sys.executable, "-m", "playwright", "install", "chromium"]
    if subprocess.run(install, check=False).returncode == 0 and find_browser():
        return 0
    print("make test needs a browser: install Chromium (Debian: apt-get install chromium)", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
