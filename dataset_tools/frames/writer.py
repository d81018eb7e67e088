"""Writes frames beside decoding: sizes, hashes, encodes and stores them in threads of their own."""

import errno
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from dataset_tools.common.batches import publish, write_aside
from dataset_tools.common.remote import File
from dataset_tools.errors import FrameError, VfiError
from dataset_tools.frames import Rgb, fingerprint, pixels_sha256, read_image
from dataset_tools.frames.area import resize_area
from dataset_tools.frames.png import encode_png

Result = TypeVar("Result")
_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_THREADS = 2  # waiting for the disk and encoding, both without Python's lock, go on while the next frame is decoded
_MAX_WAITING = 12  # frames held in memory until they are written
_ALIVE_SECONDS = 1.0
_BATCH = 96  # files that share a sync; a long clip has several, so that a kill costs little and its end is no long wait


class StorageError(VfiError):
    """The data set's folder cannot be written to; the clip is not to blame."""


class Stored(NamedTuple):
    """The pixels of an image file: their hash, and their fingerprint in hexadecimal (JSON holds no bytes)."""

    sha256: str
    fingerprint: str


class FrameWriter:
    """Writes frames in threads. Use it in a ``with`` block; when that ends without an error, they are safe on disk.

    They are written aside, and get their names some at a time, after one sync for all of those. So a killed run, or a
    power cut, leaves whole frames and temporary files.
    """

    def __init__(self, heartbeat: Callable[[], None]) -> None:
        """Start the threads.

        Args:
            heartbeat: Called every second while a frame or a sync is waited for: a slow disk is no hanging decoder.
        """
        self._heartbeat = heartbeat
        self._pool = ThreadPoolExecutor(_THREADS)
        self._waiting: deque[Future[Any]] = deque()
        self._aside: list[tuple[Path, Path]] = []  # (temporary file, its path)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for future in self._waiting if kind is not None else ():
            future.cancel()
        self._live_until(self._waiting)
        try:
            if kind is None:
                self.result(self._pool.submit(_publish, self._aside))
                return
        finally:
            self._pool.shutdown()
        for aside, _ in self._aside:
            aside.unlink(missing_ok=True)

    def write(self, path: File, rgb: Rgb, *, width: int, height: int) -> Future[Stored]:
        """Store ``rgb``, made smaller to ``width`` x ``height``, as ``path``; the answer comes when it is written.

        Raises:
            StorageError: An earlier frame could not be written.
        """
        return self.run(self._write_smaller, path, rgb, width, height)

    def run(self, task: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Call a task, which may write frames by ``write_now``, when its turn comes.

        Raises:
            StorageError: An earlier frame could not be written.
        """
        while len(self._waiting) >= _MAX_WAITING:
            self.result(self._waiting.popleft())
        future = self._pool.submit(task, *arguments)
        self._waiting.append(future)
        return future

    def result(self, future: Future[Result]) -> Result:
        """Return what a task gives, when it is done.

        Raises:
            StorageError: The task's.
        """
        self._live_until([future])
        return future.result()

    def _live_until(self, futures: Collection[Future[Any]]) -> None:
        while wait(futures, timeout=_ALIVE_SECONDS).not_done:
            self._heartbeat()

    def write_now(self, path: File, rgb: Rgb, *, sha256: str) -> None:
        """Write a frame losslessly, unless it is there already.

        Args:
            sha256: Of its pixels.

        Raises:
            StorageError: It cannot be written.
        """
        if not isinstance(path, Path):  # an object store shows a file when it is whole, and writes it in one go
            try:
                path.write_bytes(encode_png(rgb))
            except OSError as error:
                raise StorageError(f"cannot write {path}: {error}; run the same command again") from error
            return
        if path.exists():
            try:
                if pixels_sha256(read_image(path)) == sha256:
                    return
            except FrameError:
                pass
        try:
            aside = write_aside(path, encode_png(rgb))
        except OSError as error:
            raise _storage_error(path, error) from error
        with self._lock:
            self._aside.append((aside, path))
            batch = self._aside if len(self._aside) >= _BATCH else []
            if batch:
                self._aside = []
        _publish(batch)

    def _write_smaller(self, path: File, rgb: Rgb, width: int, height: int) -> Stored:
        small = resize_area(rgb, width=width, height=height)
        sha256 = pixels_sha256(small)
        self.write_now(path, small, sha256=sha256)
        return Stored(sha256, fingerprint(small).hex())


def _publish(batch: Sequence[tuple[Path, Path]]) -> None:
    try:
        publish(batch)
    except OSError as error:
        for aside, _ in batch:
            aside.unlink(missing_ok=True)
        raise _storage_error(batch[0][1].parent, error) from error


def _storage_error(path: Path, error: OSError) -> StorageError:
    advice = "make room" if error.errno in _IS_FULL else "see that it can be written to"
    return StorageError(f"cannot write {path}: {error.strerror}; {advice} and run the same command again")
