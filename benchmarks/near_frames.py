"""How well re-encoded clips are told from other clips: python benchmarks/near_frames.py --clips FOLDER

Encodes every fifth clip again in six ways and compares all clips and copies by the rule of ``extract`` (luma of all
frames in 8x8 blocks): nearest frames, clips joined rightly, missed and wrongly. The last line has the two figures that
the threshold (``MAX_LEVELS``) lies between.
"""

import argparse
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from dataset_tools.sampling.near_frames import MAX_LEVELS, MIN_FRAMES, find_matches, luma_blocks, telling
from dataset_tools.video.cuts import signature

KINDS = {
    "x264 crf 28": ("libx264", {"crf": "28", "preset": "veryfast"}, 1.0, "yuv420p", "mp4"),
    "x264 crf 36, half size": ("libx264", {"crf": "36", "preset": "veryfast"}, 0.5, "yuv420p", "mp4"),
    "x264, full range": ("libx264", {"crf": "30", "preset": "veryfast"}, 1.0, "yuvj420p", "mp4"),
    "hevc crf 32, 3/4 size": (
        "libx265",
        {"crf": "32", "preset": "ultrafast", "x265-params": "log-level=error"},
        0.75,
        "yuv420p",
        "mkv",
    ),
    "vp9 crf 45, half size": ("libvpx-vp9", {"crf": "45", "b": "0", "cpu-used": "8"}, 0.5, "yuv420p", "webm"),
    "mpeg4": ("mpeg4", {"qscale": "10"}, 1.0, "yuv420p", "avi"),
}


def blocks(path: Path, *, frames: int) -> np.ndarray:
    """Return the block means of a clip's first frames that tell something."""
    found = []
    with av.open(str(path)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number == frames:
                break
            found.append(luma_blocks(signature(frame.reformat(format="gray").to_ndarray())))
    means = np.stack(found)
    return means[telling(means)]


def encode_again(source: Path, target: Path, kind: str, *, frames: int) -> None:
    codec, options, scale, pix_fmt, _ = KINDS[kind]
    with av.open(str(source)) as clip, av.open(str(target), "w") as output:
        video = clip.streams.video[0]
        stream = output.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = (int(side * scale) // 2 * 2 for side in (video.width, video.height))
        stream.pix_fmt = pix_fmt
        for number, frame in enumerate(clip.decode(video)):
            if number == frames:
                break
            copy = frame.reformat(width=stream.width, height=stream.height, format=pix_fmt)
            copy.pts, copy.time_base = number, Fraction(1, 25)
            output.mux(stream.encode(copy))
        output.mux(stream.encode())


def nearest(frames: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how far each frame is from the nearest of the others, in levels."""
    wide = others.astype(np.int16)
    return np.array([np.abs(wide - frame.astype(np.int16)).max(axis=1).min() for frame in frames])


def least_between(clips: list[str], means: list[np.ndarray]) -> int:
    """Return how far the nearest frames of different clips are apart, in levels; every fifth frame is looked at."""
    owners = np.repeat(np.arange(len(clips)), [len(part[::5]) for part in means])
    names = np.array(clips)[owners]
    frames = np.concatenate([part[::5] for part in means])
    least = 255
    for clip in dict.fromkeys(clips):
        mine, others = frames[names == clip], frames[names > clip]
        if len(mine) and len(others):
            least = min(least, int(nearest(mine, others).min()))
    return least


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=90)
    arguments = parser.parse_args(argv)
    paths = sorted(path for path in arguments.clips.iterdir() if path.suffix in (".mp4", ".avi", ".mkv", ".webm"))
    clips, means, farthest = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths):
            originals = blocks(path, frames=arguments.frames)
            clips.append(path.stem)
            means.append(originals)
            for kind in KINDS if number % 5 == 0 else ():
                copy = Path(folder, f"copy.{KINDS[kind][-1]}")
                try:
                    encode_again(path, copy, kind, frames=50)
                except av.error.FFmpegError:
                    continue
                found = blocks(copy, frames=arguments.frames)
                if len(found):
                    levels = int(nearest(found, originals).max())
                    farthest = max(farthest, levels)
                    print(f"{path.stem}, {kind}: at most {levels} levels from the original")
                clips.append(path.stem)
                means.append(found)
    report(clips, means)
    print(
        f"threshold {MAX_LEVELS:g} levels: frames of copies are at most {farthest} from the nearest original frame, "
        f"frames of different clips at least {least_between(clips, means)} apart"
    )


def report(clips: list[str], means: list[np.ndarray]) -> None:
    owners = np.repeat(np.arange(len(clips), dtype=np.int32), [len(part) for part in means])
    matches = find_matches(np.concatenate(means), owners)
    joined = {(m.a, m.b) for m in matches if m.frames >= min(MIN_FRAMES, len(means[m.a]), len(means[m.b]))}
    leader = list(range(len(clips)))
    for a, b in sorted(joined):
        old, new = leader[b], leader[a]
        leader = [new if name == old else name for name in leader]
    pairs = [(a, b) for a in range(len(clips)) for b in range(a + 1, len(clips))]
    same = [pair for pair in pairs if clips[pair[0]] == clips[pair[1]]]
    print(
        f"{len(clips)} clips and copies, {len(owners)} frames; of {len(same)} pairs of the same clip "
        f"{sum(pair in joined for pair in same)} are joined directly, {sum(leader[a] == leader[b] for a, b in same)} "
        f"in the end; of {len(pairs) - len(same)} others {sum(clips[a] != clips[b] for a, b in joined)} are joined"
    )


if __name__ == "__main__":
    main()
