"""From the key to the next item painted, on the labelling bench and in stock gr.Image: one run, the same items.

    python -m benchmarks.labeling_speed                            # 1080p, a key every 0.8 s, then four keys per second
    python -m benchmarks.labeling_speed --items 12 --height 270   # a quick try

Items are 1080p frames of a demo clip (enlarged: it has 720p) with fresh noise, so that PNG files are as large as those
of camera footage (2 to 3 MB). A real server, a real Chromium. "Painted" is when the frame with the new pictures has
been drawn and handed to the screen, by the browser's own account; the bench shows them only after the server has
acknowledged the vote as committed. A key that the bench ignores (the vote before is still on its way) counts as not
answered. For stock components the clock stops earlier, to their favour, at the first frame after all four pictures are
loaded: headless Chromium often tells of their frame only when the next key makes another one.
"""

import argparse
import itertools
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.frames import pixels_sha256, write_image
from dataset_tools.manifest import from_rows
from dataset_tools.video import open_video
from tests.browser import open_browser

ROLES = ("img0", "gt", "img1", "pred")
RHYTHMS_SECONDS = (0.8, 0.25)
SEED = 0

# Puts a word into the document together with each new item: Chromium tells when the frame that it first stood in was
# presented (Element Timing, a multiple of 4 ms), and that frame shows the new pictures too.
WATCH = """([whichKey, waitsForScreen]) => {
    const answeredKey = eval(whichKey), pressed = [], times = (window.vfiTimes = []);
    const corner = document.body.appendChild(document.createElement("div"));
    corner.style = "position: fixed; left: 0; bottom: 0; z-index: 99; font: 8px monospace; color: gray";
    document.addEventListener("keydown", (event) => pressed.push(event.timeStamp), true);
    const look = () => {
        const key = answeredKey(pressed.length);
        if (key === null) return;
        if (!waitsForScreen) {
            const drawn = new MessageChannel();  // a message after the frame's own work comes after its paint
            drawn.port1.onmessage = () => times.push(performance.now() - pressed[key]);
            requestAnimationFrame(() => drawn.port2.postMessage(0));
            return;
        }
        const word = document.createElement("div");
        word.textContent = `item-${key}`;
        word.setAttribute("elementtiming", key);
        corner.replaceChildren(word);
    };
    const attributeFilter = ["src", "data-assignment-id"];
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributeFilter });
    document.addEventListener("load", look, true);
    new PerformanceObserver((list) => {
        for (const { identifier, renderTime } of list.getEntries()) times.push(renderTime - pressed[identifier]);
    }).observe({ type: "element" });
}"""
# A new item answers the first key since the item before; the keys after that one are ignored.
BENCH_KEY = """(() => {
    const bench = document.querySelector("[data-testid=bench]");
    let shown = bench.dataset.assignmentId, next = 0;
    return (pressed) => {
        const now = bench.dataset.assignmentId, isNew = now !== "" && now !== shown, key = next;
        shown = now;
        if (!isNew || key >= pressed) return null;
        next = pressed;
        return key;
    };
})()"""
# The item's number, which its files are named after, is that of the key: items can come late, or never be whole.
STOCK_KEY = """(() => {
    const seen = new Set();
    return (pressed) => {
        const images = [...document.querySelectorAll(".stock img")];
        const items = new Set(images.map((image) => parseInt(image.src.match(/(\\d+)-[^/]*$/)?.[1])));
        const [key] = items;
        if (images.length < 4 || items.size > 1 || !(key < pressed) || seen.has(key)) return null;
        if (!images.every((image) => image.complete && image.naturalWidth)) return null;
        seen.add(key);
        return key;
    };
})()"""
STOCK_HEAD = """<script>document.addEventListener("keydown", (event) => {
    if (event.key === "2") document.querySelector("#next").click();
});</script>"""


def make_items(folder: Path, *, count: int, height: int) -> Path:
    """Write ``count`` items of four pictures of 16:9 and ``height`` rows, and their manifest; return its path."""
    width, rng = height * 16 // 9, np.random.default_rng(SEED)
    with open_video(fetch_demo_clips() / "bigbuckbunny.mp4") as video:
        first = itertools.islice(video.frames(), 8)
        frames = [cv2.resize(frame.rgb(), (width, height), interpolation=cv2.INTER_CUBIC) for frame in first]
    rows = []
    for index in range(count):
        clip = f"clip{index % 7}"
        row = {
            "triplet_id": f"videos/{clip}/{index:05d}-{index + 1:05d}-{index + 2:05d}@1080p",
            "source": "videos",
            "clip": clip,
            "resolution": "1080p",
            "width": width,
            "height": height,
            "interval": 1,
            "split": "train",
        }
        for role in ROLES:
            noise = rng.integers(-2, 3, (height, width, 1), dtype=np.int16)
            rgb = np.clip(frames[(index + ROLES.index(role)) % len(frames)] + noise, 0, 255).astype(np.uint8)
            name = f"{index:03d}-{role}.png"
            write_image(folder / name, rgb)
            row |= {role: name, f"{role}_sha256": pixels_sha256(rgb)}
        rows.append(row)
    from_rows(folder / "data_manifest.parquet", rows).write()
    return folder / "data_manifest.parquet"


@contextmanager
def bench_server(manifest: Path) -> Iterator[str]:
    """The labelling bench in a process of its own; yields its address."""
    command = [sys.executable, "-m", "labeling_app", "--manifest", str(manifest), "--open", "--port", "0"]
    options = ["--gold-rate", "0", "--repeat-rate", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split(" on ")[1].split()[0]
        finally:
            process.terminate()


@contextmanager
def stock_server(folder: Path, count: int) -> Iterator[str]:
    """The same items in four ``gr.Image``, changed by a Gradio event without its queue; yields its address."""
    import gradio as gr

    place = iter(range(10**9))

    def following() -> list[str]:
        index = next(place) % count
        return [str(folder / f"{index:03d}-{role}.png") for role in ROLES]

    with gr.Blocks(analytics_enabled=False) as page:
        images = [gr.Image(format="png", elem_classes="stock", label=role) for role in ROLES]
        button = gr.Button("next", elem_id="next")
        button.click(following, outputs=images, queue=False, trigger_mode="multiple")
    _, url, _ = page.launch(
        prevent_thread_lock=True, quiet=True, ssr_mode=False, head=STOCK_HEAD, allowed_paths=[str(folder)]
    )
    try:
        yield url
    finally:
        page.close(verbose=False)


def press_keys(page: Page, *, presses: int, rhythm_seconds: float) -> list[float]:
    """Press "2" in an even rhythm and return the milliseconds from key to paint, one per press that was answered."""
    page.evaluate("window.vfiTimes.length = 0")
    due = time.perf_counter()
    for _ in range(presses):
        page.keyboard.press("2")
        due += rhythm_seconds
        page.wait_for_timeout(max(0.0, due - time.perf_counter()) * 1000)
    page.wait_for_timeout(2000)
    return page.evaluate("window.vfiTimes")


def measure_bench(page: Page, url: str, report: Callable[[str, list[float], int], None], *, presses: int) -> None:
    """Measure the bench: when it is usable, then both rhythms."""
    page.goto(url)
    page.fill("input[name=name]", "Benchmark")
    page.click("button[type=submit]")
    ready = "[data-testid=bench][data-ready='5']"
    page.wait_for_selector(ready)
    began = time.perf_counter()
    page.reload()
    page.wait_for_selector("[data-testid=bench]:not([data-assignment-id=''])[data-assignment-id]")
    report("page usable after loading", [(time.perf_counter() - began) * 1000], 1)
    page.evaluate(WATCH, [BENCH_KEY, True])
    for rhythm in RHYTHMS_SECONDS:
        page.wait_for_selector(ready)
        report(f"bench, a key every {rhythm} s", press_keys(page, presses=presses, rhythm_seconds=rhythm), presses)


def measure_stock(page: Page, url: str, report: Callable[[str, list[float], int], None], *, presses: int) -> None:
    """Measure stock ``gr.Image`` in the same rhythms."""
    page.goto(url)
    page.wait_for_selector("#next")
    page.evaluate(WATCH, [STOCK_KEY, False])
    press_keys(page, presses=2, rhythm_seconds=2.0)  # the first answers load the front end
    for rhythm in RHYTHMS_SECONDS:
        report(
            f"4 x gr.Image, a key every {rhythm} s", press_keys(page, presses=presses, rhythm_seconds=rhythm), presses
        )


def print_line(name: str, times_ms: list[float], presses: int) -> None:
    """Print one row of the table."""
    if not times_ms:
        print(f"| {name} | - | - | 0 of {presses} |")
        return
    p95 = float(np.quantile(times_ms, 0.95))
    print(f"| {name} | {statistics.median(times_ms):.0f} | {p95:.0f} | {len(times_ms)} of {presses} |", flush=True)


def main() -> int:
    """Make the items, measure both pages, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=126, help="items to rate on the bench: half of them per rhythm")
    parser.add_argument("--height", type=int, default=1080, help="rows of a picture")
    args = parser.parse_args()
    presses = args.items // len(RHYTHMS_SECONDS) - 3  # some stay, so that the bench never runs dry
    with tempfile.TemporaryDirectory() as name, open_browser() as browser:
        folder = Path(name)
        manifest = make_items(folder, count=args.items, height=args.height)
        megabytes = statistics.mean(path.stat().st_size for path in folder.glob("*.png")) / 1e6
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, Chromium {browser.version} without GPU, {args.items} items"
        )
        print(f"of 4 PNG of {args.height * 16 // 9}x{args.height}, {megabytes:.1f} MB each; SQLite, synchronous=FULL\n")
        print("| key to next item painted | median, ms | p95, ms | answered |\n| --- | --- | --- | --- |")
        with bench_server(manifest) as url:
            page = browser.new_page(viewport={"width": 2560, "height": 1440})
            measure_bench(page, url, print_line, presses=presses)
            page.close()
        with stock_server(folder, args.items) as url:
            measure_stock(browser.new_page(), url, print_line, presses=presses)
    return 0


if __name__ == "__main__":
    sys.exit(main())
