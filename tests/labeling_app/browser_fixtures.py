"""A small data set, a real server that can be stopped and started again, and pages signed in to it."""

import base64
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from playwright.sync_api import Browser, Locator, Page, expect
from starlette.types import ASGIApp

from dataset_tools.frames import Rgb, pixels_sha256, write_image
from dataset_tools.frames.area import resize_area
from dataset_tools.manifest import Manifest, from_rows
from dataset_tools.video import open_video
from labeling_app.database.events import now_us
from labeling_app.settings import Settings
from labeling_app.web.app import create_app
from labeling_app.web.projects import create_projects_app

WAIT_MS = 30_000
WIDTH, HEIGHT = 160, 96
_SOME = re.compile(r"\d+")
expect.set_options(timeout=WAIT_MS)


def clip_frames(path: Path, count: int, *, width: int = WIDTH, height: int = HEIGHT) -> list[Rgb]:
    """Return the first ``count`` frames of a clip, made small."""
    frames = []
    with open_video(path) as video:
        for frame in video.frames():
            frames.append(resize_area(frame.rgb(), width=width, height=height))
            if len(frames) == count:
                break
    return frames


def write_data_set(folder: Path, frames: list[Rgb], *, items: int, clips: int = 4) -> Manifest:
    """Write triplets of neighbouring frames whose ``pred`` is the mean of its neighbours, and their manifest."""
    rows = []
    for index in range(items):
        img0, gt, img1 = frames[index : index + 3]
        pred = ((img0.astype(np.uint16) + img1) // 2).astype(np.uint8)
        clip = f"clip-{index % clips}.mp4"
        row = {
            "triplet_id": f"videos/{clip}/{index}-{index + 1}-{index + 2}@256p",
            "source": "videos",
            "clip": clip,
            "clip_sha256": "0" * 64,
            "resolution": "256p",
            "width": gt.shape[1],
            "height": gt.shape[0],
            "native_width": gt.shape[1],
            "native_height": gt.shape[0],
            "img0_index": index,
            "gt_index": index + 1,
            "img1_index": index + 2,
            "img0_pts": index / 25,
            "gt_pts": (index + 1) / 25,
            "img1_pts": (index + 2) / 25,
            "interval": 1,
            "split": "train",
        }
        for role, picture in {"img0": img0, "gt": gt, "img1": img1, "pred": pred}.items():
            name = f"frames/{index}-{role}.png"
            write_image(folder / name, picture)
            row |= {role: name, f"{role}_sha256": pixels_sha256(picture)}
        rows.append(row)
    manifest = from_rows(folder / "data_manifest.parquet", rows)
    manifest.write()
    return manifest


@dataclass
class Server:
    """The application behind a real socket, in a thread; its clock can be moved on."""

    settings: Settings
    projects: Mapping[str, Settings] | None = None  # several on one server, each below its name
    port: int = 0
    shift_seconds: float = 0.0
    _uvicorn: uvicorn.Server | None = None
    _thread: threading.Thread | None = field(default=None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, on the port of the first start; returns when requests are answered."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        app: ASGIApp
        if self.projects is None:
            app = create_app(replace(self.settings, port=self.port), clock=self._clock)
        else:
            app = create_projects_app(self.projects, clock=self._clock)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1)
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        until = time.monotonic() + WAIT_MS / 1000
        while not self._uvicorn.started:
            if time.monotonic() > until or not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._uvicorn is None or self._thread is None:
            return
        self._uvicorn.should_exit = True
        self._thread.join(WAIT_MS / 1000)
        assert not self._thread.is_alive()
        self._uvicorn = self._thread = None

    def _clock(self) -> int:
        return now_us() + int(self.shift_seconds * 1e6)


@contextmanager
def running(settings: Settings, projects: Mapping[str, Settings] | None = None) -> Iterator[Server]:
    """A server that is stopped in the end, whatever happens."""
    server = Server(settings, projects)
    server.start()
    try:
        yield server
    finally:
        server.stop()


_WELCOMED = """try {
    const project = location.pathname.split("/").slice(1, -1).map((name) => ":" + name);
    localStorage.setItem(`vfi.welcomed${project}/` + %s, "yes");
} catch {}"""  # as project.js names what a project keeps


@contextmanager
def signed_in(
    browser: Browser,
    server: Server,
    name: str,
    *,
    password: str | None = None,
    project: str | None = None,
    newcomer: bool = False,
    **context: object,
) -> Iterator["BenchPage"]:
    """A page of its own browser context, signed in; fails on any script error. To a newcomer the help opens itself."""
    session = browser.new_context(**({"locale": "en-GB"} | context))
    errors: list[str] = []
    try:
        if not newcomer:
            session.add_init_script(_WELCOMED % json.dumps(name))
        page = session.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.url}/{project}/" if project else f"{server.url}/")
        page.get_by_label("Name", exact=True).fill(name)
        if password is not None:
            page.get_by_label("Password").fill(password)
        page.locator("button[type=submit]").click()
        yield BenchPage(page)
    finally:
        session.close()
    assert errors == []


@dataclass
class BenchPage:
    """The bench as a person sees it."""

    page: Page

    @property
    def state(self) -> Locator:
        return self.page.get_by_test_id("bench")

    @property
    def stage(self) -> Locator:
        return self.page.get_by_test_id("stage")

    def ready(self) -> str:
        """Wait for an item and return its assignment id."""
        expect(self.state).to_have_attribute("data-assignment-id", _SOME)
        return str(self.state.get_attribute("data-assignment-id"))

    def ready_or_empty(self) -> None:
        """Wait until the bench shows an item or says that there is none."""
        expect(
            self.page.locator("[data-assignment-id]:not([data-assignment-id='']), [data-id=empty]:visible")
        ).to_have_count(1)

    def prefetched(self, count: int) -> None:
        """Wait until the pictures of ``count`` items are in the browser."""
        expect(self.state).to_have_attribute("data-ready", str(count))

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def back(self, view: str) -> None:
        """Go back in the browser's history to a view of the page, and wait until it is there."""
        # By the page, in the order of its own moves: Playwright's go_back reads the place in the history from another
        # process, which on a busy machine does not know the last move yet.
        self.page.evaluate("history.back()")
        expect(self.page).to_have_url(re.compile(rf"/(#{view})?$" if view == "bench" else rf"/#{view}$"))

    def escape(self) -> None:
        """Dismiss the dialog, and wait until it is gone: the browser closes it a moment after the key."""
        self.press("Escape")
        expect(self.page.get_by_test_id("dialog")).to_be_hidden()

    def rate(self, key: str) -> str:
        """Press a level's key, wait for another item (or none), and return its id."""
        before = self.ready()
        self.press(key)
        expect(self.state).not_to_have_attribute("data-assignment-id", before)
        return str(self.state.get_attribute("data-assignment-id"))

    def expect_done(self, count: int) -> None:
        expect(self.page.get_by_test_id("done-count")).to_have_text(str(count))

    def expect_note(self, text: str) -> None:
        expect(self.page.get_by_test_id("last-action")).to_contain_text(text)


def settled(read: Callable[[], Any]) -> None:
    """Wait until ``read()`` gives the same twice: what makes room on the page does so a moment later."""
    until = time.monotonic() + WAIT_MS / 1000
    last = read()
    while time.monotonic() < until:
        time.sleep(0.2)
        last, before = read(), last
        if last == before:
            return
    raise AssertionError(f"still changing: {last}")


def eventually(read: Callable[[], Any], expected: Any) -> None:
    """Wait until ``read()`` equals ``expected``; for what ``expect`` cannot read: places, pixels, stored events."""
    until = time.monotonic() + WAIT_MS / 1000
    while (last := read()) != expected and time.monotonic() < until:
        time.sleep(0.05)
    assert last == expected


_READ_CANVAS = """pane => {
    const isSeen = (canvas) => getComputedStyle(canvas).visibility === "visible";
    const canvas = [...pane.querySelectorAll("canvas")].filter(isSeen).at(-1);
    const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return btoa(String.fromCharCode(...data.filter((_, index) => index % 4 < 3)));
}"""


def shown_pixels_sha256(state: BenchPage, pane: str) -> str:
    """Return the hash of the picture that a pane shows."""
    data = state.stage.locator(f"[data-id={pane}]").evaluate(_READ_CANVAS)
    return pixels_sha256(np.frombuffer(base64.b64decode(data), np.uint8).reshape(HEIGHT, WIDTH, 3))


def events_of(settings: Settings, kind: str) -> list[dict[str, Any]]:
    """Return the stored events of a kind, oldest first: name, level, assignment, flag, payload, undone."""
    query = """
        SELECT u.name, e.level, e.assignment_id, e.flagged, e.payload, e.client_id, e.item_id
        FROM events e LEFT JOIN users u ON u.id = e.user_id WHERE e.kind = ? ORDER BY e.id
    """
    path = settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=WAIT_MS / 1000)) as connection:
        rows = connection.execute(query, (kind,)).fetchall()
    names = ("name", "level", "assignment_id", "flagged", "payload", "client_id", "item_id")
    return [dict(zip(names, row, strict=True)) | {"payload": json.loads(row[4])} for row in rows]
