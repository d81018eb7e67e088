"""The cascade: the fast model runs on every pair, and the accurate one goes on where its result is in doubt.

Where the accurate model continues the fast one's work (``rife-refined`` after ``rife``), tiles of a frame are refined;
a model that shares nothing with it takes over whole frames, and a hard pair then costs both.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dataset_tools.errors import UsageError
from dataset_tools.interpolators import Interpolator
from dataset_tools.interpolators.padding import check_pair
from dataset_tools.interpolators.refinable import Begun, can_begin, can_go_on
from dataset_tools.interpolators.tiles import TILE, TilePlan
from vfidpa_model.routing.any_timestep import AnyTimestep
from vfidpa_model.routing.dynamic import Decision, Route, obvious_routes
from vfidpa_model.routing.effort import MARGINS, EffortControl
from vfidpa_model.routing.signals import DecidedDifference, Signal

DEFAULT_EFFORT = 0.4  # docs/interpolate.md says why


class CascadeInterpolator:
    """Two interpolators behind one, the accurate one spent where the fast one's own estimate shows doubt.

    Attributes:
        decisions: One per pair that ``interpolate`` was given, in order.
        accurate_share: Share of the last call's area that was refined.
        goes_on: Does the accurate model continue the fast one's work, tile by tile?
    """

    weights_sha256 = ""

    def __init__(
        self,
        fast: Interpolator,
        accurate: Interpolator,
        effort: float = DEFAULT_EFFORT,
        *,
        signal: Signal | None = None,
        control: EffortControl | None = None,
        scene_cuts: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Combine two interpolators.

        Args:
            effort: Share of the accurate model's extra cost that may be spent, 0 to 1.
            signal: What tells where; ``DecidedDifference`` by default.
            control: What turns the signal into a choice; ``EffortControl(effort)`` by default.
            scene_cuts: Repeat the nearer frame across a cut.

        Raises:
            UsageError: The fast model does not show what its frames rest on.
            ValueError: ``effort`` is not in 0..1.
        """
        if not can_begin(fast):
            raise UsageError(
                f"interpolator {fast.name!r} does not show what its frames rest on, which --effort needs of --fast; "
                "take rife, rife-v4 or rife-m-fast, or --assessor or --threshold instead"
            )
        self.fast: Interpolator = AnyTimestep(fast)
        self.accurate: Interpolator = AnyTimestep(accurate)
        self.effort = effort
        self.goes_on = can_go_on(accurate) and (accurate.goes_on_from, accurate.weights_sha256) == (
            fast.name,
            fast.weights_sha256,
        )
        self._first: Any = accurate if self.goes_on else fast
        self.signal: Signal = signal or DecidedDifference()
        self.scene_cuts = scene_cuts
        self.name = f"cascade({fast.name}, {accurate.name})"
        self.decisions: list[Decision] = []
        self.accurate_share = 0.0
        self._control = control or EffortControl(effort, margins=MARGINS if self.goes_on else 1.0)
        self._clock = clock
        self._chosen: list[list[npt.NDArray[np.bool_]]] = []
        self._any_timestep = AnyTimestep(_Step(self.name, self._step))

    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``Interpolator.interpolate``. What was decided is recorded."""
        frames, decisions = self.render(img0, img1, timestep, decisions=self.decide(img0, img1))
        self.decisions.extend(decisions)
        self.accurate_share = float(np.mean([decision.area or 0.0 for decision in decisions]))
        return frames

    def decide(self, img0: Tensor, img1: Tensor, *, cuts: Sequence[bool] | None = None) -> list[Decision]:
        """Return what is clear without a network: repeated frames and cuts; see ``DynamicInterpolator.decide``."""
        routes = obvious_routes(img0, img1, cuts, scene_cuts=self.scene_cuts)
        return [Decision(None, route or "fast", 0.0) for route in routes]

    @torch.inference_mode()
    def render(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, decisions: Sequence[Decision]
    ) -> tuple[Tensor, list[Decision]]:
        """Return the frames at ``timestep``, in order, and the decisions with area, tiles and time of this added.

        Raises:
            ValueError: Shapes differ, or ``timestep`` is not in (0, 1).
        """
        check_pair(img0, img1, timestep)
        frames = img0.clone() if timestep <= 0.5 else img1.clone()
        timed = list(decisions)
        moving = [i for i, decision in enumerate(decisions) if decision.route not in ("repeat", "cut")]
        if not moving:
            return frames, timed
        started = self._now(img0)
        self._chosen = [[] for _ in moving]
        frames[moving] = self._any_timestep.interpolate(img0[moving], img1[moving], timestep).to(frames.dtype)
        seconds = (self._now(img0) - started) / len(moving)
        for i, chosen in zip(moving, self._chosen, strict=True):
            timed[i] = _add(timed[i], chosen, seconds)
        return frames, timed

    @property
    def setting(self) -> dict[str, Any]:
        """What decides beside the interpolators, by the name of its option."""
        return {"--threshold": None, "--effort": [self.effort, self.signal.name]}

    def state(self) -> str:
        """Return what the next choices rest on, as JSON."""
        return self._control.state()

    def restore(self, state: str) -> None:
        """Go on from what ``state`` gave; an empty one begins anew.

        Raises:
            ValueError: It is no such state.
        """
        self._control.restore(state)

    def _step(self, img0: Tensor, img1: Tensor, timestep: float) -> Tensor:
        """Return the frames of one timestep that the models know."""
        if self.effort == 1 and not self.goes_on:
            frames = self.accurate.interpolate(img0, img1, timestep)
            self._note(np.ones((len(img0), 1, 1), dtype=np.bool_))
            return frames
        begun: Begun = self._first.begin(img0, img1, timestep)
        if 0 < self.effort < 1:
            scores = self.signal.tiles(img0, img1, begun)
        else:
            scores = np.full((len(img0), -(-begun.size[0] // TILE), -(-begun.size[1] // TILE)), self.effort)
        if self.goes_on:
            return self._refine_tiles(begun, scores)
        return self._replace_frames(begun, img0, img1, timestep, scores.mean(axis=(1, 2), keepdims=True))

    def _refine_tiles(self, begun: Begun, scores: npt.NDArray[np.float64]) -> Tensor:
        plans = []
        for of_frame in scores:
            plan = TilePlan.best(of_frame, self._control.price(of_frame), begun.size)
            self._control.spend(plan.cost)
            plans.append(plan)
        self._note(np.stack([plan.tiles((scores.shape[1], scores.shape[2])) for plan in plans]))
        if not any(plan.rects for plan in plans):
            return begun.frame
        refined: Tensor = self._first.go_on(begun, plans)
        return refined

    def _replace_frames(
        self, begun: Begun, img0: Tensor, img1: Tensor, timestep: float, scores: npt.NDArray[np.float64]
    ) -> Tensor:
        chosen = []
        for of_frame in scores:
            chosen.append((of_frame > self._control.price(of_frame)) | ~np.isfinite(of_frame))
            self._control.spend(float(chosen[-1].mean()))
        self._note(np.stack(chosen))
        hard = [i for i, mask in enumerate(chosen) if mask.any()]
        frames = begun.frame
        if hard:
            frames[hard] = self.accurate.interpolate(img0[hard], img1[hard], timestep).to(frames.dtype)
        return frames

    def _note(self, chosen: npt.NDArray[np.bool_]) -> None:
        for known, of_frame in zip(self._chosen, chosen, strict=True):
            known.append(of_frame)

    def _now(self, like: Tensor) -> float:
        if like.is_cuda:
            torch.cuda.synchronize(like.device)
        return self._clock()


class _Step:
    """One step of a cascade in the shape of an interpolator."""

    weights_sha256 = ""

    def __init__(self, name: str, step: Callable[[Tensor, Tensor, float], Tensor]) -> None:
        self.name, self._step = name, step

    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        return self._step(img0, img1, timestep)


def _add(decision: Decision, chosen: Sequence[npt.NDArray[np.bool_]], seconds: float) -> Decision:
    """Return a decision with what one more frame between the pair took; its area is the mean of all so far."""
    shares = [*([decision.area] * decision.frames if decision.area is not None else []), *(m.mean() for m in chosen)]
    area = float(np.mean(shares))
    route: Route = "refined" if area > 0 else "fast"
    tiles = chosen[-1] if decision.tiles is None else decision.tiles
    return replace(
        decision,
        route=route,
        seconds=decision.seconds + seconds,
        area=area,
        frames=decision.frames + len(chosen),
        tiles=tiles,
    )
