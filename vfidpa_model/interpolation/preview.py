"""A page of samples from an interpolated video: before, made, after, for each route."""

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from dataset_tools.common.files import write_bytes
from dataset_tools.common.pages import render_page
from dataset_tools.frames import Rgb
from dataset_tools.frames.area import resize_area
from dataset_tools.interpolators.tiles import TILE
from vfidpa_model.interpolation.colours import Pixels
from vfidpa_model.interpolation.stream import PairDone

_PER_ROUTE = 4
_EVERY_PIECE = 8  # a film of two hours keeps some 100 MB of samples while it is made
_WIDTH = 480
_LINE = (255, 64, 64)  # around refined parts
_TITLES = {
    "fast": "Fast interpolator",
    "refined": "Refined in the framed parts, fast elsewhere",
    "accurate": "Accurate interpolator",
    "cut": "Scene cuts: the nearer frame is repeated",
    "repeat": "Identical frames: repeated",
    "hold": "Pictures that stand still, and gaps: the frame before is held",
}


class PieceRecord:
    """Counts the pairs of one piece by route, and keeps a few samples of each."""

    def __init__(self, piece: int, *, with_samples: bool) -> None:
        """Start empty; later pieces of a long video keep fewer samples, most of them none."""
        self._most = 0 if not with_samples else _PER_ROUTE if piece < _PER_ROUTE else int(piece % _EVERY_PIECE == 0)
        self._routes: Counter[str] = Counter()
        self._area, self._unscored, self._routing = 0.0, 0, ""
        self._samples: dict[str, list[dict[str, Any]]] = {}
        self._every: dict[str, int] = {}

    def add(self, done: PairDone) -> None:
        """Look at a finished pair, and keep every n-th of its route: n doubles when there are too many."""
        route = done.decision.route
        self._area, self._routing = self._area + (done.decision.area or 0.0), done.routing
        self._unscored += done.decision.is_unscored
        every = self._every.setdefault(route, 1)
        self._routes[route] += 1
        if not self._most or (self._routes[route] - 1) % every:
            return
        kept = self._samples.setdefault(route, [])
        kept.append(_sample(done))
        if len(kept) > 2 * self._most:
            del kept[1::2]
            self._every[route] = 2 * every

    def as_dict(self) -> dict[str, Any]:
        """Return what is to be kept with the piece, for JSON."""
        samples = {route: _spread(kept, self._most) for route, kept in self._samples.items()}
        counts = {"routes": dict(self._routes), "area": self._area, "unscored": self._unscored}
        return {**counts, "routing": self._routing, "samples": samples}


def write_page(path: Path, records: Sequence[dict[str, Any]], *, title: str, summary: str) -> None:
    """Write the page: one file, nothing loaded from elsewhere.

    Args:
        records: Of all pieces, in order, as ``PieceRecord.as_dict`` gives them.
    """
    routes = []
    for route, heading in _TITLES.items():
        seen = sum(record.get("routes", {}).get(route, 0) for record in records)
        kept = [sample for record in records for sample in record.get("samples", {}).get(route, [])]
        if seen:
            routes.append({"heading": heading, "pairs": seen, "samples": _spread(kept, _PER_ROUTE)})
    page = render_page("vfidpa_model.interpolation", "preview.html.jinja", title=title, summary=summary, routes=routes)
    write_bytes(path, page.encode())


def _spread(items: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Return up to ``most`` of the items, evenly spread, the first one first."""
    return [items[k * len(items) // most] for k in range(most)] if len(items) > most else items


def _sample(done: PairDone) -> dict[str, Any]:
    assert done.first.pixels is not None
    assert done.second.pixels is not None
    made = done.made if done.made is not None else done.first.pixels
    score = (
        ""
        if done.decision.score is None or not np.isfinite(done.decision.score)
        else f"score {done.decision.score:.2f}, "
    )
    area = "" if done.decision.area is None else f"{100 * done.decision.area:.0f} % of the area, "
    at = f"frame {done.first.index} at {float(done.first.pts):.2f} s"
    caption = f"{at}: {score}{area}{done.decision.seconds * 1000:.0f} ms"
    shown = (done.first.pixels, framed(made, done.decision.tiles), done.second.pixels)
    pictures = [base64.b64encode(jpeg(pixels)).decode() for pixels in shown]
    return {"caption": caption, "pictures": pictures}


def framed(pixels: Pixels, tiles: npt.NDArray[np.bool_] | None) -> Pixels:
    """Return a frame with a line around the parts that were refined."""
    if tiles is None or not tiles.any():
        return pixels
    width = max(2, pixels.shape[1] // _WIDTH)
    height, length = pixels.shape[:2]
    chosen = np.ones((height, length), dtype=np.uint8)  # one tile is the whole frame
    if tiles.size > 1:
        chosen = tiles.astype(np.uint8).repeat(TILE, 0).repeat(TILE, 1)[:height, :length]
    inner = cv2.erode(chosen, np.ones((2 * width + 1, 2 * width + 1), np.uint8), borderType=cv2.BORDER_CONSTANT)
    framed = pixels.copy()
    framed[(chosen > 0) & (inner == 0)] = np.array(_LINE, dtype=np.float64) / 255 * np.iinfo(pixels.dtype).max
    return framed


def jpeg(pixels: Pixels) -> bytes:
    """Return a small copy of a frame as a JPEG file."""
    rgb: Rgb = (pixels if pixels.dtype == np.uint8 else pixels >> 8).astype(np.uint8)
    height, width = rgb.shape[:2]
    if width > _WIDTH:
        rgb = resize_area(rgb, width=_WIDTH, height=max(1, height * _WIDTH // width))
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1])
