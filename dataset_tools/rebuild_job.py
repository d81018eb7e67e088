"""The work on one clip when frames are made again from a manifest, done inside a worker process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_tools.clip_frames import clip_sha256, iterate_frames
from dataset_tools.errors import FrameError, VideoError
from dataset_tools.files import inside
from dataset_tools.frame_writer import write_frame
from dataset_tools.frames import Rgb, pixels_sha256, read_image, resize_area
from dataset_tools.sources import Clip


@dataclass(frozen=True)
class WantedFrame:
    """One image file of a manifest.

    Attributes:
        file: Path relative to the data set's folder.
        sha256: Of its pixels, by the manifest.
    """

    index: int
    file: str
    width: int
    height: int
    sha256: str


def rebuild(
    clip: Clip,
    wanted: list[WantedFrame],
    *,
    sha256: str,
    originals: Path,
    out: Path,
    decoder: str,
    beat: Callable[[], None],
) -> list[dict[str, Any]]:
    """Write the wanted frames of a clip under ``out`` and tell how each compares to the manifest.

    Args:
        sha256: Of the clip, by the manifest.
        originals: Folder of the manifest; where a frame's original is there, it tells by how much a frame differs.

    Returns:
        ``file``, ``is_equal`` (by hash) and ``difference`` (largest, in levels of 255; ``None`` when unknown) of
        every frame; ``is_missing`` instead for those beyond the clip's end.

    Raises:
        VideoError, FrameError: The clip is damaged, or not the file the manifest was made from.
        StorageError: A frame cannot be written.
    """
    if clip_sha256(clip) != sha256:
        raise VideoError(f"clip {clip.name}: not the file that the manifest was made from (its SHA-256 differs)")
    by_index: dict[int, list[WantedFrame]] = {}
    for item in wanted:
        by_index.setdefault(item.index, []).append(item)
    answers = []
    for frame in iterate_frames(clip, decoder=decoder):
        beat()
        for item in by_index.pop(frame.index, ()):
            rgb = resize_area(frame.rgb(), width=item.width, height=item.height)
            found = pixels_sha256(rgb)
            difference = _difference(rgb, item, originals)
            if difference is None or out != originals:  # a right original is what people saw and labelled: kept
                write_frame(inside(out, item.file), rgb, sha256=found)
            answers.append({"file": item.file, "is_equal": found == item.sha256, "difference": difference})
        if not by_index:
            break
    answers += [{"file": item.file, "is_missing": True} for items in by_index.values() for item in items]
    return answers


def _difference(rgb: Rgb, item: WantedFrame, originals: Path) -> int | None:
    """Return the largest difference to the original, or ``None`` when the original is not there any more."""
    try:
        original = read_image(inside(originals, item.file))
    except FrameError:
        return None
    if original.shape != rgb.shape or pixels_sha256(original) != item.sha256:
        return None
    return int(np.abs(original.astype(np.int16) - rgb).max())
