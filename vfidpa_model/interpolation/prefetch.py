"""Stages of a stream that run at the same time, with bounded queues between them."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

Item = TypeVar("Item")

_POLL_SECONDS = 0.1  # how often a waiting thread looks whether the other side has given up


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Stage(Generic[Item]):
    def __init__(self, source: Iterator[Item], depth: int) -> None:
        self._source = source
        self._queue: queue.Queue[Item | _End] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._torch_threads = torch.get_num_threads()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        torch.set_num_threads(self._torch_threads)  # a new thread starts with all cores
        error: BaseException | None = None
        try:
            for item in self._source:
                if not self._put(item):
                    break
        except BaseException as caught:
            error = caught
        self._put(_End(error))

    def _put(self, item: Item | _End) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def items(self) -> Iterator[Item]:
        while not self._stopped.is_set():
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


@contextmanager
def running_ahead(source: Iterator[Item], *, depth: int) -> Iterator[Iterator[Item]]:
    """Yield the items of ``source``, computed in a thread of its own up to ``depth`` items ahead.

    An error in the source is raised where its items are taken. When the block ends, the thread has ended.
    """
    stage = _Stage(source, depth)
    try:
        yield stage.items()
    finally:
        stage.stop()
