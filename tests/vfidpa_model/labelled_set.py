"""A small labelled manifest from real frames: windows of the demo clips; the more changes, the higher the level."""

import copy
import hashlib
import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from dataset_tools.frames import fingerprint, pixels_sha256, write_image
from dataset_tools.frames.area import resize_area
from dataset_tools.manifest import Manifest, from_rows

SIDE = 64  # pixels; the smallest the models take
INTERVALS = (1, 2, 4, 9)
NUM_FRAMES = 24
SPLITS = ("train", "train", "train", "train", "val", "test")  # of the windows of each clip


def decode(path: Path, num_frames: int = NUM_FRAMES) -> list[np.ndarray]:
    """Return the first frames as RGB arrays."""
    with av.open(str(path)) as container:
        frames = []
        for frame in container.decode(video=0):
            frames.append(frame.to_ndarray(format="rgb24"))
            if len(frames) == num_frames:
                break
    return frames


def windows(rgb: np.ndarray) -> list[np.ndarray]:
    """Return six square windows of a frame, 2 rows of 3, brought down to SIDE x SIDE."""
    side = min(rgb.shape[0] // 2, rgb.shape[1] // 3)
    return [
        resize_area(rgb[r * side : (r + 1) * side, c * side : (c + 1) * side], width=SIDE, height=SIDE)
        for r in range(2)
        for c in range(3)
    ]


def vote(annotator: str, level: int, *, flagged: bool = False, day: int = 1) -> dict[str, Any]:
    """Return one vote as the manifest stores it."""
    return {
        "annotator": annotator,
        "level": level,
        "created_at": datetime(2026, 1, day, tzinfo=UTC),
        "seconds": 2.0,
        "flagged": flagged,
    }


def labelled_rows(folder: Path, demo_clips: Path) -> list[dict[str, Any]]:
    """Return 72 rows: 3 clips x 6 windows (each a clip of its own, in one split) x 4 intervals; frames are written."""
    made, rows = _made(demo_clips)
    shutil.copytree(made.name, folder, dirs_exist_ok=True)
    return copy.deepcopy(rows)


@cache
def _made(demo_clips: Path) -> tuple[tempfile.TemporaryDirectory[str], list[dict[str, Any]]]:
    """Make the frames once for all tests of a process, in a folder that goes with it, and their rows."""
    made = tempfile.TemporaryDirectory()
    return made, _make(Path(made.name), demo_clips)


def _make(folder: Path, demo_clips: Path) -> list[dict[str, Any]]:
    rows = []
    for clip in sorted(demo_clips.glob("*.mp4")):
        tiles = [windows(rgb) for rgb in decode(clip)]
        for window, split in enumerate(SPLITS):
            for interval in INTERVALS:
                rows.append(_row(folder, f"{clip.stem}-{window}", split, interval, [tile[window] for tile in tiles]))
    changes = [row.pop("change") for row in rows]
    ranks = np.argsort(np.argsort(changes))
    for row, rank in zip(rows, ranks, strict=True):
        level = int(rank * 4 // len(rows)) + 1
        votes = [vote("ada", level), vote("ben", min(4, level + int(rank) % 2)), vote("cyd", level)]
        row.update(level=level, level_source="human", num_annotations=3, votes=votes)
    return rows


def _row(folder: Path, clip: str, split: str, interval: int, frames: list[np.ndarray]) -> dict[str, Any]:
    start = 3 if "carphone" in clip else 1
    indices = {"img0": start, "gt": start + interval, "img1": start + 2 * interval}
    images = {name: frames[index] for name, index in indices.items()}
    row: dict[str, Any] = {
        "triplet_id": f"videos/{clip}/{start}-{start + interval}-{start + 2 * interval}@256p",
        "source": "videos",
        "clip": clip,
        "clip_sha256": hashlib.sha256(clip.encode()).hexdigest(),
        "resolution": "256p",
        "width": SIDE,
        "height": SIDE,
        "native_width": SIDE,
        "native_height": SIDE,
        "interval": interval,
        "split": split,
    }
    for name, rgb in images.items():
        path = f"frames/{clip}/{indices[name]}.png"
        if not (folder / path).exists():
            write_image(folder / path, rgb)
        row |= {name: path, f"{name}_index": indices[name], f"{name}_sha256": pixels_sha256(rgb)}
        row[f"{name}_fingerprint"] = fingerprint(rgb)
    difference = np.abs(images["img0"].astype(np.int16) - images["img1"]).mean()
    row |= {"change": difference, "inputs_lpips": float(difference / 100), "motion": float(difference / 8)}
    return row


def labelled_manifest(folder: Path, demo_clips: Path) -> Manifest:
    """Write and return the small labelled manifest in ``folder``."""
    manifest = from_rows(folder / "data_manifest.parquet", labelled_rows(folder, demo_clips), metadata={"seed": "0"})
    manifest.write()
    return manifest


def few_of(manifest: Manifest) -> Manifest:
    """Write and return every fifth row of it, ``few.parquet``: 10 pairs for train, 2 for val, 3 for test."""
    few = replace(manifest, path=manifest.path.with_name("few.parquet"), table=manifest.table[::5])
    few.write()
    return few
