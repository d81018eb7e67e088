"""What every way of routing does on every triplet: quality, then time. For ``dynamic_curve.py``.

Quality needs no quiet machine: it depends on content alone. The triplets of one size are a stream: each signal and
effort has its own ``EffortControl``, as in the product, and the order is drawn with a seed. Times are taken afterwards,
of the same choices, in turns. Both are journals of a line per triplet: after a break they are read and gone on with.
"""

import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from routing_signals import OracleTiles

import dataset_tools.interpolators
import vfidpa_model.routing
from dataset_tools.common.json_lines import whole_lines
from dataset_tools.frames import to_rgb, to_tensor
from dataset_tools.interpolators.refinable import can_go_on
from dataset_tools.interpolators.tiles import Rect, TilePlan
from dataset_tools.prediction.metrics import psnr
from vfidpa_model.benchmarking.sets import read_item
from vfidpa_model.routing.cascade import CascadeInterpolator
from vfidpa_model.routing.effort import MARGINS, EffortControl

FIELDS = ("squared_error", "psnr", "lpips", "seconds", "cost", "area")


class Runner:
    """Measures triplets of one size, in order."""

    def __init__(self, models, *, signals, routers, efforts, lpips, device, clock=time.perf_counter):
        """Take models by role: fast, accurate, and others that are only measured alone."""
        self.models, self.fast, self.accurate = models, models["fast"], models["accurate"]
        self.signals, self.routers, self.efforts = signals, routers, efforts
        self.goes_on = can_go_on(self.accurate) and self.accurate.goes_on_from == self.fast.name
        self._first = self.accurate if self.goes_on else self.fast
        self._lpips, self._device, self._clock, self._warm = lpips, device, clock, set()

    def controls(self):
        """Return what keeps to each effort, by the name of the setting, without a past."""
        margins = MARGINS if self.goes_on else 1.0
        return {
            f"{signal.name} @ {effort:g}": EffortControl(effort, margins=margins)
            for signal in self.signals
            for effort in self.efforts
        }

    def quality(self, item, controls):
        """Return error, decibels and LPIPS of every model and setting, and what each setting chose."""
        pair, truth = self._read(item)
        begun = self._first.begin(*pair)
        frames = {name: model.interpolate(*pair) for name, model in self.models.items()}
        whole = {name: self._quality(frame, truth) for name, frame in frames.items()}
        settings, known = {}, {}
        for signal in self.signals:
            if isinstance(signal, OracleTiles):
                signal.tell(frames["fast"], frames["accurate"], to_tensor(truth).to(self._device))
            scores = signal.tiles(*pair, begun)[0]
            if not self.goes_on:
                scores = scores.mean(keepdims=True)
            for effort in self.efforts:
                name = f"{signal.name} @ {effort:g}"
                plan = self._plan(scores, controls[name], begun.size)
                controls[name].spend(plan.cost)
                if plan.is_whole or not plan.rects:
                    known[plan.rects] = whole["accurate" if plan.rects else "fast"]
                elif plan.rects not in known:
                    known[plan.rects] = self._quality(self.accurate.go_on(begun, [plan]), truth)
                area = float(plan.tiles(scores.shape).mean())
                settings[name] = [*known[plan.rects], plan.cost, area, plan.rects]
        routers = {name: float(router.score(*pair)[0]) for name, router in self.routers.items()}
        return {"whole": whole, "settings": settings, "routers": routers}

    def times(self, item, measured):
        """Return the seconds of every part, for the choices that ``quality`` made."""
        pair, _ = self._read(item)
        seconds = {"models": {}, "signals": {}, "routers": {}, "settings": {}}
        seconds["begin"], begun = self._timed("begin", pair, lambda: self._first.begin(*pair))
        for name, model in self.models.items():
            seconds["models"][name], _ = self._timed(name, pair, lambda model=model: model.interpolate(*pair))
        known = {}
        for signal in self.signals:
            if isinstance(signal, OracleTiles):
                seconds["signals"][signal.name] = 0.0
            else:
                call = lambda signal=signal: self._plan(  # noqa: E731
                    signal.tiles(*pair, begun)[0], EffortControl(0.5), begun.size
                )
                seconds["signals"][signal.name], _ = self._timed(signal.name, pair, call)
        for name, (*_, rects) in measured["settings"].items():
            plan = TilePlan(begun.size, tuple(Rect(*rect) for rect in rects))
            if plan.rects not in known:
                call = lambda plan=plan: self._go_on(plan, begun, pair)  # noqa: E731
                known[plan.rects], _ = self._timed("go on", pair, call)
            seconds["settings"][name] = known[plan.rects]
        for name, router in self.routers.items():
            seconds["routers"][name], _ = self._timed(name, pair, lambda router=router: router.score(*pair))
        cascade = CascadeInterpolator(self.fast, self.accurate, scene_cuts=False)
        seconds["overhead"] = seconds["signals"].get(cascade.signal.name, 0.0)
        return seconds

    def _read(self, item):
        img0, truth, img1 = read_item(item)
        return (to_tensor(img0).to(self._device), to_tensor(img1).to(self._device)), truth

    def _plan(self, scores, control, size):
        """Return what is refined at the price a control sets: whole frames by a model that goes on from nothing."""
        price = control.price(scores)
        if self.goes_on:
            return TilePlan.best(scores, price, size)
        return TilePlan.whole(size) if scores.mean() > price else TilePlan(size, ())

    def _go_on(self, plan, begun, pair):
        if not plan.rects:
            return None
        return self.accurate.go_on(begun, [plan]) if self.goes_on else self.accurate.interpolate(*pair)

    def _quality(self, frame, truth):
        rgb = to_rgb(frame.cpu())
        error = float(np.square(rgb.astype(float) - truth).mean())
        return [error, psnr(rgb, truth), self._lpips(rgb, truth)]

    def _timed(self, name, pair, call):
        """Return the seconds of a call, and its result; the first of a frame size is made twice."""
        if (name, pair[0].shape) not in self._warm:
            self._warm.add((name, pair[0].shape))
            call()
        started = self._clock()
        result = call()
        return self._clock() - started, result


def code_sha256():
    """Return a hash of the code that decides what a choice becomes: interpolators and routing."""
    digest = hashlib.sha256()
    for package in (dataset_tools.interpolators, vfidpa_model.routing):
        for path in sorted(Path(package.__file__).parent.glob("[a-z]*.py")):  # __init__.py only lists models
            digest.update(path.read_bytes())
    return digest.hexdigest()


def qualities(items, runner, *, folder, identity):
    """Return one row per triplet, in the order given; those in the journal of ``folder`` are not measured again.

    Other options, frames, weights or code have a journal of their own.
    """
    journal = _journal(folder, "quality", identity)
    rows, controls = _rows(journal), runner.controls()
    for name, state in (rows[-1]["state"] if rows else {}).items():
        controls[name].restore(state)
    for number, item in enumerate(items[len(rows) :], start=len(rows) + 1):
        row = {"key": item.key, "clip": Path(item.sequence).name, **runner.quality(item, controls)}
        rows.append({**row, "state": {name: control.state() for name, control in controls.items()}})
        _append(journal, rows[-1])
        print(f"\r{folder.name}, quality: {number} of {len(items)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows[: len(items)]


def with_times(items, rows, runner, *, folder, identity, repeats):
    """Return the rows with times: of each part the least of ``repeats`` rounds over all triplets."""
    journal = _journal(folder, "times", identity)
    taken = _rows(journal)
    order = [(item, row) for _ in range(repeats) for item, row in zip(items, rows, strict=True)]
    for number, (item, row) in enumerate(order[len(taken) :], start=len(taken) + 1):
        taken.append(runner.times(item, row))
        _append(journal, taken[-1])
        print(f"\r{folder.name}, times: {number} of {len(order)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rounds = [taken[place :: len(rows)][:repeats] for place in range(len(rows))]
    return [_joined(row, _least(times)) for row, times in zip(rows, rounds, strict=True)]


def _joined(row, seconds):
    """Return a row in the shape of the table: ``FIELDS`` per model and setting, score and seconds per router."""
    models = {
        name: [*values, seconds["models"][name], *[float(name != "fast")] * 2] for name, values in row["whole"].items()
    }
    settings = {}
    for name, (*values, cost, area, _) in row["settings"].items():
        spent = seconds["begin"] + seconds["signals"][name.rpartition(" @ ")[0]] + seconds["settings"][name]
        settings[name] = [*values, spent, cost, area]
    routers = {name: [score, seconds["routers"][name]] for name, score in row["routers"].items()}
    return {
        "clip": row["clip"],
        "models": models,
        "settings": settings,
        "routers": routers,
        "overhead": seconds["overhead"],
    }


def _least(taken):
    first = taken[0]
    if isinstance(first, dict):
        return {name: _least([one[name] for one in taken]) for name in first}
    return min(taken)


def _journal(folder, kind, identity):
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{kind}-{hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]}.jsonl"


def _rows(journal):
    """Return the rows of a journal; a line that a kill tore is dropped."""
    with journal.open("a+b") as file:
        file.seek(0)
        rows, num_bytes = whole_lines(file)
        file.truncate(num_bytes)
    return rows


def _append(journal, row):
    with journal.open("a") as file:
        file.write(json.dumps(row) + "\n")
