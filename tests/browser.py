"""Finds the Chromium that browser tests drive; ``python -m tests.browser`` gets one where none is installed."""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

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
