"""A page of samples from an interpolated video: before, made, after, for each route."""

import base64
import html
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dataset_tools.common.files import write_bytes
from dataset_tools.frames import Rgb, resize_area
from vfidpa_model.interpolation.colours import Pixels
from vfidpa_model.interpolation.stream import PairDone

_PER_ROUTE = 4
_WIDTH = 480
_TITLES = {
    "fast": "Fast interpolator",
    "accurate": "Accurate interpolator",
    "cut": "Scene cuts: the nearer frame is repeated",
    "repeat": "Identical frames: repeated",
}


@dataclass(frozen=True)
class _Sample:
    caption: str
    pictures: tuple[bytes, ...]


class Preview:
    """Collects a few samples per route, spread over the video, in constant memory."""

    def __init__(self) -> None:
        """Start empty."""
        self._samples: dict[str, list[_Sample]] = {}
        self._seen: dict[str, int] = {}
        self._every: dict[str, int] = {}

    def add(self, done: PairDone) -> None:
        """Look at a finished pair, and keep every n-th of its route: n doubles when there are too many."""
        route = done.decision.route
        seen, every = self._seen.get(route, 0), self._every.setdefault(route, 1)
        self._seen[route] = seen + 1
        if seen % every or done.first.pixels is None or done.second.pixels is None:
            return
        kept = self._samples.setdefault(route, [])
        kept.append(_sample(done))
        if len(kept) > 2 * _PER_ROUTE:
            del kept[1::2]
            self._every[route] = 2 * every

    def write(self, path: Path, *, title: str, summary: str) -> None:
        """Write the page: one file, nothing loaded from elsewhere."""
        parts = [_HEAD.format(title=html.escape(title)), f"<p>{html.escape(summary)}</p>"]
        for route, heading in _TITLES.items():
            if route not in self._samples:
                continue
            parts.append(f"<h2>{heading}: {self._seen[route]} pairs</h2>")
            kept = self._samples[route]
            for sample in kept[:: max(1, len(kept) // _PER_ROUTE)][:_PER_ROUTE]:
                pictures = "".join(
                    f'<img alt="{name}" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
                    for name, data in zip(("before", "made", "after"), sample.pictures, strict=True)
                )
                parts.append(f"<figure>{pictures}<figcaption>{html.escape(sample.caption)}</figcaption></figure>")
        write_bytes(path, ("\n".join([*parts, "</html>"])).encode())


_HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }}
figure {{ margin: 0 0 1.5rem; display: grid; grid-template-columns: repeat(3, 1fr); gap: 4px; max-width: 1460px }}
img {{ width: 100% }}
figcaption {{ grid-column: 1 / 4; color: #555 }}
</style>
<h1>{title}</h1>"""


def _sample(done: PairDone) -> _Sample:
    assert done.first.pixels is not None
    assert done.second.pixels is not None
    made = done.made if done.made is not None else done.first.pixels
    score = (
        ""
        if done.decision.score is None or not np.isfinite(done.decision.score)
        else f"score {done.decision.score:.2f}, "
    )
    caption = f"frame {done.first.index} at {float(done.first.pts):.2f} s: {score}{done.decision.seconds * 1000:.0f} ms"
    return _Sample(caption, tuple(_jpeg(pixels) for pixels in (done.first.pixels, made, done.second.pixels)))


def _jpeg(pixels: Pixels) -> bytes:
    rgb: Rgb = (pixels if pixels.dtype == np.uint8 else pixels >> 8).astype(np.uint8)
    height, width = rgb.shape[:2]
    if width > _WIDTH:
        rgb = resize_area(rgb, width=_WIDTH, height=max(1, height * _WIDTH // width))
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])
