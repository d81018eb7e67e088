"""Does the VapourSynth filter give what the interpolators give? ``python benchmarks/vapoursynth_check.py``.

Needs ``pip install vapoursynth`` (wheels for Python 3.12 and newer). Takes a few frames of a demo clip with a cut put
in, and compares every frame of the filter with the pipeline's own, asked for in order, backwards and by threads.
Ends with 1 when anything differs.
"""

import sys
from collections.abc import Iterator

import numpy as np
import torch
import vapoursynth as vs

from dataset_tools.assets import fetch_demo_clips
from dataset_tools.video import open_video
from vfidpa_model.interpolation.job import Routing
from vfidpa_model.interpolation.models import build_dynamic
from vfidpa_model.interpolation.vapoursynth import interpolate

FRAMES, STEP, CUT_AT, FACTOR = 6, 2, 3, 3  # the frames behind CUT_AT are those of another place of the clip
CPU = torch.device("cpu")


def pictures() -> list[np.ndarray]:
    """Return frames (3, H, W) in [0, 1], with a cut."""
    frames = []
    with open_video(fetch_demo_clips() / "bikes.mp4") as video:
        for frame in video.frames():
            frames.append(frame.rgb().transpose(2, 0, 1).astype(np.float32) / 255)
            if len(frames) > 120:
                break
    return frames[: STEP * CUT_AT : STEP] + frames[100 : 100 + STEP * (FRAMES - CUT_AT) : STEP]


def clip_of(frames: list[np.ndarray]) -> vs.VideoNode:
    """Return frames as a clip of 25 a second."""
    _, height, width = frames[0].shape
    blank = vs.core.std.BlankClip(
        format=vs.RGBS, width=width, height=height, length=len(frames), fpsnum=25, fpsden=1, keep=True
    )

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        filled = f.copy()
        for plane in range(3):
            np.copyto(np.asarray(filled[plane]), frames[n][plane])
        return filled

    return vs.core.std.ModifyFrame(blank, blank, fill)


def expected(frames: list[np.ndarray], effort: float) -> Iterator[np.ndarray]:
    """Yield the output's frames as the pipeline makes them."""
    dynamic = build_dynamic(Routing("rife", effort=effort), CPU)
    tensors = [torch.from_numpy(frame)[None] for frame in frames]
    for img0, img1 in zip(tensors, [*tensors[1:], tensors[-1]], strict=True):
        decisions = dynamic.decide(img0, img1)
        yield img0[0].numpy()
        for step in range(1, FACTOR):
            made, decisions = dynamic.render(img0, img1, step / FACTOR, decisions=decisions)
            yield made[0].clamp(0, 1).numpy()


def array(frame: vs.VideoFrame) -> np.ndarray:
    """Return a frame's planes."""
    return np.stack([np.asarray(frame[plane]) for plane in range(3)])


def main() -> int:
    """Compare, print a line per case, and return 0 when all is as it should be."""
    frames, failed = pictures(), 0
    source = clip_of(frames)
    for effort in (0.0, 0.4, 1.0):
        clip = interpolate(source, factor=FACTOR, effort=effort, device="cpu")
        assert (clip.num_frames, clip.fps, clip.format.id) == (FACTOR * len(frames), 25 * FACTOR, vs.RGBS)
        wanted = list(expected(frames, effort))
        orders = {"in order": list(range(clip.num_frames))}
        if effort in (0, 1):  # between, the choice depends on what came before
            orders["backwards"] = orders["in order"][::-1]
            orders["by threads"] = []
        for name, order in orders.items():
            got = {n: array(clip.get_frame(n)) for n in order}
            got = got or {n: array(frame) for n, frame in enumerate(clip.frames(prefetch=4))}
            worst = max(float(np.abs(got[n] - wanted[n]).max()) for n in got)
            failed += worst > 1e-5
            print(f"effort {effort:g}, {name}: {len(got)} frames, largest difference {worst:.2g}")
    marked = vs.core.std.SetFrameProps(source, _SceneChangeNext=1)
    held = interpolate(marked, factor=2, effort=0.0, device="cpu")
    repeats = np.array_equal(array(held.get_frame(1)), frames[0]) and not np.array_equal(frames[0], frames[1])
    print(f"a marked cut repeats the frame: {repeats}")
    duration = held.get_frame(1).props["_DurationNum"] / held.get_frame(1).props["_DurationDen"]
    print(f"a frame lasts {duration:.4f} s")
    return int(bool(failed) or not repeats or abs(duration - 1 / 50) > 1e-6)


if __name__ == "__main__":
    sys.exit(main())
