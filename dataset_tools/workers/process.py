"""A process that works on clips, so that a decoder that hangs or crashes takes nothing else down.

It reads one job per line from stdin, and answers with one line on stdout (``messages``); in between it sends a sign of
life about once a second. When stdin ends, because the parent is done or was killed, it ends at once.
"""

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TextIO

import cv2

from dataset_tools.common.memory import keep_freed_memory
from dataset_tools.errors import VfiError
from dataset_tools.frames.writer import StorageError
from dataset_tools.sources.clip_frames import clip_sha256
from dataset_tools.workers.extract_job import UnfitClipError, extract
from dataset_tools.workers.messages import (
    HEARTBEAT,
    Answer,
    ExtractJob,
    Job,
    ProbeJob,
    RebuildJob,
    job_from_json,
    to_json,
)
from dataset_tools.workers.probe_job import probe
from dataset_tools.workers.rebuild_job import rebuild

_HEARTBEAT_SECONDS = 1.0


def work(job: Job, *, heartbeat: Callable[[], None]) -> Answer:
    """Do one job and return its answer."""
    try:
        match job:
            case ProbeJob():
                return Answer("done", value=probe(job, heartbeat=heartbeat))
            case RebuildJob():
                return Answer("done", value=rebuild(job, heartbeat=heartbeat))
            case ExtractJob():
                return _extract(job, heartbeat)
    except StorageError as error:
        return Answer("stop", message=str(error))
    except UnfitClipError as error:
        return Answer("unfit", message=str(error), reason=error.reason)
    except VfiError as error:
        return Answer("rejected", message=str(error))
    except Exception as error:  # whatever a damaged clip makes a library raise, the other clips go on
        return Answer("rejected", message=f"clip {job.clip.name}: {type(error).__name__}: {error}")


def _extract(job: ExtractJob, heartbeat: Callable[[], None]) -> Answer:
    sha256 = job.sha256 or clip_sha256(job.clip)
    if job.origin not in (None, sha256):  # its frames would take the place of those people may have labelled
        message = "no longer the file that its rows were made from; bring that back, or use another --out"
        return Answer("changed", message=message)
    return Answer("done", value={**asdict(extract(job, heartbeat=heartbeat)), "sha256": sha256})


class _Heartbeat:
    """Sends a sign of life when the last one is old enough; the first one says that the process is up."""

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._last_seconds = -_HEARTBEAT_SECONDS

    def send(self) -> None:
        now = time.monotonic()
        if now - self._last_seconds >= _HEARTBEAT_SECONDS:
            self._last_seconds = now
            self._answers.write(HEARTBEAT)
            self._answers.flush()


def main() -> int:
    """Answer jobs until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    cv2.setNumThreads(1)  # one process per core
    keep_freed_memory()  # 30 MB a 1080p frame in all: mapping them anew takes a tenth of the time of what is done to it
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints must not mix with the answers
    jobs: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(jobs,), daemon=True).start()
    heartbeat = _Heartbeat(answers)
    heartbeat.send()
    while True:
        answers.write(to_json(work(job_from_json(jobs.get()), heartbeat=heartbeat.send)))
        answers.flush()


def _read_jobs(jobs: "queue.SimpleQueue[str]") -> None:
    for line in sys.stdin:
        jobs.put(line)
    os._exit(0)  # from this thread, since the main one may be stuck in a decoder


if __name__ == "__main__":
    sys.exit(main())
