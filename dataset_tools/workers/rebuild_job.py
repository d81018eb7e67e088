"""The work on one clip when frames are made again from a manifest, done inside a worker process."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict
from typing import Any

from dataset_tools.checks.pixels import Difference, block_difference, largest_difference
from dataset_tools.common.files import inside
from dataset_tools.common.remote import Folder
from dataset_tools.errors import FrameError, VideoError
from dataset_tools.frames import Rgb, pixels_sha256, read_image
from dataset_tools.frames.area import resize_area
from dataset_tools.frames.writer import FrameWriter
from dataset_tools.sources.clip_frames import clip_sha256, iterate_frames
from dataset_tools.workers.messages import RebuildJob, WantedFrame


def rebuild(job: RebuildJob, *, heartbeat: Callable[[], None]) -> list[dict[str, Any]]:
    """Write the wanted frames of a clip and tell how each compares to the manifest.

    Returns:
        ``file``, ``is_equal`` (by hash) and ``difference`` (fields of ``Difference``; ``None`` when equal or unknown)
        of every frame; ``is_missing`` instead for those beyond the clip's end.

    Raises:
        VideoError, FrameError: The clip is damaged, or not the file the manifest was made from.
        StorageError: A frame cannot be written.
    """
    if clip_sha256(job.clip) != job.sha256:
        raise VideoError(f"clip {job.clip.name}: not the file that the manifest was made from (its SHA-256 differs)")
    by_index: dict[int, list[WantedFrame]] = {}
    for item in job.wanted:
        by_index.setdefault(item.index, []).append(item)
    making: list[Future[dict[str, Any]]] = []
    with FrameWriter(heartbeat) as writer:
        for frame in iterate_frames(job.clip, decoder=job.decoder, treatment=job.treatment):
            heartbeat()
            if items := by_index.pop(frame.index, None):
                rgb = frame.rgb()
                making += [writer.run(_make, writer, item, rgb, job.originals, job.out) for item in items]
            if not by_index:
                break
        answers = [writer.result(future) for future in making]
    return answers + [{"file": item.file, "is_missing": True} for items in by_index.values() for item in items]


def _make(writer: FrameWriter, item: WantedFrame, rgb: Rgb, originals: Folder, out: Folder) -> dict[str, Any]:
    """Write one frame and return its answer."""
    rgb = resize_area(rgb, width=item.width, height=item.height)
    found = pixels_sha256(rgb)
    is_equal = found == item.sha256
    original = None if is_equal else _original(item, originals, rgb)
    if original is None or out != originals:  # a right original is what people saw and labelled: kept
        writer.write_now(inside(out, item.file), rgb, sha256=found)
    difference = None if is_equal else _difference(rgb, item, original)
    return {"file": item.file, "is_equal": is_equal, "difference": asdict(difference) if difference else None}


def _original(item: WantedFrame, originals: Folder, rgb: Rgb) -> Rgb | None:
    """Return the picture in the manifest's folder if it is whole, by hash, and of the size of ``rgb``."""
    try:
        original = read_image(inside(originals, item.file))
    except FrameError:
        return None
    return original if original.shape == rgb.shape and pixels_sha256(original) == item.sha256 else None


def _difference(rgb: Rgb, item: WantedFrame, original: Rgb | None) -> Difference | None:
    if original is not None:
        return largest_difference(original, rgb)
    return block_difference(None if item.fingerprint is None else bytes.fromhex(item.fingerprint), rgb)
