"""What every way of routing does on every triplet, once: error, decibels, LPIPS and time. For ``dynamic_curve.py``.

The triplets of one size are a stream: each signal and effort has its own ``EffortControl``, as in the product, and the
order is drawn with a seed. After a break the journal is read and the controls go on from where they were.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from routing_signals import OracleTiles

from dataset_tools.common.files import write_json
from dataset_tools.errors import UsageError
from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.interpolators.refinable import can_go_on
from dataset_tools.interpolators.tiles import TilePlan
from dataset_tools.prediction.metrics import psnr
from vfidpa_model.benchmarking.sets import read_item
from vfidpa_model.routing.cascade import CascadeInterpolator
from vfidpa_model.routing.effort import MARGINS, EffortControl

FIELDS = ("squared_error", "psnr", "lpips", "seconds", "cost", "area")


class Runner:
    """Measures triplets of one size, in order."""

    def __init__(self, fast, accurate, *, others, signals, routers, efforts, lpips, device, clock=time.perf_counter):
        self.fast, self.accurate, self.others = fast, accurate, others
        self.signals, self.routers, self.efforts = signals, routers, efforts
        self.goes_on = can_go_on(accurate) and accurate.goes_on_from == fast.name
        self.controls = {
            f"{signal.name} @ {effort:g}": EffortControl(effort, margins=MARGINS if self.goes_on else 1.0)
            for signal in signals
            for effort in efforts
        }
        self.cascade = CascadeInterpolator(fast, accurate, scene_cuts=False)
        self._lpips, self._device, self._clock, self._warm = lpips, device, clock, set()

    def state(self):
        """Return what the next row rests on."""
        return {**{name: control.state() for name, control in self.controls.items()}, "cascade": self.cascade.state()}

    def restore(self, state):
        """Go on from what ``state`` gave."""
        for name, control in self.controls.items():
            control.restore(state[name])
        self.cascade.restore(state["cascade"])

    def row(self, item):
        """Return what is kept of one triplet."""
        img0, self._truth, img1 = read_item(item)
        pair = to_tensor(img0).to(self._device), to_tensor(img1).to(self._device)
        first = self.accurate if self.goes_on else self.fast
        begun, begin_seconds = self._timed("begin", pair, lambda: first.begin(*pair))
        frames, alone = {}, {}
        for name, model in {"fast": self.fast, "accurate": self.accurate, **self.others}.items():
            frames[name], seconds = self._timed(name, pair, lambda model=model: model.interpolate(*pair))
            alone[name] = [*self._quality(frames[name]), seconds, float(name != "fast"), float(name != "fast")]
        for signal in self.signals:
            if isinstance(signal, OracleTiles):
                signal.tell(frames["fast"], frames["accurate"], to_tensor(self._truth).to(self._device))
        settings = {}
        for signal in self.signals:
            scores, signal_seconds = self._timed(signal.name, pair, lambda signal=signal: signal.tiles(*pair, begun))
            for effort in self.efforts:
                name = f"{signal.name} @ {effort:g}"
                settings[name] = self._setting(self.controls[name], scores[0], begun, frames, alone)
                settings[name][3] += begin_seconds + signal_seconds
        routers = {}
        for name, router in self.routers.items():
            scores, seconds = self._timed(name, pair, lambda router=router: router.score(*pair))
            routers[name] = [float(scores[0]), seconds]
        _, product_seconds = self._timed("cascade", pair, lambda: self.cascade.interpolate(*pair), warm=False)
        area = self.cascade.decisions.pop().area
        return {
            "key": item.key,
            "clip": Path(item.sequence).name,
            "rows": int(self._truth.shape[0]),
            "models": alone,
            "settings": settings,
            "routers": routers,
            "begin_seconds": begin_seconds,
            "cascade": [product_seconds, area],
        }

    def _setting(self, control, scores, begun, frames, alone):
        started = self._clock()
        if not self.goes_on:
            hard = bool(control.choose(scores.mean(keepdims=True)).any())
            control.spend(float(hard))
            values = alone["accurate" if hard else "fast"]
            return [*values[:3], self._clock() - started + hard * values[3], float(hard), float(hard)]
        mask = control.choose(scores)
        plan = TilePlan.of(mask, begun.size)
        control.spend(plan.cost)
        frame = self.accurate.go_on(begun, [plan]) if plan.rects else begun.frame
        seconds = self._clock() - started
        area = float(plan.tiles(mask.shape).mean())
        known = alone["fast"] if not plan.rects else alone["accurate"] if plan.is_whole else None
        quality = known[:3] if known else self._quality(frame)
        return [*quality, seconds, plan.cost, area]

    def _quality(self, frame):
        rgb = to_rgb(frame.cpu())
        error = float(np.square(rgb.astype(float) - self._truth).mean())
        return [error, psnr(rgb, self._truth), self._lpips(rgb, self._truth)]

    def _timed(self, name, pair, call, *, warm=True):
        if warm and (name, pair[0].shape) not in self._warm:
            self._warm.add((name, pair[0].shape))
            call()
        started = self._clock()
        result = call()
        return result, self._clock() - started


def measure(items, runner, *, folder, identity):
    """Return one row per triplet, in the order given; those in the journal of ``folder`` are not measured again."""
    folder.mkdir(parents=True, exist_ok=True)
    journal, state = folder / "triplets.jsonl", folder / "state.json"
    rows = []
    if state.exists():
        kept = json.loads(state.read_text())
        if kept["identity"] != identity:
            raise UsageError(f"{folder} belongs to a run with other options; choose another --out or delete it")
        rows = [json.loads(line) for line in journal.read_text().splitlines()[: kept["rows"]]]
        runner.restore(kept["controls"])
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for number, item in enumerate(items[len(rows) :], start=len(rows) + 1):
        rows.append(runner.row(item))
        with journal.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        write_json(state, {"identity": identity, "rows": len(rows), "controls": runner.state()})
        print(f"\r{folder.name}: {number} of {len(items)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows
