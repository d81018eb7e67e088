"""The whole chain on real frames: extract, label through the page, export, train, evaluate, predict."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from dataset_tools import extract, predict, verify
from dataset_tools.manifest import read_manifest
from labeling_app.__main__ import main as labeling
from vfidpa_model import evaluate, train
from vfidpa_model.predict import main as predict_scores

WAIT_SECONDS = 60
COUNT = 12  # rows: four of each of three clips, at 256p


@pytest.fixture(scope="module")
def clips(demo_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips for three splits: the film, and the street cut in two (packets copied, not encoded again)."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "film.mp4").symlink_to(demo_clips / "bigbuckbunny.mp4")
    for part, (start, end) in {"first": (0.0, 4.0), "rest": (4.0, 99.0)}.items():
        _copy_packets(demo_clips / "bikes.mp4", folder / f"street_{part}.mp4", start=start, end=end)
    return folder


def _copy_packets(source: Path, target: Path, *, start: float, end: float) -> None:
    with av.open(str(source)) as clip, av.open(str(target), "w") as cut:
        stream = clip.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        is_open = False
        for packet in clip.demux(stream):
            if packet.dts is None:
                continue
            seconds = float(packet.pts * packet.time_base)
            is_open = seconds < end and (is_open or (packet.is_keyframe and seconds >= start))
            if is_open:
                packet.stream = copy
                cut.mux(packet)


@contextmanager
def _serve(manifest: Path) -> Iterator[str]:
    """Yield the address of ``python -m labeling_app`` in a process group of its own, ended whatever happens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "labeling_app", "--manifest", str(manifest), "--open", "--port", str(port)]
    log = manifest.parent / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            _wait_until_healthy(f"http://127.0.0.1:{port}", server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # no goodbye: every vote must be on disk by now
            server.wait(timeout=WAIT_SECONDS)


def _wait_until_healthy(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(f"{address}/healthz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"the page did not come up in {WAIT_SECONDS} s: {log.read_text()}")


def _label_everything(page: Page, address: str) -> None:
    """Sign in and press 1 2 3 4 1 2 ... until nothing is left."""
    expect.set_options(timeout=WAIT_SECONDS * 1000)
    page.goto(address)
    page.get_by_role("textbox").first.fill("ada")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("dialog")).to_be_visible()  # the help, to a newcomer
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("dialog")).to_be_hidden()
    state, done = page.locator("[data-testid=bench]"), page.locator("[data-testid=done-count]")
    before = "none"
    for votes in range(COUNT):
        expect(state).not_to_have_attribute("data-assignment-id", before)
        expect(state).to_have_attribute("data-assignment-id", re.compile(r"\d+"))
        expect(done).to_have_text(re.compile(rf"\b{votes}\b"))
        before = str(state.get_attribute("data-assignment-id"))
        page.keyboard.press(str(votes % 4 + 1))
    expect(page.locator("[data-testid=nothing-left]")).to_be_visible()
    expect(done).to_have_text(re.compile(rf"\b{COUNT}\b"))  # the server has the last one as well


@pytest.mark.browser
def test_from_clips_to_a_trained_model(clips: Path, browser: Browser, tmp_path: Path, capsys):
    data, run = tmp_path / "data", tmp_path / "run"
    path = data / "data_manifest.parquet"
    options = ["--resolutions", "256p", "--split", "0.34,0.33,0.33", "--seed", "2", "--workers", "1"]
    assert extract.main(["--source", f"videos:{clips}", "--out", str(data), "--count", str(COUNT), *options]) == 0
    manifest = read_manifest(path)
    assert len(manifest) == COUNT
    assert {row["split"] for row in manifest.rows()} == {"train", "val", "test"}
    assert verify.main([str(path)]) == 0

    with _serve(path) as address:
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        context.set_default_timeout(WAIT_SECONDS * 1000)
        _label_everything(context.new_page(), address)
        context.close()
    assert labeling(["export", "--manifest", str(path)]) == 0
    labelled = read_manifest(path).rows()
    assert sorted(row["level"] for row in labelled) == sorted([1.0, 2.0, 3.0, 4.0] * (COUNT // 4))
    assert all(row["level_source"] == "human" and row["votes"][0]["annotator"] == "ada" for row in labelled)
    assert predict.main([str(path), "--proxy-levels"]) == 0  # human labels always win
    assert [row["level"] for row in read_manifest(path).rows()] == [row["level"] for row in labelled]

    budget = ["--backbone", "efficientnet_lite0", "--epochs", "1", "--batch", "2", "--crop", "128"]
    assert train.main([str(path), "--out", str(run), "--resolution", "256p", *budget]) == 0
    capsys.readouterr()
    assert evaluate.main([str(run), str(path), "--split", "test"]) == 0
    assert "SRCC" in capsys.readouterr().out
    assert predict_scores([str(run), "--manifest", str(path)]) == 0
    scored = read_manifest(path).rows()
    assert all(isinstance(row["score"], float) for row in scored)
    assert [row["level"] for row in scored] == [row["level"] for row in labelled]
