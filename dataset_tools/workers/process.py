"""A process that works on clips, so that a decoder that hangs or crashes takes nothing else down.

It reads one JSON job per line from stdin, and answers with one JSON line on stdout; in between it sends a sign of
life about once a second. When stdin ends, because the parent is done or was killed, it ends at once.
"""

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import cv2

from dataset_tools.errors import VfiError
from dataset_tools.frames.writer import StorageError
from dataset_tools.sources import Clip
from dataset_tools.sources.clip_frames import Treatment, clip_sha256
from dataset_tools.workers import extract_job as clip_job
from dataset_tools.workers.probe_job import probe
from dataset_tools.workers.rebuild_job import WantedFrame, rebuild

_HEARTBEAT_SECONDS = 1.0


def encode_clip(clip: Clip) -> dict[str, Any]:
    """Return a clip as JSON values."""
    return {**vars(clip), "path": str(clip.path)}


def _decode_clip(value: dict[str, Any]) -> Clip:
    return Clip(**{**value, "path": Path(value["path"]), "frame_files": tuple(value["frame_files"])})


def work(job: dict[str, Any], *, heartbeat: Callable[[], None]) -> dict[str, Any]:
    """Do one job and return its answer.

    Args:
        job: ``kind`` (``probe``, ``extract`` or ``rebuild``), ``clip``, and the arguments of ``probe_job.probe``, of
            ``clip_job.ExtractJob`` or of ``rebuild_job.rebuild``.

    Returns:
        ``{"done": ...}``, ``{"rejected": message}``, ``{"unfit": message, "reason": word}`` for a clip not wanted
        as it is, ``{"changed": message}`` when it is not the one that rows were made from, or ``{"stop": message}``
        when going on makes no sense.
    """
    clip = _decode_clip(job["clip"])
    try:
        if job["kind"] == "probe":
            return {"done": probe(clip, decoder=job["decoder"], heartbeat=heartbeat)}
        if job["kind"] == "rebuild":
            return {"done": _rebuild(job, clip, heartbeat)}
        return _extract(job, clip, heartbeat)
    except StorageError as error:
        return {"stop": str(error)}
    except clip_job.UnfitClipError as error:
        return {"unfit": str(error), "reason": error.reason}
    except VfiError as error:
        return {"rejected": str(error)}
    except Exception as error:  # whatever a damaged clip makes a library raise, the other clips go on
        return {"rejected": f"clip {clip.name}: {type(error).__name__}: {error}"}


def _extract(job: dict[str, Any], clip: Clip, heartbeat: Callable[[], None]) -> dict[str, Any]:
    sha256 = job["sha256"] or clip_sha256(clip)
    if job["origin"] not in (None, sha256):  # its frames would take the place of those people may have labelled
        return {"changed": "no longer the file that its rows were made from; bring that back, or use another --out"}
    result = clip_job.extract(_extract_job(job, clip), heartbeat=heartbeat)
    return {"done": {**clip_job.to_json(result), "sha256": sha256}}


def _extract_job(job: dict[str, Any], clip: Clip) -> clip_job.ExtractJob:
    return clip_job.ExtractJob(
        clip=clip,
        out=Path(job["out"]),
        num_frames=job["num_frames"],
        moving=job["moving"],
        statics=tuple((a, b, c) for a, b, c in job["statics"]),
        tiers=tuple(job["tiers"]),
        intervals=(job["intervals"][0], job["intervals"][1]),
        seed=job["seed"],
        decoder=job["decoder"],
        facts=job["facts"],
        interlaced=job["interlaced"],
        hdr=job["hdr"],
        damage=job["damage"],
    )


def _rebuild(job: dict[str, Any], clip: Clip, heartbeat: Callable[[], None]) -> list[dict[str, Any]]:
    return rebuild(
        clip,
        [WantedFrame(**item) for item in job["wanted"]],
        sha256=job["sha256"],
        originals=Path(job["originals"]),
        out=Path(job["out"]),
        decoder=job["decoder"],
        treatment=Treatment(**job["treatment"]),
        heartbeat=heartbeat,
    )


class _Heartbeat:
    """Sends a sign of life when the last one is old enough; the first one says that the process is up."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._last_seconds = -_HEARTBEAT_SECONDS

    def send(self) -> None:
        now = time.monotonic()
        if now - self._last_seconds >= _HEARTBEAT_SECONDS:
            self._last_seconds = now
            self._answers.write('{"heartbeat": true}\n')
            self._answers.flush()


def main() -> int:
    """Answer jobs until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)  # one process per core
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    heartbeat = _Heartbeat(answers)
    heartbeat.send()
    while True:
        job = json.loads(jobs.get())
        answers.write(json.dumps(work(job, heartbeat=heartbeat.send)) + "\n")
        answers.flush()


def _read_jobs(jobs: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)  # from this thread, since the main one may be stuck in a decoder


if __name__ == "__main__":
    sys.exit(main())
