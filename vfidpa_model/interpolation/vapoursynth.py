"""The dynamic interpolator as a filter for VapourSynth.

from vfidpa_model.interpolation.vapoursynth import interpolate
clip = core.resize.Bicubic(clip, format=vs.RGBS, matrix_in_s="709")
clip = interpolate(clip, factor=2, effort=0.4)
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import vapoursynth as vs

from dataset_tools.common.device import select_device
from dataset_tools.errors import UsageError
from vfidpa_model.interpolation.job import Routing
from vfidpa_model.interpolation.models import build_dynamic
from vfidpa_model.routing.dynamic import Decision, Pipeline

_CUT = "_SceneChangeNext"  # what VapourSynth's scene filters write


def interpolate(
    clip: "vs.VideoNode",
    *,
    factor: int = 2,
    effort: float | None = None,
    fast: str = "rife",
    accurate: str | None = None,
    scene_cuts: bool = True,
    flow_scale: float = 1.0,
    device: str = "auto",
    backend: str = "auto",
    precision: str = "auto",
) -> "vs.VideoNode":
    """Return the clip with ``factor`` times the frames and the rate; the originals stay as they are.

    With an effort between 0 and 1, what is refined is judged beside the frames that were asked for before: asked for
    in order, as ``vspipe`` and players do, that is what the command does. The last frame is repeated.

    Args:
        clip: RGBS of constant size.
        effort: Share of the accurate interpolator's extra cost that may be spent; ``None`` is the command's default.
        fast, accurate: Interpolators, see ``Routing``.
        scene_cuts: Repeat the nearer frame across a cut: where the property ``_SceneChangeNext`` is, by that, else by
            the pictures.

    Raises:
        UsageError: The format or an option is wrong.
    """
    if clip.format is None or clip.format.id != vs.RGBS or not clip.width:
        raise UsageError("the clip must be RGBS of constant size: core.resize.Bicubic(clip, format=vs.RGBS, ...)")
    if factor < 2:
        raise UsageError(f"factor ({factor}) must be at least 2")
    routing = Routing(
        fast, accurate, effort=effort, flow_scale=flow_scale, backend=backend, precision=precision
    )  # fmt: skip
    chosen = select_device(device)
    maker = _Maker(build_dynamic(routing, chosen), factor, scene_cuts=scene_cuts, device=chosen)
    shifted = clip if clip.num_frames == 1 else clip[1:] + clip[-1]
    first, second = (vs.core.std.Interleave([source] * factor) for source in (clip, shifted))
    return vs.core.std.ModifyFrame(first, clips=[first, second], selector=maker.frame)


class _Maker:
    """Makes the frames between; asked for one at a time."""

    def __init__(self, dynamic: Pipeline, factor: int, *, scene_cuts: bool, device: torch.device) -> None:
        self._dynamic, self._factor, self._scene_cuts, self._device = dynamic, factor, scene_cuts, device
        self._lock = threading.Lock()
        self._pair, self._decisions = -1, list[Decision]()

    @torch.inference_mode()
    def frame(self, n: int, f: Sequence[Any]) -> Any:
        """Return frame ``n`` of the output, given the originals around it."""
        pair, step = divmod(n, self._factor)
        if not step:
            return f[0]
        img0, img1 = (self._tensor(frame) for frame in f)
        with self._lock:
            if pair != self._pair:
                self._pair, self._decisions = pair, self._dynamic.decide(img0, img1, cuts=self._cuts(f[0]))
            made, self._decisions = self._dynamic.render(
                img0, img1, step / self._factor, decisions=self._decisions
            )  # fmt: skip
        result = f[0].copy()
        for plane, values in enumerate(made[0].clamp(0, 1).float().cpu().numpy()):
            np.copyto(np.asarray(result[plane]), values)
        return result

    def _cuts(self, frame: Any) -> list[bool] | None:
        if not self._scene_cuts:
            return [False]
        return [bool(frame.props[_CUT])] if _CUT in frame.props else None

    def _tensor(self, frame: Any) -> torch.Tensor:
        planes = np.stack([np.asarray(frame[plane]) for plane in range(3)])
        return torch.from_numpy(planes).to(self._device)[None].clamp(0, 1)
