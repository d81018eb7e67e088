"""Miniatures of the benchmark sets in their authors' layout and naming, filled with frames of the demo clips."""

import itertools
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from dataset_tools.frames import write_image
from dataset_tools.video import open_video

LISTS = Path(__file__).parents[1] / "resources" / "snu_film"  # the four official ones
LEVELS = ("easy", "medium", "hard", "extreme")
SNU_LAYOUTS = {"as listed": "data/SNU-FILM/test", "without prefix": "test", "last three parts": ""}


@lru_cache(maxsize=4)
def clip_frames(clip: Path, *, count: int, height: int, width: int) -> list[np.ndarray]:
    """Return the first ``count`` frames of a clip, cut to ``height`` x ``width`` around the middle."""
    frames = []
    with open_video(clip) as video:
        for frame in itertools.islice(video.frames(), count):
            rgb = frame.rgb()
            top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
            frames.append(np.ascontiguousarray(rgb[top : top + height, left : left + width]))
    return frames


def make_snu_film(root: Path, clips: Path, *, layout: str = "as listed", lists_in: str = "eval_modes") -> Path:
    """Write two sequences, one middle frame each, and the four official lists cut to what exists."""
    first_lines = (LISTS / "test-extreme.txt").read_text().splitlines()
    chosen = [first_lines[0], next(line for line in first_lines if "YouTube_test" in line)]
    for line, clip in zip(chosen, ("bikes.mp4", "bigbuckbunny.mp4"), strict=True):
        first, _, last = (Path(path) for path in line.split())
        frames = clip_frames(clips / clip, count=17, height=96, width=132)
        folder = root / SNU_LAYOUTS[layout] / "/".join(first.parts[-3:-1])
        for number, rgb in zip(range(int(first.stem), int(last.stem) + 1), frames, strict=True):
            write_image(folder / f"{number:0{len(first.stem)}d}.png", rgb)
    for level in LEVELS:
        kept = [
            line
            for line in (LISTS / f"test-{level}.txt").read_text().splitlines()
            if all((root / SNU_LAYOUTS[layout] / "/".join(path.split("/")[-3:])).exists() for path in line.split())
        ]
        path = root / lists_in / f"test-{level}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(line + "\n" for line in kept))
    return root


def make_vimeo90k(root: Path, clips: Path, *, folder: str = "sequences") -> Path:
    """Write three triplets and the list, which ends with an empty line as the official one does."""
    frames = clip_frames(clips / "bikes.mp4", count=17, height=96, width=132)
    names = ["00001/0389", "00001/0402", "00078/0651"]
    for index, name in enumerate(names):
        for number in (1, 2, 3):
            write_image(root / folder / name / f"im{number}.png", frames[index * 3 + number])
    (root / "tri_testlist.txt").write_text("\n".join(names) + "\n\n")
    return root


def make_ucf101(root: Path, clips: Path) -> Path:
    """Write two triplets, with the fourth picture (DVF's own result) that the set carries."""
    frames = clip_frames(clips / "bikes.mp4", count=17, height=96, width=132)
    for index, name in enumerate(("1", "1001")):
        for number, file in enumerate(("frame_00", "frame_01_gt", "frame_02", "frame_01_ours")):
            write_image(root / "ucf101_interp_ours" / name / f"{file}.png", frames[4 * index + min(number, 2)])
    return root


def make_middlebury(root: Path, clips: Path) -> Path:
    """Write two of the twelve sequences, of two sizes."""
    for name, (height, width) in {"Beanbags": (96, 128), "RubberWhale": (77, 116)}.items():
        frames = [frame[:height, :width] for frame in clip_frames(clips / "bikes.mp4", count=17, height=96, width=132)]
        for file, rgb in (("frame10", frames[0]), ("frame11", frames[2])):
            write_image(root / "other-data" / name / f"{file}.png", rgb)
        write_image(root / "other-gt-interp" / name / "frame10i11.png", frames[1])
    return root


def make_xiph(root: Path, clips: Path, *, is_flat: bool = True) -> Path:
    """Write the first three frames of one clip at 4096x2160, named in either of the two ways in use."""
    for number, rgb in enumerate(clip_frames(clips / "bikes.mp4", count=3, height=135, width=256), start=1):
        path = root / (f"Crosswalk-{number:03d}.png" if is_flat else f"Crosswalk/{number:03d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        large = cv2.resize(rgb, (4096, 2160), interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(path), cv2.cvtColor(large, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return root
