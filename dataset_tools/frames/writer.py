"""Writes frames beside decoding: sizes, hashes, encodes and stores them in threads of their own."""

import errno
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from dataset_tools.common.files import sync_folder, write_bytes
from dataset_tools.errors import FrameError, VfiError
from dataset_tools.frames import Rgb, fingerprint, pixels_sha256, read_image, resize_area
from dataset_tools.frames.png import encode_png

Result = TypeVar("Result")
_IS_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_THREADS = 2  # waiting for the disk and encoding, both without Python's lock, go on while the next frame is decoded
_MAX_WAITING = 12  # frames held in memory until they are written


class StorageError(VfiError):
    """The data set's folder cannot be written to; the clip is not to blame."""


class Stored(NamedTuple):
    """The pixels of an image file: their hash, and their fingerprint in hexadecimal (JSON holds no bytes)."""

    sha256: str
    fingerprint: str


class FrameWriter:
    """Writes frames in threads. Use it in a ``with`` block; when that ends, their names are safe on disk as well."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS)
        self._waiting: deque[Future[Any]] = deque()
        self._folders: set[Path] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)
        for folder in self._folders if kind is None else ():
            if folder.is_dir():
                sync_folder(folder)

    def write(self, path: Path, rgb: Rgb, *, width: int, height: int) -> Future[Stored]:
        """Store ``rgb``, made smaller to ``width`` x ``height``, as ``path``; the answer comes when it is written.

        Raises:
            StorageError: An earlier frame could not be written.
        """
        return self.run(path, _write_smaller, path, rgb, width, height)

    def run(self, path: Path, task: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Call a task, which may write ``path`` by ``write_frame``, when its turn comes.

        Raises:
            StorageError: An earlier frame could not be written.
        """
        while len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft().result()
        future = self._pool.submit(task, *arguments)
        self._waiting.append(future)
        self._folders.add(path.parent)
        return future


def _write_smaller(path: Path, rgb: Rgb, width: int, height: int) -> Stored:
    small = resize_area(rgb, width=width, height=height)
    sha256 = pixels_sha256(small)
    write_frame(path, small, sha256=sha256)
    return Stored(sha256, fingerprint(small).hex())


def write_frame(path: Path, rgb: Rgb, *, sha256: str) -> None:
    """Write a frame losslessly and atomically, unless it is there already; syncing the folder is ``FrameWriter``'s.

    Args:
        sha256: Of its pixels.

    Raises:
        StorageError: It cannot be written.
    """
    if path.exists():
        try:
            if pixels_sha256(read_image(path)) == sha256:
                return
        except FrameError:
            pass
    try:
        write_bytes(path, encode_png(rgb), is_synced=False)
    except OSError as error:
        advice = "make room" if error.errno in _IS_FULL else "see that it can be written to"
        raise StorageError(f"cannot write {path}: {error.strerror}; {advice} and run the same command again") from error
