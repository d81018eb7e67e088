"""Runs jobs on clips in worker processes; one that falls silent or dies is replaced, and its clip given up."""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from dataset_tools.errors import VfiError
from dataset_tools.workers.messages import HEARTBEAT, Answer, Job, answer_from_json, to_json

Tag = TypeVar("Tag")
_AHEAD = 2  # jobs handed out per worker, so that none waits and a long list costs no memory


class _Worker:
    """A worker process and the pipes to it."""

    def __init__(self) -> None:
        home = str(Path(__file__).resolve().parents[2])  # found again even where it is not installed
        paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dataset_tools.workers.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
            encoding="utf-8",
        )
        self.is_late = False
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise VfiError(f"cannot start a decoding process (status {self.close()}); its own words are above")

    def ask(self, job: Job, *, silence_seconds: float) -> Answer | None:
        """Return the answer, or ``None`` when the process died or was ended for its silence (``is_late``)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(to_json(job))
            self.process.stdin.flush()
        except OSError:
            return None
        while True:
            timer = threading.Timer(silence_seconds, self._end_for_silence)
            timer.daemon = True
            timer.start()
            line = self.process.stdout.readline()
            timer.cancel()
            if not line.endswith("\n") or self.is_late:  # a process that dies may leave half a line
                return None
            if line != HEARTBEAT:
                return answer_from_json(line)

    def _end_for_silence(self) -> None:
        self.is_late = True
        self.process.kill()

    def close(self) -> int:
        """End the process, whatever it is doing, and return its exit status."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            try:
                assert pipe is not None
                pipe.close()
            except OSError:
                pass
        return self.process.wait()


class WorkerPool:
    """A few worker processes, started when first needed. Use it in a ``with`` block."""

    def __init__(self, num_workers: int, *, silence_seconds: float) -> None:
        """Prepare a pool.

        Args:
            num_workers: How many processes, at least 1.
            silence_seconds: A worker that has decoded nothing for so long is ended and its job given up.
        """
        self._num_workers = num_workers
        self._silence_seconds = min(silence_seconds, threading.TIMEOUT_MAX)
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all: set[_Worker] = set()
        self._is_closed = False
        self._threads = ThreadPoolExecutor(num_workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closed = True
        for worker in list(self._all):
            worker.process.kill()
        self._threads.shutdown(cancel_futures=True)
        for worker in list(self._all):
            worker.close()

    def run(self, jobs: Iterable[tuple[Tag, Job]]) -> Iterator[tuple[Tag, Answer]]:
        """Yield (tag, answer) of every (tag, job), in the order they are done."""
        waiting: dict[Future[Answer], Tag] = {}
        source = iter(jobs)
        is_more = True
        while is_more or waiting:
            while is_more and len(waiting) < _AHEAD * self._num_workers:
                item = next(source, None)
                if item is None:
                    is_more = False
                else:
                    waiting[self._threads.submit(self.answer, item[1])] = item[0]
            for future in wait(waiting, return_when=FIRST_COMPLETED).done if waiting else ():
                yield waiting.pop(future), future.result()

    def answer(self, job: Job) -> Answer:
        """Do one job in a worker process and return its answer; may be called from several threads."""
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            worker = _Worker()
            self._all.add(worker)
        if self._is_closed:
            return Answer("crash", message="closed")
        answer = worker.ask(job, silence_seconds=self._silence_seconds)
        if answer is not None:
            self._idle.put(worker)
            return answer
        self._all.discard(worker)
        status = worker.close()
        if worker.is_late:
            message = f"nothing decoded for {self._silence_seconds:g} s; the decoder was ended"
            return Answer("late", message=message)
        return Answer("crash", message=f"the decoder's process died (status {status})")
