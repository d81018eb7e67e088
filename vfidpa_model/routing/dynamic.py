"""The dynamic pipeline: easy frame pairs go to a fast interpolator, hard ones to an accurate one.

After "Dynamic Video Frame Interpolator with Integrated Difficulty Pre-Assessment" (ICASSP 2024), section 2: the
difficulty is assessed before anything is interpolated, and the threshold is the user's knob for accuracy against time.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dataset_tools.interpolators import Interpolator
from dataset_tools.interpolators.padding import check_pair
from dataset_tools.levels import HARD_ABOVE
from dataset_tools.video.cuts import is_scene_cut, signature
from vfidpa_model.routing.shares import is_hard

Route = Literal["fast", "accurate", "refined", "repeat", "cut", "hold"]
ROUTES: tuple[Route, ...] = ("fast", "accurate", "repeat", "cut")


class Router(Protocol):
    """Anything that gives each pair a number that grows with its difficulty."""

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return (B,) for RGB frames in [0, 1], (B, 3, H, W)."""
        ...


class ModelRouter:
    """The VFI-DPA model as a router: its score, on the level scale."""

    def __init__(self, assessor: Any) -> None:
        """Take an ``Assessor`` (see ``vfidpa_model.inference.assessor``)."""
        self.assessor = assessor

    def score(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return the difficulty of each pair, (B,), on the CPU."""
        scores: Tensor = self.assessor.assess(img0, img1).score
        return scores.float().cpu()


@dataclass(frozen=True)
class Decision:
    """What was decided about one frame pair.

    Attributes:
        score: Difficulty; None where nothing had to be assessed (identical frames, a scene cut).
        route: ``fast``, ``accurate``, ``repeat`` (identical frames: the first is repeated), ``cut`` (across a scene
            cut: the nearer frame is repeated) or ``hold`` (only of a stream: too much time between, the first stays);
            of a cascade ``refined`` in place of ``accurate``: at least a part of the frame.
        seconds: Time spent on the pair so far; the members of a batch share its time equally.
        area: Of a cascade: share of the area that was refined, the mean of the frames made so far.
        frames: Of a cascade: how many frames those are.
        tiles: Of a cascade: which tiles of the first of them, (rows, columns).
    """

    score: float | None
    route: Route
    seconds: float
    area: float | None = None
    frames: int = 0
    tiles: npt.NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)

    @property
    def is_unscored(self) -> bool:
        """Was it judged, with a score that is no finite number?"""
        return self.score is not None and not math.isfinite(self.score)


class Pipeline(Protocol):
    """What a stream needs of a dynamic pipeline: a decision per pair, and the frames that follow from it.

    Attributes:
        fast, accurate: The interpolators.
        setting: What decides beside them, by the name of its option.
    """

    fast: Interpolator
    accurate: Interpolator

    @property
    def setting(self) -> dict[str, Any]:
        """See the attributes."""
        ...

    def decide(self, img0: Tensor, img1: Tensor, *, cuts: Sequence[bool] | None = None) -> list[Decision]:
        """See ``DynamicInterpolator.decide``."""
        ...

    def render(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, decisions: Sequence[Decision]
    ) -> tuple[Tensor, list[Decision]]:
        """See ``DynamicInterpolator.render``."""
        ...

    def state(self) -> str:
        """Return what the next decision rests on beside its pair, as JSON; empty for nothing."""
        ...

    def restore(self, state: str) -> None:
        """Go on from what ``state`` gave; an empty one begins anew."""
        ...


class DynamicInterpolator:
    """Two interpolators behind one; itself an interpolator.

    Attributes:
        decisions: One per pair interpolated, in order.
    """

    weights_sha256 = ""

    def __init__(
        self,
        assessor: Any,
        fast: Interpolator,
        accurate: Interpolator,
        threshold: float = HARD_ABOVE,
        *,
        scene_cuts: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Combine two interpolators.

        Args:
            assessor: An ``Assessor`` or any ``Router``.
            threshold: Pairs with a score up to it go to ``fast``, others to ``accurate``, see ``is_hard``.
            scene_cuts: Repeat the nearer frame across a cut. Turn it off for pairs that are known to hold none.
            clock: Seconds, for the decisions' times.
        """
        self.router: Router = assessor if hasattr(assessor, "score") else ModelRouter(assessor)
        self.fast, self.accurate, self.threshold = fast, accurate, threshold
        self.scene_cuts = scene_cuts
        self.name = f"dynamic({fast.name}, {accurate.name})"
        self.decisions: list[Decision] = []
        self._clock = clock

    def interpolate(self, img0: Tensor, img1: Tensor, timestep: float = 0.5) -> Tensor:
        """Return the frame at ``timestep``; see ``Interpolator.interpolate``. What was decided is recorded."""
        frames, decisions = self.render(img0, img1, timestep, decisions=self.decide(img0, img1))
        self.decisions.extend(decisions)
        return frames

    def decide(self, img0: Tensor, img1: Tensor, *, cuts: Sequence[bool] | None = None) -> list[Decision]:
        """Return the decision for each pair; nothing is interpolated.

        Args:
            cuts: Which pairs lie across a scene cut, when the caller knows (a stream shows it better than a pair);
                else each pair is looked at, if ``scene_cuts``.

        Raises:
            ValueError: The images are not (B, 3, H, W) of one shape, or ``cuts`` has another length.
        """
        routes = obvious_routes(img0, img1, cuts, scene_cuts=self.scene_cuts)
        open_pairs = [i for i, route in enumerate(routes) if route is None]
        decisions = [Decision(None, route or "fast", 0.0) for route in routes]
        if open_pairs:
            started = self._now(img0)
            scores = self.router.score(_pick(img0, open_pairs), _pick(img1, open_pairs)).tolist()
            seconds = (self._now(img0) - started) / len(open_pairs)
            hard = is_hard(scores, self.threshold).tolist()
            for i, score, needs_more in zip(open_pairs, scores, hard, strict=True):
                decisions[i] = Decision(score, "accurate" if needs_more else "fast", seconds)
        return decisions

    def render(
        self, img0: Tensor, img1: Tensor, timestep: float = 0.5, *, decisions: Sequence[Decision]
    ) -> tuple[Tensor, list[Decision]]:
        """Return the frames at ``timestep``, in order, and the decisions with the time this took added.

        Each route is one batch. Call it once per timestep to put several frames between the pairs of one decision.

        Raises:
            ValueError: Shapes differ, ``timestep`` is not in (0, 1) or one that a model cannot do.
        """
        check_pair(img0, img1, timestep)
        frames = torch.empty_like(img0)
        timed = list(decisions)
        for route in ROUTES:
            chosen = [i for i, decision in enumerate(decisions) if decision.route == route]
            if not chosen:
                continue
            started = self._now(img0)
            first, second = _pick(img0, chosen), _pick(img1, chosen)
            if route in ("fast", "accurate"):
                network = self.fast if route == "fast" else self.accurate
                made = network.interpolate(first, second, timestep).to(frames.dtype)
            else:
                made = first if timestep <= 0.5 else second
            frames[chosen] = made
            seconds = (self._now(img0) - started) / len(chosen)
            for i in chosen:
                timed[i] = replace(timed[i], seconds=timed[i].seconds + seconds)
        return frames, timed

    @property
    def setting(self) -> dict[str, Any]:
        """What decides beside the interpolators, by the name of its option."""
        return {"--threshold": self.threshold, "--effort": None}

    def state(self) -> str:
        """Return nothing: each pair is judged alone."""
        return ""

    def restore(self, state: str) -> None:
        """Do nothing; see ``state``."""

    def _now(self, like: Tensor) -> float:
        if like.is_cuda:
            torch.cuda.synchronize(like.device)
        return self._clock()


def obvious_routes(img0: Tensor, img1: Tensor, cuts: Sequence[bool] | None, *, scene_cuts: bool) -> list[Route | None]:
    """Return ``repeat`` or ``cut`` for each pair where no model is needed, else None; arguments as of ``decide``.

    Raises:
        ValueError: The images are not (B, 3, H, W) of one shape, or ``cuts`` has another length.
    """
    check_pair(img0, img1, 0.5)
    if cuts is not None and len(cuts) != len(img0):
        raise ValueError(f"cuts ({len(cuts)}) must be as many as pairs ({len(img0)})")
    routes: list[Route | None] = []
    for i, (first, second) in enumerate(zip(img0, img1, strict=True)):
        if torch.equal(first, second):
            routes.append("repeat")
        elif cuts is not None:
            routes.append("cut" if cuts[i] else None)
        else:
            is_cut = scene_cuts and is_scene_cut(signature(_luma(first)), signature(_luma(second)))
            routes.append("cut" if is_cut else None)
    return routes


def _pick(images: Tensor, chosen: list[int]) -> Tensor:
    return images if len(chosen) == len(images) else images[chosen]


def _luma(frame: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the luma of one frame (3, H, W) in [0, 1] as 8-bit levels (BT.601, as decoders give it)."""
    weights = frame.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (frame * weights).sum(0).mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
