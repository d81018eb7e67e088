"""Drives Firefox (by Marionette) and WebKitGTK (by WebDriver) with nothing but the standard library.

Needs Debian's packages firefox-esr, webkit2gtk-driver and xvfb. Both protocols know the same commands by two names.
Not Selenium: it drives Firefox through geckodriver only, which neither Debian 12 nor a Python package for
Linux brings, and for WebKit alone it would save next to nothing, as Marionette's half stays.
"""

import base64
import glob
import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

NEEDED = {"firefox-esr": "firefox-esr", "WebKitWebDriver": "webkit2gtk-driver", "Xvfb": "xvfb"}  # program: package
MINI_BROWSER = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"
WAIT_SECONDS = 60.0
WIDTH, HEIGHT = 1366, 900
Call = Callable[[str, str, dict[str, Any]], Any]  # Marionette's name, WebDriver's path, parameters


class Driver:
    """A browser with the page in it."""

    def __init__(self, call: Call) -> None:
        self.call = call
        call("WebDriver:SetWindowRect", "window/rect", {"width": WIDTH, "height": HEIGHT})

    def js(self, expression: str) -> Any:
        parameters = {"script": f"return {expression}", "args": []}
        return self.call("WebDriver:ExecuteScript", "execute/sync", parameters)

    def tab(self, handle: str = "", *, new: bool = False) -> str:
        """Go to a tab, or to a new one; without either only return the handle of the present one."""
        if new:
            handle = self.call("WebDriver:NewWindow", "window/new", {"type": "tab"})["handle"]
        if not handle:
            return str(self.call("WebDriver:GetWindowHandle", "GET window", {}))
        self.call("WebDriver:SwitchToWindow", "window", {"handle": handle})
        return handle

    def go(self, url: str) -> None:
        self.call("WebDriver:Navigate", "url", {"url": url})

    def act(self, kind: str, actions: list[dict[str, Any]], **more: Any) -> None:
        device = {"type": kind, "id": kind, "actions": actions, **more}
        self.call("WebDriver:PerformActions", "actions", {"actions": [device]})

    def press(self, *keys: str) -> None:
        """Press keys together."""
        down = [{"type": "keyDown", "value": key} for key in keys]
        self.act("key", down + [{"type": "keyUp", "value": key} for key in reversed(keys)])

    def drag(self, selector: str, dx: int = 0, dy: int = 0) -> None:
        """Press the mouse in the middle of an element, move, let go; a click when it does not move."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        x, y = self.js(f"(box => [box.x + box.width / 2, box.y + box.height / 2])({box})")
        down, up = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        moves = [
            {"type": "pointerMove", "duration": 30, "x": round(x + a), "y": round(y + b)} for a, b in ((0, 0), (dx, dy))
        ]
        self.act("pointer", [moves[0], down, moves[1], up], parameters={"pointerType": "mouse"})

    def wait(self, expression: str) -> Any:
        """Wait until an expression holds and return it; a page that is just loading is not yet an answer."""
        until = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < until:
            try:
                if found := self.js(expression):
                    return found
            except RuntimeError:
                if time.monotonic() > until - 1:
                    raise
            time.sleep(0.05)
        raise RuntimeError(f"never true: {expression}")

    def screenshot(self) -> bytes:
        """Return what the window shows, as a PNG file."""
        return base64.b64decode(self.call("WebDriver:TakeScreenshot", "GET screenshot", {"full": False}))


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


@contextmanager
def firefox(folder: Path) -> Iterator[Driver]:
    """Firefox, headless, spoken to by Marionette: each message is its length, a colon, and JSON."""
    (folder / "user.js").write_text('user_pref("marionette.port", 0);\nuser_pref("app.update.enabled", false);\n')
    command = ["firefox-esr", "--headless", "--marionette", "--no-remote", "--profile", str(folder)]
    with process(command, stdout=subprocess.DEVNULL, env={**os.environ, "HOME": str(folder)}) as child:
        port = folder / "MarionetteActivePort"
        wait_for(lambda: child.poll() is None and port.exists() and port.read_text().strip())
        with socket.create_connection(("127.0.0.1", int(port.read_text())), WAIT_SECONDS) as connection:
            stream = connection.makefile("rb")

            def read() -> Any:
                digits = b"".join(iter(lambda: stream.read(1), b":"))
                return json.loads(stream.read(int(digits)))

            def call(name: str, _: str, parameters: dict[str, Any]) -> Any:
                message = json.dumps([0, 1, name, parameters]).encode()
                connection.sendall(b"%d:%s" % (len(message), message))
                error, result = read()[2:]
                if error:
                    raise RuntimeError(error["message"])
                return result.get("value", result) if isinstance(result, dict) else result

            read()
            call("WebDriver:NewSession", "", {})
            yield Driver(call)


@contextmanager
def webkit(folder: Path) -> Iterator[Driver]:
    """WebKitGTK's small browser on a screen of its own, spoken to by WebDriver."""
    with ExitStack() as stack:
        screen = ["Xvfb", "-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
        display = stack.enter_context(process(screen, stdout=subprocess.PIPE)).stdout
        assert display is not None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        env = {**os.environ, "DISPLAY": f":{display.readline().strip()}", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
        stack.enter_context(process(["WebKitWebDriver", f"--port={port}"], stdout=subprocess.DEVNULL, env=env))
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        session = ""

        def call(_: str, path: str, parameters: dict[str, Any]) -> Any:
            data = None if path.startswith("GET ") else json.dumps(parameters).encode()
            url = f"http://127.0.0.1:{port}/session{session}/{path.removeprefix('GET ')}".rstrip("/")
            try:
                with urllib.request.urlopen(urllib.request.Request(url, data), timeout=WAIT_SECONDS) as reply:
                    return json.load(reply)["value"]
            except urllib.error.HTTPError as error:
                raise RuntimeError(json.load(error)["value"]["message"]) from None

        options = {"binary": glob.glob(MINI_BROWSER)[0], "args": ["--automation"]}
        wanted = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        session = "/" + call("", "", {"capabilities": wanted})["sessionId"]
        yield Driver(call)
        urllib.request.urlopen(
            urllib.request.Request(f"http://127.0.0.1:{port}/session{session}", method="DELETE"), timeout=WAIT_SECONDS
        )


def wait_for(is_there: Callable[[], Any]) -> None:
    """Wait until something outside has come up."""
    until = time.monotonic() + WAIT_SECONDS
    while not is_there():
        if time.monotonic() > until:
            raise RuntimeError("the browser did not start")
        time.sleep(0.1)


BROWSERS = {"Firefox": firefox, "WebKit": webkit}
