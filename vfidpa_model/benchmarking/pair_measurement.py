"""Every model and every router on every triplet of a set, once: quality and time per pair. Resumable, reads ahead.

What a threshold or another router would give follows from these rows (see ``vfidpa_model.routing.quality_cost``).
"""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from dataset_tools.common.json_lines import whole_lines
from dataset_tools.common.progress import track
from dataset_tools.errors import FrameError, UsageError
from dataset_tools.frames import Rgb, to_rgb, to_tensor
from dataset_tools.interpolators import Interpolator
from dataset_tools.prediction.metrics import MIN_LPIPS_SIDE, Lpips, psnr, ssim_matlab
from vfidpa_model.benchmarking.protocols import Protocol
from vfidpa_model.benchmarking.sets import BenchmarkSetError, Item, read_item
from vfidpa_model.routing.dynamic import Router

_READ_AHEAD = 4  # triplets: at 4K each takes 80 MB
_T = TypeVar("_T")
Row = dict[str, Any]
Frames = Future[tuple[Rgb, Rgb, Rgb]]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        models: By the name they get in the table.
        routers: By name; their time is taken too.
        lpips: None leaves it out.
    """

    set_name: str
    protocol: Protocol
    models: Mapping[str, Interpolator]
    routers: Mapping[str, Router]
    device: torch.device
    lpips: Lpips | None = None
    clock: Callable[[], float] = time.perf_counter
    identity: Mapping[str, Any] = field(default_factory=dict)  # must agree for a journal to be gone on with

    @property
    def ssim_name(self) -> str:
        """Which SSIM the set's published numbers use."""
        return "ssim (scikit-image, 7x7)" if self.set_name.startswith("xiph") else "ssim_matlab"


def measure(
    items: Sequence[Item], plan: Plan, *, journal: Path | None = None, left_out: dict[str, str] | None = None
) -> list[Row]:
    """Return one row per triplet: ``key``, ``subset``, ``sequence``, ``size``, ``models`` and ``routers`` by name.

    A model's entry holds ``psnr`` (dB), ``ssim``, ``lpips``, ``ie`` (mean absolute error of 255) and ``seconds``; a
    router's ``score`` and ``seconds``. Each model is warmed up once per frame size, and the device is waited for.

    Args:
        journal: Rows are appended to it as they come; those already in it are not measured again.
        left_out: Is given the reason, by key, for each triplet that has no row because its frames are missing,
            damaged or of wrong sizes. Without it the first such triplet is an error.

    Raises:
        UsageError: The journal belongs to another run.
        FrameError, BenchmarkSetError: See ``left_out``.
    """
    done = _read_journal(journal, plan.identity) if journal else {}
    todo = [item for item in items if item.key not in done]
    runner = _Runner(plan)
    with track("benchmark", len(items)) as progress:
        progress.advance(len(items) - len(todo))
        for item, frames in _read_ahead(todo, is_quiet=plan.device.type == "cpu"):
            progress.advance(note=item.subset)
            try:
                row = runner.row(item, *frames.result())
            except (FrameError, BenchmarkSetError) as error:
                if left_out is None:
                    raise
                left_out[item.key] = str(error)
                continue
            done[item.key] = row
            if journal:
                with journal.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    return [done[item.key] for item in items if item.key in done]


def check_none_left_out(left_out: Mapping[str, str], num_items: int) -> None:
    """End a command with what ``measure`` left out, after its result is written.

    Raises:
        BenchmarkSetError: Triplets were left out; names the first.
    """
    if left_out:
        first = ": ".join(next(iter(left_out.items())))
        raise BenchmarkSetError(f"{len(left_out)} of {num_items} triplets were left out, the first is {first}")


class _Runner:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._warm: set[tuple[str, torch.Size]] = set()

    def row(self, item: Item, img0: Rgb, gt: Rgb, img1: Rgb) -> Row:
        plan = self.plan
        first, second = to_tensor(img0).to(plan.device), to_tensor(img1).to(plan.device)
        routers = {}
        for name, router in plan.routers.items():
            scores, seconds = self._timed(name, first, partial(router.score, first, second))
            routers[name] = {"score": float(scores[0]), "seconds": seconds}
        padding = plan.protocol.padding(plan.set_name, *gt.shape[:2])
        padded0, padded1 = (padding.pad(image, value=plan.protocol.value) for image in (first, second))
        models = {}
        for name, model in plan.models.items():
            frame, seconds = self._timed(name, first, partial(model.interpolate, padded0, padded1))
            models[name] = {**self._quality(padding.crop(frame), gt), "seconds": seconds}
        return {
            "key": item.key,
            "subset": item.subset,
            "sequence": item.sequence,
            "size": [gt.shape[1], gt.shape[0]],
            "models": models,
            "routers": routers,
        }

    def _timed(self, name: str, like: Tensor, call: Callable[[], _T]) -> tuple[_T, float]:
        """Return a call's result and its seconds; the first call at a frame size is made twice."""
        if (name, like.shape) not in self._warm:
            self._warm.add((name, like.shape))
            call()
        self._wait()
        started = self.plan.clock()
        result = call()
        self._wait()
        return result, self.plan.clock() - started

    def _wait(self) -> None:
        if self.plan.device.type == "cuda":
            torch.cuda.synchronize(self.plan.device)

    def _quality(self, frame: Tensor, gt: Rgb) -> dict[str, float | None]:
        rounded = to_rgb(frame)
        pred: Any = rounded
        truth: Any = gt
        if not self.plan.protocol.is_rounded:
            pred = frame[0].float().permute(1, 2, 0).cpu().numpy()
            truth = gt.astype(np.float32) / np.float32(255)
        with_lpips = self.plan.lpips is not None and min(gt.shape[:2]) >= MIN_LPIPS_SIDE
        return {
            "psnr": psnr(pred, truth),
            "ssim": self._ssim(pred, truth),
            "lpips": self.plan.lpips(rounded, gt) if self.plan.lpips and with_lpips else None,
            "ie": float(np.abs(rounded.astype(np.int16) - gt).mean()),
        }

    def _ssim(self, pred: Any, truth: Any) -> float:
        if self.plan.ssim_name == "ssim_matlab":
            return ssim_matlab(pred, truth)
        peak = 255 if pred.dtype == np.uint8 else 1.0
        return float(structural_similarity(truth, pred, data_range=peak, channel_axis=2))


def _read_ahead(items: Sequence[Item], *, is_quiet: bool) -> Iterator[tuple[Item, Frames]]:
    """Yield items with their frames; if ``is_quiet``, no thread decodes while the caller works with them."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: deque[tuple[Item, Frames]] = deque()
        upcoming = iter(items)
        try:
            while True:
                for item in upcoming:
                    waiting.append((item, pool.submit(read_item, item)))
                    if len(waiting) >= _READ_AHEAD:
                        break
                if not waiting:
                    return
                if is_quiet:  # decoding on the cores that a model is timed on would count as the model's time
                    wait([frames for _, frames in waiting])
                yield waiting.popleft()
        finally:
            for _, future in waiting:
                future.cancel()


def _read_journal(path: Path, identity: Mapping[str, Any]) -> dict[str, Row]:
    """Return the rows of a journal by key; begin it when it has none. A line torn by a kill is dropped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        whole, num_bytes = whole_lines(file)
        if len(whole) > 1 and whole[0] != {"identity": dict(identity)}:
            raise UsageError(f"{path} belongs to a run with other options; choose another --out or delete it")
        file.truncate(num_bytes if len(whole) > 1 else 0)
        if len(whole) <= 1:
            file.write(json.dumps({"identity": identity}).encode() + b"\n")
    return {row["key"]: row for row in whole[1:]}
